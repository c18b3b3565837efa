"""Bands before, segments and horizons with the scores; worklist, events and campaigns beside them."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0002"
down_revision = "0001"

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_COUNTER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade(op: Operations) -> None:
    """Widen runs and scores, and make what stands beside them."""
    op.add_column("runs", sa.Column("horizon", sa.BigInteger()))
    op.add_column("runs", sa.Column("segments", sa.JSON()))
    op.add_column("scores", sa.Column("risk_before", sa.String()))
    op.add_column("scores", sa.Column("risk_since", sa.BigInteger()))
    op.add_column("scores", sa.Column("segments", sa.JSON()))
    order: list[str | sa.TextClause] = [sa.text("rank_value DESC"), sa.text("churn_probability DESC"), "customer_id"]
    money = ["cltv_expected", "at_stake"]
    op.drop_index("scores_ranked", "scores")
    ranked: list[str | sa.TextClause] = ["run_id", *order, "risk", "stage", *money, "reason_code", "risk_since"]
    op.create_index("scores_ranked", "scores", ranked)
    op.create_index("scores_of_stage", "scores", ["run_id", "risk", "stage", *order, *money])
    _make_worklist(op)
    _make_events(op)
    _make_campaigns(op)


def _make_worklist(op: Operations) -> None:
    op.create_table(
        "worklist",
        sa.Column("journey", sa.String(), primary_key=True),
        sa.Column("customer_id", _ID, primary_key=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("assignee", sa.String()),
        sa.Column("note", sa.String()),
        sa.Column("snoozed_until", sa.BigInteger()),
        sa.Column("opted_out", sa.Boolean(), nullable=False),
        sa.Column("contacted_at", sa.BigInteger()),
        sa.Column("held_out_until", sa.BigInteger()),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("worklist_by_status", "worklist", ["journey", "status"])


def _make_events(op: Operations) -> None:
    op.create_table(
        "events",
        sa.Column("id", _COUNTER, primary_key=True),
        sa.Column("journey", sa.String(), nullable=False),
        sa.Column("event_id", _ID, nullable=False),
        sa.Column("customer_id", _ID, nullable=False),
        sa.Column("time", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("value", sa.Double()),
        sa.Column("channel", sa.String()),
        sa.Column("known_at", sa.BigInteger(), nullable=False),
        sa.Column("properties", sa.JSON()),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("journey", "event_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("events_of_customer", "events", ["journey", "customer_id", "time"])


def _make_campaigns(op: Operations) -> None:
    op.create_table(
        "campaigns",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("journey", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("cutoff", sa.BigInteger(), nullable=False),
        sa.Column("horizon", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String()),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("filters", sa.JSON(), nullable=False),
        sa.Column("costs", sa.JSON(), nullable=False),
        sa.Column("budget", sa.Double()),
        sa.Column("capacity", sa.Integer()),
        sa.Column("holdout", sa.Double(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("sent_at", sa.BigInteger()),
        sa.Column("channel", sa.String()),
        sa.Column("contacted", sa.Integer()),
        sa.Column("outcome", sa.JSON()),
        sqlite_autoincrement=True,
    )
    op.create_index("campaigns_of_journey", "campaigns", ["journey", "id"])
    op.create_table(
        "campaign_members",
        sa.Column("campaign_id", sa.Integer(), sa.ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("customer_id", _ID, primary_key=True),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("arm", sa.String(), nullable=False),
        sa.Column("churn_probability", sa.Double(), nullable=False),
        sa.Column("at_stake", sa.Double()),
        sa.Column("contact_profit", sa.Double()),
        sqlite_with_rowid=False,
    )
    op.create_index("members_in_order", "campaign_members", ["campaign_id", "place"], unique=True)
