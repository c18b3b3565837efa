"""Runs written, events in, a promotion under load: every number that issue 6 asks for, in one run.

`make bench-serving`, or `python -m benchmarks.bench_serving --help`. A small run of everything takes
some minutes: `--customers 50000 --seconds 5`. `wrk` must be installed.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.ingest import events_in
from benchmarks.lines import Lines, progress
from benchmarks.promotion import promoted_under_load
from benchmarks.servers import environment
from benchmarks.writing import JOURNEY, runs_written, sample

PARTS = ("writing", "events", "promotion")


def main() -> None:
    """Run the parts asked for."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers end with their benchmark
    lines = Lines(options.out)
    with tempfile.TemporaryDirectory() as name:
        home = Path(name) / "home"
        if options.home is not None:
            shutil.copytree(options.home, home)
        else:
            progress("training and scoring the demo")
            command = [sys.executable, "-m", "journeycast", "demo", "--no-serve"]
            settings = environment({"JOURNEYCAST_HOME": str(home)})
            subprocess.run(command, check=True, stdout=sys.stderr, env=settings)
        if "writing" in options.parts:
            runs_written(sample(home), options.customers, lines, home, options.seconds)
        if "events" in options.parts:
            events_in(lines, home, options.seconds)
        if "promotion" in options.parts:
            promoted_under_load(lines, home, options.seconds)


def _options() -> argparse.Namespace:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--out", type=Path, default=Path(__file__).parent / "serving.jsonl")
    asked.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    asked.add_argument("--customers", type=int, default=1_000_000, help="scores of a run")
    asked.add_argument("--seconds", type=float, default=10, help="how long each load lasts")
    asked.add_argument("--home", type=Path, help=f"a home in which {JOURNEY} was trained and scored; default: do it")
    return asked.parse_args()


if __name__ == "__main__":
    main()
