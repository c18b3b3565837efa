"""How far a journey has come: the first instant that no answer has seen yet.

It goes by the business's clock, not by the wall's: by the newest run's cutoff and by what came in over
HTTP, so that a history replayed years later is answered as it would have been then.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, bindparam, func, select

from features.schema import MINUTE
from serving.clock import now
from serving.runs import COMPLETE_UNTIL, OPEN
from serving.store import latest
from serving.tables import THEIRS, events, runs

_OF_JOURNEY = events.c.journey == bindparam("journey")
_NEWEST = select(func.max(events.c.known_at)).where(_OF_JOURNEY, THEIRS)
_BEGUN = select(func.max(runs.c.cutoff), func.max(COMPLETE_UNTIL)).where(runs.c.journey == bindparam("journey"), *OPEN)


AHEAD = MINUTE  # clocks differ by seconds; one that is wrong must not move a journey by hours


class Reached(NamedTuple):
    """How far a journey has come, in microseconds; null: there is nothing of the kind.

    `scored` is the cutoff of the newest run, or of one that is being written: it does not see what comes in now.
    `observed` is up to where the log of that run is complete; events that came in do not move it. `acknowledged`
    is the moment after the newest event that came in, no more than a minute ahead of both the wall's clock and
    `observed`: events further ahead are not seen until it has come to them.
    """

    scored: int | None
    observed: int | None
    acknowledged: int | None

    @property
    def present(self) -> int | None:
        """The first instant that no answer has seen yet."""
        return _latest(self.scored, self.acknowledged)


def reached(connection: Connection, journey: str, complete: int | None = None) -> Reached:
    """How far a journey has come.

    Parameters
    ----------
    complete
        Up to where its log is complete by now, microseconds; null: that of the newest run.
    """
    run, begun = latest(connection, journey), connection.execute(_BEGUN, {"journey": journey}).one()
    # A run that was asked for and has not begun has the cutoff 0.
    scored = _latest(run.cutoff if run else None, begun[0] or None)
    observed = _latest(run.complete_until if run else None, begun[1] or None)
    newest = connection.execute(_NEWEST, {"journey": journey}).scalar()
    furthest = max(now(), observed or 0, complete or 0) + AHEAD
    return Reached(scored, observed, None if newest is None else min(newest + 1, furthest))


def present(connection: Connection, journey: str) -> int | None:
    """The moment after the newest event that was acknowledged, or the newest run's cutoff if that is later.

    Microseconds; null: nothing was scored and nothing came in. What lies ahead of the clocks does not count, and the
    business's own contacts say nothing of how far it has come.
    """
    return reached(connection, journey).present


def known_from(connection: Connection, journey: str, time: int) -> int:
    """When something that happened at `time` is known that is told now: at once, but in no answer that was given.

    For a transaction that lets nobody else write events (`serving.events.in_order`).
    """
    return _latest(time, present(connection, journey)) or time


def _latest(*instants: int | None) -> int | None:
    return max((one for one in instants if one is not None), default=None)
