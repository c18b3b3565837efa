"""The aggregates of one table: which rows each looks at, and what it makes of them.

Everything that depends on the definitions alone is found out once (`Asked`); with a table's rows
and the queries at hand only NumPy runs, so that one customer's vector costs little.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import narwhals as nw
import numpy as np
import polars as pl

from features import ranges
from features.aggregates import Aggregate, Kind, column
from features.feature import Table
from features.flags import Flags
from features.histories import codes
from features.instants import Window, first_at_or_after, microseconds
from features.ranges import Floats, Ints, Ranges
from features.schema import CUTOFF, HISTORY, TIME

NUMBERS = {
    "lowest": ranges.lowest,
    "highest": ranges.highest,
    "median": ranges.medians,
    "deviation": ranges.deviations,
}
FEW = 8  # rows that Python takes from a column sooner than Polars
Values = Floats | pl.Series  # numbers with nan for null, or texts
Found = dict[str, Values]


class Batch:
    """Aggregates of one kind over the same rows: where each window begins and ends among the places of its group.

    A mean is a total of its window, and asked together with the others.
    """

    __slots__ = ("back", "columns", "high", "is_mean", "kind", "low", "once", "window")

    def __init__(self, table: str, parts: Sequence[Aggregate], places: Sequence[int | None]) -> None:
        self.columns = [column(table, part) for part in parts]
        self.kind = parts[0].kind
        self.is_mean = np.array([part.kind == "mean" for part in parts])
        edges = [_edges(part.window) for part in parts]
        self.low, self.high = (np.array([places.index(edge[end]) for edge in edges]) for end in (0, 1))
        self.back = np.array([part.back for part in parts])
        self.once, self.window = np.unique(np.stack([self.low, self.high]), axis=1, return_inverse=True)


class Group:
    """Aggregates that look at the same rows.

    Attributes
    ----------
    of, where
        The names of the column and the condition; None: the rows themselves, all rows.
    places
        The windows' edges, as places among those of the table.
    batches
        The aggregates by kind.
    """

    __slots__ = ("batches", "of", "places", "where")

    def __init__(self, table: str, parts: Sequence[Aggregate], places: Sequence[int | None]) -> None:
        self.of = None if parts[0].of is None else repr(parts[0].of)
        where = _condition(parts[0])
        self.where = None if where is None else _name(where)
        own = _places(parts)
        self.places = np.array([places.index(place) for place in own])
        kinds: dict[Kind, list[Aggregate]] = {}
        for part in parts:
            kinds.setdefault("total" if part.kind == "mean" else part.kind, []).append(part)
        self.batches = [Batch(table, each, own) for each in kinds.values()]


class Asked:
    """What is wanted of one table.

    Attributes
    ----------
    table
        The table.
    columns
        Its history, time and what the aggregates look at, row by row, each expression once.
    places
        How long before the cutoff windows begin and end, microseconds; None: at the first row.
    groups
        The aggregates by the rows they look at.
    """

    def __init__(self, table: Table, parts: Sequence[Aggregate]) -> None:
        self.table, self.places = table, _places(parts)
        columns: dict[str, nw.Expr] = {}
        groups: dict[tuple[str, str, bool], list[Aggregate]] = {}
        for part in parts:
            where = _condition(part)
            columns |= {} if part.of is None else {repr(part.of): part.of}
            columns |= {} if where is None else {_name(where): where.fill_null(False)}
            groups.setdefault((repr(part.of), repr(where), part.kind == "newest"), []).append(part)
        row = [nw.col(HISTORY), nw.col(TIME).alias(TIME)]
        self.columns = [*row, *(expr.alias(name) for name, expr in columns.items())]
        self.groups = [Group(table.name, each, self.places) for each in groups.values()]


def _condition(part: Aggregate) -> nw.Expr | None:
    """Which rows count: those whose value is known, unless only the newest is asked for."""
    if part.of is None or part.kind == "newest":
        return part.where
    known = ~part.of.is_null()
    return known if part.where is None else part.where & known


def _name(where: nw.Expr) -> str:
    return f"where {where!r}"


def _places(parts: Sequence[Aggregate]) -> list[int | None]:
    """The edges of the windows, each once."""
    return list(dict.fromkeys(edge for part in parts for edge in _edges(part.window)))


def _edges(window: Window | None) -> tuple[int | None, int]:
    """How long before the cutoff a window begins and ends."""
    if window is None:
        return None, 0
    before = microseconds(window.before)
    return before + microseconds(window.length), before


class Lookups:
    """One table's rows beside the queries.

    Parameters
    ----------
    asked
        What is wanted.
    rows
        Its columns, history by history in order.
    histories
        How many histories there are.
    queries
        `history` (`histories` where the customer has none) and `cutoff`.
    """

    def __init__(self, asked: Asked, rows: pl.DataFrame, histories: int, queries: pl.DataFrame) -> None:
        self._asked, self._rows = asked, rows
        self._history, self._times = rows[HISTORY].to_numpy(), rows[TIME].to_numpy()
        self._cutoffs = queries[CUTOFF].to_numpy()
        history = queries[HISTORY].to_numpy()
        starts = np.searchsorted(self._history, np.arange(histories + 2, dtype=np.int32))
        begin, end = starts[history], starts[history + 1]
        self._edges = np.empty((len(asked.places), len(history)), dtype=np.int64)
        for edge, before in zip(self._edges, asked.places, strict=True):
            instants = self._cutoffs - (before or 0)
            edge[:] = begin if before is None else first_at_or_after(self._times, begin, end, instants)

    def all(self) -> Found:
        """A column per aggregate."""
        found: Found = {}
        with np.errstate(over="ignore", invalid="ignore"):  # beyond the largest float64 is infinity
            for group in self._asked.groups:
                chosen = self._chosen(group)
                for batch in group.batches:
                    found |= chosen.found(batch)
        return found

    def _chosen(self, group: Group) -> Chosen:
        """The rows that count for a group of aggregates, and where its edges lie among them."""
        of = None if group.of is None else self._rows[group.of]
        flags = None if group.where is None else Flags(self._rows[group.where])
        edges = self._edges[group.places]
        if flags is None or flags.all:
            return Chosen(edges, of, self._history, self._times, self._cutoffs, None)
        return Chosen(flags.before(edges), of, self._history, self._times, self._cutoffs, flags)


class Chosen:
    """The rows that count for a group of aggregates (flags None: all); `edges` count in them."""

    def __init__(
        self,
        edges: Ints,
        of: pl.Series | None,
        history: Ints,
        times: Ints,
        cutoffs: Ints,
        flags: Flags | None,
    ) -> None:
        self._edges, self._column, self._flags = edges, of, flags
        self._history, self._times, self._cutoffs = history, times, cutoffs

    def found(self, batch: Batch) -> Found:
        """The aggregates of a batch, all windows at once."""
        low, high = self._edges[batch.low], self._edges[batch.high]
        values = OF_KIND.get(batch.kind, Chosen._number)(self, batch, Ranges(low.ravel(), high.ravel()))
        size = len(self._cutoffs)
        return {name: values[i * size : (i + 1) * size] for i, name in enumerate(batch.columns)}

    @property
    def _of(self) -> pl.Series:
        assert self._column is not None  # noqa: S101 - every kind that comes here is of a column
        return self._column

    @cached_property
    def _numbers(self) -> Floats:
        return (self._of if self._flags is None else self._flags.chosen(self._of)).cast(pl.Float64).to_numpy()

    @cached_property
    def _kinds(self) -> ranges.Kinds:
        if self._flags is None:
            return ranges.Kinds(self._history, codes(self._of))
        return ranges.Kinds(self._history[self._flags.rows], codes(self._flags.chosen(self._of)))

    def _of_all(self, row: Ints) -> Ints:
        """Places among the rows that count as places among all; -1 stays."""
        if self._flags is None or len(self._flags.rows) == 0:
            return row
        return np.where(row < 0, -1, self._flags.rows[row])

    def _cutoff(self, batch: Batch, _: Ranges) -> Values:
        return np.tile(self._cutoffs.astype(np.float64), len(batch.columns))

    def _count(self, _: Batch, among: Ranges) -> Values:
        return among.sizes.astype(np.float64)

    def _since(self, batch: Batch, among: Ranges) -> Values:
        row = ranges.newest(among) if batch.kind == "since" else ranges.oldest(among)
        return np.tile(self._cutoffs, len(batch.columns)) - _numbers(self._times, self._of_all(row))

    def _newest(self, batch: Batch, among: Ranges) -> Values:
        return _at(self._of, self._of_all(ranges.newest(among, np.repeat(batch.back, len(self._cutoffs)))))

    def _distinct(self, _: Batch, among: Ranges) -> Values:
        return self._kinds.distinct(among).astype(np.float64)

    def _number(self, batch: Batch, among: Ranges) -> Values:
        return NUMBERS[batch.kind](self._numbers, among)

    def _total(self, batch: Batch, among: Ranges) -> Values:
        """Totals, each window once, and means of them."""
        low, high = (self._edges[end] for end in batch.once)
        once, size = ranges.totals(self._numbers, Ranges(low.ravel(), high.ravel())), len(self._cutoffs)
        found = once.reshape(low.shape)[batch.window].ravel()
        if not batch.is_mean.any():
            return found
        return np.where(np.repeat(batch.is_mean, size), found / among.sizes, found)


OF_KIND = {
    "cutoff": Chosen._cutoff,
    "count": Chosen._count,
    "since": Chosen._since,
    "since_first": Chosen._since,
    "newest": Chosen._newest,
    "distinct": Chosen._distinct,
    "total": Chosen._total,
    "mean": Chosen._total,
}


def _numbers(values: Floats | Ints, row: Ints) -> Floats:
    """The values at these rows; nan where the row is -1."""
    found = np.full(len(row), np.nan)
    some = row >= 0
    found[some] = values[row[some]]
    return found


def _at(values: pl.Series, row: Ints) -> Values:
    """The numbers or texts at these rows; null (of numbers nan) where the row is -1."""
    is_text = values.dtype == pl.String or isinstance(values.dtype, pl.Categorical)
    if not (is_text or values.dtype.is_numeric() or values.dtype in (pl.Boolean, pl.Null)):
        raise TypeError(f"the newest value is a text or a number, not {values.dtype}; cast it")
    if len(row) <= FEW:
        few = [values[place] if place >= 0 else None for place in row.tolist()]
        return pl.Series(few, dtype=pl.String) if is_text else np.array(few, dtype=np.float64)
    place = pl.Series(row)
    found = values.gather(place.set(place < 0, None))
    return found.cast(pl.String) if is_text else found.cast(pl.Float64).to_numpy()
