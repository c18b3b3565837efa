"""A journey met with its log: what it leaves open is filled in, what the log cannot bear is refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import polars as pl

from features.definition import did_you_mean
from features.errors import InputError
from features.extra import end_of
from features.journey import Journey, duration_text
from features.schema import CHANNEL, CONTACTED, EVENT, TIME, to_datetime

MOST_CHANNELS = 8  # more would make features of channels nobody uses
MOST_TYPES = 16  # event types with features of their own


def resolve(journey: Journey, events: pl.DataFrame) -> Journey:
    """The journey with `types`, `channels` and `observed_until` filled from a log that has rows.

    Types and channels come by name: their order is that of features, and two types that swap places in
    frequency are no other journey. Of more types than have features of their own, and of more channels than
    are kept, the most frequent come first. What the journey says itself stays. `contacted`
    is caused by the business whether it occurred yet or not, and is no type of its own: a model
    trained before the first contact must not take it for the customer's doing.

    Raises
    ------
    InputError
        The journey names an event type that never occurs, or a horizon longer than the log.
    """
    first, end = int(events[TIME].min()), end_of([events]) or 0  # type: ignore[arg-type]
    return resolve_counted(journey, _counts(events[EVENT]), _counts(events[CHANNEL]), first, end)


def resolve_counted(
    journey: Journey, types: Mapping[str, int], channels: Mapping[str, int], first: int, end: int
) -> Journey:
    """The same from how often each type and channel occurs, the first time, and the instant after the newest."""
    found = [name for name in _frequent(types) if name != CONTACTED]
    _refuse_unknown_types(journey, found)
    resolved = journey.model_copy(
        update={
            "types": journey.types or [*sorted(found[:MOST_TYPES]), *sorted(found[MOST_TYPES:])],
            "business": list(dict.fromkeys([*journey.business, CONTACTED])),
            "channels": journey.channels or sorted(_frequent(channels)[:MOST_CHANNELS]),
            "observed_until": journey.observed_until or to_datetime(end),
        }
    )
    _refuse_long_horizons(resolved, first)
    return resolved


def _counts(values: pl.Series) -> dict[str, int]:
    return dict(values.drop_nulls().value_counts().rows())


def _frequent(counts: Mapping[str, int]) -> list[str]:
    """The most frequent first, equals by name."""
    return sorted(counts, key=lambda name: (-counts[name], name))


def _refuse_unknown_types(journey: Journey, found: list[str]) -> None:
    """A listed type may be missing from the log (the check says so); one that a rule needs may not."""
    unknown = [
        (place, name)
        for place, names in journey.named_types().items()
        for name in sorted(names - {*found, CONTACTED})
        if place != "types"
    ]
    if not unknown:
        return
    said = [f"no event of type {name!r} occurs{did_you_mean(name, found)}" for _, name in unknown]
    accepted = ", ".join(found[:30]) + (f" and {len(found) - 30} more" if len(found) > 30 else "")
    do = "correct the name, or map it under events: types"
    if len(unknown) == 1:
        raise InputError(unknown[0][0], said[0], accepted, do)
    lines = "".join(f"\n  {place}: {text}" for (place, _), text in zip(unknown, said, strict=True))
    raise InputError("journey", f"{len(unknown)} event types never occur{lines}", accepted, do)


def _refuse_long_horizons(journey: Journey, first: int) -> None:
    span = timedelta(microseconds=journey.observed_until_microseconds - first)
    for name in ("churn", "next_stage", "cltv"):
        task = getattr(journey.tasks, name)
        if task is not None and task.within > span:
            raise InputError(
                f"tasks.{name}",
                f"the horizon of {duration_text(task.within)} is longer than the log, which spans {span.days} days",
                f"at most {span.days}d; half of that leaves something to learn from",
                "give a shorter horizon or a longer log",
            )
