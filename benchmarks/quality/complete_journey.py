"""Complete Journey: churn backtested at six origins, `python -m benchmarks.quality.complete_journey`.

At each origin everything is trained anew on what was known then, and tested on the 28 days that followed.
"""

from __future__ import annotations

import numpy as np

from benchmarks.lines import Line, Lines, progress
from benchmarks.quality.options import Options, options
from features.definition import read as read_journey
from features.log import read
from features.schema import to_text
from training.backtest import Backtest, backtest
from training.grades import lead
from training.recipe import Recipe

ORIGINS, QUICK_ORIGINS = 6, 1
RULE = "purchase count in 56d"


def run(chosen: Options, lines: Lines) -> None:
    """The newest origins of the shipped journey."""
    journey, log = read(*read_journey("complete_journey"))
    count = QUICK_ORIGINS if chosen.quick else ORIGINS
    (found,) = backtest(journey, log, ["churn"], Recipe(), count, 1, progress)
    for line in _lines(found):
        lines.add(line)


def _lines(found: Backtest) -> list[Line]:
    mean, rule, grade = found.over_origins(), found.over_origins(RULE), found.grade
    each = {to_text(one.instant)[:10]: round(one.assessment.metrics["roc_auc"], 4) for one in found.origins}
    errors = {to_text(one.instant)[:10]: round(one.assessment.metrics["ece"], 4) for one in found.origins}
    aucs = {"published": f"about .83 by {RULE}", "rule": f"{RULE} {rule['roc_auc'][0]:.4f} here", "each": each}
    ahead = {"ahead_percent": round(100 * grade.ahead, 2), "to": round(100 * grade.high, 2), "grade": grade.words}
    return [
        Line("Complete Journey churn: mean ROC AUC", mean["roc_auc"][0], "", ">= 0.86", aucs),
        Line("Complete Journey churn: mean ECE", mean["ece"][0], "", "<= 0.025", {"each": errors}),
        Line(
            "Complete Journey churn: log loss ahead of the best rule, lower end (95 %)",
            100 * grade.low,
            "%",
            ">= 0",
            ahead,
        ),
        _against_the_count(found),
    ]


def _against_the_count(found: Backtest) -> Line:
    """The lead over the rule that the target names, which need not be the best one; all origins together."""
    each = [one.assessment for one in found.origins]
    ours, theirs = (np.concatenate(part) for part in zip(*((a.losses, a.rule_losses[RULE]) for a in each), strict=True))
    ahead = lead(ours, theirs, np.concatenate([a.customers for a in each]))
    detail = {"ahead_percent": round(100 * ahead.ahead, 2), "to": round(100 * ahead.high, 2)}
    name = f"Complete Journey churn: log loss ahead of the {RULE}, lower end (95 %)"
    return Line(name, 100 * ahead.low, "%", ">= 0", detail)


def main() -> None:
    """Run this benchmark alone."""
    chosen = options(__doc__, "complete_journey")
    run(chosen, Lines(chosen.out, targets=not chosen.quick))


if __name__ == "__main__":
    main()
