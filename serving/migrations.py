"""Stores made by an earlier version: the steps that bring their tables to the present one.

Each step runs in the transaction that `serving.database.prepare` holds, so a store is of one version
or of the next. Rows that were there stay; what they never said is null.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Column, Connection, inspect, text, update

from serving import access_tables, tables
from serving.tables import metadata, runs, schema_version, scores, scores_of_stage, scores_ranked


def upgrade(connection: Connection, version: str) -> str:
    """Bring tables of `version` as far as the steps lead; the version they are of then."""
    while version in _STEPS:
        version, step = _STEPS[version]
        step(connection)
        connection.execute(update(schema_version).values(version_num=version))
    return version


def _lists_that_pay(connection: Connection) -> None:
    """Bands before, segments and horizons with the scores; worklist, events and campaigns beside them."""
    for column in (runs.c.horizon, runs.c.segments, scores.c.risk_before, scores.c.risk_since, scores.c.segments):
        _add(connection, column)
    scores_ranked.drop(connection)
    for index in (scores_ranked, scores_of_stage):
        index.create(connection)
    metadata.create_all(connection)


def _events_over_http(connection: Connection) -> None:
    """Histories, keys, the audit log and erasures; runs say how far the stored events had come."""
    for column in (runs.c.event_id, tables.campaigns.c.erased):
        _add(connection, column)
    found = access_tables
    new = [tables.histories, found.keys, found.audit, found.replies, found.erasures, found.secrets]
    metadata.create_all(connection, tables=new)
    tables.events_known.create(connection, checkfirst=True)


def _changes_out(connection: Connection) -> None:
    """Changes, webhooks and their deliveries, leases; runs that were asked for."""
    for column in (runs.c.asked_at, runs.c.finished_at, runs.c.failed):
        _add(connection, column)
    metadata.create_all(connection)


def _add(connection: Connection, column: Column[Any]) -> None:
    """Add a column, unless an earlier step made the whole table with it."""
    if column.name in {found["name"] for found in inspect(connection).get_columns(column.table.name)}:
        return
    kind = column.type.compile(dialect=connection.dialect)
    connection.execute(text(f"ALTER TABLE {column.table.name} ADD COLUMN {column.name} {kind}"))


def _what_runs_tell(connection: Connection) -> None:
    """Journeys, reports on the data and realised outcomes beside the scores; the audit log by age and journey."""
    metadata.create_all(connection, tables=[tables.run_documents])
    for index in (access_tables.audit_by_age, access_tables.audit_of_journey):
        index.create(connection, checkfirst=True)


def _what_became_of_runs(connection: Connection) -> None:
    """What runs expected, and what happened."""
    metadata.create_all(connection, tables=[tables.outcomes, tables.expectations])


_STEPS: dict[str, tuple[str, Callable[[Connection], None]]] = {
    "0001": ("0002", _lists_that_pay),
    "0002": ("0003", _events_over_http),
    "0003": ("0004", _changes_out),
    "0004": ("0005", _what_runs_tell),
    "0005": ("0006", _what_became_of_runs),
}
