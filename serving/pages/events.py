"""A customer's events as a page shows them: along which line, in which words, and whether they are trouble."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from features.journey import Journey
from features.schema import CHANNEL, CONTACTED, EVENT, EVENT_ID, TIME, VALUE
from serving.histories import history
from serving.pages.words import DASH, number, plain
from serving.store import Store

MOST = 2_000  # the newest are shown
_TOLD = {"customer_id", "time", "event", "value", "channel", "known_at", "position", EVENT_ID}
Kind = Literal["own", "business", "friction"]


class Event(NamedTuple):
    """One event: `time` in microseconds, `lane` the channel it stands on (where none is known, its type)."""

    time: int
    event: str
    channel: str | None
    kind: Kind
    lane: str
    words: str


def events_of(store: Store, name: str, journey: Journey | None, customer_id: str, cutoff: int) -> list[Event]:
    """What is known of a customer, the oldest first.

    Parameters
    ----------
    journey
        Says which types are trouble and which the business causes; null: the models are not loaded.
    cutoff
        The newest run's: later events are marked in words, since no prediction knows them.
    """
    rows = history(store, name, customer_id).tail(MOST)
    return [_event(row, journey, cutoff) for row in rows.iter_rows(named=True)]


def _event(row: dict[str, Any], journey: Journey | None, cutoff: int) -> Event:
    event, channel = row[EVENT], row[CHANNEL]
    said = [plain(event)]
    if row[VALUE] is not None:
        said.append(f"{journey.currency if journey else ''} {number(row[VALUE])}".strip())
    said += [f"{plain(name)} {_short(value)}" for name, value in row.items() if name not in _TOLD and value is not None]
    if row[TIME] >= cutoff:
        said.append("since the cutoff")
    return Event(row[TIME], event, channel, _kind(event, journey), channel or plain(event), ", ".join(said))


def _kind(event: str, journey: Journey | None) -> Kind:
    if journey is None:
        return "business" if event == CONTACTED else "own"
    if event in journey.friction:
        return "friction"
    return "business" if event == CONTACTED or event in journey.business else "own"


def _short(value: Any) -> str:
    if isinstance(value, float):
        return number(value, 0 if value.is_integer() else 2)
    return str(value) or DASH
