"""The aggregates of one table by one grouping: what `features.relational` is made of.

Aggregates share what they look at: a value, a condition and a rank among rows is a column once, however
many aggregates ask for it. Window functions are few and of two kinds, for each kind costs a sort.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals as nw

from features.aggregates import Aggregate, column
from features.instants import KEYS, inside

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
    for columns in (looks.values, looks.flags, looks.windows):  # each looks at those before
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
    """The columns that the aggregates of one table look at."""

    def __init__(self, order_by: str) -> None:
        self._order_by = order_by
        self.values, self.flags, self.windows = _Columns("of"), _Columns("where"), _Columns("window")

    def aggregate(self, part: Aggregate) -> nw.Expr:
        """The value of one (customer, cutoff)."""
        if part.kind == "distinct":
            return self._first_of_value(part).sum()
        counts = self._counts(part)
        if part.kind == "count":
            return counts.sum()
        if part.kind in ("since", "since_first"):
            age = nw.when(counts == 1).then(nw.col("age"))
            return age.min() if part.kind == "since" else age.max()
        if part.kind == "newest":
            return nw.when((counts == 1) & (self._behind(counts) == part.back)).then(self._value(part)).max()
        value = nw.when(counts == 1).then(self._value(part))
        return {
            "total": value.sum(),
            "mean": value.mean(),
            "lowest": value.min(),
            "highest": value.max(),
            "median": value.median(),
            "deviation": value.std(),
        }[part.kind]

    def _value(self, part: Aggregate) -> nw.Expr:
        return nw.col(self._value_name(part))

    def _value_name(self, part: Aggregate) -> str:
        assert part.of is not None  # noqa: S101 - asked of kinds that are of a column
        return self.values.named(part.of)

    def _counts(self, part: Aggregate) -> nw.Expr:
        """Whether a row counts: 1 or 0."""
        conditions = [] if part.where is None else [part.where]
        if part.window is not None:
            conditions.append(inside(part.window))
        if part.of is not None and part.kind != "newest":
            conditions.append(~self._value(part).is_null())
        one: nw.Expr = nw.lit(1)
        if conditions:
            one = nw.when(nw.all_horizontal(*conditions, ignore_nulls=False)).then(nw.lit(1)).otherwise(nw.lit(0))
        return nw.col(self.flags.named(one))

    def _behind(self, counts: nw.Expr) -> nw.Expr:
        """How many of the rows that count come after the row."""
        so_far = counts.cum_sum().over(*KEYS, order_by=self._order_by)
        return nw.col(self.windows.named(counts.sum().over(*KEYS) - so_far))

    def _first_of_value(self, part: Aggregate) -> nw.Expr:
        """1 for the first of the rows that count and hold one value; 0 for all others."""
        counts = self._counts(part)
        same = (*KEYS, self._value_name(part))
        place = nw.when(counts == 1).then(nw.col(self._order_by))
        first = nw.col(self.windows.named(place.min().over(*same)))
        return nw.when((counts == 1) & (nw.col(self._order_by) == first)).then(nw.lit(1)).otherwise(nw.lit(0))
