"""A task fitted across customers, where one cutoff is all there is: the data of published tables are like that.

Each part of the training customers stops the trees grown on the others; what they say of customers they
did not learn from chooses the recipe and fits the calibrator; all parts answer together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.lines import progress
from features.journey import Journey
from features.labels import Task, tasks
from features.log import EventLog
from training.assess import losses
from training.examples import Examples
from training.fit import Fitted, calibrated, margins
from training.judgement import ground
from training.recipe import Recipe
from training.trees import Grower, Grown

Array = NDArray[np.float64]
Rows = NDArray[np.intp]

PARTS, FOLDS, SEED = 5, 5, 42
RECIPES = (Recipe(), Recipe(learning_rate=0.05, leaves=7, rounds_at_most=600, patience=40))


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
    """The trees of all parts, and a link fitted on what they say of customers they did not learn from."""

    loss: float
    recipe: Recipe
    grown: tuple[Grown, ...]
    fitted: Fitted


def across(journey: Journey, log: EventLog, data: Examples, threads: int = 1) -> Answers:
    """Five folds over the customers of the one cutoff."""
    on = ground(journey, log, data)
    encoding = on.encoding(data.rows)
    matrix, fold, chosen = encoding.matrix(data.rows), _numbered(len(data.labels), FOLDS, SEED), []
    found = np.full((3, len(fold)), np.nan)
    for number in range(FOLDS):
        learn, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        growers = [on.grower(recipe, encoding, threads) for recipe in RECIPES]
        fit = min(
            (_fit(tasks(journey)[data.task], data, matrix, learn, grower) for grower in growers),
            key=lambda one: one.loss,
        )
        chosen.append(f"learning rate {fit.recipe.learning_rate:g}, {fit.recipe.leaves} leaves")
        found[0, test] = answers = _answers(fit, matrix[test], threads)
        if fit.fitted.intervals is not None:
            found[1:, test] = fit.fitted.intervals.interval(answers)
        progress(f"{data.task}, fold {number}: {chosen[-1]}")
    return Answers(*found, fold, tuple(chosen))


def _numbered(rows: int, parts: int, seed: int) -> NDArray[np.int64]:
    """Parts of equal size; a row is a customer."""
    return np.asarray(np.random.default_rng(seed).permutation(rows) % parts, dtype=np.int64)


def _fit(task: Task, data: Examples, matrix: Array, learn: Rows, grower: Grower) -> _Fit:
    part, grown, labels = _numbered(len(learn), PARTS, 0), [], data.labels
    told = np.empty((len(learn), 0))
    for number in range(PARTS):
        fit, stop = learn[part != number], learn[part == number]
        lined = grown[0].growth.lined if grown else None
        grown.append(grower.until((matrix[fit], labels[fit]), (matrix[stop], labels[stop]), lined))
        said = margins(grown[-1], matrix[stop], grower.threads)
        told = told if told.shape[1] else np.empty((len(learn), said.shape[1]))
        told[part == number] = said
    fitted = calibrated(task, grown[0], data, learn, told)
    loss = losses(data.task, labels[learn], fitted.link.predict(told)[:, 0]).mean()
    return _Fit(float(loss), grower.recipe, tuple(grown), fitted)


def _answers(fit: _Fit, matrix: Array, threads: int) -> Array:
    """All parts together: the mean of their margins, through the link."""
    mean = np.mean([margins(grown, matrix, threads) for grown in fit.grown], axis=0)
    return np.asarray(fit.fitted.link.predict(mean)[:, 0])
