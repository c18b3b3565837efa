"""What a run tells besides its answers: documents stored with it, and gone with it."""

from __future__ import annotations

import zlib
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias

import orjson
from sqlalchemy import Connection, delete, insert, select

from serving.tables import run_documents, runs

Kind: TypeAlias = Literal["journey", "data", "drift"]
JOURNEY: Final[Kind] = "journey"
DATA: Final[Kind] = "data"
DRIFT: Final[Kind] = "drift"


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


def read(connection: Connection, run_id: int, kind: Kind, grouping: str = "", name: str = "") -> dict[str, Any] | None:
    """A document of a run; null: it has none."""
    columns = run_documents.c
    wanted = select(columns.document).where(
        columns.run_id == run_id, columns.kind == kind, columns.grouping == grouping, columns.name == name
    )
    found = connection.execute(wanted).scalar()
    return None if found is None else orjson.loads(zlib.decompress(found))


def forget(connection: Connection, journey: str, customer_id: str) -> None:
    """Take a customer's id out of what reports on the data found, which name whoever stands out."""
    columns, named = run_documents.c, repr(customer_id)
    wanted = select(columns.run_id, columns.grouping, columns.name).join(runs, runs.c.id == columns.run_id)
    for run_id, grouping, name in connection.execute(
        wanted.where(runs.c.journey == journey, columns.kind == DATA)
    ).all():
        content = read(connection, run_id, DATA, grouping, name) or {}
        found = [one for one in (content.get("report") or {}).get("findings", []) if named in one["found"]]
        for one in found:
            one["found"] = one["found"].replace(named, "(erased)")
        if found:
            Document(DATA, content, grouping, name).write(connection, run_id)


def groups(connection: Connection, run_id: int, kind: Kind) -> list[tuple[str, str]]:
    """Grouping and name of a run's documents of a kind, in order."""
    columns = run_documents.c
    wanted = select(columns.grouping, columns.name).where(columns.run_id == run_id, columns.kind == kind)
    return sorted((grouping, name) for grouping, name in connection.execute(wanted))
