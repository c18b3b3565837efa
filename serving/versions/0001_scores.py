"""Runs, with every customer's score and answer."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0001"
down_revision = None

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade(op: Operations) -> None:
    """Make the first tables, the one that says the version among them."""
    op.create_table("schema_version", sa.Column("version_num", sa.String(), nullable=False))
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("cutoff", sa.BigInteger(), nullable=False),
        sa.Column("scored_at", sa.BigInteger(), nullable=False),
        sa.Column("versions", sa.JSON(), nullable=False),
        sa.Column("journey", sa.String(), nullable=False),
        sa.Column("currency", sa.String()),
        sa.Column("customers", sa.Integer(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("runs_of_journey", "runs", ["journey", "id"])
    op.create_table(
        "answers",
        sa.Column("run_id", sa.Integer(), sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("customer_id", _ID, primary_key=True),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "scores",
        sa.Column("run_id", sa.Integer(), sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("stage", sa.String()),
        sa.Column("churn_eligible", sa.Boolean(), nullable=False),
        sa.Column("churn_probability", sa.Double()),
        sa.Column("churn_percentile", sa.Integer()),
        sa.Column("risk", sa.String()),
        sa.Column("cltv_expected", sa.Double()),
        sa.Column("at_stake", sa.Double()),
        sa.Column("expected_loss", sa.Double()),
        sa.Column("reason_code", sa.String()),
        sa.Column("reason", sa.String()),
        sa.Column("rank_value", sa.Double()),
        sa.Column("customer_id", _ID, primary_key=True),
        sqlite_with_rowid=False,
    )
    order: list[str | sa.TextClause] = [sa.text("rank_value DESC"), sa.text("churn_probability DESC"), "customer_id"]
    op.create_index("scores_ranked", "scores", ["run_id", *order])
