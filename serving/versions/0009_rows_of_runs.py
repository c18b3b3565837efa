"""Scores and answers on PostgreSQL without the keys that were looked up for every row."""

from alembic.operations import Operations

revision = "0009"
down_revision = "0008"


def upgrade(op: Operations) -> None:
    """Drop the foreign keys; SQLite, which looks them up for little, would have to write the tables anew."""
    if op.get_bind().dialect.name == "postgresql":
        for table in ("scores", "answers"):
            op.drop_constraint(f"{table}_run_id_fkey", table, type_="foreignkey")
