"""Ours against each rival: the answers compared first, then both timed on the same log."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import polars as pl

from benchmarks.features import by_arrays, by_pandas, native
from benchmarks.features.agreement import differences, lacking
from benchmarks.features.rounds import interleaved, medians
from benchmarks.lines import Line, Lines, progress
from features.engine import build
from features.feature import Feature
from features.schema import CHANNEL, CUSTOMER, CUTOFF, EVENT, KNOWN_AT, TIME

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Case:
    """A log, everyone at its end, and what is asked."""

    events: pl.DataFrame
    cutoffs: pl.DataFrame
    features: tuple[Feature, ...]

    @property
    def cutoff(self) -> int:
        """The one cutoff."""
        return int(self.cutoffs[CUTOFF][0])

    @property
    def sizes(self) -> dict[str, str]:
        """How large it is, in words."""
        return {"log": f"{len(self.events):,} events of {len(self.cutoffs):,} customers"}


class DisagreementError(Exception):
    """A rival's vectors are not ours."""


def agreed(name: str, ours: pl.DataFrame, theirs: pl.DataFrame, wanted: list[str]) -> None:
    """Refuse a rival who computes something else."""
    found = differences(ours, theirs, wanted)
    if found:
        raise DisagreementError(f"{name} and ours differ:\n" + "\n".join(found))
    progress(f"{name}: {len(wanted)} features of {len(ours):,} customers as ours, to a relative 1e-9")


def in_process(case: Case, runs: int, lines: Lines) -> None:
    """Native Polars, pandas and NumPy, all of the catalogue."""
    pandas_log, array_log = by_pandas.prepared(case.events), by_arrays.prepared(case.events)
    contenders: dict[str, Callable[[], object]] = {
        "ours": lambda: build(case.events, case.cutoffs, case.features),
        "native polars": lambda: native.vectors(case.events, case.cutoff),
        "pandas": lambda: by_pandas.vectors(pandas_log, case.cutoff),
        "numpy": lambda: by_arrays.vectors(array_log, case.cutoff),
    }
    ours = build(case.events, case.cutoffs, case.features)
    agree_on_all(case.features, ours, "native polars", native.vectors(case.events, case.cutoff))
    agree_on_all(case.features, ours, "pandas", by_pandas.polars(by_pandas.vectors(pandas_log, case.cutoff)))
    agree_on_all(case.features, ours, "numpy", by_arrays.polars(by_arrays.vectors(array_log, case.cutoff)))
    took = interleaved(contenders, runs)
    found = medians(took)
    detail = case.sizes | {"features": len(case.features), "runs": runs}
    for name, target in (("native polars", "<= 1.3"), ("numpy", None)):
        told = detail | {"ours_s": found["ours"], f"{name}_s": found[name], "all_s": _all(took, "ours", name)}
        lines.add(Line(f"ours / hand-written {name}", found["ours"] / found[name], "times", target, told))
    told = detail | {"ours_s": found["ours"], "pandas_s": found["pandas"], "all_s": _all(took, "ours", "pandas")}
    lines.add(Line("vectorised pandas / ours", found["pandas"] / found["ours"], "times", ">= 4", told))


def _all(took: dict[str, list[float]], *names: str) -> list[str]:
    return [f"{name}: {' '.join(f'{seconds:.2f}' for seconds in took[name])}" for name in names]


def agree_on_all(features: tuple[Feature, ...], ours: pl.DataFrame, name: str, theirs: pl.DataFrame) -> None:
    """Compare a rival that makes the whole catalogue."""
    missing = lacking(features, theirs.columns)
    if missing:
        raise DisagreementError(f"{name} does not make {', '.join(missing)}")
    agreed(name, ours, theirs, [feature.name for feature in features])


def against_featuretools(case: Case, folder: Path, runs: int, lines: Lines) -> None:
    """The features it can express, in an environment of its own; ours makes the same ones."""
    python = environment(folder)
    source, output = folder / "featuretools-events.parquet", folder / "featuretools-vectors.parquet"
    write_for_featuretools(case, source)
    command = [str(python), str(HERE / "featuretools_run.py"), str(source), str(case.cutoff), str(output)]
    subprocess.run([*command, "1"], check=True, stdout=subprocess.DEVNULL)
    theirs = pl.read_parquet(output)
    subset = tuple(feature for feature in case.features if feature.name in theirs.columns)
    agreed("featuretools", build(case.events, case.cutoffs, subset), theirs, [feature.name for feature in subset])
    took: dict[str, list[float]] = {"ours": [], "featuretools": []}
    for run in range(runs):
        progress(f"featuretools, run {run + 1} of {runs}")
        took["featuretools"] += json.loads(subprocess.run([*command, "1"], check=True, stdout=subprocess.PIPE).stdout)
        took["ours"] += interleaved({"ours": lambda: build(case.events, case.cutoffs, subset)}, 1)["ours"]
    found = {name: median(seconds) for name, seconds in took.items()}
    detail = case.sizes | {"features": len(subset), "runs": runs}
    detail |= {"ours_s": found["ours"], "featuretools_s": found["featuretools"]}
    lines.add(Line("featuretools / ours", found["featuretools"] / found["ours"], "times", ">= 20", detail))


def write_for_featuretools(case: Case, path: Path) -> None:
    """What was known at the cutoff, with timestamps and a number per event."""
    known = case.events.filter(pl.col(TIME) < case.cutoff, pl.col(KNOWN_AT) < case.cutoff)
    columns = (CUSTOMER, TIME, EVENT, CHANNEL, "value", "items", "product", "discount", "topic", "rating", "nps")
    known.select(columns).with_row_index("number").with_columns(pl.col(TIME).cast(pl.Datetime("us"))).write_parquet(
        path
    )


def environment(folder: Path) -> Path:
    """The Python of the rival's environment, made where it is not there yet."""
    python = folder / "featuretools" / "bin" / "python"
    if not python.exists():
        progress("installing featuretools in an environment of its own")
        subprocess.run([sys.executable, "-m", "venv", str(folder / "featuretools")], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "-r", str(HERE / "featuretools.txt")], check=True, stdout=sys.stderr)
    return python
