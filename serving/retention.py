"""Which runs a store keeps: the newest, and of those before them one a week until it is known what came true."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from sqlalchemy import Connection, Table, and_, delete, select, update

from features.schema import DAY
from serving.clock import now
from serving.documented import REALISED
from serving.kept_out import beside_others
from serving.runs import COMPLETE_UNTIL, FORGOTTEN, STORED, WAITING, WHOLE
from serving.tables import run_documents, runs, scores, stored_answers

APART = 7 * DAY
GRACE = 14 * DAY  # a horizon is over for good when events that came late are in, and someone scored since
_PART = 5_000  # rows that are deleted in one transaction
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
    """Let go of the runs of a journey that are old, and of what is left of those that came to nothing.

    Nobody sees them from now on; `sweep` deletes them when the new run is shown. What became of their expectations
    stays: the newest run, `run_id`, holds it under the id of the run it is of.

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
        connection.execute(update(runs).where(runs.c.id.in_(old)).values(customers=0, failed=FORGOTTEN))


def sweep(transaction: Callable[..., AbstractContextManager[Connection]], journey: str) -> None:
    """Delete the runs that were let go of, also those that a process which was killed left behind.

    In parts, each a transaction of its own: whoever erases a customer waits for all who write, and those who take
    in events wait for the one who erases, so that no writer may take long.
    """
    gone = select(runs.c.id).where(runs.c.journey == journey, ~STORED)
    with transaction() as connection:
        found = list(connection.execute(gone).scalars())
    for run_id in found:
        for table in (scores, stored_answers):
            while _delete_part(transaction, table, run_id):
                pass
        with transaction(writes=True) as connection:
            beside_others(connection)
            connection.execute(delete(runs).where(runs.c.id == run_id))  # its documents go with it


def _delete_part(transaction: Callable[..., AbstractContextManager[Connection]], table: Table, run_id: int) -> bool:
    """Delete some rows of a run; whether there are more."""
    customer, of_run = table.c.customer_id, table.c.run_id == run_id
    with transaction(writes=True) as connection:
        beside_others(connection)
        end = connection.execute(select(customer).where(of_run).order_by(customer).offset(_PART).limit(1)).scalar()
        connection.execute(delete(table).where(of_run, *([] if end is None else [customer < end])))
    return end is not None
