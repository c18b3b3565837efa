"""Checks of the event log itself: rows, columns, event types, order, customers, profile."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import polars as pl

from features.findings import Finding, listed, share
from features.journey import Journey
from features.schema import CHANNEL, CONTACTED, CUSTOMER, DAY, EVENT, EVENT_ID, KNOWN_AT, TIME, VALUE, to_text

if TYPE_CHECKING:
    from features.log import EventLog

MOSTLY_MISSING = 0.5
ONE_CUSTOMER = 0.2  # of all events: rather a test account or a shared till than a person
QUIET_DAYS = 7  # without any event before observed_until
OLDEST = -25_567 * DAY  # 1900
LONGEST_SPAN = 40 * 365 * DAY


def facts(journey: Journey, log: EventLog) -> Iterator[Finding]:
    """Rows, customers, span, event types, channels and what was converted on reading."""
    events = log.events
    first = _number(events[TIME].min())
    end = journey.observed_until_microseconds
    yield Finding("fact", "rows", f"{log.read:,} read, {events.height:,} used")
    yield Finding("fact", "customers", f"{events[CUSTOMER].n_unique():,}")
    yield Finding("fact", "span", f"{to_text(first)} to {to_text(end)} ({(end - first) / DAY:.0f} days)")
    yield Finding("fact", "types", _counts(events[EVENT]))
    yield Finding("fact", "channels", _counts(events[CHANNEL]) or "none given")
    for where in log.origins if len(log.origins) > 1 else []:
        between = f", {to_text(where.first)} to {to_text(where.last)}" if where.first and where.last else ""
        yield Finding("fact", "source", f"{where.name}: {where.rows:,} rows{between}")
    for note in log.notes:
        yield Finding("fact", "reading", note)


def rows(journey: Journey, log: EventLog) -> Iterator[Finding]:
    """Rows left out, equal rows, times out of order, times that no business knows."""
    for reason, count in log.left_out.items():
        yield Finding(
            "warning",
            "events",
            f"{count:,} rows ({share(count, log.read)}) left out: {reason}",
            "rows with customer, time and type, before observed_until",
            "mend the source, or the mapping under events: columns",
        )
    dropped = all(source.drop_duplicates for source in journey.events)
    if log.duplicates and not dropped:
        yield Finding(
            "warning",
            "events",
            f"{log.duplicates:,} rows are equal to another in all columns that are read",
            "each event once",
            "map an event_id; or drop_duplicates: true if they are the same event",
        )
    yield from _order(log)
    yield from _span(journey, log)


def _order(log: EventLog) -> Iterator[Finding]:
    for where in log.origins:
        if where.backwards:
            yield Finding(
                "recommendation",
                "events",
                f"time goes backwards in {where.backwards:,} of {where.rows:,} rows of {where.name}",
                "rows in order of time, since order of arrival tells which of two events at one instant came first",
                "sort the source by time, if events of one instant matter",
            )
    early = log.events.filter(pl.col(KNOWN_AT) < pl.col(TIME)).height
    if early:
        yield Finding(
            "warning",
            "events.known_at",
            f"{early:,} events were known before they happened",
            "known_at at or after time",
            "look whether the two columns are swapped",
        )


def _span(journey: Journey, log: EventLog) -> Iterator[Finding]:
    first, last = _number(log.events[TIME].min()), _number(log.events[TIME].max())
    end = journey.observed_until_microseconds
    if end - last > QUIET_DAYS * DAY:
        yield Finding(
            "warning",
            "observed_until",
            f"the newest event is {(end - last) / DAY:.0f} days older than observed_until",
            "a log that is complete up to observed_until, else everybody seems to have left",
            f"observed_until: {to_text(last + 1)}, or read the missing days",
        )
    if first < OLDEST or last - first > LONGEST_SPAN:
        yield Finding(
            "warning",
            "events.time",
            f"the first event is of {to_text(first)}, {(last - first) / DAY / 365:.0f} years before the last",
            "true times",
            "look for a date that stands for unknown, such as 1970-01-01",
        )


def columns(journey: Journey, log: EventLog) -> Iterator[Finding]:
    """Share missing, among the event types that carry the column at all."""
    used = {VALUE, CHANNEL} & {name for source in journey.events for name in source.columns}
    for name in (*sorted(used), *journey.properties):
        column = log.events[name]
        if column.null_count() == column.len():
            yield Finding(
                "warning", name, "no event has a value", "some values", f"map the right column, or leave {name} out"
            )
            continue
        carrying = log.events.filter(pl.col(name).is_not_null().any().over(EVENT))
        missing = carrying[name].null_count()
        if missing > MOSTLY_MISSING * carrying.height:
            yield Finding(
                "recommendation",
                name,
                f"missing in {share(missing, carrying.height)} of the events whose type carries it",
                f"at most {MOSTLY_MISSING:.0%}",
                "look whether the source lost it",
            )


def types(journey: Journey, log: EventLog) -> Iterator[Finding]:
    """Event types declared and never seen, seen and not declared; who causes them."""
    seen = set(log.events[EVENT].unique())
    unseen, undeclared = sorted(set(journey.types) - seen), sorted(seen - {*journey.types, CONTACTED})
    if unseen:
        yield Finding(
            "warning",
            "types",
            f"never seen: {listed(unseen)}",
            "declared types that occur",
            "correct the name, map it under events: types, or take it out",
        )
    if undeclared:
        yield Finding(
            "warning",
            "types",
            f"seen and not declared: {listed(undeclared)}",
            "every type under types, since only declared ones become features",
            "declare them, or leave types out to take all",
        )
    if len(seen - {CONTACTED}) > 1 and set(journey.business) <= {CONTACTED}:
        yield Finding(
            "recommendation",
            "business",
            "no event type is said to be caused by the business",
            "sent e-mails, campaigns and calls named, so that they never count as a customer's activity",
            "business: [those types], if there are any",
        )


def customers(journey: Journey, log: EventLog) -> Iterator[Finding]:
    """One customer, or one with most of the events; ids that several share."""
    yield from _shared_ids(log)
    counted = log.events[CUSTOMER].value_counts(sort=True, name="rows")
    busiest, most = counted.row(0)
    if counted.height == 1:
        yield Finding(
            "error",
            "customer_id",
            f"all events are of one customer ({busiest!r})",
            "many customers",
            "look whether customer_id is mapped to the right column",
            customer=busiest,
        )
    elif most > ONE_CUSTOMER * log.events.height and counted.height >= 1 / ONE_CUSTOMER:
        yield Finding(
            "warning",
            "customer_id",
            f"customer {busiest!r} has {share(most, log.events.height)} of all events",
            "ids that stand for one customer",
            "leave out test accounts and ids that stand for unknown",
            customer=busiest,
        )


def _shared_ids(log: EventLog) -> Iterator[Finding]:
    """Ids of several customers: a customer's own are single already."""
    if EVENT_ID not in log.events.columns:
        return
    ids = log.events[EVENT_ID].drop_nulls()
    shared = ids.filter(ids.is_duplicated()).n_unique()
    if shared:
        yield Finding(
            "warning",
            "event_id",
            f"{shared:,} event_id are of several customers, and count for each of them",
            "an id that no two events share",
            "look whether the ids start anew somewhere, or customers were merged",
        )


def profile(journey: Journey, log: EventLog) -> Iterator[Finding]:
    """How many customers have a profile; that they have one is never a feature."""
    if log.profile is None or journey.profile is None:
        return
    known = log.events.select(CUSTOMER).unique()
    covered = known.join(log.profile, on=CUSTOMER, how="semi").height
    said = f"{covered:,} of {known.height:,} customers ({share(covered, known.height)}) have a profile"
    yield Finding("fact", "profile", f"{said}; whether one exists is never a feature")
    if not covered:
        yield Finding(
            "warning", "profile", "no customer of the log has one", "the same ids", "map profile: columns: customer_id"
        )
    elif journey.profile.features and covered < MOSTLY_MISSING * known.height:
        yield Finding(
            "recommendation",
            "profile",
            f"features come from a profile that {share(covered, known.height)} of the customers have",
            "a profile of nearly everyone, known when the customer came",
            "use its columns as segments if it was made afterwards",
        )


def _counts(column: pl.Series) -> str:
    counted = column.drop_nulls().value_counts(sort=True, name="rows").rows()
    return listed([f"{name} {count:,}" for name, count in counted])


def _number(value: object) -> int:
    assert isinstance(value, int)  # noqa: S101 - the log has rows
    return value
