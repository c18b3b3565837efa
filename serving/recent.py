"""What the kept runs said of one customer, run by run."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import select

from serving.store import Store
from serving.tables import runs, scores


class Earlier(NamedTuple):
    """One run's numbers; null: the task did not ask. Instants are microseconds."""

    run_id: int
    cutoff: int
    scored_at: int
    stage: str | None
    risk: str | None
    churn_probability: float | None
    cltv_expected: float | None
    expected_loss: float | None


def recent(store: Store, journey: str, customer_id: str, most: int = 10) -> list[Earlier]:
    """The newest runs' numbers of a customer, the oldest of them first; runs without the customer are left out."""
    if "\x00" in customer_id:  # PostgreSQL stores no NUL, and refuses to be asked for one
        return []
    names = ("stage", "risk", "churn_probability", "cltv_expected", "expected_loss")
    wanted = (
        select(runs.c.id, runs.c.cutoff, runs.c.scored_at, *(scores.c[name] for name in names))
        .join(scores, (scores.c.run_id == runs.c.id) & (scores.c.customer_id == customer_id))
        .where(runs.c.journey == journey, runs.c.customers > 0)
        .order_by(runs.c.id.desc())
        .limit(most)
    )
    with store.transaction() as connection:
        return [Earlier(*row) for row in reversed(connection.execute(wanted).all())]
