"""The feature engine against its rivals and as the work grows: every number that issue 3 asks for, in one run.

`make bench-features`, or `python -m benchmarks.bench_features --help`. `--quick` takes two minutes and
shows that everything runs; its numbers mean little.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.features import data
from benchmarks.features.online import online
from benchmarks.features.rivals import Case, DisagreementError, against_featuretools, in_process
from benchmarks.features.scaling import with_cutoffs, with_events
from benchmarks.lines import Lines, progress
from features.catalogue import catalogue
from features.definition import read as read_journey
from features.journey import Journey
from features.labels import population
from features.log import EventLog, read

HERE = Path(__file__).parent
PARTS = ("rivals", "featuretools", "cutoffs", "events", "online")
FULL, QUICK = data.Size(100_000, 102), data.Size(2_000, 102)  # 5 million events, 100,000
FEW, QUICK_FEW = 50, 4  # one customer in so many goes to featuretools
LARGER = {"5": 1, "20": 4, "50": 10}  # million events: copies of the base


def main() -> None:
    """Run the parts asked for."""
    options = _options()
    lines = Lines(options.out)
    size = QUICK if options.quick else FULL
    log = data.base(options.folder, size)
    journey, events = _read(log, size)
    features = catalogue(journey)
    end = journey.observed_until_microseconds
    case = Case(events.events, population(events.events, [end]), features)
    runs = options.runs or (2 if options.quick else 5)
    try:
        if "rivals" in options.parts:
            in_process(case, runs, lines)
        if "featuretools" in options.parts:
            few = _some(log, size, QUICK_FEW if options.quick else FEW)
            against_featuretools(few, options.folder, 1 if options.quick else runs, lines)
    except DisagreementError as error:
        sys.exit(str(error))
    if "cutoffs" in options.parts:
        with_cutoffs(events.events, end, features, runs, lines)
    if "online" in options.parts:
        online(journey, events.events, features, 100 if options.quick else 1000, lines)
    if "events" in options.parts:
        del case, events
        with_events(_logs(log, size, options.quick), 1 if options.quick else runs, lines)


def _options() -> argparse.Namespace:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--out", type=Path, default=HERE / "features.jsonl")
    asked.add_argument("--folder", type=Path, default=Path(".journeycast/bench"), help="where logs are kept")
    asked.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    asked.add_argument("--runs", type=int, help="of each contender; default 5")
    asked.add_argument("--quick", action="store_true", help="small logs")
    options = asked.parse_args()
    if options.quick and options.out == HERE / "features.jsonl":
        options.out = options.folder / "quick.jsonl"
    return options


def _read(log: Path, size: data.Size) -> tuple[Journey, EventLog]:
    progress(f"reading {log.name}")
    return read(*read_journey(data.definition(log, size.days)))


def _some(log: Path, size: data.Size, share: int) -> Case:
    journey, events = _read(data.some(log, share), size)
    cutoffs = population(events.events, [journey.observed_until_microseconds])
    return Case(events.events, cutoffs, catalogue(journey))


def _logs(log: Path, size: data.Size, quick: bool) -> dict[str, Path]:
    """Definitions by the number of events, a fifth of the base first."""
    copies = {"0.1": 1, "0.2": 2} if quick else LARGER
    unit = "million"
    logs = {("0.02" if quick else "1"): data.some(log, 5)}
    logs |= {name: data.times(log, number) for name, number in copies.items()}
    return {f"{name} {unit}": data.definition(path, size.days) for name, path in logs.items()}


if __name__ == "__main__":
    main()
