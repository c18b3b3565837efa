"""Since when it is known that a campaign was sent: somebody may say so days later."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0012"
down_revision = "0011"


def upgrade(op: Operations) -> None:
    """Of what was sent before, nobody kept it: it counts as known at once."""
    op.add_column("campaigns", sa.Column("sent_known_at", sa.BigInteger()))
    op.execute(sa.text("UPDATE campaigns SET sent_known_at = sent_at"))
