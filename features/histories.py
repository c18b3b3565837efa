"""Histories: rows told apart by their keys and ordered, and what one row knows of those before it.

A table is derived the same way for every engine. `Keyed` says it with window functions, which any
engine has; `Sorted` says it of rows that stand history by history in order, where the row before is
simply the row before, and no row needs to be looked for.

Everything here looks back only: what is derived for a row is the same whatever comes after it, so
that one derivation serves every cutoff.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import narwhals as nw
import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.schema import HISTORY, POSITION

FEW = 2_000  # values up to which a dictionary tells them apart sooner than sorting
Rows = Any  # a Narwhals frame, lazy or not


class Histories(Protocol):
    """What a row knows of the rows before it in its own history."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that tell histories apart."""

    def before(self, column: str, order_by: str = POSITION) -> nw.Expr:
        """The column at the row before; null at the first."""

    def running(self, rows: Rows, *by: str, order_by: str = POSITION, **sums: str) -> Rows:
        """The rows with running sums (name: of which column), each up to and including its row.

        With `by`, over the rows that share those columns. The columns hold integers.
        """

    def in_order(self, rows: Rows, order_by: str) -> Rows:
        """The rows history by history in order, where an engine needs them so."""


class Keyed:
    """Rows in any order; a history is the rows that share the keys.

    `sort`: whether rows are wanted in order nevertheless. On a cluster that moves every row.
    """

    def __init__(self, keys: Sequence[str], sort: bool = False) -> None:
        self.keys, self._sort = tuple(keys), sort

    def before(self, column: str, order_by: str = POSITION) -> nw.Expr:
        """The column at the row before."""
        return nw.col(column).shift(1).over(*self.keys, order_by=order_by)

    def running(self, rows: Rows, *by: str, order_by: str = POSITION, **sums: str) -> Rows:
        """The rows with running sums."""
        keys = (*self.keys, *by)
        return rows.with_columns(
            **{name: nw.col(column).cum_sum().over(*keys, order_by=order_by) for name, column in sums.items()}
        )

    def in_order(self, rows: Rows, order_by: str) -> Rows:
        """The rows, sorted only where that is wanted."""
        return rows.sort(*self.keys, order_by) if self._sort else rows


class Sorted:
    """Rows that stand history by history, each in order; `HISTORY` numbers the histories."""

    keys = (HISTORY,)

    def before(self, column: str, order_by: str = POSITION) -> nw.Expr:
        """The column at the row before."""
        return nw.when(nw.col(HISTORY) == nw.col(HISTORY).shift(1)).then(nw.col(column).shift(1))

    def running(self, rows: Rows, *by: str, order_by: str = POSITION, **sums: str) -> Rows:
        """The rows with running sums."""
        frame: pl.DataFrame = rows.to_native()
        order = grouped(frame[HISTORY].to_numpy(), *(codes(frame[name]) for name in by))
        return nw.from_native(
            frame.with_columns(
                pl.Series(name, _running(frame[column].to_numpy(), order)) for name, column in sums.items()
            )
        )

    def in_order(self, rows: Rows, order_by: str) -> Rows:
        """The rows sorted."""
        return rows.sort(*self.keys, order_by)


class Grouped:
    """Rows group by group, keeping their order within each: `rows` are their places, `fresh` begins a group."""

    __slots__ = ("fresh", "rows")

    def __init__(self, rows: NDArray[np.int64] | None, fresh: NDArray[np.bool_]) -> None:
        self.rows, self.fresh = rows, fresh


def grouped(*columns: NDArray[Any]) -> Grouped:
    """The order that brings together the rows with equal codes; `rows` is None where they stand together."""
    key = columns[0].astype(np.int64)
    for column in columns[1:]:
        key = key * (int(column.max(initial=0)) + 1) + column
    rows = None if np.all(key[1:] >= key[:-1]) else np.argsort(key, kind="stable")
    together = key if rows is None else key[rows]
    fresh = np.ones(len(key), dtype=np.bool_)
    np.not_equal(together[1:], together[:-1], out=fresh[1:])
    return Grouped(rows, fresh)


def codes(column: pl.Series) -> NDArray[np.int64]:
    """Whole numbers from 0, equal where the values are."""
    if len(column) < FEW:
        places: dict[object, int] = {}
        return np.array([places.setdefault(value, len(places)) for value in column.to_list()], dtype=np.int64)
    if column.dtype.is_float():
        return np.unique(column.to_numpy(), return_inverse=True)[1]
    if not column.dtype.is_integer():
        column = column.cast(pl.Categorical).to_physical().cast(pl.Int64)
    numbers: NDArray[np.int64] = column.fill_null(-1).cast(pl.Int64).to_numpy()
    return np.asarray(numbers - numbers.min(initial=0), dtype=np.int64)


def _running(values: NDArray[Any], order: Grouped) -> NDArray[np.int64]:
    """The sum of each row's group up to the row."""
    if len(values) == 0:
        return np.zeros(0, dtype=np.int64)
    together = values if order.rows is None else values[order.rows]
    sums = np.cumsum(together, dtype=np.int64)
    starts = np.flatnonzero(order.fresh)
    before = sums[starts] - together[starts]
    sums -= np.repeat(before, np.diff(np.append(starts, len(sums))))
    if order.rows is None:
        return sums
    found = np.empty_like(sums)
    found[order.rows] = sums
    return found
