"""Arithmetic of feature definitions over NumPy, where it costs a hundredth of a query for one customer.

A definition's arithmetic is a function of columns. Handed Narwhals expressions it becomes a query, for
any engine; handed `Numbers` it is computed at once, for one customer as for a million by the same
operations and to the same bits. A function that does what `Numbers` cannot is left to Narwhals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals as nw
import numpy as np
import polars as pl
from numpy.typing import NDArray

Array = NDArray[Any]


class Truths:
    """Conditions; what is unknown does not hold."""

    __slots__ = ("values",)

    def __init__(self, values: NDArray[np.bool_]) -> None:
        self.values = values

    def __and__(self, other: Truths) -> Truths:
        return Truths(self.values & other.values)

    def __or__(self, other: Truths) -> Truths:
        return Truths(self.values | other.values)

    def __bool__(self) -> bool:
        raise TypeError("a condition of many rows is neither true nor false; use only_where")


class Numbers:
    """Numbers with nan for null, which behave as a Narwhals column: whatever null meets is null."""

    __slots__ = ("values",)

    def __init__(self, values: NDArray[np.float64]) -> None:
        self.values = values

    def __add__(self, other: Numbers | float) -> Numbers:
        return Numbers(self.values + _plain(other))

    def __sub__(self, other: Numbers | float) -> Numbers:
        return Numbers(self.values - _plain(other))

    def __mul__(self, other: Numbers | float) -> Numbers:
        return Numbers(self.values * _plain(other))

    def __truediv__(self, other: Numbers | float) -> Numbers:
        return Numbers(self.values / _plain(other))

    def __mod__(self, other: float) -> Numbers:
        return Numbers(np.mod(self.values, _divisor(other)))

    def __floordiv__(self, other: float) -> Numbers:
        return Numbers(np.floor_divide(self.values, _divisor(other)))

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: float) -> Numbers:
        return Numbers(other - self.values)

    def __rtruediv__(self, other: float) -> Numbers:
        return Numbers(other / self.values)

    def __eq__(self, other: object) -> Truths:  # type: ignore[override]
        return Truths(self.values == _plain(other))

    def __ne__(self, other: object) -> Truths:  # type: ignore[override]
        right = _plain(other)
        return Truths((self.values < right) | (self.values > right))

    def __lt__(self, other: Numbers | float) -> Truths:
        return Truths(self.values < _plain(other))

    def __le__(self, other: Numbers | float) -> Truths:
        return Truths(self.values <= _plain(other))

    def __gt__(self, other: Numbers | float) -> Truths:
        return Truths(self.values > _plain(other))

    def __ge__(self, other: Numbers | float) -> Truths:
        return Truths(self.values >= _plain(other))

    __hash__ = None  # type: ignore[assignment]

    def clip(self, lower_bound: float, upper_bound: float = np.inf) -> Numbers:
        """No lower and no higher than the bounds, which are the same for all rows."""
        return Numbers(np.clip(self.values, float(lower_bound), float(upper_bound)))

    def log(self) -> Numbers:
        """The natural logarithm."""
        return Numbers(np.log(self.values))

    def cast(self, dtype: Any) -> Numbers:
        """As float64, or cut to whole numbers."""
        if dtype not in (nw.Float64, nw.Int64):
            raise TypeError(f"{dtype} is none of float64 and int64")
        return Numbers(np.trunc(self.values)) if dtype == nw.Int64 else self


def only_where(condition: Any, column: Any, otherwise: Any = None) -> Any:
    """The column where the condition holds; elsewhere the other, or null. For columns of either kind."""
    if isinstance(condition, Truths):
        other = np.nan if otherwise is None else _plain(otherwise)
        return Numbers(np.where(condition.values, _plain(column), other))
    found = nw.when(condition).then(column)
    return found if otherwise is None else found.otherwise(otherwise)


def name_of(index: Any, names: Sequence[str]) -> Any:
    """The name at the place that a column gives, from 0; null elsewhere. For columns of either kind."""
    if isinstance(index, Numbers):
        place = np.where((index.values >= 0) & (index.values < len(names)), index.values, len(names)).astype(np.int64)
        texts = [*names, None]
        if len(place) == 1:  # Polars takes longer to begin
            return pl.Series([texts[place[0]]], dtype=pl.String)
        return pl.Series(texts, dtype=pl.String).gather(place)
    found: Any = nw.when(index == 0).then(nw.lit(names[0]))
    for number, name in enumerate(names[1:], start=1):
        found = nw.when(index == number).then(nw.lit(name)).otherwise(found)
    return found


def _divisor(other: Any) -> float:
    """A number that whole division and its rest are the same of everywhere."""
    if not isinstance(other, int | float) or other <= 0:
        raise TypeError(f"{other!r} is no number above 0")
    return other


def _plain(other: Any) -> Any:
    """What NumPy computes with; anything but numbers is not for it."""
    if isinstance(other, Numbers):
        return other.values
    if isinstance(other, int | float):
        return other
    raise TypeError(f"{other!r} is no number")
