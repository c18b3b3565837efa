"""A recipe fitted on the blocks before the test, and judged on it beside the simple rules."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.catalogue import catalogue
from features.instants import KEYS
from features.journey import Journey
from features.labels import Task, tasks
from features.log import EventLog
from training.assess import Assessment, assess
from training.blocks import Blocks
from training.contenders import columns
from training.encoding import Encoding, fit_encoding
from training.examples import Examples
from training.fit import Fitted, fit_blocks
from training.lifetimes import Lifetimes, fit_lifetimes
from training.recipe import Recipe
from training.stake import offer
from training.sufficiency import refuse_too_few
from training.trees import Grower, Watch

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ground:
    """What every judgement of one task stands on: its examples with the rules' columns and BG/NBD's parameters.

    `columns` are row by row those of `data`.
    """

    journey: Journey
    events: pl.DataFrame
    data: Examples
    columns: pl.DataFrame
    lifetimes: Lifetimes | None

    def encoding(self, rows: pl.DataFrame) -> Encoding:
        """The encoding of every feature, its categories learned from these rows."""
        return fit_encoding(catalogue(self.journey), rows, self.lifetimes)

    def grower(self, recipe: Recipe, encoding: Encoding, threads: int, watch: Watch | None = None) -> Grower:
        """What grows the task's trees by a recipe."""
        unordered = frozenset(encoding.categories)
        return Grower(self.data.task, len(self.journey.stage_names), recipe, encoding.names, threads, watch, unordered)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A task's ground cut into time blocks, with the matrix of all rows; categories are of the trees' rows."""

    on: Ground
    blocks: Blocks
    encoding: Encoding
    matrix: Array

    @property
    def task(self) -> Task:
        """The task as the journey defines it."""
        return tasks(self.on.journey)[self.on.data.task]

    def sized(self, recipe: Recipe) -> Recipe:
        """The recipe for as many rows as the trees' block has: the one to fit by, to judge, to serve and to log."""
        labels = self.on.data.labels[self.on.data.at(self.blocks.trees)]
        return recipe.for_rows(len(labels), int((labels > 0).sum()) if self.on.data.task == "cltv" else None)

    def fitted(self, recipe: Recipe, threads: int, watch: Watch | None = None) -> Fitted:
        """The recipe fitted on the blocks before the test; `watch` as of `training.trees.Grower`."""
        grower = self.on.grower(recipe, self.encoding, threads, watch)
        return fit_blocks(self.task, grower, self.on.data, self.matrix, self.blocks)


@dataclass(frozen=True, slots=True)
class Judged:
    """A fit that never saw the test block, and how it did there."""

    encoding: Encoding
    fitted: Fitted
    assessment: Assessment


def ground(journey: Journey, log: EventLog, data: Examples) -> Ground:
    """What the judgements of these examples have in common."""
    task = tasks(journey)[data.task]
    known = columns(task, journey, log, data.rows.select(KEYS))
    return Ground(journey, log.events, data, known, fit_lifetimes(journey, log, data.cutoffs[0], task))


def prepare(on: Ground, blocks: Blocks) -> Prepared:
    """The ground, ready to be fitted on.

    Raises
    ------
    InputError
        Where there are too few customers of an outcome to learn from.
    """
    refuse_too_few(on.journey, on.data, blocks)
    encoding = on.encoding(on.data.rows.filter(on.data.at(blocks.trees)))
    return Prepared(on, blocks, encoding, encoding.matrix(on.data.rows))


def judge(prepared: Prepared, recipe: Recipe, threads: int) -> Judged:
    """Fit on the blocks before the test and judge there, by the recipe as it is (`Prepared.sized`)."""
    on, blocks, fitted = prepared.on, prepared.blocks, prepared.fitted(recipe, threads)
    tested = on.data.rows.filter(on.data.at(blocks.test))
    terms = offer(on.journey, on.events, on.data, blocks.test[0], tested) if on.data.task == "churn" else None
    found = assess(on.journey, on.data, prepared.matrix, blocks, fitted, on.columns, terms)
    return Judged(prepared.encoding, fitted, found)
