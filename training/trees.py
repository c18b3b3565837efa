"""Growing the trees of a task: one booster, or two for CLTV."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
from lightgbm.callback import CallbackEnv
from numpy.typing import NDArray

from features.errors import InputError
from training.recipe import Recipe

Array = NDArray[np.float64]
Rows = tuple[Array, Array]  # matrix (rows, features) and labels (rows,)
Watch = Callable[[int, float], None]  # told the round and the loss of the rows that stop the trees


@dataclass(frozen=True, slots=True)
class Part:
    """What one booster learns: an objective and how labels become its targets.

    `gamma` learns from rows with a positive value only, the others from all.
    """

    objective: str
    classes: int = 1

    def rows(self, labels: Array) -> NDArray[np.bool_]:
        """The rows this part learns from."""
        return labels > 0 if self.objective == "gamma" else np.ones(len(labels), dtype=bool)

    def targets(self, task: str, labels: Array) -> Array:
        """The part's targets."""
        return (labels > 0).astype(float) if task == "cltv" and self.objective == "binary" else labels


@dataclass(frozen=True, slots=True)
class Grown:
    """The boosters of a task and the number of rounds each was given."""

    boosters: tuple[lgb.Booster, ...]
    rounds: tuple[int, ...]


def parts(task: str, classes: int) -> tuple[Part, ...]:
    """The boosters of a task; CLTV: does the customer spend at all, and how much if so."""
    if task == "next_stage":
        return (Part("multiclass", classes),)
    return (Part("binary"), Part("gamma")) if task == "cltv" else (Part("binary"),)


@dataclass(frozen=True, slots=True)
class Grower:
    """Grows the boosters of one task by one recipe.

    `watch` is called after every round of the first booster that is stopped early; what it raises ends
    the growing.
    """

    task: str
    classes: int
    recipe: Recipe
    names: tuple[str, ...]
    threads: int
    watch: Watch | None = None

    def until(self, fit: Rows, stop: Rows) -> Grown:
        """Grow on `fit` until the loss on `stop` no longer falls."""
        first, *others = parts(self.task, self.classes)
        stopped = [self._stopped(first, fit, stop, self.watch), *(self._stopped(part, fit, stop) for part in others)]
        return self._grown(stopped)

    def rounds(self, fit: Rows, rounds: Sequence[int]) -> Grown:
        """Grow on `fit` for a given number of rounds per booster."""
        boosters = []
        for part, count in zip(parts(self.task, self.classes), rounds, strict=True):
            data = self._dataset(part, fit)
            boosters.append(lgb.train(self._parameters(part, fit), data, count))
        return self._grown(boosters)

    def _stopped(self, part: Part, fit: Rows, stop: Rows, watch: Watch | None = None) -> lgb.Booster:
        data = self._dataset(part, fit)
        held = self._dataset(part, stop, reference=data)
        callbacks: list[Any] = [lgb.early_stopping(self.recipe.patience, verbose=False)]
        callbacks += [_told(watch)] if watch else []
        parameters = self._parameters(part, fit)
        return lgb.train(parameters, data, self.recipe.rounds_at_most, valid_sets=[held], callbacks=callbacks)

    def _parameters(self, part: Part, fit: Rows) -> dict[str, Any]:
        rows = int(part.rows(fit[1]).sum())
        found = self.recipe.for_rows(rows).parameters(part.objective, self.threads)
        return found | ({"num_class": part.classes} if part.objective == "multiclass" else {})

    def _dataset(self, part: Part, rows: Rows, reference: lgb.Dataset | None = None) -> lgb.Dataset:
        matrix, labels = rows
        kept = part.rows(labels)
        if not kept.any():
            raise nothing_to_learn(self.task)
        targets = part.targets(self.task, labels[kept])
        return lgb.Dataset(matrix[kept], targets, feature_name=list(self.names), reference=reference)

    def _grown(self, boosters: list[lgb.Booster]) -> Grown:
        """Boosters cut at their best round and read back from text: what is used is what is stored."""
        counts = [max(1, b.best_iteration if b.best_iteration > 0 else b.current_iteration()) for b in boosters]
        cut = [_without_threads(b.model_to_string(num_iteration=n)) for b, n in zip(boosters, counts, strict=True)]
        return Grown(tuple(lgb.Booster(model_str=text) for text in cut), tuple(counts))


def _told(watch: Watch) -> Callable[[CallbackEnv], None]:
    """The callback of LightGBM that tells each round's loss."""

    def after(environment: CallbackEnv) -> None:
        if environment.evaluation_result_list:
            watch(environment.iteration, float(environment.evaluation_result_list[0][2]))

    return after


def nothing_to_learn(task: str) -> InputError:
    """What to say where a time block has no rows for a part of a task."""
    return InputError(
        f"tasks.{task}",
        "a time block without any example" + (" of a value above 0" if task == "cltv" else ""),
        "such examples at every cutoff",
        "give a longer history or more customers; look at `journeycast check`",
    )


def _without_threads(text: str) -> str:
    """The model's text without the number of threads that grew it: it is no part of the model."""
    return re.sub(r"^\[num_threads: \d+\]$", "[num_threads: 1]", text, flags=re.MULTILINE)
