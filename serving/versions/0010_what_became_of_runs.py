"""What runs expected of their customers, and what happened."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0010"
down_revision = "0009"

_ID = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade(op: Operations) -> None:
    """Make the tables of outcomes and expectations."""
    op.create_table(
        "outcomes",
        sa.Column("run_id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("journey", sa.String(), nullable=False),
        sa.Column("cutoff", sa.BigInteger(), nullable=False),
        sa.Column("complete_until", sa.BigInteger(), nullable=False),
        sa.Column("scored_at", sa.BigInteger(), nullable=False),
        sa.Column("versions", sa.JSON(), nullable=False),
        sa.Column("customers", sa.Integer(), nullable=False),
        sa.Column("knows_until", sa.JSON(), nullable=False),
        sa.Column("judged_until", sa.BigInteger()),
        sa.Column("digest", sa.String()),
        sa.Column("report", sa.LargeBinary()),
    )
    op.create_index("outcomes_of_journey", "outcomes", ["journey", "cutoff"])
    op.create_table(
        "expectations",
        sa.Column("run_id", sa.Integer(), sa.ForeignKey("outcomes.run_id", ondelete="CASCADE"), primary_key=True),
        sa.Column("customer_id", _ID, primary_key=True),
        sa.Column("journey", sa.String(), nullable=False),
        sa.Column("stage", sa.String()),
        sa.Column("risk", sa.String()),
        sa.Column("churn_probability", sa.Double()),
        sa.Column("next_stage", sa.JSON()),
        sa.Column("cltv_expected", sa.Double()),
        sa.Column("cltv_low", sa.Double()),
        sa.Column("cltv_high", sa.Double()),
        sa.Column("segments", sa.JSON()),
        sqlite_with_rowid=False,
    )
