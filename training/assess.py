"""Judging a fitted task on the test block, beside the simple rules on the same rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.instants import microseconds
from features.journey import Journey
from features.labels import tasks
from features.schema import CUSTOMER
from training.blocks import Blocks
from training.contenders import rules
from training.examples import Examples
from training.fit import Fitted, margins
from training.grades import Grade, grade
from training.metrics import churn_metrics, cltv_metrics, log_losses, next_stage_metrics, tweedie_deviances
from training.money import Offer
from training.rules import SimpleRule, best

Array = NDArray[np.float64]
LOSS = {"churn": "log loss", "next_stage": "log loss", "cltv": "Tweedie deviance"}


@dataclass(frozen=True, slots=True)
class Assessment:
    """Metrics of the model and of every rule on the test block, and the grade.

    `losses` are per row, `rule_losses` the same of every rule. `offer` is what the profit was counted
    with; None: there is none.
    """

    metrics: dict[str, float]
    rules: dict[str, dict[str, float]]
    grade: Grade
    labels: Array
    predicted: Array
    losses: Array
    rule_losses: dict[str, Array]
    customers: NDArray[Any]
    offer: Offer | None = None


def losses(task: str, labels: Array, predicted: Array) -> Array:
    """The task's proper loss per row."""
    if task == "cltv":
        return tweedie_deviances(np.maximum(labels, 0.0), predicted)
    return log_losses(labels if task == "churn" else labels.astype(np.intp), predicted)


def metrics(
    task: str,
    labels: Array,
    predicted: Array,
    classes: list[str],
    fitted: Fitted | None = None,
    offer: Offer | None = None,
) -> dict[str, float]:
    """The task's metrics; with `fitted` those of CLTV's intervals too, with `offer` the profit of churn."""
    if task == "churn":
        return churn_metrics(labels, predicted, offer)
    if task == "next_stage":
        return next_stage_metrics(labels.astype(np.intp), predicted, classes)
    if fitted is None or fitted.intervals is None:
        return cltv_metrics(labels, predicted)
    return cltv_metrics(labels, predicted, *fitted.intervals.interval(predicted))


def assess(
    journey: Journey,
    data: Examples,
    matrix: Array,
    blocks: Blocks,
    fitted: Fitted,
    columns: pl.DataFrame,
    offer: Offer | None = None,
) -> Assessment:
    """Judge on the test block; rules are fitted on every row before it whose horizon was over.

    Where times change, a model whose calibrator saw the newest rows would be ahead of such a rule by
    that alone. So every rule is fitted on the calibrator's rows too, and answers by the better fit.
    `columns` are the rules' columns, row by row those of `data`; `offer` is what a contact costs and wins.
    """
    test, newest = data.at(blocks.test), data.at(blocks.calibrate)
    task = tasks(journey)[data.task]
    before = data.at(tuple(c for c in data.cutoffs if c + microseconds(task.within) <= blocks.test[0]))
    labels, classes = data.labels[test], journey.stage_names
    predicted = fitted.link.predict(margins(fitted.grown, matrix[test], 1))
    predicted = predicted if data.task == "next_stage" else predicted[:, 0]
    fits = [(columns.filter(rows), data.labels[rows]) for rows in (before, newest)]
    answers = {r.name: _better(r, fits, columns.filter(test), data.task, labels) for r in rules(task, journey)}
    rule_losses = {name: losses(data.task, labels, answer) for name, answer in answers.items()}
    ours, strongest = losses(data.task, labels, predicted), best(rule_losses)
    customers = data.rows.filter(test)[CUSTOMER].to_numpy()
    graded = grade(ours, rule_losses[strongest], customers, strongest, LOSS[data.task])
    found = {name: metrics(data.task, labels, answer, classes, offer=offer) for name, answer in answers.items()}
    reached = metrics(data.task, labels, predicted, classes, fitted, offer)
    return Assessment(reached, found, graded, labels, predicted, ours, rule_losses, customers, offer)


def _better(
    rule: SimpleRule, fits: list[tuple[pl.DataFrame, Array]], test_rows: pl.DataFrame, task: str, labels: Array
) -> Array:
    """The rule's answers by the one of its fits that has the lower loss."""
    answers = [rule.fit(rows, y)(test_rows) for rows, y in fits]
    return min(answers, key=lambda answer: float(losses(task, labels, answer).mean()))
