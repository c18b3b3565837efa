"""The list by churn probability, and sessions that their owners ended."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0006"
down_revision = "0005"


def upgrade(op: Operations) -> None:
    """Make the index of the order, and the table of sessions."""
    order: list[str | sa.TextClause] = ["run_id", sa.text("churn_probability DESC"), "customer_id"]
    told = ["rank_value", "risk", "stage", "cltv_expected", "at_stake", "reason_code", "risk_since"]
    op.create_index("scores_by_churn", "scores", [*order, *told])
    op.create_table(
        "signed_out",
        sa.Column("digest", sa.LargeBinary(), primary_key=True),
        sa.Column("until", sa.BigInteger(), nullable=False),
    )
