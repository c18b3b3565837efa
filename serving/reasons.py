"""Reasons: effects grouped by reason code and told in words, both directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.feature import Described
from features.journey import Journey
from serving.answers import Reason, unit_of

Array = NDArray[np.float64]

SHOWN = 3  # reasons told in each direction
_LEAST = 0.005  # of the largest possible effect: smaller ones are left to `other_effects`


@dataclass(frozen=True, slots=True)
class Told:
    """One row's reasons, strongest first, and the sum of the effects not told."""

    reasons: list[Reason]
    other_effects: float


def tell(journey: Journey, features: Sequence[Described], vectors: pl.DataFrame, effects: Array) -> list[Told]:
    """The reasons of each row.

    Parameters
    ----------
    features
        In the order of the columns of `effects`.
    vectors
        The rows' values, by feature name.
    effects
        Shape (rows, features), in the prediction's unit.
    """
    codes = sorted({feature.reason for feature in features})
    member = np.array([[feature.reason == code for code in codes] for feature in features], dtype=np.float64)
    totals = effects @ member
    values = {name: vectors[name].to_list() for name in vectors.columns}
    by_code = [np.flatnonzero(member[:, column]) for column in range(len(codes))]
    told = []
    for row in range(len(effects)):
        chosen = _chosen(totals[row])
        reasons = [_reason(journey, codes[code], features, by_code[code], effects[row], values, row) for code in chosen]
        told.append(Told(reasons, float(totals[row].sum() - sum(reason.effect for reason in reasons))))
    return told


def _chosen(totals: Array) -> list[int]:
    """The strongest codes of each direction, by size."""
    least = _LEAST * float(np.abs(totals).sum())
    order = np.argsort(-np.abs(totals), kind="stable")
    raising = [int(c) for c in order if totals[c] > least][:SHOWN]
    lowering = [int(c) for c in order if totals[c] < -least][:SHOWN]
    return sorted(raising + lowering, key=lambda c: -abs(totals[c]))


def _reason(
    journey: Journey,
    code: str,
    features: Sequence[Described],
    members: NDArray[np.intp],
    effects: Array,
    values: dict[str, list[Any]],
    row: int,
) -> Reason:
    """The code's reason, told by its strongest feature of the code's own direction."""
    total = float(effects[members].sum())
    strongest = features[int(members[np.argmax(effects[members] * np.sign(total))])]
    value = values[strongest.name][row]
    usual = values[strongest.usual][row] if strongest.usual else None
    return Reason(
        code=code,
        text=_text(journey, strongest, value, usual),
        value=value,
        usual=usual,
        unit=unit_of(journey, strongest.unit),
        effect=total,
        direction="raises" if total > 0 else "lowers",
    )


def _text(journey: Journey, feature: Described, value: Any, usual: float | None) -> str:
    if value is None:
        return f"{feature.description}: unknown, no such events"
    said = (feature.says or f"{feature.description}: {{value}}").replace("{value}", shown(journey, feature.unit, value))
    return said if usual is None else f"{said}; usual {shown(journey, feature.unit, usual)}"


def shown(journey: Journey, unit: str, value: float | str) -> str:
    """A value as people read it: `19 days`, `1 minute`, `USD 34.20`, `40 %`."""
    if isinstance(value, str):
        return value
    match unit:
        case "money":
            return f"{journey.currency} {_rounded(value, 2):,.2f}"
        case "share":
            return f"{_rounded(100 * value):.0f} %"
        case "count":
            return f"{_rounded(value):,.0f}"
        case "days" | "hours" | "minutes":
            number = f"{value:,.0f}" if value >= 10 else f"{value:.1f}".removesuffix(".0")
            return f"{number} {unit[:-1]}" + ("" if number == "1" else "s")
        case _:
            return f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _rounded(value: float, digits: int = 0) -> float:
    """The value without a minus sign before a nought."""
    return round(value, digits) + 0.0
