"""What was expected of groups of customers beside what happened to them, with intervals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from features.journey import Journey
from features.schema import CUSTOMER
from serving.means import mean, with_error
from serving.proportions import SMALLEST_ARM, Estimate, share

Array = NDArray[np.float64]
BANDS = ("high", "medium", "low")
LEAST_AMOUNTS = 30  # fewer amounts tell nothing of their mean: a customer who spends a lot may be missing


class Asked(NamedTuple):
    """The customers a task asked about, in one order: what was said, what came, and who they are.

    `said` and `came` are in the task's unit: probability and 0 or 1 of churn; value; of the next stage
    the confidence in the likeliest one, and whether it came. `predicted` and `labels` are as
    `training.assess.losses` wants them, `weight` is how many customers each stands for when the model is judged.
    """

    rows: pl.DataFrame
    said: Array
    came: Array
    predicted: Array
    labels: Array
    weight: Array


def part(every: Asked, chosen: NDArray[np.bool_]) -> Asked:
    """Some of the customers."""
    return Asked(every.rows.filter(chosen), *(values[chosen] for values in every[1:]))


def groups(name: str, found: Asked, journey: Journey) -> dict[str, Any]:
    """Everyone, and by risk band, tenth of the prediction, stage and segment; of stages also how many reached each."""
    binary = name != "cltv"
    if not len(found.rows):
        return {"customers": 0}
    made = {
        "customers": len(found.rows),
        "all": _row("everyone", found.said, found.came, binary),
        "bands": list(_by(found, found.rows["risk"], binary, BANDS)),
        "deciles": list(_tenths(found, binary)),
        "stages": list(_by(found, found.rows["stage"], binary, journey.stage_names)),
        "segments": list(_segments(found, binary)),
    }
    if name == "next_stage":
        made["reached"] = [
            _row(stage, found.predicted[:, n], (found.labels == n).astype(np.float64), True)
            for n, stage in enumerate(journey.stage_names)
        ]
    return made


def _by(found: Asked, values: pl.Series, binary: bool, order: Any) -> Iterator[dict[str, Any]]:
    for value in order:
        chosen = (values == value).fill_null(False).to_numpy()
        if chosen.any():
            yield _row(value, found.said[chosen], found.came[chosen], binary)


def _tenths(found: Asked, binary: bool) -> Iterator[dict[str, Any]]:
    """Tenths of the customers, the highest predictions first."""
    order = np.argsort(-found.said, kind="stable")
    for number, part in enumerate(np.array_split(order, 10), 1):
        if len(part):
            yield _row(str(number), found.said[part], found.came[part], binary)


def _segments(found: Asked, binary: bool) -> Iterator[dict[str, Any]]:
    held = [orjson.loads(text) if text else {} for text in found.rows["segments"]]
    for name in sorted({name for one in held for name in one}):
        values = pl.Series([one.get(name) for one in held], dtype=pl.String)
        for row in _by(found, values, binary, values.drop_nulls().unique().sort()):
            yield {"segment": name, **row}


def _row(group: str, said: Array, came: Array, binary: bool) -> dict[str, Any]:
    """A group: what was expected and what happened on average, with its 95 % interval and what that says."""
    found = share(int(came.sum()), len(came)) if binary else mean(came)
    return {"group": group, **compared(len(said), float(said.mean()), found, binary)}


def weighted(found: Asked, binary: bool) -> dict[str, Any]:
    """What was expected and what happened to everyone whom these stand for; the interval draws customers, not rows."""
    _, customer = np.unique(found.rows[CUSTOMER].to_numpy(), return_inverse=True)
    weight = found.weight
    totals, sizes = (np.bincount(customer, w).astype(np.float64) for w in (found.came * weight, weight))
    told = weighted_share(totals, sizes, len(found.rows)) if binary else mean(totals, sizes)
    return compared(len(sizes), float(np.average(found.said, weights=weight)), told, binary)


def weighted_share(hits: Array, sizes: Array, rows: int) -> Estimate:
    """A share with Wilson's interval of as many independent rows as these are worth; both by customer.

    The effective sample size as E. L. Korn and B. I. Graubard have it (1998, Survey Methodology 24:193-201); where
    all came alike, that of the weights alone.
    """
    rate, error = with_error(hits, sizes)
    worth = min(max(rate * (1 - rate) / error**2, 1.0), rows) if error else effective_size(sizes)
    told = share(rate * worth, worth)
    return Estimate(rate, told.low, told.high)


def effective_size(weight: Array) -> float:
    """How many equal weights these are worth (L. Kish, Survey Sampling, 1965, 11.7)."""
    return float(weight.sum() ** 2 / (weight**2).sum())


def compared(customers: int, expected: float, found: Estimate, binary: bool) -> dict[str, Any]:
    """What was expected beside what happened, and what its interval says of it; of too few customers, nothing."""
    verdict = "as expected"
    if customers < (SMALLEST_ARM if binary else LEAST_AMOUNTS):
        verdict = "too few"
    elif not found.low <= expected <= found.high:
        verdict = "more" if found.value > expected else "less"
    told = {"customers": customers, "expected": expected, "realised": found.value}
    return told | {"low": found.low, "high": found.high, "verdict": verdict}
