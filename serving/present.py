"""How far a journey has come: the first instant that no answer has seen yet.

It goes by the business's clock, not by the wall's: by the newest run's cutoff and by what came in over
HTTP, so that a history replayed years later is answered as it would have been then.
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, func, select

from serving.runs import WHOLE
from serving.store import latest
from serving.tables import THEIRS, events, runs

_NEWEST = select(func.max(events.c.known_at)).where(events.c.journey == bindparam("journey"), THEIRS)
_BEGUN = select(func.max(runs.c.cutoff)).where(runs.c.journey == bindparam("journey"), ~WHOLE, runs.c.failed.is_(None))


def present(connection: Connection, journey: str) -> int | None:
    """The moment after the newest event that was acknowledged, or the newest run's cutoff if that is later.

    Microseconds; null: nothing was scored and nothing came in. The business's own contacts say nothing
    of how far it has come.
    """
    newest = connection.execute(_NEWEST, {"journey": journey}).scalar()
    instants = [scored_until(connection, journey), None if newest is None else newest + 1]
    return max((one for one in instants if one is not None), default=None)


def scored_until(connection: Connection, journey: str) -> int | None:
    """The cutoff of the newest run, or of one that is being written: it does not see what comes in now.

    Microseconds; null: there is none.
    """
    run, begun = latest(connection, journey), connection.execute(_BEGUN, {"journey": journey}).scalar()
    instants = [run.cutoff if run else None, begun or None]  # 0: it was asked for and has not begun
    return max((one for one in instants if one is not None), default=None)
