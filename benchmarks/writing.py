"""A run of a million scores into the store, and what readers notice of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

from benchmarks.lines import Line, Lines, progress
from benchmarks.load import Request, load
from benchmarks.servers import ours
from benchmarks.stores import KINDS, setting, store_url
from features.definition import read as read_journey
from serving import memory
from serving.answers import Answer
from serving.clock import now
from serving.segments import Segments
from serving.store import Options, Store

JOURNEY = "complete_journey"
IDS = 2_000


class Sample(NamedTuple):
    """Answers as a real run has them, with the cutoff and the models of that run."""

    answers: list[Answer]
    cutoff: int
    versions: dict[str, int]


def sample(home: Path) -> Sample:
    """The newest run of a home in which the demo was scored."""
    store = Store(f"sqlite:///{home / 'scores.db'}")
    run = store.latest_run(JOURNEY)
    if run is None:
        raise RuntimeError(f"{home} has no run of {JOURNEY}: run journeycast demo --no-serve there")
    answers = [Answer.model_validate_json(answer) for _, answer in store.answers(JOURNEY, run)]
    store.close()
    return Sample(answers, run.cutoff, run.versions)


def many(found: Sample, customers: int) -> Iterator[Answer]:
    """So many answers, each of a customer of its own."""
    for number in range(customers):
        answer = found.answers[number % len(found.answers)]
        yield answer.model_copy(update={"customer_id": f"customer-{number:08d}"})


def runs_written(found: Sample, customers: int, lines: Lines, home: Path, seconds: float) -> None:
    """Two runs on each database: into an empty store, and beside one that bands are held against."""
    for kind in KINDS:
        with store_url(kind) as url:
            store, detail = Store(url), {"store": kind, "customers": customers}
            if kind == "postgresql":
                detail |= {name: setting(url, name) for name in ("synchronous_commit", "fsync")}
            for what in ("the first run", "a run after another"):
                progress(f"{kind}: writing {what} of {customers:,} scores")
                memory.set_aside()  # as `journeycast score` does
                took, made = _written(store, found, customers), _made(found, customers)
                target = "<= 60" if kind == "postgresql" else None
                about = detail | {"of_it_making_the_answers_s": round(made, 1)}
                lines.add(Line(f"{customers:,} scores written to {kind}, {what}", took, "s", target, about))
            _read_meanwhile(url, store, found, customers, lines, home, seconds)
            store.close()


def _written(store: Store, found: Sample, customers: int) -> float:
    journey, _ = read_journey(JOURNEY)
    begun = time.perf_counter()
    told = Options(journey.risk_bands)
    store.write_run(JOURNEY, found.cutoff, now(), found.versions, many(found, customers), Segments(), told)
    return time.perf_counter() - begun


def _made(found: Sample, customers: int) -> float:
    """How long it takes to make the answers alone, which is no work of the store's."""
    begun = time.perf_counter()
    for _ in many(found, customers):
        pass
    return time.perf_counter() - begun


def _read_meanwhile(
    url: str, store: Store, found: Sample, customers: int, lines: Lines, home: Path, seconds: float
) -> None:
    """The p99 of reading customers at rest, and again while a run is written."""
    requests = [Request(f"/v1/customers/customer-{number % customers:08d}") for number in range(0, IDS * 7, 7)]
    with ours(JOURNEY, home, {"JOURNEYCAST_STORE": url}) as address:
        load(address, requests, 1, 2)
        rest = load(address, requests, 4, seconds)
        begun, done = Event(), Event()

        def write() -> None:
            begun.set()
            while not done.is_set():
                _written(store, found, customers)

        writer = Thread(target=write)
        writer.start()
        begun.wait()
        busy = load(address, requests, 4, seconds)
        done.set()
        writer.join()
    detail = {"p99_at_rest_ms": rest.p99, "p99_ms": busy.p99, "requests_per_second": busy.rate, "connections": 4}
    kind = url.partition(":")[0]
    name = f"p99 of customers by id on {kind} while a run of {customers:,} is written, over that at rest"
    lines.add(Line(name, busy.p99 / rest.p99, "times", "<= 2", detail))
