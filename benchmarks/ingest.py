"""Events in over HTTP: how many a second are acknowledged, that is, durable."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from sqlalchemy import func, select

from benchmarks.lines import Line, Lines, progress
from benchmarks.load import Request, load
from benchmarks.servers import ours
from benchmarks.stores import KINDS, setting, store_url
from benchmarks.writing import JOURNEY
from serving.store import Store
from serving.tables import events

FASTEST = 6_000  # requests per second that there are enough of
SIZES = ((1, 64, 1_000), (100, 8, 10_000))  # events per request, connections, target on PostgreSQL


def events_in(lines: Lines, home: Path, seconds: float) -> None:
    """Single events and batches of a hundred, on each database."""
    for kind in KINDS:
        for size, connections, target in SIZES:
            with store_url(kind) as url, ours(JOURNEY, home, {"JOURNEYCAST_STORE": url}) as address:
                progress(f"{kind}: events by {size}")
                time.sleep(5)  # the models are loaded beside
                requests = [_request(size) for _ in range(round(FASTEST * seconds / (1 if size == 1 else 10)))]
                found = load(address, requests, connections, seconds)
                detail = {
                    "connections": connections, "workers": 1, "p50_ms": found.p50, "p99_ms": found.p99,
                    "acknowledged": found.requests * size, "stored": _stored(url),
                }  # fmt: skip
                if kind == "postgresql":
                    detail |= {name: setting(url, name) for name in ("synchronous_commit", "fsync")}
                wanted = f">= {target}" if kind == "postgresql" else None
                name = f"events per second, acknowledged and durable, {size} per request, {kind}"
                lines.add(Line(name, found.rate * size, "per second", wanted, detail))


def _request(size: int) -> Request:
    told = [*_events(size)]
    body = told[0] if size == 1 else {"events": told}
    return Request("/v1/events", "POST", json.dumps(body))


def _events(size: int) -> Iterator[dict[str, object]]:
    for _ in range(size):
        event_id = uuid4().hex
        at = datetime.now(UTC).isoformat()
        yield {"customer_id": event_id[:4], "time": at, "event": "purchase", "value": 12.5, "event_id": event_id}


def _stored(url: str) -> int:
    store = Store(url)
    with store.transaction() as connection:
        found = connection.execute(select(func.count()).select_from(events)).scalar_one()
    store.close()
    return int(found)
