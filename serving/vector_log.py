"""The vectors that were served: a sample is kept as it was, so that it can be held against one built anew."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl
from sqlalchemy import delete, insert, select

from features.canonical import ordered, shaped
from features.journey import Journey
from features.records import from_records
from features.schema import CUSTOMER, CUTOFF
from serving.clock import now
from serving.kept_out import barred
from serving.store import Store
from serving.tables import served_vectors

KEPT = 10_000  # of a journey, the newest
OF_A_RUN = 1_000  # vectors of a scoring run that are kept, about
_MODULUS = 2**32

if TYPE_CHECKING:
    from serving.scorer import Scorer


class ServedVector(NamedTuple):
    """A vector as it was served; `events` are those of the request, null where the business's log was read."""

    customer_id: str
    cutoff: int
    definitions: str
    vector: dict[str, Any]
    events: list[dict[str, Any]] | None


class VectorLog:
    """Keeps a share of the vectors that answers come from.

    Parameters
    ----------
    store
        Where.
    scorer
        Whose vectors.
    share
        Of the vectors, chosen by a hash of customer and cutoff: the same whoever asks.
    events
        Whether the events are kept too: those of a request stand nowhere else.
    """

    def __init__(self, store: Store, scorer: Scorer, *, share: float, events: bool) -> None:
        self._store, self._journey = store, scorer.journey.journey
        self._definitions, self._columns = scorer.definitions, [feature.name for feature in scorer.features]
        self._share, self._events = share, events
        self._rows: list[dict[str, Any]] = []

    def add(self, events: pl.DataFrame, vectors: pl.DataFrame) -> None:
        """Choose some of these vectors; `write` keeps them."""
        chosen = vectors.filter(vectors.select(CUSTOMER, CUTOFF).hash_rows(seed=0) % _MODULUS < self._share * _MODULUS)
        for row in chosen.iter_rows(named=True):
            own = events.filter(pl.col(CUSTOMER) == row[CUSTOMER]).to_dicts() if self._events else None
            self._rows.append(
                {
                    "journey": self._journey,
                    CUSTOMER: row[CUSTOMER],
                    CUTOFF: row[CUTOFF],
                    "served_at": now(),
                    "definitions": self._definitions,
                    "vector": _packed({name: row[name] for name in self._columns}),
                    "events": None if own is None else _packed(own),
                }
            )

    def write(self) -> None:
        """Keep what was chosen; the oldest beyond `KEPT` go."""
        rows, self._rows = self._rows, []
        if not rows:
            return
        with self._store.transaction(writes=True) as connection:
            gone = barred(connection, self._journey, {row[CUSTOMER] for row in rows})
            if rows := [row for row in rows if row[CUSTOMER] not in gone]:
                connection.execute(insert(served_vectors), rows)
            of_journey = served_vectors.c.journey == self._journey
            newest = select(served_vectors.c.id).where(of_journey).order_by(served_vectors.c.id.desc())
            if (old := connection.execute(newest.offset(KEPT).limit(1)).scalar()) is not None:
                connection.execute(delete(served_vectors).where(of_journey, served_vectors.c.id <= old))


def kept(store: Store, journey: str, sample: int) -> Iterator[ServedVector]:
    """The newest vectors that were kept, `sample` at most."""
    newest = select(served_vectors).where(served_vectors.c.journey == journey).order_by(served_vectors.c.id.desc())
    with store.transaction() as connection:
        rows = connection.execute(newest.limit(sample)).all()
    for row in rows:
        events = None if row.events is None else _unpacked(row.events)
        yield ServedVector(row.customer_id, row.cutoff, row.definitions, _unpacked(row.vector), events)


def events_of(served: ServedVector, journey: Journey) -> pl.DataFrame:
    """The events of the request again, in canonical columns."""
    if not served.events:
        return from_records([], journey)[0]
    return ordered(shaped(pl.DataFrame(served.events, infer_schema_length=None), journey))


def _packed(content: Any) -> bytes:
    """As JSON, which keeps every bit of a float, deflated."""
    return zlib.compress(json.dumps(content, ensure_ascii=False, allow_nan=False).encode())


def _unpacked(content: bytes) -> Any:
    return json.loads(zlib.decompress(content))
