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
from training.line import Line, fit_line
from training.recipe import Recipe

Array = NDArray[np.float64]
Rows = tuple[Array, Array]  # matrix (rows, features) and labels (rows,)
Watch = Callable[[int, float], None]  # told the round and the loss of the rows that stop the trees


@dataclass(frozen=True, slots=True)
class Part:
    """What one booster learns: an objective and how labels become its targets.

    `tweedie` learns from rows with a positive value only, the others from all.
    """

    objective: str
    classes: int = 1

    def rows(self, labels: Array) -> NDArray[np.bool_]:
        """The rows this part learns from."""
        return labels > 0 if self.objective == "tweedie" else np.ones(len(labels), dtype=bool)

    def targets(self, task: str, labels: Array) -> Array:
        """The part's targets."""
        return (labels > 0).astype(float) if task == "cltv" and self.objective == "binary" else labels


@dataclass(frozen=True, slots=True)
class Grown:
    """The boosters of a task, the number of rounds each was given, and the line each starts from (None: none)."""

    boosters: tuple[lgb.Booster, ...]
    rounds: tuple[int, ...]
    lines: tuple[Line | None, ...]


def parts(task: str, classes: int) -> tuple[Part, ...]:
    """The boosters of a task; CLTV: does the customer spend at all, and how much if so."""
    if task == "next_stage":
        return (Part("multiclass", classes),)
    return (Part("binary"), Part("tweedie")) if task == "cltv" else (Part("binary"),)


@dataclass(frozen=True, slots=True)
class Grower:
    """Grows the boosters of one task by one recipe.

    `watch` is called after every round of the first booster that is stopped early; what it raises ends
    the growing. `unordered` are columns whose numbers have no order: no line looks at them.
    """

    task: str
    classes: int
    recipe: Recipe
    names: tuple[str, ...]
    threads: int
    watch: Watch | None = None
    unordered: frozenset[str] = frozenset()

    def until(self, fit: Rows, stop: Rows) -> Grown:
        """Grow on `fit` until the loss on `stop` no longer falls."""
        watches = [self.watch, *[None] * len(parts(self.task, self.classes))]
        every = zip(parts(self.task, self.classes), watches, strict=False)
        boosters, lines = zip(*(self._stopped(part, fit, stop, watch) for part, watch in every), strict=True)
        return _grown(boosters, lines)

    def rounds(self, fit: Rows, rounds: Sequence[int]) -> Grown:
        """Grow on `fit` for a given number of rounds per booster."""
        boosters, lines = [], []
        for part, count in zip(parts(self.task, self.classes), rounds, strict=True):
            lines.append(self._line(part, fit))
            boosters.append(lgb.train(self._parameters(part), self._dataset(part, fit, lines[-1]), count))
        return _grown(boosters, lines)

    def _stopped(self, part: Part, fit: Rows, stop: Rows, watch: Watch | None) -> tuple[lgb.Booster, Line | None]:
        line = self._line(part, fit)
        data = self._dataset(part, fit, line)
        held = self._dataset(part, stop, line, reference=data)
        callbacks: list[Any] = [lgb.early_stopping(self.recipe.patience, verbose=False)]
        callbacks += [_told(watch)] if watch else []
        parameters = self._parameters(part)
        booster = lgb.train(parameters, data, self.recipe.rounds_at_most, valid_sets=[held], callbacks=callbacks)
        return booster, line

    def _line(self, part: Part, rows: Rows) -> Line | None:
        """What the part starts from, where the recipe says so."""
        wanted = {"binary": self.recipe.chance_line, "tweedie": self.recipe.amount_line}
        matrix, labels = rows
        kept = part.rows(labels)
        if not wanted.get(part.objective) or not kept.any():
            return None
        ordered = np.array([name not in self.unordered for name in self.names])
        return fit_line(matrix[kept], part.targets(self.task, labels[kept]), part.objective == "binary", ordered)

    def _parameters(self, part: Part) -> dict[str, Any]:
        found = self.recipe.parameters(part.objective, self.threads)
        return found | ({"num_class": part.classes} if part.objective == "multiclass" else {})

    def _dataset(
        self, part: Part, rows: Rows, line: Line | None = None, reference: lgb.Dataset | None = None
    ) -> lgb.Dataset:
        matrix, labels = rows
        kept = part.rows(labels)
        if not kept.any():
            raise nothing_to_learn(self.task)
        targets, start = part.targets(self.task, labels[kept]), line.margins(matrix[kept]) if line else None
        return lgb.Dataset(matrix[kept], targets, feature_name=list(self.names), init_score=start, reference=reference)


def _grown(boosters: Sequence[lgb.Booster], lines: Sequence[Line | None]) -> Grown:
    """Boosters cut at their best round and read back from text: what is used is what is stored."""
    counts = [max(1, b.best_iteration if b.best_iteration > 0 else b.current_iteration()) for b in boosters]
    cut = [_without_threads(b.model_to_string(num_iteration=n)) for b, n in zip(boosters, counts, strict=True)]
    return Grown(tuple(lgb.Booster(model_str=text) for text in cut), tuple(counts), tuple(lines))


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
