"""A task fitted across customers, where one cutoff is all there is: the data of published tables are like that.

Each part of the training customers stops the trees grown on the others; what they say of customers they
did not learn from chooses the recipe and fits the calibrator; all parts answer together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.lines import progress
from features.journey import Journey
from features.labels import Task, tasks
from features.log import EventLog
from training.examples import Examples
from training.fit import Fitted, calibrated, margins
from training.judgement import ground
from training.recipe import Recipe
from training.trees import Grower, Grown

Array = NDArray[np.float64]
Rows = NDArray[np.intp]
Loss = Callable[[Array, Array], float]

PARTS, FOLDS, SEED = 5, 5, 42
USUAL = Recipe()
CHANCE_RECIPES = {"usual": USUAL, "from a line": replace(USUAL, chance_line=True)}
AMOUNT_RECIPES = {"usual": USUAL, "large amounts weigh more": replace(USUAL, amount_power=1.1)}


@dataclass(frozen=True, slots=True)
class Answers:
    """What every row was answered by a fit that did not learn from it; `fold` is its test fold.

    `low` and `high` are the ends of the intervals of CLTV, nan where there is none; `recipes` were chosen, by fold.
    """

    predicted: Array
    low: Array
    high: Array
    fold: NDArray[np.int64]
    recipes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Fit:
    """The trees of all parts, a link fitted on what they say of customers they did not learn from, and that: `told`."""

    grown: tuple[Grown, ...]
    fitted: Fitted
    told: Array


def across(journey: Journey, log: EventLog, data: Examples, loss: Loss, threads: int = 1) -> Answers:
    """Five folds over the customers of the one cutoff.

    `loss` of true and predicted chooses the recipe, on training customers.
    """
    on, task = ground(journey, log, data), tasks(journey)[data.task]
    encoding = on.encoding(data.rows)
    matrix, fold, chosen = encoding.matrix(data.rows), _numbered(len(data.labels), FOLDS, SEED), []
    found = np.full((3, len(fold)), np.nan)
    for number in range(FOLDS):
        learn, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        tried, amounts = {}, int((data.labels[learn] > 0).sum()) if data.task == "cltv" else None
        for name, recipe in (AMOUNT_RECIPES if data.task == "cltv" else CHANCE_RECIPES).items():
            fit = _fit(task, data, matrix, learn, on.grower(recipe.for_rows(len(learn), amounts), encoding, threads))
            tried[name] = loss(data.labels[learn], fit.told), fit
            progress(f"{data.task}, fold {number}, recipe '{name}': {tried[name][0]:.5f} on training customers")
        chosen.append(min(tried, key=lambda name: tried[name][0]))
        best = tried[chosen[-1]][1]
        found[0, test] = answers = _answers(best, matrix[test], threads)
        if best.fitted.intervals is not None:
            found[1:, test] = best.fitted.intervals.interval(answers)
    return Answers(*found, fold, tuple(chosen))


def _numbered(rows: int, parts: int, seed: int) -> NDArray[np.int64]:
    """Parts of equal size; a row is a customer."""
    return np.asarray(np.random.default_rng(seed).permutation(rows) % parts, dtype=np.int64)


def _fit(task: Task, data: Examples, matrix: Array, learn: Rows, grower: Grower) -> _Fit:
    part, grown, labels = _numbered(len(learn), PARTS, 0), [], data.labels
    told = np.empty((len(learn), 0))
    for number in range(PARTS):
        fit, stop = learn[part != number], learn[part == number]
        grown.append(grower.until((matrix[fit], labels[fit]), (matrix[stop], labels[stop])))
        said = margins(grown[-1], matrix[stop], grower.threads)
        told = told if told.shape[1] else np.empty((len(learn), said.shape[1]))
        told[part == number] = said
    fitted = calibrated(task, grown[0], data, learn, told)
    return _Fit(tuple(grown), fitted, np.asarray(fitted.link.predict(told)[:, 0]))


def _answers(fit: _Fit, matrix: Array, threads: int) -> Array:
    """All parts together: the mean of their margins, through the link."""
    mean = np.mean([margins(grown, matrix, threads) for grown in fit.grown], axis=0)
    return np.asarray(fit.fitted.link.predict(mean)[:, 0])
