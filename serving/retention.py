"""Which runs a store keeps: the newest. What older ones expected is kept apart until it is known what came true."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from sqlalchemy import Connection, Table, and_, delete, select, update

from features.schema import DAY
from serving.clock import now
from serving.kept_out import beside_others
from serving.runs import FORGOTTEN, STORED, WAITING, WHOLE
from serving.tables import runs, scores, stored_answers

_PART = 5_000  # rows that are deleted in one transaction
_ABANDONED = DAY  # a run unfinished for so long is nobody's; one that waits is still asked for


def forget(connection: Connection, journey: str, keep: int) -> None:
    """Let go of all but the newest `keep` runs of a journey, and of what is left of those that came to nothing.

    Nobody sees them from now on; `sweep` deletes them when the new run is shown.
    """
    of_journey = select(runs.c.id).where(runs.c.journey == journey)
    newest_first = of_journey.where(WHOLE).order_by(runs.c.scored_at.desc(), runs.c.id.desc())
    abandoned = (~WHOLE, runs.c.scored_at < now() - _ABANDONED, ~and_(*WAITING))
    old = list(connection.execute(newest_first.offset(keep)).scalars())
    old += connection.execute(of_journey.where(*abandoned)).scalars()
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
