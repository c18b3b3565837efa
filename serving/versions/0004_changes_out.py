"""Changes, webhooks and their deliveries, leases; runs that were asked for."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0004"
down_revision = "0003"

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade(op: Operations) -> None:
    """Widen runs, and make the tables of what is told to others."""
    op.add_column("runs", sa.Column("asked_at", sa.BigInteger()))
    op.add_column("runs", sa.Column("finished_at", sa.BigInteger()))
    op.add_column("runs", sa.Column("failed", sa.String()))
    _make_changes(op)
    _make_webhooks(op)
    op.create_table(
        "leases",
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
    )


def _make_changes(op: Operations) -> None:
    op.create_table(
        "changes",
        sa.Column("id", _COUNTER, primary_key=True),
        sa.Column("journey", sa.String(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("customer_id", _ID, nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("risk", sa.String()),
        sa.Column("risk_before", sa.String()),
        sa.Column("churn_probability", sa.Double()),
        sa.Column("stage", sa.String()),
        sa.Column("expected_loss", sa.Double()),
        sa.Column("currency", sa.String()),
        sa.Column("reason_code", sa.String()),
        sa.Column("reason", sa.String()),
        sqlite_autoincrement=True,
    )
    op.create_index("changes_of_journey", "changes", ["journey", "id"])
    op.create_index("changes_of_customer", "changes", ["journey", "customer_id"])
    op.create_table(
        "pruned_changes",
        sa.Column("journey", sa.String(), primary_key=True),
        sa.Column("up_to", sa.BigInteger(), nullable=False),
    )


def _make_webhooks(op: Operations) -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("journey", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("types", sa.JSON(), nullable=False),
        sa.Column("risks", sa.JSON()),
        sa.Column("secret", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("change_id", sa.BigInteger(), nullable=False),
        sa.Column("scored_at", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("paused_until", sa.BigInteger()),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "deliveries",
        sa.Column("id", _COUNTER, primary_key=True),
        sa.Column("journey", sa.String(), nullable=False),
        sa.Column("webhook_id", sa.Integer(), sa.ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("customer_id", _ID),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("next_at", sa.BigInteger()),
        sa.Column("tried_at", sa.BigInteger()),
        sa.Column("http_status", sa.Integer()),
        sa.Column("error", sa.String()),
        sa.Column("milliseconds", sa.Integer()),
        sqlite_autoincrement=True,
    )
    op.create_index("deliveries_of_webhook", "deliveries", ["webhook_id", "id"])
    op.create_index("deliveries_due", "deliveries", ["state", "webhook_id", "next_at"])
    op.create_index("deliveries_of_customer", "deliveries", ["journey", "customer_id"])
