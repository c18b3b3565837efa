"""The aggregates of one table: which rows each looks at, and what it makes of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from features import ranges
from features.aggregates import Aggregate, column
from features.histories import HISTORY, grouped
from features.instants import Window, microseconds
from features.ranges import Bools, Ints, Ranges
from features.schema import CUTOFF, TIME

NUMBERS = {
    "total": ranges.totals,
    "mean": ranges.means,
    "lowest": ranges.lowest,
    "highest": ranges.highest,
    "median": ranges.medians,
    "deviation": ranges.deviations,
}


class Lookups:
    """One table's rows beside the queries.

    Parameters
    ----------
    table
        Its name.
    rows
        `history`, `time` and the columns of `features.engine.columns`, history by history in order.
    histories
        How many histories there are.
    queries
        `history` (`histories` where the customer has none) and `cutoff`.
    """

    def __init__(self, table: str, rows: pl.DataFrame, histories: int, queries: pl.DataFrame) -> None:
        self._table, self._rows = table, rows
        self._times = rows[TIME].to_numpy()
        history = queries[HISTORY].to_numpy()
        edges = np.searchsorted(rows[HISTORY].to_numpy(), np.arange(histories + 2))
        self._starts, self._ends = edges[history], edges[history + 1]
        self._cutoffs = queries[CUTOFF].to_numpy()
        self._edges: dict[int, Ints] = {}

    def all(self, parts: Sequence[Aggregate]) -> dict[str, pl.Series]:
        """A column per aggregate."""
        found: dict[str, pl.Series] = {}
        for (of, where, _), group in _alike(parts).items():
            found |= self._of_rows(of, where, group)
        return {column(self._table, part): found[part.name] for part in parts}

    def _of_rows(self, of: str | None, where: str | None, parts: Sequence[Aggregate]) -> dict[str, pl.Series]:
        """Aggregates that look at the same rows; which rows those are is found out once."""
        chosen = None if where is None else self._rows[where].fill_null(False).to_numpy()
        values = None if of is None else self._rows[of]
        if values is not None and parts[0].kind != "newest":
            known = values.is_not_null().to_numpy()
            chosen = known if chosen is None else chosen & known
        view = _View(self._times, self._rows[HISTORY], values, chosen)
        return {part.name: view.value(part, self._range(part.window), self._cutoffs) for part in parts}

    def _range(self, window: Window | None) -> Ranges:
        if window is None:
            return Ranges(self._starts, self._edge(0))
        before = microseconds(window.before)
        return Ranges(self._edge(before + microseconds(window.length)), self._edge(before))

    def _edge(self, before: int) -> Ints:
        """The first row of each history that is not before the instant so long before the cutoff."""
        if before not in self._edges:
            self._edges[before] = ranges.first_at_or_after(
                self._times, self._starts, self._ends, self._cutoffs - before
            )
        return self._edges[before]


class _View:
    """The rows that some aggregates look at: all, or the chosen ones."""

    def __init__(self, times: Ints, history: pl.Series, values: pl.Series | None, chosen: Bools | None) -> None:
        self._before = None if chosen is None else ranges.running(chosen)
        rows = None if chosen is None else np.flatnonzero(chosen)
        self._times = times if rows is None else times[rows]
        self._history = history if rows is None else history.gather(rows)
        self._values = values if values is None or rows is None else values.gather(rows)

    def value(self, part: Aggregate, among: Ranges, cutoffs: Ints) -> pl.Series:
        if self._before is not None:
            among = Ranges(self._before[among.low], self._before[among.high])
        if part.kind == "count":
            return pl.Series(among.sizes)
        if part.kind in ("since", "since_first"):
            row = ranges.newest(among) if part.kind == "since" else ranges.oldest(among)
            return pl.Series(cutoffs) - picked(pl.Series(self._times), row)
        assert self._values is not None  # noqa: S101 - every other kind is of a column
        if part.kind == "newest":
            return picked(self._values, ranges.newest(among, part.back))
        if part.kind == "distinct":
            return pl.Series(ranges.distinct(same_before(self._history, self._values), among))
        values = self._values.cast(pl.Float64).to_numpy()
        return pl.Series(NUMBERS[part.kind](values, among)).fill_nan(None)


def picked(values: pl.Series, rows: Ints) -> pl.Series:
    """The values at these rows; null where the row is -1."""
    if values.is_empty():
        return pl.repeat(None, len(rows), dtype=values.dtype, eager=True)
    return values.gather(np.maximum(rows, 0)).set(pl.Series(rows < 0), None)


def same_before(history: pl.Series, values: pl.Series) -> Ints:
    """Per row the row before it with the same value in the same history, or -1."""
    frame = pl.DataFrame({"history": history, "value": values})
    value, continues = pl.col("value"), pl.col("history") == pl.col("history").shift(1)
    if values.dtype.is_numeric() and frame.select((~continues | (value >= value.shift(1))).all()).item():
        same = frame.select((continues & (value == value.shift(1))).fill_null(False)).to_series().to_numpy()
        return np.where(same, np.arange(len(same)) - 1, -1)
    order = grouped(frame)
    rows = np.arange(len(frame)) if order.rows is None else order.rows
    found = np.empty(len(frame), dtype=np.int64)
    found[rows] = np.where(order.fresh, -1, np.roll(rows, 1))
    return found


def _alike(parts: Sequence[Aggregate]) -> dict[tuple[str | None, str | None, bool], list[Aggregate]]:
    """The aggregates by the rows they look at."""
    found: dict[tuple[str | None, str | None, bool], list[Aggregate]] = {}
    for part in parts:
        of, where = (None if expr is None else repr(expr) for expr in (part.of, part.where))
        found.setdefault((of, where, part.kind == "newest"), []).append(part)
    return found
