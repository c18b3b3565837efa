"""What a run tells besides its answers: documents stored with it, and gone with it."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Sequence
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias

import orjson
from sqlalchemy import Connection, delete, insert, select, update

from serving.kept_out import NO_NAME, barred
from serving.tables import run_documents, runs

Kind: TypeAlias = Literal["journey", "data", "drift", "expected"]
JOURNEY: Final[Kind] = "journey"
DATA: Final[Kind] = "data"
DRIFT: Final[Kind] = "drift"
EXPECTED: Final[Kind] = "expected"


class Kept(Protocol):
    """Something that is stored with a run, in the transaction that makes the run visible."""

    def write(self, connection: Connection, run_id: int) -> None:
        """Store it."""


class Document(NamedTuple):
    """One document of a run; one that stands already is replaced."""

    kind: Kind
    content: dict[str, Any]
    grouping: str = ""
    name: str = ""

    def write(self, connection: Connection, run_id: int) -> None:
        """Store it."""
        key = {"run_id": run_id, "kind": self.kind, "grouping": self.grouping, "name": self.name}
        same = (run_documents.c[name] == value for name, value in key.items())
        connection.execute(delete(run_documents).where(*same))
        packed = zlib.compress(orjson.dumps(self.content, option=orjson.OPT_SERIALIZE_NUMPY), 6)
        connection.execute(insert(run_documents).values(key | {"document": packed}))


def write_new(connection: Connection, journey: str, run_id: int, documents: Sequence[Kept]) -> None:
    """Store documents of a run that ends, without the ids of those who were erased since it began."""
    reports = [found.content for found in documents if isinstance(found, Document) and found.kind == DATA]
    findings = [one for told in reports for one in (told.get("report") or {}).get("findings", [])]
    named = [one["customer"] for one in findings if one.get("customer") is not None]
    gone = barred(connection, journey, named) if named else set()
    for told in reports:
        _unnamed(told, gone)
    for one in documents:
        one.write(connection, run_id)


def carry(connection: Connection, journey: str, run_id: int) -> None:
    """Let what is told of a journey, not of one of its runs, go on to the newest one."""
    of_journey = select(runs.c.id).where(runs.c.journey == journey, runs.c.id != run_id)
    told = (run_documents.c.kind == DRIFT, run_documents.c.run_id.in_(of_journey))
    connection.execute(update(run_documents).where(*told).values(run_id=run_id))


def read(connection: Connection, run_id: int, kind: Kind, grouping: str = "", name: str = "") -> dict[str, Any] | None:
    """A document of a run; null: it has none."""
    columns = run_documents.c
    wanted = select(columns.document).where(
        columns.run_id == run_id, columns.kind == kind, columns.grouping == grouping, columns.name == name
    )
    found = connection.execute(wanted).scalar()
    return None if found is None else orjson.loads(zlib.decompress(found))


def forget(connection: Connection, journey: str, customers: Collection[str]) -> None:
    """Take customers' ids out of what reports on the data found, which name whoever stands out."""
    columns = run_documents.c
    wanted = select(columns.run_id, columns.grouping, columns.name).join(runs, runs.c.id == columns.run_id)
    for run_id, grouping, name in connection.execute(
        wanted.where(runs.c.journey == journey, columns.kind == DATA)
    ).all():
        content = read(connection, run_id, DATA, grouping, name) or {}
        if _unnamed(content, customers):
            Document(DATA, content, grouping, name).write(connection, run_id)


def _unnamed(content: dict[str, Any], customers: Collection[str]) -> bool:
    """Take the ids out of a report's findings; whether there were any."""
    changed = False
    for one in (content.get("report") or {}).get("findings", []):
        for named in map(repr, customers):
            if named in one["found"]:
                one["found"], changed = one["found"].replace(named, NO_NAME), True
                one.pop("customer", None)
    return changed


def groups(connection: Connection, run_id: int, kind: Kind) -> list[tuple[str, str]]:
    """Grouping and name of a run's documents of a kind, in order."""
    columns = run_documents.c
    wanted = select(columns.grouping, columns.name).where(columns.run_id == run_id, columns.kind == kind)
    return sorted((grouping, name) for grouping, name in connection.execute(wanted))
