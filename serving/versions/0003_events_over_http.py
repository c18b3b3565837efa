"""Histories, served vectors, keys, the audit log and erasures; runs say how far the stored events had come."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0003"
down_revision = "0002"

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade(op: Operations) -> None:
    """Widen runs and campaigns, and make the tables of events over HTTP and of who may send them."""
    op.add_column("runs", sa.Column("event_id", sa.BigInteger()))
    op.add_column("campaigns", sa.Column("erased", sa.Integer()))
    theirs = sa.text("event <> 'contacted'")
    op.create_index("events_known", "events", ["journey", "known_at"], sqlite_where=theirs, postgresql_where=theirs)
    _make_histories(op)
    _make_access(op)
    _make_erasures(op)


def _make_histories(op: Operations) -> None:
    op.create_table(
        "histories",
        sa.Column("journey", sa.String(), primary_key=True),
        sa.Column("customer_id", _ID, primary_key=True),
        sa.Column("history", sa.LargeBinary(), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.Column("digest", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
    )
    # Some stores of the version before have it already.
    op.create_table(
        "served_vectors",
        sa.Column("id", _COUNTER, primary_key=True),
        sa.Column("journey", sa.String(), nullable=False),
        sa.Column("customer_id", _ID, nullable=False),
        sa.Column("cutoff", sa.BigInteger(), nullable=False),
        sa.Column("served_at", sa.BigInteger(), nullable=False),
        sa.Column("definitions", sa.String(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.Column("events", sa.LargeBinary()),
        sqlite_autoincrement=True,
        if_not_exists=True,
    )
    op.create_index("served_vectors_of_journey", "served_vectors", ["journey", "id"], if_not_exists=True)


def _make_access(op: Operations) -> None:
    op.create_table(
        "keys",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("revoked_at", sa.BigInteger()),
    )
    op.create_table(
        "audit",
        sa.Column("id", _COUNTER, primary_key=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("route", sa.String(), nullable=False),
        sa.Column("journey", sa.String(), nullable=False),
        sa.Column("customer_id", _ID),
        sa.Column("status", sa.Integer(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("audit_of_customer", "audit", ["journey", "customer_id"])
    op.create_table(
        "replies",
        sa.Column("journey", sa.String(), primary_key=True),
        sa.Column("owner", sa.String(), primary_key=True),
        sa.Column("key", _ID, primary_key=True),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("outcomes", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
    )
    op.create_index("replies_by_age", "replies", ["at"])


def _make_erasures(op: Operations) -> None:
    op.create_table(
        "erasures",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("journey", sa.String(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("allowed_at", sa.BigInteger()),
    )
    op.create_index("erasures_of_journey", "erasures", ["journey", "hash"])
    op.create_table(
        "secrets",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("value", sa.LargeBinary(), nullable=False),
    )
