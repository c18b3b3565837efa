"""How well a run's predictions came true: what was expected of groups of customers beside what happened.

Customers who were contacted are told of apart. A contact is made to change what was predicted: among
them the realised rate tells of prediction and contact together, so the model is judged by the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from features.journey import Journey
from features.labels import tasks
from features.schema import CUSTOMER, to_text
from serving.expectations import Followed
from serving.proportions import COVERAGE, RESAMPLES, SMALLEST_ARM, Estimate, share
from training.assess import metrics
from training.grades import Grade
from training.metrics import finite

Array = NDArray[np.float64]
ARMS = {"not_contacted": False, "contacted": True}
WHY_APART = (
    "a contact is made to change what was predicted: among the contacted, what happened tells of prediction and "
    "contact together, so the model is judged by those who were not contacted"
)
_CLT = 1_000  # values from which the normal approximation of a mean's interval serves as well as resampling
_BANDS = ("high", "medium", "low")


class Asked(NamedTuple):
    """The customers a task asked about, in one order: what was said, what came, and who they are.

    `said` and `came` are in the task's unit: probability and 0 or 1 of churn; value; of the next stage
    the confidence in the likeliest one, and whether it came. `predicted` and `labels` are as
    `training.assess.losses` wants them.
    """

    rows: pl.DataFrame
    said: Array
    came: Array
    predicted: Array
    labels: Array


def asked(name: str, found: pl.DataFrame, journey: Journey) -> Asked:
    """Of what a run expected and what came of it, the part of one task whose outcome is known.

    Parameters
    ----------
    found
        The columns of `serving.expectations.read` with `contacted` and one of `churned`, `became`,
        `value` for each task; null: not known yet.
    """
    said, came = _COLUMNS[name]
    rows = found.filter(pl.col(said).is_not_null() & pl.col(came).is_not_null())
    if name != "next_stage":
        predicted, labels = (rows[column].cast(pl.Float64).to_numpy() for column in (said, came))
        return Asked(rows, predicted, labels, predicted, labels)
    names = journey.stage_names
    chances = [orjson.loads(text) for text in rows[said]]
    predicted = np.array([[one.get(stage, 0.0) for stage in names] for one in chances]).reshape(len(rows), len(names))
    labels = np.array([names.index(stage) for stage in rows[came]], dtype=np.float64)
    hits = (np.argmax(predicted, axis=1) == labels).astype(np.float64) if len(rows) else np.empty(0)
    return Asked(rows, predicted.max(axis=1, initial=0.0), hits, predicted, labels)


_COLUMNS = {
    "churn": ("churn_probability", "churned"),
    "next_stage": ("next_stage", "became"),
    "cltv": ("cltv_expected", "value"),
}


def report(
    run: Followed, journey: Journey, found: pl.DataFrame, judged_until: int, grades: Mapping[str, Grade | None]
) -> dict[str, Any]:
    """What came of a run, as JSON; tasks whose horizon is not over yet are missing.

    Parameters
    ----------
    found
        As `asked` wants it.
    grades
        Per task the grade on what happened; null or missing: not graded yet, or too few customers.
    """
    told = {name: _task(name, asked(name, found, journey), journey, grades.get(name)) for name in tasks(journey)}
    return {
        "run_id": run.run_id,
        "cutoff": to_text(run.cutoff),
        "versions": run.versions,
        "customers": run.customers,
        "followed": len(found),
        "judged_until": to_text(judged_until),
        "coverage": COVERAGE,
        "why_apart": WHY_APART,
        "tasks": {
            name: {"version": run.versions.get(name), "horizon_days": _days(journey, name), **parts}
            for name, parts in told.items()
            if parts is not None
        },
    }


def _days(journey: Journey, name: str) -> float:
    return tasks(journey)[name].within.total_seconds() / 86_400


def _task(name: str, every: Asked, journey: Journey, grade: Grade | None) -> dict[str, Any] | None:
    if every.rows.is_empty():
        return None
    contacted = every.rows["contacted"].to_numpy()
    arms = {arm: part(every, contacted == wanted) for arm, wanted in ARMS.items()}
    judged = arms["not_contacted"]
    reached = finite(metrics(name, judged.labels, judged.predicted, journey.stage_names)) if len(judged.rows) else {}
    if name == "cltv" and len(judged.rows):
        reached["coverage"] = _covered(judged)
    return {
        "grade": asdict(grade) if grade else None,
        "metrics": reached,
        **{arm: _groups(name, part, journey) for arm, part in arms.items()},
    }


def part(every: Asked, chosen: NDArray[np.bool_]) -> Asked:
    """Some of the customers."""
    return Asked(every.rows.filter(chosen), *(values[chosen] for values in every[1:]))


def _covered(found: Asked) -> float:
    """The share of values within their intervals; an interval without a lower end begins at nothing."""
    high = found.rows["cltv_high"].fill_null(np.inf).to_numpy()
    low = found.rows["cltv_low"].fill_null(-np.inf).to_numpy()
    return float(np.mean((found.came >= low) & (found.came <= high)))


def _groups(name: str, found: Asked, journey: Journey) -> dict[str, Any]:
    """Everyone, and by risk band, tenth of the prediction, stage and segment; of stages also how many reached each."""
    binary = name != "cltv"
    if not len(found.rows):
        return {"customers": 0}
    made = {
        "customers": len(found.rows),
        "all": _row("everyone", found.said, found.came, binary),
        "bands": list(_by(found, found.rows["risk"], binary, _BANDS)),
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
    size, expected = len(said), float(said.mean())
    found = share(int(came.sum()), size) if binary else mean(came)
    verdict = "as expected"
    if size < SMALLEST_ARM:
        verdict = "too few"
    elif not found.low <= expected <= found.high:
        verdict = "more" if found.value > expected else "less"
    return {
        "group": group,
        "customers": size,
        "expected": expected,
        "realised": found.value,
        "low": found.low,
        "high": found.high,
        "verdict": verdict,
    }


def mean(values: Array) -> Estimate:
    """A mean with its 95 % interval: by resampling, of many values by the normal approximation."""
    middle = float(values.mean())
    if len(values) >= _CLT:
        reach = 1.96 * float(values.std(ddof=1)) / np.sqrt(len(values))
        return Estimate(middle, middle - reach, middle + reach)
    rng = np.random.default_rng(len(values))
    drawn = values[rng.integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.quantile(drawn, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return Estimate(middle, float(low), float(high))


def happened_digest(found: pl.DataFrame) -> str:
    """What happened, in a few letters: the same text, the same outcomes of the same customers."""
    columns = [name for name in (CUSTOMER, "contacted", "churned", "became", "value") if name in found.columns]
    hashed = found.select(columns).hash_rows(seed=0)
    return f"{int(hashed.cast(pl.UInt64).reinterpret(signed=True).sum() or 0):x}-{len(found)}"
