"""Tuning a task's recipe on the blocks before the test, by Optuna; the test block is never looked at.

A trial grows trees that the stopping block stops, calibrates them there, and is told by its proper loss
on the calibration block, which lies a horizon later. Where both are the same cutoffs, each half of the
customers is told by trees that the other half stopped, as in fitting.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.assess import losses
from training.examples import Examples
from training.fit import calibrated, margins, stopped
from training.judgement import Prepared
from training.recipe import Recipe

Array = NDArray[np.float64]
Report = Callable[[str], None]

ROUNDS_AT_MOST = 1000  # early stopping ends most trials long before
WARM_UP = 4  # trials, and steps of `_STEP` learning, that the pruner waits for
_STEP = 0.5  # learning rate x rounds between two looks of the pruner: slow learners are not pruned for being slow


@dataclass(frozen=True, slots=True)
class Trial:
    """One recipe tried: `loss` on the validation rows, None where it was pruned after so many `rounds`."""

    recipe: Recipe
    loss: float | None
    rounds: int


@dataclass(frozen=True, slots=True)
class Study:
    """The trials of one task in the order they were made; the first is the recipe that was given."""

    trials: tuple[Trial, ...]

    @property
    def best(self) -> Trial:
        """The trial of the lowest loss; the earliest of equals."""
        return min((trial for trial in self.trials if trial.loss is not None), key=lambda trial: trial.loss or 0.0)

    @property
    def words(self) -> str:
        """How the best recipe compares with the one given, on validation."""
        given, best = self.trials[0].loss or np.nan, self.best.loss or np.nan
        pruned = sum(trial.loss is None for trial in self.trials)
        gain = f"{100 * (1 - best / given):.1f} % below the given recipe's" if best < given else "the given recipe's"
        return f"{len(self.trials)} recipes tried, {pruned} pruned; best validation loss {best:.4f}, {gain}"

    def to_json(self) -> dict[str, Any]:
        """A JSON object of all trials."""
        return {"words": self.words, "trials": [asdict(trial) for trial in self.trials]}


def tune(prepared: Prepared, given: Recipe, trials: int, threads: int, report: Report) -> Study:
    """Try recipes, the given one first.

    Parameters
    ----------
    trials
        How many recipes, the given one included.
    report
        Called with a sentence before each trial.

    Notes
    -----
    Optuna's tree-structured Parzen estimator with the recipe's seed; the median pruner drops a trial
    whose stopping loss is worse than half of those before it had at the same progress.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=given.seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=WARM_UP, n_warmup_steps=WARM_UP),
    )
    made: list[Trial] = []
    for number in range(trials):
        told = f", best loss {Study(tuple(made)).best.loss:.4f}" if made else ""
        report(f"{prepared.on.data.task}: recipe {number + 1} of {trials}{told}")
        if number == 0:
            study.enqueue_trial(_asked(given))
        trial = study.ask()
        made.append(_tried(prepared, given, trial, threads))
        state = optuna.trial.TrialState
        study.tell(trial, made[-1].loss, state.PRUNED if made[-1].loss is None else state.COMPLETE)
    return Study(tuple(made))


def _asked(recipe: Recipe) -> dict[str, Any]:
    names = ("learning_rate", "leaves", "rows_per_leaf", "feature_fraction", "bagging_fraction", "lambda_l2")
    return {name: getattr(recipe, name) for name in names}


def _suggested(given: Recipe, trial: Any) -> Recipe:
    """The recipe of a trial; one that is not the given one may take more rounds, and holds for amounts too."""
    found = replace(
        given,
        learning_rate=trial.suggest_float("learning_rate", 0.01, 0.3, log=True),
        leaves=trial.suggest_int("leaves", 3, 63, log=True),
        rows_per_leaf=trial.suggest_int("rows_per_leaf", 5, 300, log=True),
        feature_fraction=trial.suggest_float("feature_fraction", 0.1, 1.0),
        bagging_fraction=trial.suggest_float("bagging_fraction", 0.4, 1.0),
        lambda_l2=trial.suggest_float("lambda_l2", 0.1, 100.0, log=True),
    )
    if found == given:
        return given
    rounds = max(ROUNDS_AT_MOST, given.rounds_at_most)
    return replace(found, rounds_at_most=rounds, amount_leaves=None, amount_rows_per_leaf=None)


def _tried(prepared: Prepared, given: Recipe, trial: Any, threads: int) -> Trial:
    import optuna

    recipe, reached, told = _suggested(given, trial), 0, -1

    def watch(rounds: int, loss: float) -> None:
        nonlocal reached, told
        reached, step = rounds + 1, int((rounds + 1) * recipe.learning_rate / _STEP)
        if step > told:  # of shared blocks the first half of the customers tells
            told = step
            trial.report(loss, step)
            if trial.should_prune():
                raise optuna.TrialPruned

    try:
        return Trial(recipe, validation_loss(prepared, recipe, threads, watch), reached)
    except optuna.TrialPruned:
        return Trial(recipe, None, reached)


def validation_loss(
    prepared: Prepared, recipe: Recipe, threads: int, watch: Callable[[int, float], None] | None = None
) -> float:
    """The task's mean proper loss on the validation rows of a recipe grown, stopped and calibrated before them."""
    data, blocks, matrix = prepared.on.data, prepared.blocks, prepared.matrix
    grower = prepared.on.grower(recipe, prepared.encoding, threads, watch)
    found = []
    for grown, stop, judged in stopped(grower, data, matrix, blocks):
        link = calibrated(prepared.task, grown, data, stop, margins(grown, matrix[stop], threads)).link
        predicted = link.predict(margins(grown, matrix[judged], threads))
        found.append(_losses(data, judged, predicted))
    return float(np.concatenate(found).mean())


def _losses(data: Examples, rows: NDArray[np.bool_], predicted: Array) -> Array:
    return losses(data.task, data.labels[rows], predicted if data.task == "next_stage" else predicted[:, 0])
