"""What a run tells besides its answers: documents stored with it, and gone with it but for what came true."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import orjson
from sqlalchemy import Connection, delete, insert, select

from serving.kept_out import NO_NAME, barred
from serving.tables import run_documents, runs

Kind: TypeAlias = Literal["journey", "data", "realised"]
JOURNEY: Final[Kind] = "journey"
DATA: Final[Kind] = "data"
REALISED: Final[Kind] = "realised"


class Document(NamedTuple):
    """One document; `run_id` is null for the run being written, else an earlier run that it is about."""

    kind: Kind
    content: dict[str, Any]
    grouping: str = ""
    name: str = ""
    run_id: int | None = None


def write(connection: Connection, run_id: int, documents: Iterable[Document]) -> None:
    """Store documents; one that stands already is replaced."""
    for found in documents:
        key = {
            "run_id": found.run_id or run_id,
            "kind": found.kind,
            "grouping": found.grouping,
            "name": found.name,
        }
        connection.execute(
            delete(run_documents).where(*(run_documents.c[name] == value for name, value in key.items()))
        )
        packed = zlib.compress(orjson.dumps(found.content, option=orjson.OPT_SERIALIZE_NUMPY), 6)
        connection.execute(insert(run_documents).values(key | {"document": packed}))


def write_new(connection: Connection, journey: str, run_id: int, documents: Sequence[Document]) -> None:
    """Store documents of a run that ends, without the ids of those who were erased since it began."""
    reports = [found.content for found in documents if found.kind == DATA]
    findings = [one for told in reports for one in (told.get("report") or {}).get("findings", [])]
    named = [one["customer"] for one in findings if one.get("customer") is not None]
    gone = barred(connection, journey, named) if named else set()
    for told in reports:
        _unnamed(told, gone)
    write(connection, run_id, documents)


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
            write(connection, run_id, [Document(DATA, content, grouping, name)])


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


def realised(connection: Connection, journey: str, limit: int) -> list[tuple[int, dict[str, Any]]]:
    """What came of the newest runs whose horizon is over, with their ids; of runs that are gone too."""
    columns = run_documents.c
    wanted = select(columns.run_id, columns.name, columns.document).join(runs, runs.c.id == columns.run_id)
    wanted = wanted.where(runs.c.journey == journey, columns.kind == REALISED)
    found = {int(name) if name else run_id: packed for run_id, name, packed in connection.execute(wanted)}
    return [(run_id, orjson.loads(zlib.decompress(found[run_id]))) for run_id in sorted(found, reverse=True)[:limit]]
