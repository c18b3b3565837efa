"""Ta-Feng: churn out of time, `python -m benchmarks.quality.ta_feng`.

Trained at weekly cutoffs up to 2001-01-04, whose horizon is over at the test cutoff 2001-02-01.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl

from benchmarks.lines import Line, Lines, progress
from benchmarks.quality import data
from benchmarks.quality.options import Options, options
from features.definition import read as read_journey
from features.labels import tasks
from features.log import read
from features.schema import CUSTOMER, to_text
from training.backtest import fitting
from training.blocks import split
from training.examples import as_known_at, examples
from training.judgement import ground, judge, prepare
from training.recipe import Recipe

QUICK_CUSTOMERS = 3000


def run(chosen: Options, lines: Lines) -> None:
    """One look at the test cutoff."""
    definition, _ = read_journey(Path(__file__).with_name("ta_feng.yml"))
    journey, log = read(definition, data.ta_feng(chosen.folder))
    if chosen.quick:
        some = sorted(log.events[CUSTOMER].unique().to_list())[:QUICK_CUSTOMERS]
        log = replace(log, events=log.events.filter(pl.col(CUSTOMER).is_in(some)))
    progress("Ta-Feng: churn")
    within = tasks(journey)["churn"].within
    asked = examples(journey, log, ["churn"])["churn"]
    last = fitting(asked.cutoffs, within)[-1]
    known = as_known_at(last, asked, journey, log.events)
    blocks = split(known.cutoffs, within, held_out=1)
    prepared = prepare(ground(journey, log, known), blocks)
    found = judge(prepared, prepared.sized(Recipe()), threads=1).assessment
    grade, rules = found.grade, found.rules
    recency = max((one["roc_auc"], name) for name, one in rules.items() if "days since" in name)
    detail = {
        "test_cutoff": to_text(last),
        "trained_to": to_text([c for c in known.cutoffs if c < last][-1]),
        "churn_base_rate": round(float(found.labels.mean()), 4),
        "customers": len(found.labels),
        "published": "recency .655; gradient boosting across customers .746; base rate .537",
        "rule": f"recency {recency[0]:.4f}, {grade.rule} {rules[grade.rule]['roc_auc']:.4f} here",
        "ece": round(found.metrics["ece"], 4),
    }
    auc = Line("Ta-Feng churn: ROC AUC out of time", found.metrics["roc_auc"], "", ">= 0.745", detail)
    ahead = {"ahead_percent": round(100 * grade.ahead, 2), "to": round(100 * grade.high, 2), "grade": grade.words}
    lead = Line("Ta-Feng churn: log loss ahead of the best rule, lower end (95 %)", 100 * grade.low, "%", ">= 0", ahead)
    lines.add(auc)
    lines.add(lead)


def main() -> None:
    """Run this benchmark alone."""
    chosen = options(__doc__, "ta_feng")
    run(chosen, Lines(chosen.out, targets=not chosen.quick))


if __name__ == "__main__":
    main()
