"""What came of runs stands in a table of its own: documents of runs that told of it are read by nobody any more."""

import sqlalchemy as sa
from alembic.operations import Operations

revision = "0011"
down_revision = "0010"


def upgrade(op: Operations) -> None:
    """Delete them; the runs themselves are followed up when somebody asks (`serving.catching_up`)."""
    op.execute(sa.text("DELETE FROM run_documents WHERE kind = 'realised'"))
