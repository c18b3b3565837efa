"""The aggregates of one table: which rows each looks at, and what it makes of them.

Everything that depends on the definitions alone is found out once (`Asked`); with a table's rows
and the queries at hand only NumPy runs, so that one customer's vector costs little.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import narwhals as nw
import numpy as np
import polars as pl

from features import ranges
from features.aggregates import Aggregate, Kind, column
from features.feature import Table
from features.histories import codes, grouped
from features.instants import Window, first_at_or_after, microseconds
from features.ranges import Bools, Floats, Ints, Ranges
from features.schema import CUTOFF, HISTORY, TIME

NUMBERS = {
    "total": ranges.totals,
    "mean": ranges.means,
    "lowest": ranges.lowest,
    "highest": ranges.highest,
    "median": ranges.medians,
    "deviation": ranges.deviations,
}
Values = Floats | pl.Series  # numbers with nan for null, or texts
Places = tuple[int | None, int]  # how long before the cutoff a window begins and ends; None: at the first row


@dataclass(frozen=True, slots=True)
class Part:
    """One aggregate: the column it goes to, its kind, its window and how far back."""

    column: str
    kind: Kind
    places: Places
    back: int


@dataclass(frozen=True, slots=True)
class Group:
    """Aggregates that look at the same rows: the names of their column and condition, and the parts."""

    of: str | None
    where: str | None
    parts: list[Part]


class Asked:
    """What is wanted of one table.

    Attributes
    ----------
    table
        The table.
    columns
        Its history, time and what the aggregates look at, row by row, each expression once.
    groups
        The aggregates by the rows they look at.
    """

    def __init__(self, table: Table, parts: Sequence[Aggregate]) -> None:
        self.table = table
        of = {repr(part.of): part.of for part in parts if part.of is not None}
        where = {f"where {part.where!r}": part.where.fill_null(False) for part in parts if part.where is not None}
        row = [nw.col(HISTORY), nw.col(TIME).alias(TIME)]
        self.columns = [*row, *(expr.alias(name) for name, expr in {**of, **where}.items())]
        groups: dict[tuple[str | None, str | None, bool], Group] = {}
        for part in parts:
            names = part.of is not None and repr(part.of), part.where is not None and f"where {part.where!r}"
            key = (names[0] or None, names[1] or None, part.kind == "newest")
            group = groups.setdefault(key, Group(key[0], key[1], []))
            group.parts.append(Part(column(table.name, part), part.kind, _places(part.window), part.back))
        self.groups = list(groups.values())


class Lookups:
    """One table's rows beside the queries.

    Parameters
    ----------
    rows
        The columns of `Asked`, history by history in order.
    histories
        How many histories there are.
    queries
        `history` (`histories` where the customer has none) and `cutoff`.
    """

    def __init__(self, rows: pl.DataFrame, histories: int, queries: pl.DataFrame) -> None:
        self._rows = rows
        self._history, self._times = rows[HISTORY].to_numpy(), rows[TIME].to_numpy()
        history = queries[HISTORY].to_numpy()
        starts = np.searchsorted(self._history, np.arange(histories + 2, dtype=np.int32))
        self._starts, self._ends = starts[history], starts[history + 1]
        self._cutoffs = queries[CUTOFF].to_numpy()
        self._edges: dict[int | None, Ints] = {None: self._starts}

    def all(self, groups: Sequence[Group]) -> dict[str, Values]:
        """A column per aggregate."""
        found: dict[str, Values] = {}
        for group in groups:
            chosen = None if group.where is None else self._rows[group.where].to_numpy()
            values = None if group.of is None else _values(self._rows[group.of])
            if values is not None and group.parts[0].kind != "newest":
                chosen = _known(values, chosen)
            edges = {place: self._edge(place) for part in group.parts for place in part.places}
            rows = None if chosen is None else np.flatnonzero(chosen)
            if chosen is not None and rows is not None:
                edges = ranges.among(chosen, rows, edges)
            with np.errstate(over="ignore", invalid="ignore"):  # beyond the largest float64 is infinity
                for part in group.parts:
                    among = Ranges(edges[part.places[0]], edges[part.places[1]])
                    found[part.column] = self._value(part, among, values, rows)
        return found

    def _edge(self, before: int | None) -> Ints:
        """The first row of each history that is not before the instant so long before the cutoff; None: of all."""
        if before not in self._edges:
            instants = self._cutoffs - (before or 0)
            self._edges[before] = first_at_or_after(self._times, self._starts, self._ends, instants)
        return self._edges[before]

    def _value(self, part: Part, among: Ranges, values: Values | None, rows: Ints | None) -> Values:
        """One aggregate; `among` counts in `rows`, the rows that count (None: all)."""
        if part.kind == "count":
            return among.sizes.astype(np.float64)
        if part.kind in ("since", "since_first"):
            row = ranges.newest(among) if part.kind == "since" else ranges.oldest(among)
            return self._cutoffs - _numbers(self._times, _rows(row, rows))
        assert values is not None  # noqa: S101 - every other kind is of a column
        if part.kind == "newest":
            row = _rows(ranges.newest(among, part.back), rows)
            return _texts(values, row) if isinstance(values, pl.Series) else _numbers(values, row)
        chosen = values if rows is None else values[rows]
        if part.kind == "distinct":
            history = self._history if rows is None else self._history[rows]
            return ranges.distinct(same_before(history, chosen), among).astype(np.float64)
        return NUMBERS[part.kind](np.asarray(chosen), among)


def same_before(history: Ints, values: Values) -> Ints:
    """Per row the row before it with the same value in the same history, or -1."""
    if isinstance(values, np.ndarray) and len(values):
        goes_on, rises = history[1:] == history[:-1], values[1:] >= values[:-1]
        if np.all(rises | ~goes_on):  # equal values stand together
            same_as = np.append(False, goes_on & (values[1:] == values[:-1]))
            return np.where(same_as, np.arange(len(values)) - 1, -1)
    same = codes(values) if isinstance(values, pl.Series) else np.unique(values, return_inverse=True)[1]
    order = grouped(history, same)
    rows = np.arange(len(history)) if order.rows is None else order.rows
    found = np.empty(len(history), dtype=np.int64)
    found[rows] = np.where(order.fresh, -1, np.roll(rows, 1))
    return found


def _places(window: Window | None) -> Places:
    if window is None:
        return None, 0
    before = microseconds(window.before)
    return before + microseconds(window.length), before


def _values(column: pl.Series) -> Values:
    """Texts as they are, numbers as float64 with nan for null."""
    return column if column.dtype == pl.String else column.cast(pl.Float64).to_numpy()


def _known(values: Values, chosen: Bools | None) -> Bools | None:
    """The chosen rows whose value is known; None: all."""
    known = values.is_not_null().to_numpy() if isinstance(values, pl.Series) else ~np.isnan(values)
    if known.all():
        return chosen
    return known if chosen is None else chosen & known


def _rows(row: Ints, rows: Ints | None) -> Ints:
    """Places among the rows that count as places among all; -1 stays."""
    if rows is None or len(rows) == 0:
        return row
    return np.where(row < 0, -1, rows[row])


def _numbers(values: Floats | Ints, row: Ints) -> Floats:
    """The values at these rows; nan where the row is -1."""
    found = np.full(len(row), np.nan)
    some = row >= 0
    found[some] = values[row[some]]
    return found


def _texts(values: pl.Series, row: Ints) -> pl.Series:
    """The texts at these rows; null where the row is -1."""
    if values.is_empty():
        return pl.repeat(None, len(row), dtype=values.dtype, eager=True)
    if len(row) == 1:
        return pl.Series([values[int(row[0])] if row[0] >= 0 else None], dtype=values.dtype)
    return values.gather(np.maximum(row, 0)).set(pl.Series(row < 0), None)
