"""How far a journey has come: the first instant that no answer has seen yet.

It goes by the business's clock, not by the wall's: by the newest run's cutoff and by what came in over
HTTP, so that a history replayed years later is answered as it would have been then.
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, func, select

from serving.runs import WHOLE
from serving.store import latest
from serving.tables import THEIRS, events, runs

_OF_JOURNEY = events.c.journey == bindparam("journey")
_NEWEST = select(func.max(events.c.known_at)).where(_OF_JOURNEY, THEIRS)
_OPEN = (runs.c.journey == bindparam("journey"), ~WHOLE, runs.c.failed.is_(None))
_COMPLETE = func.coalesce(runs.c.observed_until, runs.c.cutoff)
_BEGUN = select(func.max(runs.c.cutoff), func.max(_COMPLETE)).where(*_OPEN)


def present(connection: Connection, journey: str) -> int | None:
    """The moment after the newest event that was acknowledged, or the newest run's cutoff if that is later.

    Microseconds; null: nothing was scored and nothing came in. The business's own contacts say nothing
    of how far it has come.
    """
    return _latest(scored_until(connection, journey), acknowledged(connection, journey))


def scored_until(connection: Connection, journey: str) -> int | None:
    """The cutoff of the newest run, or of one that is being written: it does not see what comes in now.

    Microseconds; null: there is none.
    """
    run, (begun, _) = latest(connection, journey), connection.execute(_BEGUN, {"journey": journey}).one()
    # A run that was asked for and has not begun has the cutoff 0.
    return _latest(run.cutoff if run else None, begun or None)


def known_from(connection: Connection, journey: str, time: int) -> int:
    """When something that happened at `time` is known that is told now: at once, but in no answer that was given.

    For a transaction that lets nobody else write events (`serving.events.in_order`).
    """
    return _latest(time, present(connection, journey)) or time


def acknowledged(connection: Connection, journey: str) -> int | None:
    """The moment after the newest event that came in, microseconds; null: none did."""
    newest = connection.execute(_NEWEST, {"journey": journey}).scalar()
    return None if newest is None else newest + 1


def observed(connection: Connection, journey: str) -> int | None:
    """Up to where the log of the newest run was complete, or that of one that is being written.

    Microseconds; null: there is none. Events that came in do not move it.
    """
    run, (_, begun) = latest(connection, journey), connection.execute(_BEGUN, {"journey": journey}).one()
    return _latest(run.complete_until if run else None, begun or None)


def _latest(*instants: int | None) -> int | None:
    return max((one for one in instants if one is not None), default=None)
