"""The simulator, whose truth is known: `python -m benchmarks.quality.simulator`.

The shipped journey over a simulated log; what the models say at the held-out cutoffs beside the true
probabilities and values, and reasons after trouble or silence were put into histories that had none.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.features.data import definition
from benchmarks.lines import Line, Lines, progress
from benchmarks.quality.injected import FRICTION, SILENCE, injected, top_reasons
from benchmarks.quality.options import Options, options
from features.definition import read as read_journey
from features.instants import KEYS
from features.journey import Journey
from features.labels import tasks
from features.log import read
from features.schema import CUSTOMER, CUTOFF, to_datetime
from features.simulator import Simulation, simulate
from training.assess import Assessment
from training.recipe import Recipe
from training.train import Trained, train

Array = NDArray[np.float64]
DAYS, SEED, CUSTOMERS, QUICK_CUSTOMERS = 540, 7, 5000, 800


def run(chosen: Options, lines: Lines) -> None:
    """One simulation, two tasks."""
    customers = QUICK_CUSTOMERS if chosen.quick else CUSTOMERS
    progress(f"simulator: {customers:,} customers over {DAYS} days")
    simulation = simulate(customers, DAYS, seed=SEED)
    chosen.folder.mkdir(parents=True, exist_ok=True)
    path = chosen.folder / f"quality-simulated-{customers}.parquet"
    simulation.events.write_parquet(path)
    journey, log = read(*read_journey(definition(path, DAYS)))
    journey = _asked_of_buyers(journey)
    churn, cltv = train(journey, log, ["churn", "cltv"], Recipe(), 1, progress)
    found = [
        *_churn(simulation, churn),
        *_values(simulation, cltv),
        *(_reasons(churn, log.events, kind) for kind in (FRICTION, SILENCE)),
    ]
    for line in found:
        lines.add(line)


def _asked_of_buyers(journey: Journey) -> Journey:
    """CLTV asked of those whom churn is asked of.

    Of everybody else more than 80 % spend nothing: an interval that holds 0 holds them all, and covers too much.
    """
    asked = tasks(journey)["cltv"].model_copy(update={"eligible": tasks(journey)["churn"].eligibility})
    return journey.model_copy(update={"tasks": journey.tasks.model_copy(update={"cltv": asked})})


def _churn(simulation: Simulation, churn: Trained) -> list[Line]:
    found, true = churn.assessment, _truth(simulation, churn.test_rows, "churn_probability", 28)
    rules = {name: _correlation(_answers(found, name), true) for name in found.rule_losses}
    best = max(rules, key=lambda name: rules[name])
    ours = _correlation(found.predicted, true)
    ranked = {
        "oracle_auc": round(_auc(found.labels, true), 4),
        "auc": round(found.metrics["roc_auc"], 4),
        "ece": round(found.metrics["ece"], 4),
        "mean_distance_from_truth": round(float(np.mean(np.abs(found.predicted - true))), 4),
        "rows": len(true),
    }
    beside = {"rule": f"{best} {rules[best]:.4f}"}
    name = "simulator churn: correlation of predicted with true probability"
    ahead = f"{name}, ahead of the best rule's"
    return [Line(name, ours, "", ">= 0.85", ranked), Line(ahead, ours - rules[best], "", ">= 0", beside)]


def _values(simulation: Simulation, cltv: Trained) -> list[Line]:
    found = cltv.assessment
    true = _truth(simulation, cltv.test_rows, "expected_value", 84)
    overall = 100 * found.metrics["coverage"]
    fifths = [100 * found.metrics[f"coverage_fifth_{number}"] for number in range(1, 6)]
    detail = {
        "correlation_with_true_value": round(_correlation(found.predicted, true), 4),
        "bias": round(found.metrics["bias"], 4),
        "rows": len(true),
        "grade": found.grade.words,
    }
    told = [round(one, 1) for one in fifths]
    name = "simulator CLTV: 80 % intervals"
    return [
        Line(
            f"{name}, distance of the coverage from 80 %",
            abs(overall - 80),
            "points",
            "<= 3",
            detail | {"coverage": overall},
        ),
        Line(f"{name}, lowest coverage of a fifth", min(fifths), "%", ">= 70", {"fifths": told}),
        Line(f"{name}, highest coverage of a fifth", max(fifths), "%", "<= 90", {"fifths": told}),
    ]


def _reasons(churn: Trained, events: pl.DataFrame, kind: str) -> Line:
    """How often the strongest reason for a higher risk is what was injected."""
    changed, cutoffs, codes = injected(kind, events, churn.test_rows)
    tops = top_reasons(churn.judged, changed, cutoffs)
    share = float(np.mean([top in codes for top in tops]))
    counts = pl.Series("code", [top or "none" for top in tops]).value_counts(sort=True)
    detail = {"cases": len(tops), "accepted": sorted(codes), "tops": dict(counts.iter_rows())}
    return Line(f"simulator reasons: {kind} injected and told first", 100 * share, "%", ">= 80", detail)


def _truth(simulation: Simulation, rows: pl.DataFrame, ask: str, days: int) -> Array:
    """The truth of each row: probabilities or values at its cutoff."""
    parts = []
    for cutoff in rows[CUTOFF].unique().sort():
        found = getattr(simulation.truth, ask)(to_datetime(cutoff), days)
        parts.append(found.select(CUSTOMER, pl.lit(cutoff).alias(CUTOFF), pl.nth(1).alias("true")))
    return rows.select(KEYS).join(pl.concat(parts), on=KEYS, how="left", maintain_order="left")["true"].to_numpy()


def _answers(found: Assessment, rule: str) -> Array:
    """A rule's probabilities, by its losses."""
    hit = np.exp(-found.rule_losses[rule])
    return np.where(found.labels == 1, hit, 1 - hit)


def _correlation(one: Array, other: Array) -> float:
    return float(np.corrcoef(one, other)[0, 1]) if np.ptp(one) > 0 else 0.0


def _auc(labels: Array, predicted: Array) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, predicted))


def main() -> None:
    """Run this benchmark alone."""
    chosen = options(__doc__, "simulator")
    run(chosen, Lines(chosen.out, targets=not chosen.quick))


if __name__ == "__main__":
    main()
