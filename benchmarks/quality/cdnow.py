"""CDNOW: orders and spend of 23,570 customers over 39 weeks, `python -m benchmarks.quality.cdnow`.

One cutoff, 1997-10-01, and five folds over customers: across customers, not out of time. Orders are counted
per day, as BG/NBD counts them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from benchmarks.lines import Line, Lines, progress
from benchmarks.quality import data
from benchmarks.quality.across import FOLDS, Answers, across
from benchmarks.quality.options import Options, options
from features.definition import read as read_journey
from features.families.lifetime import EXPECTED
from features.journey import Cltv, Journey
from features.labels import tasks
from features.log import EventLog, read
from features.schema import CUSTOMER
from training.examples import Examples, examples
from training.lifetimes import fit_lifetimes
from training.metrics import interval_metrics, log_losses, normalised_gini

Array = NDArray[np.float64]
QUICK_CUSTOMERS = 1500
BG_NBD = {"mae": 0.8187, "rmse": 1.733, "correlation": 0.669, "total": 16_874, "total_true": 19_684}  # lifetimes 0.11.3


def run(chosen: Options, lines: Lines) -> None:
    """Orders, then churn and spend."""
    journey, log = _read(chosen)
    _orders(_counted(journey), log, lines)
    _spend(journey, log, lines)


def _read(chosen: Options) -> tuple[Journey, EventLog]:
    definition, _ = read_journey(Path(__file__).with_name("cdnow.yml"))
    journey, log = read(definition, data.cdnow(chosen.folder))
    if chosen.quick:
        some = sorted(log.events[CUSTOMER].unique().to_list())[:QUICK_CUSTOMERS]
        log = replace(log, events=log.events.filter(pl.col(CUSTOMER).is_in(some)))
    return journey, log


def _counted(journey: Journey) -> Journey:
    """The same with the number of orders as what a customer is worth."""
    counted = Cltv(count="purchase", within=tasks(journey)["cltv"].within)
    return journey.model_copy(update={"tasks": journey.tasks.model_copy(update={"cltv": counted})})


def _orders(journey: Journey, log: EventLog, lines: Lines) -> None:
    progress("CDNOW: orders")
    asked = examples(journey, log, ["cltv"])["cltv"]
    found = across(journey, log, asked, _rmse)
    true, ours, rule = asked.labels, found.predicted, _bg_nbd(journey, log, asked)
    named: dict[str, tuple[Callable[[Array, Array], float], str, str]] = {
        "RMSE": (_rmse, "orders", "<= 1.65"),
        "correlation": (_correlation, "", ">= 0.70"),
        "error of the total": (_total_error, "%", "<= 2"),
        "MAE": (_mae, "orders", ""),
    }
    for name, (measure, unit, target) in named.items():
        detail: dict[str, Any] = {
            "published": f"BG/NBD {_published(name)}",
            "rule": f"BG/NBD {measure(true, rule):.4g} here",
            "each": _by_fold(measure, true, ours, found),
        }
        detail |= {"recipes": sorted(set(found.recipes))} if name == "RMSE" else {}
        lines.add(Line(f"CDNOW orders: {name}", measure(true, ours), unit, target or None, detail))


def _bg_nbd(journey: Journey, log: EventLog, asked: Examples) -> Array:
    """What BG/NBD expects, fitted on everybody as the published one is: it never sees a target."""
    lifetimes = fit_lifetimes(journey, log, asked.cutoffs[0], tasks(journey)["cltv"])
    return lifetimes.added(asked.rows)[EXPECTED].to_numpy() if lifetimes else np.zeros(len(asked.rows))


def _published(name: str) -> float:
    error = 100 * (1 - BG_NBD["total"] / BG_NBD["total_true"])
    known = {"RMSE": BG_NBD["rmse"], "correlation": BG_NBD["correlation"], "MAE": BG_NBD["mae"]}
    return round(known.get(name, error), 4)


def _spend(journey: Journey, log: EventLog, lines: Lines) -> None:
    progress("CDNOW: churn and spend")
    asked = examples(journey, log, ["churn", "cltv"])
    churn = across(journey, log, asked["churn"], lambda true, ours: float(log_losses(true, ours).mean()))
    spend = across(journey, log, asked["cltv"], lambda true, ours: -normalised_gini(true, ours))
    gone, worth = asked["churn"].labels, asked["cltv"].labels
    recency = asked["churn"].rows["purchase_recency_days"].to_numpy()
    detail = {
        "published": "recency .759, logistic regression on RFM .771",
        "rule": f"recency {roc_auc_score(gone, recency):.4f} here",
        "each": _by_fold(_auc, gone, churn.predicted, churn),
        "recipes": sorted(set(churn.recipes)),
    }
    lines.add(Line("CDNOW churn across customers: ROC AUC", _auc(gone, churn.predicted), "", ">= 0.775", detail))
    past = _past_spend(asked["cltv"])
    detail = {
        "published": "past spend .696, gradient boosting .712",
        "rule": f"past spend {normalised_gini(worth, past):.4f} here",
        "each": _by_fold(normalised_gini, worth, spend.predicted, spend),
        "recipes": sorted(set(spend.recipes)),
    }
    lines.add(Line("CDNOW spend: normalised Gini", normalised_gini(worth, spend.predicted), "", ">= 0.73", detail))
    covered = interval_metrics(worth, spend.predicted, spend.low, spend.high)
    fifths = [round(100 * covered[f"coverage_fifth_{number}"], 1) for number in range(1, 6)]
    lines.add(Line("CDNOW spend: 80 % intervals cover", 100 * covered["coverage"], "%", None, {"fifths": fifths}))


def _past_spend(asked: Examples) -> Array:
    per_day, days = (asked.rows[name].cast(pl.Float64).to_numpy() for name in ("spend_per_day", "purchase_tenure_days"))
    return np.asarray(np.nan_to_num(per_day * np.maximum(days, 1.0)))


def _by_fold(measure: Callable[[Array, Array], float], true: Array, ours: Array, found: Answers) -> list[float]:
    return [round(measure(true[found.fold == n], ours[found.fold == n]), 4) for n in range(FOLDS)]


def _auc(true: Array, ours: Array) -> float:
    return float(roc_auc_score(true, ours))


def _rmse(true: Array, ours: Array) -> float:
    return float(np.sqrt(np.mean((true - ours) ** 2)))


def _mae(true: Array, ours: Array) -> float:
    return float(np.mean(np.abs(true - ours)))


def _correlation(true: Array, ours: Array) -> float:
    return float(np.corrcoef(true, ours)[0, 1])


def _total_error(true: Array, ours: Array) -> float:
    """How far the total is off, in percent, whichever way."""
    return float(100 * abs(ours.sum() / true.sum() - 1))


def main() -> None:
    """Run this benchmark alone."""
    chosen = options(__doc__, "cdnow")
    run(chosen, Lines(chosen.out, targets=not chosen.quick))


if __name__ == "__main__":
    main()
