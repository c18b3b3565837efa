"""Runs say up to where their log was complete, apart from their cutoff, which events over HTTP move on."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0007"
down_revision = "0006"


def upgrade(op: Operations) -> None:
    """Add the column; of runs that were there it was their cutoff."""
    op.add_column("runs", sa.Column("observed_until", sa.BigInteger()))
