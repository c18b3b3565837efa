"""How the work grows: with cutoffs, and with the log (time and peak memory of `journeycast features`)."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import median

import polars as pl
from pyarrow.parquet import ParquetFile

from benchmarks.features.data import JOURNEYCAST
from benchmarks.features.rounds import interleaved, medians
from benchmarks.lines import Line, Lines, progress
from features.engine import build
from features.feature import Feature
from features.labels import population
from features.schema import DAY

CUTOFFS = (1, 4, 12)  # a week apart, the last at the end of the log
PEAK_GIB = 8


def with_cutoffs(events: pl.DataFrame, end: int, features: tuple[Feature, ...], runs: int, lines: Lines) -> None:
    """Everyone known at one, four and twelve cutoffs."""
    asked = {number: population(events, [end - week * 7 * DAY for week in range(number)]) for number in CUTOFFS}

    def built(number: int) -> None:
        build(events, asked[number], features)

    built(1)
    found = medians(interleaved({str(n): lambda n=n: built(n) for n in CUTOFFS}, runs))  # type: ignore[misc]
    sizes = {"log": f"{len(events):,} events", "runs": runs}
    for number in CUTOFFS:
        rows = {"vectors": f"{len(asked[number]):,}"}
        lines.add(
            Line(f"vectors at {number} cutoff{'s' if number > 1 else ''}", found[str(number)], "s", None, sizes | rows)
        )
    ratio = found["12"] / found["1"]
    lines.add(Line("12 cutoffs / 1 cutoff", ratio, "times", "<= 4", sizes))


def with_events(definitions: Mapping[str, Path], runs: int, lines: Lines) -> None:
    """`journeycast features` over logs by their names, smallest first; the growth from the second to the last."""
    took: dict[str, list[float]] = {name: [] for name in definitions}
    peaks: dict[str, list[float]] = {name: [] for name in definitions}
    rows = {name: ParquetFile(path.with_suffix(".parquet")).metadata.num_rows for name, path in definitions.items()}
    for run in range(runs):
        for name, path in definitions.items():
            progress(f"journeycast features, {name} events, run {run + 1} of {runs}")
            seconds, gib = command(path)
            took[name].append(seconds)
            peaks[name].append(gib)
    for name in definitions:
        detail = {"events": f"{rows[name]:,}", "runs": runs, "s_per_million": median(took[name]) / rows[name] * 1e6}
        lines.add(Line(f"journeycast features, {name} events", median(took[name]), "s", None, detail))
        target = f"<= {PEAK_GIB}" if name == list(definitions)[-1] else None
        lines.add(Line(f"journeycast features, {name} events: peak memory", max(peaks[name]), "GiB", target, {}))
    small, large = list(definitions)[1], list(definitions)[-1]
    told = {"events": f"{rows[large] / rows[small]:.2f} times as many"}
    name = f"{large} / {small} events, time"
    lines.add(Line(name, median(took[large]) / median(took[small]), "times", "<= 12", told))


def command(definition: Path) -> tuple[float, float]:
    """Seconds and peak memory (GiB) of one run of the command, in a process of its own."""
    output = definition.with_suffix(".vectors.parquet")
    words = [*JOURNEYCAST, "features", str(definition), "-o", str(output)]
    measured = [sys.executable, str(Path(__file__).with_name("peak.py")), *words]
    seconds, gib = json.loads(subprocess.run(measured, check=True, stdout=subprocess.PIPE).stdout)
    output.unlink()
    return seconds, gib
