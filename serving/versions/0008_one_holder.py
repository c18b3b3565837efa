"""Leases by number instead of by clock; runs say under which they are written, deliveries of what they tell."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0008"
down_revision = "0007"


def upgrade(op: Operations) -> None:
    """Make leases anew, widen runs and deliveries, and let what happened once be told to a webhook once."""
    op.drop_table("leases")
    op.create_table(
        "leases",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("beat", sa.BigInteger()),
    )
    op.add_column("runs", sa.Column("fence", sa.BigInteger()))
    op.add_column("runs", sa.Column("restarts", sa.Integer()))
    op.add_column("deliveries", sa.Column("change_id", sa.BigInteger()))
    op.add_column("deliveries", sa.Column("run_id", sa.Integer()))
    op.drop_index("deliveries_due", "deliveries")
    op.create_index("deliveries_due", "deliveries", ["webhook_id", "state", "id"])
    op.create_index("deliveries_over", "deliveries", ["journey", "tried_at"])
    for name, column in (("deliveries_of_change", "change_id"), ("deliveries_of_run", "run_id")):
        told = sa.text(f"{column} IS NOT NULL")
        op.create_index(
            name, "deliveries", ["webhook_id", column], unique=True, sqlite_where=told, postgresql_where=told
        )
