"""Which runs a store keeps: the newest. What older ones expected is kept apart until it is known what came true."""

from __future__ import annotations

from sqlalchemy import Connection, and_, delete, select

from features.schema import DAY
from serving.clock import now
from serving.runs import WAITING, WHOLE
from serving.tables import runs

_ABANDONED = DAY  # a run unfinished for so long is nobody's


def forget(connection: Connection, journey: str, keep: int) -> None:
    """Delete all but the newest `keep` runs of a journey, and what is left of those that came to nothing."""
    of_journey = select(runs.c.id).where(runs.c.journey == journey)
    newest_first = of_journey.where(WHOLE).order_by(runs.c.scored_at.desc(), runs.c.id.desc())
    abandoned = (~WHOLE, runs.c.scored_at < now() - _ABANDONED, ~and_(*WAITING))
    old = list(connection.execute(newest_first.offset(keep)).scalars())
    old += connection.execute(of_journey.where(*abandoned)).scalars()
    if old:
        connection.execute(delete(runs).where(runs.c.id.in_(old)))  # scores and answers go with it
