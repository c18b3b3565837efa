"""Tasks' numbers in the form of the answer, for many rows at once."""

from __future__ import annotations

from collections.abc import Callable
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.journey import Journey
from features.schema import CUTOFF, DAY, to_text
from serving.answers import ChurnAnswer, CltvAnswer, NextStageAnswer, Stage, TaskAnswer
from training.intervals import read_intervals

Array = NDArray[np.float64]
Columns = dict[str, list[Any]]  # field to its values, row by row


def _churn(journey: Journey, about: dict[str, Any], predicted: Array) -> Columns:
    probabilities = predicted[:, 0].tolist()
    # The rank among the out-of-fold predictions of training: the same for one customer and for all.
    percentiles = np.searchsorted(about["percentiles"], predicted[:, 0], side="right")
    return {
        "probability": probabilities,
        "percentile": percentiles.tolist(),
        "risk": [journey.risk_bands.band(probability) for probability in probabilities],
    }


def _next_stage(journey: Journey, about: dict[str, Any], predicted: Array) -> Columns:
    names = journey.stage_names
    order = np.argsort(-predicted, axis=1, kind="stable")
    likeliest = np.take_along_axis(predicted, order, axis=1).tolist()
    ordered = [[names[place] for place in row] for row in order.tolist()]
    return {
        "stage": [row[0] for row in ordered],
        "probabilities": [dict(zip(*pair, strict=True)) for pair in zip(ordered, likeliest, strict=True)],
    }


def _cltv(journey: Journey, about: dict[str, Any], predicted: Array) -> Columns:
    low, high = read_intervals(about["intervals"]).interval(predicted[:, 0])
    return {"expected": predicted[:, 0].tolist(), "low": numbers_of(low), "high": high.tolist()}


_NUMBERS: dict[str, Callable[[Journey, dict[str, Any], Array], Columns]] = {
    "churn": _churn,
    "next_stage": _next_stage,
    "cltv": _cltv,
}
_ANSWERS: dict[str, type[TaskAnswer]] = {"churn": ChurnAnswer, "next_stage": NextStageAnswer, "cltv": CltvAnswer}


class Shape:
    """Makes the answers of one task.

    Parameters
    ----------
    about
        What the task's model says of itself.
    version
        The model's version.
    """

    def __init__(self, task: str, journey: Journey, about: dict[str, Any], version: int) -> None:
        self._journey, self._about, self._answer, self._numbers = journey, about, _ANSWERS[task], _NUMBERS[task]
        self._fixed: dict[str, Any] = {
            "horizon_days": about["horizon_days"],
            "grade": about["grade"]["letter"],
            "model_version": version,
        }
        if task == "cltv":
            self._fixed |= {"coverage": read_intervals(about["intervals"]).coverage, "currency": journey.currency}

    def unasked(self, why: str) -> TaskAnswer:
        """The answer of a customer the task does not ask about."""
        return self._answer(eligible=False, ineligible_reason=why, **self._fixed)

    def answers(self, predicted: Array, told: Columns) -> list[TaskAnswer]:
        """One answer per row of predictions (rows, outputs), with what `told` says of each."""
        columns = self._numbers(self._journey, self._about, predicted) | told
        answer, fixed, names = self._answer, self._fixed, tuple(columns)
        return [
            answer(eligible=True, **fixed, **dict(zip(names, row, strict=True)))
            for row in zip(*columns.values(), strict=True)
        ]


def stage_of(head: dict[str, Any]) -> Stage | None:
    """The present stage of a row of vectors; null: no known event yet."""
    if head.get("stage") is None:
        return None
    return Stage(name=head["stage"], since=None if head["since"] is None else to_text(int(head["since"])))


def last_activity(head: dict[str, Any]) -> str | None:
    """When the customer of a row of vectors last did anything; null: never."""
    days = head.get("recency_days")
    return None if days is None or isnan(days) else to_text(head[CUTOFF] - round(days * DAY))


def numbers_of(values: Array) -> list[float | None]:
    """Numbers for JSON, which has no nan."""
    return [None if isnan(value) else value for value in values.tolist()]
