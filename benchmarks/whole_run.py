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
from features.definition import read as read_journey
from features.labels import TASKS
from features.log import read
from serving.batch import score
from serving.scorer import Scorer, Served
from serving.store import Store
from training.cpus import usable_cpus
from training.model import Model


def main() -> None:
    """Read, score, store."""
    definition, folder = Path(sys.argv[1]), Path(sys.argv[2])
    start = time.perf_counter()
    journey, log = read(*read_journey(definition), threads=usable_cpus())
    read_at = time.perf_counter()
    models = {task: Served(Model.load(folder / "models" / task), 1) for task in TASKS}
    trees = sum(booster.num_trees() for served in models.values() for booster in served.model.boosters)
    scorer = Scorer(models, log.profile, usable_cpus())
    file = folder / "scores.db"
    with closing(Store(f"sqlite:///{file}")) as store:
        before = file.stat().st_size if file.exists() else 0
        score(journey, log, scorer, store, lambda done, of: progress(f"{done:,} of {of:,}"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    found = {
        "events": len(log.events),
        "trees": trees,
        "read_s": read_at - start,
        "score_s": time.perf_counter() - read_at,
        "peak_gib": peak / 2**30,
        "stored_bytes": file.stat().st_size - before,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
