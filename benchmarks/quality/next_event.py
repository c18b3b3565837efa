"""Next event: the published protocol on four public logs, `python -m benchmarks.quality.next_event --logs FOLDER`.

Five folds over cases, every event a row, the end of the case a class; accuracy is the mean over the folds. A
test fold is asked about once, by models that learned from the four others.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
import polars as pl

from benchmarks.lines import Line, Lines, progress
from benchmarks.quality.options import Options, options
from features.definition import read as read_journey
from features.journey import Journey
from features.labels import LABEL
from features.log import read
from features.next_event import labels
from features.schema import CUSTOMER, EVENT, POSITION
from training.next_event import RECIPE, fit_next_event

HERE = Path(__file__).parent
LOGS = ("helpdesk", "bpic12_a", "bpic12_w", "bpic12")
BEST = {"helpdesk": 0.8520, "bpic12": 0.8708, "bpic12_a": 0.8119, "bpic12_w": 0.8834}  # published, mean of five folds
FIVE_GRAM = {"helpdesk": 0.8396, "bpic12": 0.8535, "bpic12_a": 0.7987, "bpic12_w": 0.8535}
LOOKED_BACK = 4  # of a 5-gram: four events and the next
FOLDS, QUICK_FOLDS, QUICK_CASES = 5, 1, 400
UNIT = "share of events"


def run(chosen: Options, lines: Lines) -> None:
    """Every log, with and without features of absolute date."""
    if chosen.logs is None:
        sys.exit("the logs of the next event are no part of the project: give their folder, --logs FOLDER")
    for name in LOGS:
        journey, events, folds = _log(name, chosen.logs, chosen.quick)
        wanted = range(QUICK_FOLDS if chosen.quick else FOLDS)
        published = _published(chosen.logs, name)
        rule = [_gram(*_divided(events, folds, fold)) for fold in wanted]
        for absolute in (True, False):
            lines.add(_line(journey, events, folds, wanted, absolute, published, rule))


def _line(
    journey: Journey,
    events: pl.DataFrame,
    folds: dict[str, int],
    wanted: Sequence[int],
    absolute: bool,
    published: str,
    rule: Sequence[float],
) -> Line:
    begun, found = perf_counter(), []
    for fold in wanted:
        found.append(_accuracy(journey, *_divided(events, folds, fold), absolute=absolute))
        progress(f"{journey.journey}, fold {fold}, dates {'told' if absolute else 'untold'}: {found[-1]:.4f}")
    name, least = journey.journey, BEST if absolute else FIVE_GRAM
    detail = {
        "published": published,
        "rule": f"5-gram {np.mean(rule):.4f} here, {FIVE_GRAM[name]:.4f} published",
        "each": [round(one, 4) for one in found],
        "seconds": round(perf_counter() - begun),
    }
    what = "next event" if absolute else "next event without absolute dates"
    return Line(f"{name}: {what}, accuracy", float(np.mean(found)), UNIT, f">= {least[name]}", detail)


def _log(name: str, folder: Path, quick: bool) -> tuple[Journey, pl.DataFrame, dict[str, int]]:
    """The journey, its events and the test fold of each case."""
    definition, _ = read_journey(HERE / f"{name}.yml")
    journey, log = read(definition, folder)
    folds = dict(pl.read_parquet(folder / f"{name}.parquet", columns=["case_id", "cv_fold"]).unique().iter_rows())
    events = log.events
    if quick:
        events = events.filter(pl.col(CUSTOMER).is_in(sorted(folds)[:QUICK_CASES]))
    return journey, events, folds


def _published(folder: Path, name: str) -> str:
    """The best mean over folds of `published.csv`."""
    table = pl.read_csv(folder / "published.csv").filter(pl.col("log") == name)
    best = table.group_by("approach").agg(pl.col("accuracy").mean()).sort("accuracy", descending=True).row(0)
    return f"{best[1]:.4f} ({best[0]})"


def _divided(events: pl.DataFrame, folds: dict[str, int], fold: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The events of the training cases and of the test cases."""
    held = pl.col(CUSTOMER).is_in([case for case, number in folds.items() if number == fold])
    return events.filter(~held), events.filter(held)


def _accuracy(journey: Journey, learn: pl.DataFrame, test: pl.DataFrame, absolute: bool) -> float:
    model = fit_next_event(journey, learn, absolute=absolute, recipe=RECIPE)
    rows, found = model.predict(test)
    likeliest = pl.Series(np.asarray(model.classes)[found.argmax(axis=1)])
    told = rows.join(labels(test), on=[CUSTOMER, POSITION], how="left", maintain_order="left")[LABEL]
    return float((likeliest == told).mean())  # type: ignore[arg-type]


def _gram(learn: pl.DataFrame, test: pl.DataFrame) -> float:
    """Accuracy of the likeliest event after the last four, fewer where training never met the four."""
    told, answer = labels(test)[LABEL], pl.Series([None] * test.height, dtype=pl.String)
    asked, seen = _histories(test), _histories(learn).with_columns(labels(learn)[LABEL])
    for length in range(LOOKED_BACK, 0, -1):
        answer = answer.fill_null(_likeliest(asked, seen, [f"back_{back}" for back in range(length)]))
    return float((answer == told).fill_null(False).mean())  # type: ignore[arg-type]


def _histories(events: pl.DataFrame) -> pl.DataFrame:
    rows = events.sort(CUSTOMER, POSITION)
    back = (pl.col(EVENT).shift(back).over(CUSTOMER).fill_null("").alias(f"back_{back}") for back in range(LOOKED_BACK))
    return rows.select(back)


def _likeliest(asked: pl.DataFrame, seen: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    counts = seen.group_by(*columns, LABEL).len().sort("len", LABEL, descending=[True, False])
    best = counts.unique(columns, keep="first", maintain_order=True).select(*columns, LABEL)
    return asked.join(best, on=columns, how="left", maintain_order="left")[LABEL]


def main() -> None:
    """Run this benchmark alone."""
    chosen = options(__doc__, "next_event")
    run(chosen, Lines(chosen.out, targets=not chosen.quick))


if __name__ == "__main__":
    main()
