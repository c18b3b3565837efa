"""Scoring, reasons, lists and predictions over HTTP: every number that issue 5 asks for, in one run.

`make bench-scoring`, or `python -m benchmarks.bench_scoring --help`. A small run of everything takes
some minutes: `--rows 5000 --customers 20000 --seconds 2`. `wrk` must be installed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.explaining import against_tree_explainer
from benchmarks.lines import Lines, progress
from benchmarks.lists import from_the_store
from benchmarks.predictions import against_mlflow
from benchmarks.simulated_run import whole_run
from features.definition import read as read_journey
from features.log import read
from serving import registry
from training.cpus import usable_cpus

DEMO = "complete_journey"
PARTS = ("explaining", "predictions", "store")


def main() -> None:
    """Run the parts asked for."""
    options = _options()
    lines = Lines(options.out)
    with tempfile.TemporaryDirectory() as name:
        if {"explaining", "predictions"} & set(options.parts):
            _on_the_demo(options, options.home or Path(name) / "demo", lines)
        if "store" in options.parts:
            folder = Path(name) / "simulated"
            from_the_store(
                whole_run(options.customers, folder, lines), folder, options.customers, options.seconds, lines
            )


def _options() -> argparse.Namespace:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--out", type=Path, default=Path(__file__).parent / "scoring.jsonl")
    asked.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    asked.add_argument("--rows", type=int, default=100_000, help="vectors to explain")
    asked.add_argument("--customers", type=int, default=1_000_000, help="customers of the store")
    asked.add_argument("--seconds", type=float, default=10, help="how long each load lasts")
    asked.add_argument("--home", type=Path, help="a home in which the demo's champions are; default: train them")
    return asked.parse_args()


def _on_the_demo(options: argparse.Namespace, home: Path, lines: Lines) -> None:
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "mlflow.db").exists():
        progress("training the demo's models")
        for command in (["train", DEMO], ["promote", DEMO, "all", "--accept-grade", "C"]):
            _journeycast(command, home)
    journey, log = read(*read_journey(DEMO), threads=usable_cpus())
    scorer = registry.load(DEMO, f"sqlite:///{home / 'mlflow.db'}", home / "models", log.profile, usable_cpus())
    if "explaining" in options.parts:
        against_tree_explainer(journey, log, scorer, options.rows, lines)
    if "predictions" in options.parts:
        against_mlflow(journey, log, scorer, home, options.seconds, lines)


def _journeycast(arguments: list[str], home: Path) -> None:
    from benchmarks.servers import environment

    command = [str(Path(sys.executable).with_name("journeycast")), *arguments]
    subprocess.run(command, check=True, stdout=sys.stderr, env=environment({"JOURNEYCAST_HOME": str(home)}))


if __name__ == "__main__":
    main()
