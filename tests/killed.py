"""Works that are killed in the middle, forked once for each address that is read.

The parent of the forks imports everything once (`forked.spoken_to`), so that a kill costs milliseconds. Each fork
prints its process's number, and then what it has acknowledged.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import alembic.operations  # noqa: E402
import alembic.runtime.migration  # noqa: E402
import alembic.script  # noqa: E402, F401 - as late in the code, and too slow for each fork
from stores import VERSIONS, answer_of  # noqa: E402

from features.journey import RiskBands  # noqa: E402
from features.schema import DAY  # noqa: E402
from serving.clock import now  # noqa: E402
from serving.intake import Intake  # noqa: E402
from serving.rows import CHUNK  # noqa: E402
from serving.store import Options, Store  # noqa: E402

CUSTOMERS = 2 * CHUNK + 10


def score(url: str) -> Iterator[str]:
    """Runs, one after the other; every customer changes band in each."""
    store = Store(url)
    while True:
        before = store.latest_run("shop")
        probability = 0.1 if before is None or store.answer("shop", "c0").churn.risk == "high" else 0.9
        answers = (answer_of(f"c{number}", probability=probability) for number in range(CUSTOMERS))
        yield f"run {store.write_run('shop', 10 * DAY, now(), VERSIONS, answers, options=Options(RiskBands()))}"


def ingest(url: str) -> Iterator[str]:
    """Events in threes, acknowledged."""
    intake, number = Intake(Store(url), "shop"), 0
    while True:
        ids = [f"{os.getpid()}-{number}-{part}" for part in range(3)]
        said = {"customer_id": "c0", "event": "visit", "value": None, "channel": None, "properties": None}
        row = said | {"journey": "shop", "time": now(), "known_at": None, "received_at": now()}
        intake.submit([row | {"event_id": one} for one in ids]).result()
        number += 1
        yield " ".join(ids)


def migrate(url: str) -> Iterator[str]:
    """A store of the first version, brought to this one."""
    Store(url).latest_run("shop")
    yield "upgraded"
    signal.pause()


def renew(url: str) -> Iterator[str]:
    """Months of a shop: outcomes, a retraining, scores."""
    from renewing import renewed

    while True:
        story = renewed(url, lambda words: print(words, flush=True))
        yield f"renewed with {len(story.decisions)} decisions"


def promote(url: str) -> Iterator[str]:
    """One version and then the other of every task made champion, in the tracking store of this address."""
    from features.labels import TASKS
    from training.tracking import CHAMPION, Tracking

    tracking = Tracking(url, Path(url.removeprefix("sqlite:///")).parent / "artifacts")
    while True:
        for task in TASKS:
            number = 3 - int(tracking.version("simulated", task, CHAMPION).version)
            yield f"from here on {task} {number}"
            tracking.set_champion("simulated", task, number)
            yield f"{task} {number}"


WORKS = {work.__name__: work for work in (score, ingest, migrate, promote, renew)}


def main(name: str) -> None:
    """Do a work for each address on standard input."""
    work = WORKS[name]
    if work is promote:
        import training.tracking  # noqa: F401 - MLflow takes seconds, once
    if work is renew:
        import renewing  # noqa: F401 - as do the models
    for url in sys.stdin:
        child = os.fork()
        if child == 0:
            print(os.getpid(), flush=True)
            for told in work(url.strip()):
                print(told, flush=True)
        os.waitpid(child, 0)
        print("killed", flush=True)
