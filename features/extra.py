"""Events that stand in no source: those a store holds, and how far into them a log reaches.

A log is complete up to `observed_until`: said by the journey, or after its sources' newest event. Events
that came in one by one do not make it complete: labels, and all that is counted, end there. What is
known of a customer may go further, and a vector at a later cutoff sees it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

import polars as pl

from features.schema import CONTACTED, EVENT, KNOWN_AT, TIME


class Arrived(NamedTuple):
    """Events in canonical columns (times as int64 microseconds), and the first instant the log may not have."""

    rows: pl.DataFrame
    cutoff: int


# All of them, of which a log takes those before its end; or what is asked, once the sources are read and where
# they end is known (null: they hold nothing), for the events and for how far the log goes on.
Extra: TypeAlias = pl.DataFrame | Callable[[int | None], Arrived]


def arrived(extra: Extra | None, end: int | None) -> tuple[pl.DataFrame | None, int, int]:
    """The events, where the log is complete up to, and the first instant it may not have.

    Parameters
    ----------
    end
        The end of the sources; null: they hold nothing, and a log of nothing else ends with these events.

    Returns
    -------
    tuple
        The events (null: there are none), and two instants, the second at or after the first.
    """
    found = extra(end) if callable(extra) else None
    rows = found.rows if found else extra if isinstance(extra, pl.DataFrame) else None
    if rows is None or rows.is_empty():
        rows = None
    complete = end if end is not None else end_of([] if rows is None else [rows]) or 0
    cutoff = max(complete, found.cutoff) if found else complete
    if rows is not None:
        rows = rows.with_columns(pl.col(KNOWN_AT).fill_null(pl.col(TIME)))
    return rows, complete, cutoff


def end_of(frames: Iterable[pl.DataFrame]) -> int | None:
    """The instant after the newest event (null: there is none); what the business did itself says nothing of it."""
    every = list(frames)
    theirs = [rows.filter(pl.col(EVENT) != CONTACTED)[TIME].max() for rows in every]
    newest = [time for time in theirs if time is not None] or [
        time for time in (rows[TIME].max() for rows in every) if time is not None
    ]
    return max(int(time) for time in newest) + 1 if newest else None  # type: ignore[arg-type]


def before(rows: pl.DataFrame, cutoff: int, notes: list[str]) -> pl.DataFrame:
    """The events before the end of the log; a note tells of the others, since nothing is wrong with them."""
    early = rows.filter(pl.col(TIME) < cutoff)
    late = rows.height - early.height
    if not late:
        return rows
    contacts = rows.filter((pl.col(TIME) >= cutoff) & (pl.col(EVENT) == CONTACTED)).height
    if contacts:
        notes.append(f"{contacts:,} contacts lie after the log's end and count once it reaches them")
    if late > contacts:
        said = "observed_until says up to when the log is complete"
        notes.append(
            f"{late - contacts:,} events of the store lie after the log's end and count once it reaches them: {said}"
        )
    return early
