"""The present instant, in the unit of the event log."""

from __future__ import annotations

from datetime import UTC, datetime

from features.schema import to_microseconds


def now() -> int:
    """Microseconds since the epoch."""
    return to_microseconds(datetime.now(UTC))
