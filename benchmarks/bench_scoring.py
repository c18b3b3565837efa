"""Scoring in bulk: reasons against shap.TreeExplainer, and a whole run from events to the store.

`make bench-scoring`, or `python -m benchmarks.bench_scoring --help`.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl

from benchmarks.lines import Line, Lines, progress
from features.definition import SHIPPED
from features.definition import read as read_journey
from features.feature import collect
from features.instants import KEYS
from features.journey import Journey
from features.labels import TASKS, population
from features.log import EventLog, read
from features.schema import CUSTOMER, DAY
from features.simulator import simulate
from serving.effects import effects
from serving.reasons import tell
from serving.scorer import ROWS_AT_ONCE, Scorer, Served
from training.cpus import usable_cpus
from training.model import Model
from training.recipe import Recipe
from training.train import train

ROUNDS = 3
THEIR_ROWS = (2_500, 5_000)  # TreeExplainer is timed on these and, being linear, told for all
WEEKS = 48


def main() -> None:
    """Run the parts asked for."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--out", type=Path, default=Path(__file__).parent / "scoring.jsonl")
    asked.add_argument("--rows", type=int, default=100_000, help="vectors to explain")
    asked.add_argument("--customers", type=int, default=1_000_000, help="customers of the whole run; 0: leave it out")
    options = asked.parse_args()
    lines = Lines(options.out)
    journey, log = read(*read_journey(SHIPPED / "complete_journey.yml"), threads=usable_cpus())
    progress("training the demo's models")
    models = _models(journey, log)
    against_tree_explainer(journey, log, models, options.rows, lines)
    if options.customers:
        whole_run(options.customers, lines)


def _models(journey: Journey, log: EventLog) -> dict[str, Model]:
    found = train(journey, log, list(TASKS), Recipe(), usable_cpus(), progress)
    return {one.task: one.model for one in found}


# 1. Reasons against shap.TreeExplainer


def against_tree_explainer(journey: Journey, log: EventLog, models: dict[str, Model], rows: int, lines: Lines) -> None:
    """Three tasks with reasons, the demo's models, real vectors: its customers at weekly cutoffs."""
    progress("building vectors")
    scorer = Scorer({task: Served(model, 1) for task, model in models.items()}, log.profile, usable_cpus())
    vectors = _vectors(journey, log, scorer, rows)
    matrices = {task: model.encoding.matrix(vectors) for task, model in models.items()}
    explained = _Explained(journey, log, models, vectors, matrices)
    explained.ours()  # what is made once per model is not timed, nor is TreeExplainer's
    times: dict[str, list[float]] = {}
    for number in range(ROUNDS):
        progress(f"round {number + 1} of {ROUNDS}")
        for name, work in explained.works().items():
            times.setdefault(name, []).append(_seconds(work))
    seconds = {name: median(found) for name, found in times.items()}
    few, many = (seconds[f"theirs_{count}"] for count in THEIR_ROWS)
    theirs = many * rows / THEIR_ROWS[1]
    trees = {task: sum(b.num_trees() for b in model.boosters) for task, model in models.items()}
    detail = {
        "trees": sum(trees.values()),
        "features": matrices["churn"].shape[1],
        "missing": float(np.isnan(matrices["churn"]).mean()),
        "tree_explainer_s": theirs,
        "timed_on_rows": THEIR_ROWS[1],
        "time_per_row_on_half_as_many": (few / THEIR_ROWS[0]) / (many / THEIR_ROWS[1]),
        "rounds": ROUNDS,
    }
    same = f"{rows:,} customers, three tasks"
    add = lines.add
    ours = {"ours_s": seconds["ours"], "ours": "SHAP values, effects and reasons in words"}
    add(
        Line(
            f"{same} with reasons: shap.TreeExplainer's time / ours",
            theirs / seconds["ours"],
            "x",
            ">= 10",
            detail | ours,
        )
    )
    add(
        Line(
            f"{same}, SHAP values alone: shap.TreeExplainer's time / ours",
            theirs / seconds["values"],
            "x",
            None,
            {"ours_s": seconds["values"]},
        )
    )
    add(
        Line(
            f"{same}, from vectors to answers",
            seconds["answers"],
            "s",
            None,
            {"predictions, intervals and money": "included"},
        )
    )
    add(
        Line(
            "largest difference of a margin's SHAP value from shap.TreeExplainer's",
            explained.difference(),
            "",
            "<= 1e-4",
            {"rows": THEIR_ROWS[1], "further_missing": 0.2},
        )
    )
    add(
        Line(
            "largest difference of base + effects from the prediction",
            explained.residual(),
            "",
            "<= 1e-6",
            {"rows": rows},
        )
    )


def _vectors(journey: Journey, log: EventLog, scorer: Scorer, rows: int) -> pl.DataFrame:
    """Different vectors of real customers: everyone at weekly cutoffs, as many as asked for."""
    end = journey.observed_until_microseconds
    asked = collect(population(log.events.lazy(), [end - 7 * week * DAY for week in range(WEEKS)]))
    asked = asked.sample(rows, with_replacement=rows > len(asked), seed=0)
    return pl.concat(scorer.vectors(log.events, asked[start : start + 20_000]) for start in range(0, rows, 20_000))


class _Explained:
    """The works to be timed, on the same vectors and models."""

    def __init__(
        self,
        journey: Journey,
        log: EventLog,
        models: dict[str, Model],
        vectors: pl.DataFrame,
        matrices: dict[str, np.ndarray],
    ) -> None:
        import shap

        self.journey, self.models, self.vectors, self.matrices = journey, models, vectors, matrices
        self.scorer = _Ready({task: Served(model, 1) for task, model in models.items()}, log.profile, usable_cpus())
        self.scorer.ready, self.events = vectors, log.events.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.theirs = {task: [shap.TreeExplainer(b) for b in model.boosters] for task, model in models.items()}

    def works(self) -> dict[str, Callable[[], object]]:
        found: dict[str, Callable[[], object]] = {"ours": self.ours, "values": self.values, "answers": self.answers}
        return found | {f"theirs_{rows}": lambda rows=rows: self.tree_explainer(rows) for rows in THEIR_ROWS}

    def _parts(self) -> list[tuple[str, slice]]:
        starts = range(0, len(self.vectors), ROWS_AT_ONCE)
        return [(task, slice(start, start + ROWS_AT_ONCE)) for task in self.models for start in starts]

    def values(self) -> None:
        for task, rows in self._parts():
            self.models[task].contributions(self.matrices[task][rows], usable_cpus())

    def ours(self) -> float:
        """SHAP values, effects, words; the largest difference of base and effects from the prediction."""
        worst = 0.0
        for task, rows in self._parts():
            model, matrix = self.models[task], self.matrices[task][rows]
            predicted = model.link.predict(model.margins(matrix, usable_cpus()))
            output = predicted.argmax(axis=1)
            phi, start = model.contributions(matrix, usable_cpus())
            found, base = effects(model.link, phi, start, output)
            tell(self.journey, self.scorer.features, self.vectors[rows], found)
            off = base + found.sum(axis=1) - np.take_along_axis(predicted, output[:, None], axis=1)[:, 0]
            worst = max(worst, float(np.abs(off).max()))
        return worst

    def answers(self) -> None:
        self.scorer.predict(self.events, self.vectors.select(KEYS))

    def tree_explainer(self, rows: int) -> None:
        for task, explainers in self.theirs.items():
            for explainer in explainers:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    explainer.shap_values(self.matrices[task][:rows])

    def residual(self) -> float:
        return self.ours()

    def difference(self) -> float:
        """Of margins' SHAP values, with a fifth of the values taken out on top of those missing."""
        worst, rng = 0.0, np.random.default_rng(0)
        for task, explainers in self.theirs.items():
            matrix = self.matrices[task][: THEIR_ROWS[1]].copy()
            matrix[rng.random(matrix.shape) < 0.2] = np.nan
            ours = self.models[task].contributions(matrix)[0]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                told = [explainer(matrix).values.reshape(len(matrix), matrix.shape[1], -1) for explainer in explainers]
            worst = max(worst, float(np.abs(ours - np.concatenate(told, axis=2).transpose(0, 2, 1)).max()))
        return worst


class _Ready(Scorer):
    """A scorer whose vectors are there: what remains is from vectors to answers."""

    ready: pl.DataFrame
    _at = 0

    def vectors(self, events: pl.DataFrame, cutoffs: pl.DataFrame) -> pl.DataFrame:
        found = self.ready.slice(self._at, len(cutoffs))
        self._at = (self._at + len(cutoffs)) % len(self.ready)
        return found


def _seconds(work: Callable[[], object]) -> float:
    """Wall time; garbage is not looked for meanwhile, as when the scorer works in bulk."""
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start
    finally:
        gc.enable()


# 2. A whole run


TRAINED, TRAINED_DAYS = 2_000, 392
SCORED_DAYS, PART = 120, 50_000


def whole_run(customers: int, lines: Lines) -> None:
    """From a log of simulated customers in Parquet to the store, in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        progress(f"simulating {customers:,} customers")
        journey, log = read(*read_journey(_simulated(folder / "trained", TRAINED, TRAINED_DAYS)))
        for task, model in _models(journey, log).items():
            model.save(folder / "models" / task)
        definition = _simulated(folder / "scored", customers, SCORED_DAYS)
        progress("scoring")
        command = [sys.executable, "-m", "benchmarks.whole_run", str(definition), str(folder)]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    name = f"{customers / 1e6:g} million customers scored and explained, from events to the store"
    lines.add(Line(name, found["read_s"] + found["score_s"], "s", None, found))
    lines.add(Line(f"{name}: peak memory", found["peak_gib"], "GiB", "<= 8", {}))
    lines.add(Line("bytes stored per customer and run", found["stored_bytes"] / customers, "bytes", None, {}))


def _simulated(folder: Path, customers: int, days: int) -> Path:
    """The shipped definition over a simulated log of this size, with horizons that fit it."""
    parts = folder / "parts"
    parts.mkdir(parents=True)
    for number, first in enumerate(range(0, customers, PART)):
        events = simulate(min(PART, customers - first), days, seed=number).events
        events.with_columns(pl.col(CUSTOMER) + f"-{number}").write_parquet(parts / f"{number:04d}.parquet")
    until = datetime.combine(date(2023, 1, 1) + timedelta(days=days), clock(), UTC)
    text = (SHIPPED / "simulated.yml").read_text(encoding="utf-8")
    for before, after in (
        ("../.journeycast/simulated.parquet", "parts/*.parquet"),
        ("2024-06-24T00:00:00Z", until.isoformat()),
        ("within: 84d", "within: 56d"),
        ("history: 112d", "history: 84d"),
    ):
        text = text.replace(before, after)
    (folder / "simulated.yml").write_text(text, encoding="utf-8")
    return folder / "simulated.yml"


if __name__ == "__main__":
    main()
