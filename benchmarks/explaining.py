"""Reasons in bulk: shap.TreeExplainer's time against ours, and that both say the same."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Callable
from statistics import median

import numpy as np
import pandas as pd
import polars as pl

from benchmarks.lines import Line, Lines, progress
from features.instants import KEYS
from features.journey import Journey
from features.log import EventLog
from features.schema import CUSTOMER, CUTOFF, DAY, KNOWN_AT, TIME
from serving.effects import effects
from serving.reasons import tell
from serving.scorer import ROWS_AT_ONCE, Scorer
from training.cpus import usable_cpus

ROUNDS = 3
THEIR_ROWS = (2_500, 5_000)  # TreeExplainer is timed on these and, being linear, told for all
WEEKS = 48


def against_tree_explainer(journey: Journey, log: EventLog, scorer: Scorer, rows: int, lines: Lines) -> None:
    """Three tasks with reasons, the demo's models, real vectors: its customers at weekly cutoffs."""
    progress("building vectors")
    explained = _Explained(journey, log, scorer, _vectors(journey, log, scorer, rows))
    explained.ours()  # what is made once per model is not timed, nor is TreeExplainer's
    times: dict[str, list[float]] = {}
    for number in range(ROUNDS):
        progress(f"round {number + 1} of {ROUNDS}")
        for name, work in explained.works().items():
            times.setdefault(name, []).append(_seconds(work))
    _tell({name: median(found) for name, found in times.items()}, explained, lines)


def _tell(seconds: dict[str, float], explained: _Explained, lines: Lines) -> None:
    rows = len(explained.vectors)
    few, many = (seconds[f"theirs_{count}"] for count in THEIR_ROWS)
    theirs = many * rows / THEIR_ROWS[1]
    matrix = explained.matrices["churn"]
    detail = {
        "trees": sum(booster.num_trees() for model in explained.models.values() for booster in model.boosters),
        "features": matrix.shape[1],
        "missing": float(np.isnan(matrix).mean()),
        "tree_explainer_s": theirs,
        "timed_on_rows": THEIR_ROWS[1],
        "time_per_row_on_half_as_many": (few / THEIR_ROWS[0]) / (many / THEIR_ROWS[1]),
        "rounds": ROUNDS,
        "ours_s": seconds["ours"],
        "ours": "SHAP values, effects and reasons in words; neither side's time holds the predictions",
    }
    same, ratio = f"{rows:,} customers, three tasks", "shap.TreeExplainer's time / ours"
    lines.add(Line(f"{same} with reasons: {ratio}", theirs / seconds["ours"], "x", ">= 10", detail))
    detail = {"ours_s": seconds["values"]}
    lines.add(Line(f"{same}, SHAP values alone: {ratio}", theirs / seconds["values"], "x", None, detail))
    detail = {"ours_s": seconds["churn"], "woodelf_s": seconds["woodelf"]}
    said = f"{rows:,} customers, churn's SHAP values alone: woodelf-explainer's time / ours"
    lines.add(Line(said, seconds["woodelf"] / seconds["churn"], "x", None, detail))
    detail = {"predictions, intervals and money": "included"}
    lines.add(Line(f"{same}, from vectors to answers", seconds["answers"], "s", None, detail))
    said = "largest difference of a margin's SHAP value from shap.TreeExplainer's"
    detail = {"rows": THEIR_ROWS[1], "further_missing": 0.2}
    lines.add(Line(said, explained.difference(), "", "<= 1e-4", detail))
    said = "largest difference of base + effects from the prediction"
    lines.add(Line(said, explained.ours(), "", "<= 1e-6", {"rows": rows}))


def _vectors(journey: Journey, log: EventLog, scorer: Scorer, rows: int) -> pl.DataFrame:
    """Different vectors of real customers: everyone at weekly cutoffs, as many as asked for."""
    end = journey.observed_until_microseconds
    cutoffs = pl.DataFrame({CUTOFF: [end - 7 * week * DAY for week in range(WEEKS)]})
    first = log.events.group_by(CUSTOMER).agg(pl.max_horizontal(TIME, KNOWN_AT).min().alias("first"))
    asked = first.join(cutoffs, how="cross").filter(pl.col("first") < pl.col(CUTOFF)).select(KEYS).sort(KEYS)
    asked = asked.sample(rows, with_replacement=rows > len(asked), seed=0).sort(KEYS)
    return pl.concat(scorer.vectors(log.events, asked[start : start + 20_000]) for start in range(0, rows, 20_000))


class _Explained:
    """The works to be timed, on the same vectors and models."""

    def __init__(self, journey: Journey, log: EventLog, scorer: Scorer, vectors: pl.DataFrame) -> None:
        import shap
        from woodelf import WoodelfExplainer

        self.journey, self.vectors = journey, vectors
        self.models = {task: served.model for task, served in scorer.models.items()}
        self.matrices = {task: model.encoding.matrix(vectors) for task, model in self.models.items()}
        self.predicted = {
            task: model.link.predict(model.margins(self.matrices[task], usable_cpus()))
            for task, model in self.models.items()
        }
        self.scorer = _Ready(scorer.models, log.profile, usable_cpus())
        self.package = WoodelfExplainer(self.models["churn"].boosters[0])
        self.frame = pd.DataFrame(self.matrices["churn"])
        self.scorer.ready, self.events = vectors, log.events.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.theirs = {task: [shap.TreeExplainer(b) for b in m.boosters] for task, m in self.models.items()}

    def works(self) -> dict[str, Callable[[], object]]:
        found: dict[str, Callable[[], object]] = {"ours": self.ours, "values": self.values, "answers": self.answers}
        found |= {"churn": lambda: self._values("churn"), "woodelf": self.woodelf}
        return found | {f"theirs_{rows}": lambda rows=rows: self.tree_explainer(rows) for rows in THEIR_ROWS}

    def _parts(self) -> list[tuple[str, slice]]:
        starts = range(0, len(self.vectors), ROWS_AT_ONCE)
        return [(task, slice(start, start + ROWS_AT_ONCE)) for task in self.models for start in starts]

    def values(self) -> None:
        for task in self.models:
            self._values(task)

    def _values(self, wanted: str) -> None:
        for task, rows in self._parts():
            if task == wanted:
                self.models[task].contributions(self.matrices[task][rows], usable_cpus())

    def woodelf(self) -> None:
        self.package.shap_values(self.frame, verbose=False)

    def ours(self) -> float:
        """SHAP values, effects, words; the largest difference of base and effects from the prediction."""
        worst = 0.0
        for task, rows in self._parts():
            model, matrix = self.models[task], self.matrices[task][rows]
            predicted = self.predicted[task][rows]
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
