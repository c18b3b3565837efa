"""The canonical event log: one table, one row per event.

Every module of the project reads events in this form. On disk and in databases `time` and
`known_at` are timestamps (microseconds, naive UTC); inside the project they are `int64`
microseconds since 1970-01-01T00:00:00Z, because durations and time zones differ among engines
and integers do not.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

CUSTOMER = "customer_id"  # string; never null
TIME = "time"  # int64 microseconds: when it happened; never null
EVENT = "event"  # string: the type; never null
VALUE = "value"  # float64, the journey's currency, negative: refund; null: no money in it
CHANNEL = "channel"  # string; null: unknown
KNOWN_AT = "known_at"  # int64 microseconds: when the business learned of it; never null here
POSITION = "position"  # int64: the customer's event number by (time, order of arrival), from 0
EVENT_ID = "event_id"  # string; optional column: the same id is the same event
CUTOFF = "cutoff"  # int64 microseconds: the first instant a vector may not see

CONTACTED = "contacted"  # the event type by which the business's own contacts enter the log

REQUIRED = (CUSTOMER, TIME, EVENT)
CANONICAL = (CUSTOMER, TIME, EVENT, VALUE, CHANNEL, KNOWN_AT, EVENT_ID)
HISTORY = "history"  # int32: the number of a history where histories are sorted
DERIVED = (POSITION, CUTOFF, HISTORY, "age", "last")  # columns that stand beside the properties when a vector is built

MICROSECONDS = 1_000_000
MINUTE = 60 * MICROSECONDS
DAY = 86_400 * MICROSECONDS
HOUR = DAY // 24

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_microseconds(when: datetime) -> int:
    """Microseconds since the epoch; a naive `when` is read as UTC."""
    aware = when if when.tzinfo else when.replace(tzinfo=UTC)
    since = aware - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def to_datetime(microseconds: int) -> datetime:
    """The aware UTC instant of `microseconds` since the epoch."""
    return _EPOCH + timedelta(microseconds=microseconds)


def to_text(microseconds: int) -> str:
    """ISO 8601 with a `Z`, without empty fractions: `2017-12-03T00:00:00Z`."""
    return to_datetime(microseconds).replace(tzinfo=None).isoformat() + "Z"
