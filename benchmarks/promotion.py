"""A promotion while requests come in: none may fail, and how long until the new champion answers."""

from __future__ import annotations

import json
import shutil
import time
import urllib.request
from pathlib import Path
from threading import Thread

from benchmarks.lines import Line, Lines, progress
from benchmarks.load import Measured, Request, load
from benchmarks.servers import ours
from benchmarks.writing import JOURNEY

PREDICTION = {
    "customers": [{"customer_id": "n", "events": [{"time": "2017-11-01", "event": "purchase", "value": 9.5}]}]
}


def promoted_under_load(lines: Lines, home: Path, seconds: float) -> None:
    """Another version becomes champion in the middle of a load of predictions and answers."""
    copied = home.parent / "promotion"
    shutil.copytree(home, copied)
    with ours(JOURNEY, copied, {}, "--workers", "2") as address:
        _wait(address, 1)
        requests = [Request("/v1/predictions", "POST", json.dumps(PREDICTION)), Request("/v1/at-risk?limit=5")]
        loads: list[Measured] = []
        worker = Thread(target=lambda: loads.append(load(address, requests, 8, seconds + 15)))
        worker.start()
        time.sleep(seconds / 3)
        progress("promoting")
        _promote(copied)
        begun = time.perf_counter()
        _wait(address, 2)
        took = time.perf_counter() - begun
        worker.join()
    if not loads:
        raise RuntimeError("requests failed while a champion was promoted: see above")
    detail = {"requests": loads[0].requests, "p50_ms": loads[0].p50, "p99_ms": loads[0].p99, "workers": 2}
    lines.add(Line("requests that failed while a champion was promoted", 0, "requests", "<= 0", detail))
    lines.add(Line("from a promotion to the new champion's first answer", took, "s", None, detail))


def _promote(home: Path) -> None:
    """Make a second version of the same files, and make it champion."""
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{home / 'mlflow.db'}")
    client, name = mlflow.MlflowClient(), f"{JOURNEY}.churn"
    first = client.get_model_version(name, "1")
    second = client.create_model_version(name, first.source, first.run_id, tags=first.tags)
    client.set_registered_model_alias(name, "champion", second.version)


def _wait(address: str, version: int) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(address + "/readyz", timeout=30) as answer:
                if json.loads(answer.read())["versions"]["churn"] == version:
                    return
        except urllib.error.HTTPError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"version {version} never answered")
