"""Score a log and tell, as JSON, how long it took and how much memory: a process for `bench_scoring`.

`python -m benchmarks.whole_run DEFINITION FOLDER`: models in FOLDER/models, the store in FOLDER.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from contextlib import closing
from pathlib import Path

from benchmarks.lines import progress
from features import parts
from features.definition import read as read_journey
from features.labels import TASKS
from serving.batch import score_parts
from serving.scorer import Scorer, Served
from serving.store import Store
from training.cpus import usable_cpus
from training.model import Model


def main() -> None:
    """Read by part, score, store: what `journeycast score` does of a log this large."""
    folder, start = Path(sys.argv[2]), time.perf_counter()
    definition, base = read_journey(sys.argv[1])
    journey, paths = parts.split(definition, base, folder, usable_cpus())
    cutoff = journey.observed_until_microseconds
    read_at = time.perf_counter()
    models = {task: Served(Model.load(folder / "models" / task), 1) for task in TASKS}
    scorer = Scorer(models, None, usable_cpus())
    events = (parts.read_part(journey, path) for path in paths)
    file = folder / "scores.db"
    with closing(Store(f"sqlite:///{file}")) as store:
        customers = parts.customers(paths, cutoff)
        run = score_parts(journey, events, customers, None, scorer, store, _report)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    found = {
        "customers": run.customers,
        "events": parts.size(definition, base),
        "parts": len(paths),
        "trees": sum(booster.num_trees() for served in models.values() for booster in served.model.boosters),
        "read_s": read_at - start,
        "score_s": time.perf_counter() - read_at,
        "peak_gib": peak / 2**30,
        "stored_bytes": file.stat().st_size,
    }
    print(json.dumps(found))


def _report(done: int, of: int) -> None:
    progress(f"{done:,} of {of:,}")


if __name__ == "__main__":
    main()
