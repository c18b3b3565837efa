"""Backtest: a task trained anew at each of several origins on what was known then, and tested on what came next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.errors import InputError
from features.journey import Journey, duration_text
from features.labels import tasks
from features.log import EventLog
from features.schema import CUTOFF, to_text
from training.assess import LOSS, Assessment
from training.blocks import Blocks, split
from training.examples import Examples, as_known_at, examples, known
from training.grades import Grade, grade
from training.judgement import Ground, ground, judge, prepare
from training.metrics import finite
from training.recipe import Recipe
from training.rules import best

Array = NDArray[np.float64]
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Origin:
    """One origin: `instant` is its test cutoff, `blocks` what it was trained on, `recipe` that for so many rows."""

    instant: int
    blocks: Blocks
    assessment: Assessment
    recipe: Recipe

    def to_json(self) -> dict[str, Any]:
        """A JSON object; what cannot be told is null."""
        found = self.assessment
        return {
            "origin": to_text(self.instant),
            "trained": {"first": to_text(self.blocks.trees[0]), "last": to_text(self.blocks.calibrate[-1])},
            "recipe": self.recipe.to_json(),
            "rows": len(found.labels),
            "grade": asdict(found.grade),
            "metrics": finite(found.metrics),
            "rules": {name: finite(reached) for name, reached in found.rules.items()},
        }


@dataclass(frozen=True, slots=True)
class Backtest:
    """A task at several origins, oldest first; `grade` is that of all origins' rows together."""

    task: str
    horizon_days: float
    origins: tuple[Origin, ...]
    grade: Grade

    def over_origins(self, rule: str | None = None) -> dict[str, tuple[float, float]]:
        """Per metric the mean over the origins and its spread, the standard deviation; of a rule, or of the model.

        Over the origins at which the metric is defined; nan where there are too few.
        """
        found = [one.assessment.rules[rule] if rule else one.assessment.metrics for one in self.origins]
        names = dict.fromkeys(name for metrics in found for name in metrics)
        return {name: _spread(np.array([metrics.get(name, np.nan) for metrics in found])) for name in names}

    @property
    def rules(self) -> list[str]:
        """The simple rules, that of the lowest loss over all origins first."""
        pooled = _pooled_rules([one.assessment for one in self.origins])
        return sorted(pooled, key=lambda name: float(np.mean(pooled[name])))

    def to_json(self) -> dict[str, Any]:
        """A JSON object; what cannot be told is null."""
        told = {"model": self.over_origins(), **{name: self.over_origins(name) for name in self.rules}}
        mean, spread = (
            {name: finite({metric: pair[n] for metric, pair in found.items()}) for name, found in told.items()}
            for n in (0, 1)
        )
        return {
            "task": self.task,
            "horizon_days": self.horizon_days,
            "grade": asdict(self.grade),
            "mean": mean.pop("model"),
            "spread": spread.pop("model"),
            "rules": {name: {"mean": mean[name], "spread": spread[name]} for name in self.rules},
            "origins": [one.to_json() for one in self.origins],
        }


def _spread(values: Array) -> tuple[float, float]:
    """Mean and standard deviation of the values that are known."""
    known_values = values[np.isfinite(values)]
    mean = float(np.mean(known_values)) if len(known_values) else np.nan
    return mean, float(np.std(known_values, ddof=1)) if len(known_values) > 1 else np.nan


def backtest(
    journey: Journey,
    log: EventLog,
    task_names: Sequence[str],
    recipe: Recipe,
    count: int,
    threads: int,
    report: Report,
) -> list[Backtest]:
    """Backtest tasks of a resolved journey at the newest `count` cutoffs whose horizon is over.

    Parameters
    ----------
    threads
        CPUs to use; the result does not depend on it.
    report
        Called with a sentence as each step begins: one for the vectors, one per task and origin.

    Raises
    ------
    InputError
        Where the history carries fewer origins for one of the tasks; it says how many.
    """
    report("building vectors and labels")
    found = examples(journey, log, list(task_names))
    _refuse_too_many(journey, found, count)
    return [_of_task(journey, log, data, recipe, count, threads, report) for data in found.values()]


def fitting(cutoffs: Sequence[int], horizon: timedelta) -> list[int]:
    """The cutoffs, oldest first, before which the history suffices for the blocks that training needs."""
    found = []
    for number, cutoff in enumerate(cutoffs):
        try:
            split(cutoffs[: number + 1], horizon, held_out=1)
        except InputError:
            continue
        found.append(cutoff)
    return found


def _refuse_too_many(journey: Journey, found: dict[str, Examples], count: int) -> None:
    fits = {name: len(fitting(data.cutoffs, tasks(journey)[name].within)) for name, data in found.items()}
    if all(fit >= count for fit in fits.values()):
        return
    told = ", ".join(
        f"{name} {fit} (horizon {duration_text(tasks(journey)[name].within)})" for name, fit in fits.items()
    )
    carried = [name for name, fit in fits.items() if fit >= count]
    only = f"; --task {' --task '.join(carried)} for those that carry {count}" if carried else ""
    raise InputError(
        "--origins",
        f"{count} origins are more than the history carries: {told}",
        f"--origins {min(fits.values())} at most" if min(fits.values()) else "a longer history",
        f"give a longer log, a shorter horizon, or cutoffs more often (cutoffs.every){only}",
    )


def _of_task(
    journey: Journey, log: EventLog, data: Examples, recipe: Recipe, count: int, threads: int, report: Report
) -> Backtest:
    task, on, origins = tasks(journey)[data.task], ground(journey, log, data), []
    for instant in fitting(data.cutoffs, task.within)[-count:]:
        report(f"{data.task}: as of {to_text(instant)}")
        then = _then(on, instant)
        blocks = split(then.data.cutoffs, task.within, held_out=1)
        prepared = prepare(then, blocks)
        sized = prepared.sized(recipe)
        origins.append(Origin(instant, blocks, judge(prepared, sized, threads).assessment, sized))
    return Backtest(data.task, task.within.total_seconds() / 86_400, tuple(origins), _graded(data.task, origins))


def _then(on: Ground, instant: int) -> Ground:
    """The ground as it was at an origin, and the examples to test on."""
    data = as_known_at(instant, on.data, on.journey, on.events)
    kept = on.data.rows[CUTOFF].is_in(data.cutoffs)
    return replace(on, data=data, columns=on.columns.filter(kept), events=known(on.events, instant))


def _graded(task: str, origins: Sequence[Origin]) -> Grade:
    """The grade of all origins' rows together, drawn over customers: one customer is asked about at several origins."""
    found = [one.assessment for one in origins]
    rules = _pooled_rules(found)
    strongest = best(rules)
    losses, customers = (np.concatenate(part) for part in zip(*((a.losses, a.customers) for a in found), strict=True))
    return grade(losses, rules[strongest], customers, strongest, LOSS[task])


def _pooled_rules(found: Sequence[Assessment]) -> dict[str, Array]:
    """Every rule's losses over all origins."""
    return {name: np.concatenate([one.rule_losses[name] for one in found]) for name in found[0].rule_losses}
