"""A task's numbers in the form of the answer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.journey import Journey
from features.schema import to_text
from serving.answers import ChurnAnswer, CltvAnswer, NextStageAnswer, Stage
from training.intervals import read_intervals

Array = NDArray[np.float64]


def _churn(journey: Journey, about: dict[str, Any], fixed: dict[str, Any], numbers: Array | None) -> ChurnAnswer:
    if numbers is None:
        return ChurnAnswer(**fixed)
    probability = float(numbers[0])
    # The rank among the out-of-fold predictions of training: the same for one customer and for all.
    percentile = int(np.searchsorted(about["percentiles"], probability, side="right"))
    return ChurnAnswer(
        **fixed, probability=probability, percentile=percentile, risk=journey.risk_bands.band(probability)
    )


def _next_stage(
    journey: Journey, about: dict[str, Any], fixed: dict[str, Any], numbers: Array | None
) -> NextStageAnswer:
    if numbers is None:
        return NextStageAnswer(**fixed)
    names = journey.stage_names
    order = np.argsort(-numbers, kind="stable")
    likeliest = {names[i]: float(numbers[i]) for i in order}
    return NextStageAnswer(**fixed, stage=names[int(numbers.argmax())], probabilities=likeliest)


def _cltv(journey: Journey, about: dict[str, Any], fixed: dict[str, Any], numbers: Array | None) -> CltvAnswer:
    intervals = read_intervals(about["intervals"])
    fixed |= {"coverage": intervals.coverage, "currency": journey.currency}
    if numbers is None:
        return CltvAnswer(**fixed)
    low, high = intervals.interval(numbers)
    return CltvAnswer(**fixed, expected=float(numbers[0]), low=number_of(low[0]), high=float(high[0]))


SHAPES = {"churn": _churn, "next_stage": _next_stage, "cltv": _cltv}


def stage_of(head: dict[str, Any]) -> Stage | None:
    """The present stage of a row of vectors; null: no known event yet."""
    if head.get("stage") is None:
        return None
    return Stage(name=head["stage"], since=None if head["since"] is None else to_text(int(head["since"])))


def number_of(value: float) -> float | None:
    """A number for JSON, which has no nan."""
    return float(value) if np.isfinite(value) else None
