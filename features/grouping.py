"""The aggregates of one table by one grouping: what `features.relational` is made of.

Aggregates share what they look at: a value, a condition and a place among rows is a column once, however
many aggregates ask for it. Window functions are few, of two kinds, and see narrow rows: they are what
costs, by the sort each kind needs and by the rows they hold back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals as nw

from features.aggregates import Aggregate, column
from features.instants import KEYS, inside
from features.schema import CUTOFF

Frame = nw.LazyFrame[Any]


def grouped(rows: Frame, table: str, order_by: str, parts: Sequence[Aggregate]) -> Frame:
    """The aggregates of rows that lie before their cutoff, a row per (customer, cutoff) that has any.

    Parameters
    ----------
    rows
        A table's rows, with `cutoff` and `age`.
    table
        Its name.
    order_by
        What orders the rows of one (customer, cutoff).
    parts
        What to aggregate.
    """
    looks = _Looks(order_by)
    found = [looks.aggregate(part).alias(column(table, part)) for part in parts]
    for columns in looks.steps:  # each looks at those before
        rows = rows.with_columns(**columns.found) if columns.found else rows
    made: Frame = rows.group_by(*KEYS).agg(*found)
    return made


class _Columns:
    """Expressions by what they say, each once."""

    def __init__(self, word: str) -> None:
        self._word, self._names = word, dict[str, str]()
        self.found: dict[str, nw.Expr] = {}

    def named(self, expr: nw.Expr) -> str:
        """The name of the column that holds the expression."""
        name = self._names.setdefault(repr(expr), f"{self._word} {len(self._names)}")
        self.found.setdefault(name, expr)
        return name


class _Looks:
    """The columns that the aggregates of one table look at: those windows need, the windows, all others."""

    def __init__(self, order_by: str) -> None:
        self._order = nw.col(order_by)
        self._order_by = order_by
        self.steps = [_Columns(word) for word in ("value", "flag", "place", "of", "where")]
        self._early_values, self._early_flags, self._windows, self._values, self._flags = self.steps

    def aggregate(self, part: Aggregate) -> nw.Expr:
        """The value of one (customer, cutoff)."""
        if part.kind == "newest":
            return nw.when(self._is_newest(part)).then(self._value(part, self._values)).max()
        if part.kind == "distinct":
            return nw.when(self._is_first(part)).then(nw.lit(1)).otherwise(nw.lit(0)).sum()
        if part.kind == "cutoff":
            return nw.col(CUTOFF).max()
        counts = self._counts(part, self._values, self._flags)
        if part.kind == "count":
            return counts.sum()
        if part.kind in ("since", "since_first"):
            age = nw.when(counts == 1).then(nw.col("age"))
            return age.min() if part.kind == "since" else age.max()
        value = nw.when(counts == 1).then(self._value(part, self._values))
        return {
            "total": value.sum(),
            "mean": value.mean(),
            "lowest": value.min(),
            "highest": value.max(),
            "median": value.median(),
            "deviation": value.std(),
        }[part.kind]

    def _value(self, part: Aggregate, among: _Columns) -> nw.Expr:
        assert part.of is not None  # noqa: S101 - asked of kinds that are of a column
        return nw.col(among.named(part.of))

    def _counts(self, part: Aggregate, values: _Columns, flags: _Columns) -> nw.Expr:
        """Whether a row counts: 1 or 0."""
        conditions = [] if part.where is None else [part.where]
        if part.window is not None:
            conditions.append(inside(part.window))
        if part.of is not None and part.kind != "newest":
            conditions.append(~self._value(part, values).is_null())
        one: nw.Expr = nw.lit(1)
        if conditions:
            one = nw.when(nw.all_horizontal(*conditions, ignore_nulls=False)).then(nw.lit(1)).otherwise(nw.lit(0))
        return nw.col(flags.named(one))

    def _is_newest(self, part: Aggregate) -> nw.Expr:
        """Whether so many of the rows that count come after the row, which counts, as the aggregate says."""
        counts = self._counts(part, self._early_values, self._early_flags)
        if part.back == 0:
            last = nw.when(counts == 1).then(self._order).max().over(*KEYS)
            return self._order == nw.col(self._windows.named(last))
        so_far = counts.cum_sum().over(*KEYS, order_by=self._order_by)
        behind = nw.col(self._windows.named(counts.sum().over(*KEYS) - so_far))
        return (counts == 1) & (behind == part.back)

    def _is_first(self, part: Aggregate) -> nw.Expr:
        """Whether the row is the first of those that count and hold its value."""
        counts = self._counts(part, self._early_values, self._early_flags)
        assert part.of is not None  # noqa: S101 - what is told apart
        value = self._early_values.named(part.of)
        first = nw.when(counts == 1).then(self._order).min().over(*KEYS, value)
        return (counts == 1) & (self._order == nw.col(self._windows.named(first)))
