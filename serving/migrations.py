"""Stores made by an earlier version: Alembic revisions (`serving/versions`) bring their tables to the present one.

All of them run in the transaction that `serving.database.prepare` holds, so a store is of one version
or of the next. Rows that were there stay; what they never said is null.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection

from serving.tables import schema_version


def upgrade(connection: Connection, version: str | None, wanted: str = "head") -> str | None:
    """Bring tables of `version` to the version `wanted`; the version they are of then.

    Tables of a version that there is no revision of stay as they are.

    Parameters
    ----------
    connection
        In a transaction that the caller ends.
    version
        Null: there are no tables.
    """
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(Path(__file__).parent))
    if version is not None and version not in {known.revision for known in script.walk_revisions()}:
        return version
    # Not Alembic's own name for the table of the version: MLflow has that one in its database.
    options = {"version_table": schema_version.name, "version_table_pk": False}
    context = MigrationContext.configure(connection, opts=options)
    # Not `alembic.op`: it is one for the whole process, where MLflow may upgrade its database at the same time.
    operations = Operations(context)
    for step in reversed(list(script.iterate_revisions(wanted, version or "base"))):
        step.module.upgrade(operations)
        context.stamp(script, step.revision)
        version = step.revision
    return version
