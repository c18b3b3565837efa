"""How far a journey has come: the first instant that no answer has seen yet.

It goes by the business's clock, not by the wall's: by the newest run's cutoff and by what came in over
HTTP, so that a history replayed years later is answered as it would have been then.
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, func, select

from serving.store import latest
from serving.tables import THEIRS, events

_NEWEST = select(func.max(events.c.known_at)).where(events.c.journey == bindparam("journey"), THEIRS)


def present(connection: Connection, journey: str) -> int | None:
    """The moment after the newest event that was acknowledged, or the newest run's cutoff if that is later.

    Microseconds; null: nothing was scored and nothing came in. The business's own contacts say nothing
    of how far it has come.
    """
    run, newest = latest(connection, journey), connection.execute(_NEWEST, {"journey": journey}).scalar()
    instants = [run.cutoff] if run else []
    instants += [newest + 1] if newest is not None else []
    return max(instants, default=None)
