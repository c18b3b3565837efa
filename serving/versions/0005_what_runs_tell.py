"""Journeys, reports on the data and realised outcomes beside the scores; the audit log by age and journey."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0005"
down_revision = "0004"


def upgrade(op: Operations) -> None:
    """Make the table of documents, and the audit log's indexes."""
    op.create_table(
        "run_documents",
        sa.Column("run_id", sa.Integer(), sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("kind", sa.String(), primary_key=True),
        sa.Column("grouping", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), primary_key=True),
        sa.Column("document", sa.LargeBinary(), nullable=False),
    )
    # Some stores of the version before have them already.
    op.create_index("audit_by_age", "audit", ["at"], if_not_exists=True)
    op.create_index("audit_of_journey", "audit", ["journey", "id"], if_not_exists=True)
