"""One vector per event: the history up to and including it, for the question which event comes next.

Here a vector ends with an event, not with a cutoff: it sees the events of its own history up to its own
`position`, as the log tells them in the end (`known_at` plays no part), and of other histories only how
many events they had before its `time`. The label is the type of the event that follows, or `END`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.families.habit import THURSDAY
from features.families.words import plain, slugs, spell
from features.instants import microseconds
from features.journey import Journey, duration_text
from features.labels import LABEL
from features.schema import CHANNEL, CUSTOMER, DAY, EVENT, POSITION, TIME, VALUE

END = "(end)"  # the label of the last event of a history that is over
LAST = 6  # events looked back, the present one included
TYPES_AT_MOST = 64  # event types with a count of their own: the most frequent, or the first declared
LOADS = (timedelta(hours=1), timedelta(days=1), timedelta(days=7))
KEYS = (CUSTOMER, POSITION, TIME)
Ints = NDArray[np.int64]
_PLACE, _START, _ROW = "(place)", "(start)", "(row)"  # of a row in its history; of the history and the row in the log


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One column: name, words, unit (as of a feature) and how it is computed from the sorted log."""

    name: str
    description: str
    unit: str
    expr: pl.Expr


def columns(journey: Journey, *, absolute: bool = True, load: bool = True) -> tuple[Column, ...]:
    """The columns of a resolved journey's vectors.

    Parameters
    ----------
    absolute
        Whether to tell when in the log the event happened. Where histories of one period are learned
        from and asked about, that lets a model read one off the others; switch it off to see.
    load
        Whether to tell how many events other histories had lately.
    """
    categories = ([CHANNEL] if journey.channels else []) + _of_kind(journey, ["category"])
    numbers = [VALUE, *_of_kind(journey, ["number", "rating", "nps"])]
    names = slugs([*categories, *numbers])
    found = [*_steps(), *_place_in_time(), *_counts(journey)]
    for name in categories:
        found += _category(name, names[name])
    for name in numbers:
        found += _number(name, names[name])
    found += _loads() if load else ()
    return (*found, _since_start()) if absolute else tuple(found)


def vectors(
    events: pl.DataFrame,
    journey: Journey,
    *,
    absolute: bool = True,
    load: bool = True,
    others: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """`customer_id`, `position`, `time` and the `columns`; one row per event, by customer and position.

    Parameters
    ----------
    events
        The internal event log of `features.schema`.
    others
        The events that load counts, those of the row's own history left out; default: `events`. Where
        rows are held out, give the training rows.
    """
    rows = _sorted(events)
    if load:
        rows = rows.with_columns(_load_columns(rows, events if others is None else others))
    wanted = columns(journey, absolute=absolute, load=load)
    return rows.select(*KEYS, *(column.expr.alias(column.name) for column in wanted))


def labels(events: pl.DataFrame, ends: Iterable[str] = ()) -> pl.DataFrame:
    """`customer_id`, `position`, `label`, in the order of `vectors`: the next event's type, or `END`.

    Parameters
    ----------
    ends
        The types by which histories end, where the journey has such: a history whose last event is of
        another type is not over, and the label of that event is null (censored). Without, every history
        is over.
    """
    rows, marks = _sorted(events), list(ends)
    over = pl.col(EVENT).is_in(marks) if marks else pl.lit(True)
    last = pl.col(_START).shift(-1) != pl.col(_START)
    label = pl.when(last.fill_null(True)).then(pl.when(over).then(pl.lit(END))).otherwise(pl.col(EVENT).shift(-1))
    return rows.select(CUSTOMER, POSITION, label.alias(LABEL))


def _of_kind(journey: Journey, kinds: Sequence[str]) -> list[str]:
    return [name for name, kind in journey.properties.items() if kind in kinds]


def _sorted(events: pl.DataFrame) -> pl.DataFrame:
    """The log history by history, with the place of each row."""
    rows = events.sort(CUSTOMER, POSITION).with_row_index(_ROW).with_columns(pl.col(_ROW).cast(pl.Int64))
    fresh = (pl.col(CUSTOMER) != pl.col(CUSTOMER).shift(1)).fill_null(True)
    rows = rows.with_columns(pl.when(fresh).then(pl.col(_ROW)).forward_fill().alias(_START))
    return rows.with_columns((pl.col(_ROW) - pl.col(_START)).alias(_PLACE))


def _back(column: str, back: int) -> pl.Expr:
    """The column so many events before; null before the history's first."""
    return pl.when(pl.col(_PLACE) >= back).then(pl.col(column).shift(back)) if back else pl.col(column)


def _so_far(flag: pl.Expr) -> pl.Expr:
    """How many of the history's rows, up to this one, are flagged; whole numbers, so exact."""
    steps = flag.fill_null(False).cast(pl.Int64)
    return steps.cum_sum() - (steps.cum_sum() - steps).gather(pl.col(_START))


def _days(microseconds_: pl.Expr) -> pl.Expr:
    return microseconds_ * (1 / DAY)


def _event(back: int) -> str:
    return "this event" if back == 0 else f"the event {back} before"


def _steps() -> list[Column]:
    """The last types, the gaps before them, and the run that goes on."""
    found = [
        Column(f"step_{back + 1}_back", f"type of {_event(back)}", "category", _back(EVENT, back))
        for back in range(LAST)
    ]
    found += [
        Column(
            f"step_{back + 1}_gap_days",
            f"days between {_event(back)} and the one before it",
            "days",
            _days(_back(TIME, back) - _back(TIME, back + 1)),
        )
        for back in range(LAST)
    ]
    changed = (_back(EVENT, 1) != pl.col(EVENT)).fill_null(True)
    began = pl.when(changed).then(pl.col(_ROW)).forward_fill()
    return [*found, Column("run_length", "events of this type in a row", "count", pl.col(_ROW) - began + 1)]


def _place_in_time() -> list[Column]:
    elapsed = pl.col(TIME) - pl.col(TIME).gather(pl.col(_START))
    weekday = (pl.col(TIME) // DAY + THURSDAY) % 7
    return [
        Column("events_count", "number of events so far", "count", pl.col(_PLACE) + 1),
        Column("elapsed_days", "days since the history's first event", "days", _days(elapsed)),
        Column("hour", "time of day in hours (UTC)", "hours", (pl.col(TIME) % DAY) * (24 / DAY)),
        Column("weekday", "day of the week (0: Monday, UTC)", "number", weekday),
    ]


def _counts(journey: Journey) -> list[Column]:
    named = slugs(journey.types[:TYPES_AT_MOST])
    return [
        Column(f"{slug}_count", f"number of {plain(name)} events so far", "count", _so_far(pl.col(EVENT) == name))
        for name, slug in named.items()
    ]


def _category(name: str, slug: str) -> list[Column]:
    """The values on the last events, where they were handed over, the first value and how many there were."""
    text, known = plain(name), pl.col(name).is_not_null()
    new = pl.struct(_START, name).is_first_distinct() & known
    found = [
        Column(f"{slug}_{back + 1}_back", f"{text} of {_event(back)}", "category", _back(name, back))
        for back in range(LAST)
    ]
    found += [
        Column(
            f"{slug}_{back + 1}_changed",
            f"whether {text} of {_event(back)} differs from that of the one before it (1: yes; null: unknown)",
            "number",
            (_back(name, back) != _back(name, back + 1)).cast(pl.Int64),
        )
        for back in range(LAST - 1)
    ]
    first = _first_known(name)
    return [
        *found,
        Column(f"{slug}_first", f"the first known {text}", "category", first),
        Column(
            f"{slug}_is_first", f"whether {text} is the first one", "number", (pl.col(name) == first).cast(pl.Int64)
        ),
        Column(f"{slug}_kinds", f"number of different values of {text} so far", "count", _so_far(new)),
        Column(f"{slug}_changes", f"how often {text} changed so far", "count", _so_far(pl.col(name) != _back(name, 1))),
    ]


def _number(name: str, slug: str) -> list[Column]:
    text, known = plain(name), pl.col(name).is_not_null()
    newest = pl.when(_so_far(known) > 0).then(pl.col(name).forward_fill())
    return [
        Column(f"{slug}_last", f"the newest known {text}", "number", newest),
        Column(f"{slug}_first", f"the first known {text}", "number", _first_known(name)),
    ]


def _first_known(name: str) -> pl.Expr:
    known = pl.col(name).is_not_null()
    first = pl.when(known & (_so_far(known) == 1)).then(pl.col(name))
    return pl.when(_so_far(known) > 0).then(first.forward_fill())


def _since_start() -> Column:
    return Column("log_days", "days since the log's first event", "days", _days(pl.col(TIME) - pl.col(TIME).min()))


def _loads() -> list[Column]:
    return [
        Column(name, f"events of other histories in the last {spell(length)}", "count", pl.col(name))
        for name, length in ((_load_name(length), length) for length in LOADS)
    ]


def _load_name(length: timedelta) -> str:
    return f"load_{duration_text(length)}"


def _load_columns(rows: pl.DataFrame, others: pl.DataFrame) -> list[pl.Series]:
    """Per row and length, the events of `others` in `[time - length, time)` that are not of its own history."""
    instants = rows[TIME].to_numpy()
    every = np.sort(others[TIME].to_numpy())
    # One sorted list for all histories: a whole number that orders by history first and then by time.
    numbers = pl.concat([rows[CUSTOMER], others[CUSTOMER]]).rank("dense").cast(pl.Int64).to_numpy()
    times, size = np.unique(every), len(every) + 1
    own = np.sort(numbers[len(rows) :] * size + np.searchsorted(times, others[TIME].to_numpy()))
    mine = numbers[: len(rows)] * size

    def before(when: Ints) -> Ints:
        """Events of others before each instant, less a number that is the same for all instants of a history."""
        found = np.searchsorted(every, when) - np.searchsorted(own, mine + np.searchsorted(times, when))
        return np.asarray(found, dtype=np.int64)

    until = before(instants)
    return [pl.Series(_load_name(length), until - before(instants - microseconds(length))) for length in LOADS]
