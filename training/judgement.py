"""A recipe fitted on the blocks before the test, and judged on it beside the simple rules."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.catalogue import catalogue
from features.instants import KEYS
from features.journey import Journey
from features.labels import tasks
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
from training.trees import Grower

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

    def grower(self, recipe: Recipe, names: tuple[str, ...], threads: int) -> Grower:
        """What grows the task's trees by a recipe."""
        return Grower(self.data.task, len(self.journey.stage_names), recipe, names, threads)


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


def judge(on: Ground, blocks: Blocks, recipe: Recipe, threads: int) -> Judged:
    """Fit on the blocks before the test and judge there."""
    data, journey = on.data, on.journey
    encoding = on.encoding(data.rows.filter(data.at(blocks.trees)))
    matrix = encoding.matrix(data.rows)
    fitted = fit_blocks(tasks(journey)[data.task], on.grower(recipe, encoding.names, threads), data, matrix, blocks)
    terms = offer(journey, on.events, data, blocks.test[0]) if data.task == "churn" else None
    return Judged(encoding, fitted, assess(journey, data, matrix, blocks, fitted, on.columns, terms))
