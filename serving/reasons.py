"""Reasons: effects grouped by reason code and told in words, both directions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.feature import Described
from features.journey import Journey
from serving.answers import Reason, unit_of

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

SHOWN = 3  # reasons told in each direction
_SHOWN_DIGITS = {"count": 0, "days": 1, "hours": 1, "minutes": 1, "share": 2}  # behind the point
_LENGTHS = ("days", "hours", "minutes")  # from ten on they have no digits behind the point
_DIRECTIONS = np.array(["lowers", "raises"], dtype=object)
_MINUS_NOUGHT = ("-0", "-0.00")
_FEW = 50  # rows up to which a look at each is faster than a query
_LEAST = 0.02  # of the largest possible effect: smaller ones are left to `other_effects`


class Told(NamedTuple):
    """One row's reasons, strongest first, and the sum of the effects not told."""

    reasons: list[Reason]
    other_effects: float


class Teller:
    """Tells the reasons of one task.

    Parameters
    ----------
    features
        In the order of the columns of the effects.
    """

    def __init__(self, journey: Journey, features: Sequence[Described]) -> None:
        self._journey, self._features = journey, tuple(features)
        codes = sorted({feature.reason for feature in features})
        self._members = [np.flatnonzero([feature.reason == code for feature in features]) for code in codes]
        self._texts = [_teller(journey, feature) for feature in features]

    def tell(self, vectors: pl.DataFrame, effects: Array) -> list[Told]:
        """The reasons of each row.

        Parameters
        ----------
        vectors
            The rows' values, by feature name.
        effects
            Shape (rows, features), in the prediction's unit.
        """
        totals, strongest = self._by_code(effects)
        rows, chosen = _chosen(totals)
        told = totals[rows, chosen]
        reasons = self._reasons(vectors, rows, strongest[rows, chosen], told)
        others = totals.sum(axis=1) - np.bincount(rows, told, minlength=len(effects))
        ends = np.cumsum(np.bincount(rows, minlength=len(effects))).tolist()
        return [
            Told(reasons[start:end], other)
            for start, end, other in zip([0, *ends], ends, others.tolist(), strict=False)
        ]

    def _by_code(self, effects: Array) -> tuple[Array, Indices]:
        """Each row's effect of each code, and the feature that tells it.

        That is the code's strongest feature in the direction of the code's own effect.
        """
        by_feature = np.ascontiguousarray(effects.T)
        totals = np.empty((len(effects), len(self._members)))
        strongest = np.empty(totals.shape, dtype=np.intp)
        for number, members in enumerate(self._members):
            parts = by_feature[members]
            totals[:, number] = parts.sum(axis=0)
            strongest[:, number] = members[np.argmax(parts * np.sign(totals[:, number]), axis=0)]
        return totals, strongest

    def _reasons(self, vectors: pl.DataFrame, rows: Indices, tellers: Indices, effects: Array) -> list[Reason]:
        """A reason per row given (a row may be given more than once), told by the feature at the same place."""
        found = np.empty(len(rows), dtype=object)
        for teller in np.unique(tellers).tolist():
            feature, places = self._features[teller], np.flatnonzero(tellers == teller)
            values, usuals = (_values(vectors, name, rows[places]) for name in (feature.name, feature.usual))
            text = self._texts[teller]
            if len(values) > _FEW:
                text = cache(text)  # many customers have one and the same value
            shown = (_rounded(values, feature.unit), _rounded(usuals, feature.unit))
            moves = effects[places]
            # Without a line of Python between: a run makes a dozen reasons for each customer.
            found[places] = list(
                map(
                    Reason,
                    repeat(feature.reason),
                    map(text, *shown),
                    values,
                    usuals,
                    repeat(unit_of(self._journey, feature.unit)),
                    moves.tolist(),
                    _DIRECTIONS[(moves > 0).astype(np.intp)].tolist(),
                )
            )
        return found.tolist()


def _chosen(totals: Array) -> tuple[Indices, Indices]:
    """Rows and codes of what is told: per row the strongest codes of each direction, the strongest first."""
    least = _LEAST * np.abs(totals).sum(axis=1, keepdims=True)
    order = np.argsort(-np.abs(totals), axis=1, kind="stable")
    ordered = np.take_along_axis(totals, order, axis=1)
    kept = np.zeros(ordered.shape, dtype=bool)
    for one_way in (ordered > least, ordered < -least):
        kept |= one_way & (np.cumsum(one_way, axis=1) <= SHOWN)
    rows, places = np.nonzero(kept)
    return rows, order[rows, places]


def _rounded(values: list[Any], unit: str) -> list[Any]:
    """Values as far as they are shown, so that those shown alike are put into words once, and alike everywhere."""
    if unit not in _SHOWN_DIGITS:
        return values
    numbers = np.array(values, dtype=np.float64)
    rounded = np.round(numbers, _SHOWN_DIGITS[unit])
    if unit in _LENGTHS:
        rounded = np.where(numbers >= 10, np.round(numbers), rounded)
    rounded = rounded + 0.0  # without a minus sign before a nought
    return [None if value is None else number for value, number in zip(values, rounded.tolist(), strict=True)]


def _values(vectors: pl.DataFrame, name: str | None, rows: Indices) -> list[Any]:
    """The values of a column in these rows; null: unknown, or no such column."""
    if name is None:
        return [None] * len(rows)
    column = vectors.get_column(name)
    few = len(rows) < _FEW
    found = [column[row] for row in rows.tolist()] if few else column.gather(rows).to_list()
    return [None if value != value else value for value in found]  # noqa: PLR0124 - JSON has no nan: it differs from itself


def _teller(journey: Journey, feature: Described) -> Callable[[Any, float | None], str]:
    """Words for the feature's value and the customer's usual one."""
    before, _, after = (feature.says or f"{feature.description}: {{value}}").partition("{value}")
    words = _words(journey, feature.unit)
    why = "not in the profile" if feature.reason == "PROFILE" else "no such events on record, or too few"
    unknown = f"{feature.description}: unknown, {why}"

    def text(value: Any, usual: float | None) -> str:
        if value is None:
            return unknown
        told = f"{before}{words(value)}{after}"
        return told if usual is None else f"{told}; usual {words(usual)}"

    return text


def shown(journey: Journey, unit: str, value: float | str) -> str:
    """A value as people read it: `19 days`, `USD 34.20`, `40 %`."""
    return value if isinstance(value, str) else _words(journey, unit)(value)


def _words(journey: Journey, unit: str) -> Callable[[Any], str]:
    """What writes values of a unit."""
    match unit:
        case "money":
            return lambda value: f"{journey.currency} {_unsigned(f'{value:,.2f}')}"
        case "share":
            return lambda value: f"{_unsigned(f'{100 * value:.0f}')} %"
        case "count":
            return lambda value: _unsigned(f"{value:,.0f}")
        case "days" | "hours" | "minutes":
            return partial(_length, unit)
        case "category":
            return lambda value: f"{value:.10g}" if isinstance(value, float) else str(value)  # numbers of a profile
        case _:
            return lambda value: _unsigned(f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}")


def _length(unit: str, value: float) -> str:
    number = f"{value:,.0f}" if value >= 10 else f"{value:.1f}".removesuffix(".0")
    return f"{number} {unit[:-1]}" if number == "1" else f"{number} {unit}"


def _unsigned(number: str) -> str:
    """The number without a minus sign before a nought."""
    return number[1:] if number in _MINUS_NOUGHT else number
