"""Histories: rows told apart by their keys and ordered, and what one row knows of those before it.

A table is derived the same way for every engine. `Keyed` says it with window functions, which any
engine has; `Sorted` says it of rows that stand history by history in order, where the row before is
simply the row before, and no row needs to be looked for; `Single` of the rows of one history, in order.

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

from features.schema import HISTORY, POSITION, TIME

FEW = 2_000  # values up to which a dictionary tells them apart sooner than sorting
SPARSE = 2**20  # whole numbers that lie no further apart than so many times their number stay what they are
Rows = Any  # a Narwhals frame, lazy or not


class Histories(Protocol):
    """What a row knows of the rows before it in its own history."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that tell histories apart."""

    def before(self, rows: Rows, order_by: str = POSITION, **columns: str) -> Rows:
        """The rows with columns (name: of which column) of the row before; null at the first."""

    def running(self, rows: Rows, *by: str, order_by: str = POSITION, **sums: str) -> Rows:
        """The rows with running sums (name: of which column), each up to and including its row.

        With `by`, over the rows that share those columns. The columns hold whole numbers; the sum of a
        row whose number is null is null, and null adds nothing.
        """

    def in_order(self, rows: Rows, order_by: str) -> Rows:
        """The rows history by history in order, where an engine needs them so."""

    def running_at_instants(self, rows: Rows, *columns: str) -> Rows:
        """One row per history and time, in order: the running sums of the columns, which hold integers."""


class Keyed:
    """Rows in any order; a history is the rows that share the keys."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = tuple(keys)

    def before(self, rows: Rows, order_by: str = POSITION, **columns: str) -> Rows:
        """The rows with columns of the row before."""
        return rows.with_columns(
            **{name: nw.col(column).shift(1).over(*self.keys, order_by=order_by) for name, column in columns.items()}
        )

    def running(self, rows: Rows, *by: str, order_by: str = POSITION, **sums: str) -> Rows:
        """The rows with running sums."""
        keys = (*self.keys, *by)
        return rows.with_columns(
            **{name: nw.col(column).cum_sum().over(*keys, order_by=order_by) for name, column in sums.items()}
        )

    def in_order(self, rows: Rows, order_by: str) -> Rows:
        """The rows as they are: windows order them."""
        return rows

    def running_at_instants(self, rows: Rows, *columns: str) -> Rows:
        """The running sums at each time."""
        steps = rows.group_by(*self.keys, TIME).agg(*(nw.col(name).sum() for name in columns))
        return self.running(steps, order_by=TIME, **{name: name for name in columns})


class Single:
    """The rows of one history, in order, as a Polars query."""

    keys = (HISTORY,)

    def before(self, rows: Rows, order_by: str = POSITION, **columns: str) -> Rows:
        """The rows with columns of the row before."""
        frame: pl.LazyFrame = rows.to_native()
        return nw.from_native(frame.with_columns(**{name: pl.col(of).shift(1) for name, of in columns.items()}))

    def running(self, rows: Rows, *by: str, order_by: str = POSITION, **sums: str) -> Rows:
        """The rows with running sums."""
        frame: pl.LazyFrame = rows.to_native()
        found = {name: pl.col(of).cast(pl.Int64).cum_sum() for name, of in sums.items()}  # fractions: see Sorted
        return nw.from_native(frame.with_columns(**{n: e.over(*by) if by else e for n, e in found.items()}))

    def in_order(self, rows: Rows, order_by: str) -> Rows:
        """The rows sorted."""
        return rows.sort(order_by)

    def running_at_instants(self, rows: Rows, *columns: str) -> Rows:
        """The running sums at each time."""
        steps: pl.LazyFrame = rows.to_native().sort(TIME).select(HISTORY, TIME, pl.col(columns).cum_sum())
        return nw.from_native(steps.filter((pl.col(TIME) != pl.col(TIME).shift(-1)).fill_null(True)))


class Sorted:
    """Rows that stand history by history, each in order; `HISTORY` numbers the histories."""

    keys = (HISTORY,)

    def before(self, rows: Rows, order_by: str = POSITION, **columns: str) -> Rows:
        """The rows with columns of the row before."""
        frame: pl.DataFrame = rows.to_native()
        history = frame[HISTORY]
        same = history == history.shift(1)
        return nw.from_native(
            frame.with_columns(
                pl.select(pl.when(same).then(frame[of].shift(1))).to_series().alias(name)
                for name, of in columns.items()
            )
        )

    def running(self, rows: Rows, *by: str, order_by: str = POSITION, **sums: str) -> Rows:
        """The rows with running sums."""
        frame: pl.DataFrame = rows.to_native()
        order = grouped(frame[HISTORY].to_numpy(), *(codes(frame[name]) for name in by))
        return nw.from_native(
            frame.with_columns(_sums(frame[column], order).alias(name) for name, column in sums.items())
        )

    def in_order(self, rows: Rows, order_by: str) -> Rows:
        """The rows sorted."""
        frame: pl.DataFrame = rows.to_native()
        return nw.from_native(frame[ordered_by(frame[HISTORY].to_numpy(), frame[order_by].to_numpy())])

    def running_at_instants(self, rows: Rows, *columns: str) -> Rows:
        """The running sums at each time."""
        frame: pl.DataFrame = rows.to_native()
        order = ordered_by(frame[HISTORY].to_numpy(), frame[TIME].to_numpy())
        history, time = frame[HISTORY].to_numpy()[order], frame[TIME].to_numpy()[order]
        new = np.append(True, history[1:] != history[:-1])[: len(order)]
        last = np.append(new[1:] | (time[1:] != time[:-1]), True)[: len(order)]
        every = Grouped(None, new)
        sums = {name: _running(_whole(frame[name])[order], every)[last] for name in columns}
        return nw.from_native(pl.DataFrame({HISTORY: history[last], TIME: time[last], **sums}))


def ordered_by(history: NDArray[Any], instants: NDArray[np.int64]) -> NDArray[np.int64]:
    """The order by history, then instant, equals as they stand.

    Rows that are few sorted pieces one after another, as tables are made, take little more than a merge.
    """
    if len(history) == 0:
        return np.zeros(0, dtype=np.int64)
    low = int(instants.min())
    width = int(instants.max()) - low + 1
    if width * (int(history.max()) + 1) >= 2**63:
        return np.lexsort((instants, history))
    return np.argsort(history.astype(np.int64) * width + (instants - low), kind="stable")


class Grouped:
    """Rows group by group, keeping their order within each: `rows` are their places, `fresh` begins a group."""

    __slots__ = ("fresh", "rows")

    def __init__(self, rows: NDArray[np.int64] | None, fresh: NDArray[np.bool_]) -> None:
        self.rows, self.fresh = rows, fresh


def grouped(*columns: NDArray[Any]) -> Grouped:
    """The order that brings together the rows with equal codes; `rows` is None where they stand together."""
    key = columns[0].astype(np.int64)
    for column in columns[1:]:
        kinds, further = int(column.max(initial=0)) + 1, column
        if (int(key.max(initial=0)) + 1) * kinds >= 2**63:
            key, further = (np.unique(each, return_inverse=True)[1] for each in (key, column))
            kinds = len(column)
        key = key * kinds + further
    rows = None if np.all(key[1:] >= key[:-1]) else np.argsort(key, kind="stable")
    together = key if rows is None else key[rows]
    fresh = np.ones(len(key), dtype=np.bool_)
    np.not_equal(together[1:], together[:-1], out=fresh[1:])
    return Grouped(rows, fresh)


def codes(column: pl.Series) -> NDArray[np.int64]:
    """Whole numbers from 0, equal where the values are; null is a value, and nan is null."""
    if column.dtype.is_float():
        column = column.fill_nan(None)
    if len(column) <= FEW:
        places: dict[object, int] = {}
        return np.array([places.setdefault(value, len(places)) for value in column.to_list()], dtype=np.int64)
    if column.dtype == pl.String:
        column = column.cast(pl.Categorical(pl.Categories.random()))
    if isinstance(column.dtype, pl.Categorical):
        numbers = column.to_physical().cast(pl.Int64) + 1
        return _dense(numbers.fill_null(0).to_numpy())
    if column.dtype.is_signed_integer() and not column.null_count():
        whole: NDArray[np.int64] = column.cast(pl.Int64).to_numpy()
        low, high = int(whole.min()), int(whole.max())
        if high - low < len(column) * SPARSE:
            return whole - low
    return column.rank("dense").cast(pl.Int64).fill_null(0).to_numpy()


def _dense(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Small whole numbers without the gaps between them."""
    there = np.zeros(int(numbers.max(initial=0)) + 1, dtype=np.bool_)
    there[numbers] = True
    return np.asarray(np.cumsum(there)[numbers] - 1, dtype=np.int64)


def _whole(column: pl.Series) -> NDArray[np.int64]:
    """What is added up: null adds nothing."""
    if not (column.dtype.is_integer() or column.dtype in (pl.Boolean, pl.Null)):
        raise TypeError(f"running sums are of whole numbers: {column.name!r} holds {column.dtype}; cast it")
    return column.cast(pl.Int64).fill_null(0).to_numpy()


def _sums(column: pl.Series, order: Grouped) -> pl.Series:
    """Running sums; null where the row's own number is."""
    found = pl.Series(_running(_whole(column), order))
    return found.set(column.is_null(), None) if column.null_count() else found


def _running(values: NDArray[np.int64], order: Grouped) -> NDArray[np.int64]:
    """The sum of each row's group up to the row."""
    if len(values) == 0:
        return np.zeros(0, dtype=np.int64)
    steps = values.copy() if order.rows is None else values[order.rows]
    starts = np.flatnonzero(order.fresh)[1:]
    sums = np.cumsum(steps)
    steps[starts] -= np.diff(sums[starts - 1], prepend=0)  # each group begins by taking back the one before
    np.cumsum(steps, out=sums)
    if order.rows is None:
        return sums
    found = np.empty_like(sums)
    found[order.rows] = sums
    return found
