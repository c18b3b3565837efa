"""Which runs a store keeps: the newest, and of those before them one a week until it is known what came true."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, and_, select, update

from features.schema import DAY
from serving.clock import now
from serving.documented import REALISED
from serving.runs import COMPLETE_UNTIL, WAITING, WHOLE
from serving.runs import forget as delete_runs
from serving.tables import run_documents, runs

APART = 7 * DAY
GRACE = 14 * DAY  # a horizon is over for good when events that came late are in, and someone scored since
_ABANDONED = DAY  # a run unfinished for so long is nobody's; one that waits is still asked for


def thinned(cutoffs: Sequence[tuple[int, int]], since: int) -> set[int]:
    """Those kept of older runs: the oldest that is not over, and from there on one a week.

    Parameters
    ----------
    cutoffs
        Id and cutoff of each run, the oldest first.
    since
        Runs with an earlier cutoff are over.
    """
    kept, last = set(), None
    for run_id, cutoff in cutoffs:
        if cutoff >= since and (last is None or cutoff >= last + APART):
            kept.add(run_id)
            last = cutoff
    return kept


def forget(connection: Connection, journey: str, run_id: int, keep: int, horizon: int) -> None:
    """Delete the runs of a journey that are old, and what is left of those that came to nothing.

    What became of their expectations stays: the newest run, `run_id`, holds it under the id of the run it is of.

    Parameters
    ----------
    keep
        How many of the newest stay, whatever their age.
    horizon
        The longest of the journey's, microseconds; 0: nothing is ever realised.
    """
    # Runs are over by how far logs are complete, not by the cutoff: what came true is told up to there.
    of_journey = select(runs.c.id, runs.c.cutoff, COMPLETE_UNTIL.label("complete")).where(runs.c.journey == journey)
    whole = connection.execute(of_journey.where(WHOLE).order_by(runs.c.scored_at.desc(), runs.c.id.desc())).all()
    older = [(found.id, found.cutoff) for found in reversed(whole[keep:])]
    kept = thinned(older, whole[0].complete - horizon - GRACE) if horizon and whole else set()
    old = [found for found, _ in older if found not in kept]
    abandoned = (runs.c.journey == journey, ~WHOLE, runs.c.scored_at < now() - _ABANDONED, ~and_(*WAITING))
    old += connection.execute(select(runs.c.id).where(*abandoned)).scalars()
    for gone in old:
        theirs = (run_documents.c.run_id == gone, run_documents.c.kind == REALISED)
        own = update(run_documents).where(*theirs, run_documents.c.name == "")
        connection.execute(own.values(name=str(gone)))
        connection.execute(update(run_documents).where(*theirs).values(run_id=run_id))
    if old:
        delete_runs(connection, runs.c.id.in_(old))
