"""How well a run's predictions came true: what was expected of groups of customers beside what happened.

Customers who were contacted are told of apart. A contact is made to change what was predicted: among
them the realised rate tells of prediction and contact together, so the model is judged by the others, of
whom those that a list held out stand for those whom it had contacted (`serving.standing_for`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from typing import Any

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from features.journey import Journey
from features.labels import tasks
from features.schema import CUSTOMER, to_text
from serving.compared import Asked, groups, part, weighted
from serving.expectations import Followed
from serving.metric_intervals import covered, intervals
from serving.proportions import COVERAGE
from serving.standing_for import Standing, standing
from training.assess import metrics
from training.estimated import estimated
from training.grades import Grade
from training.metrics import finite, repeated

Array = NDArray[np.float64]
ARMS = {"not_contacted": False, "contacted": True}
WHY_APART = (
    "a contact is made to change what was predicted: among the contacted, what happened tells of prediction and "
    "contact together, so the model is judged by those who were not contacted; whoever a list held out stands for "
    "those it had contacted"
)


def asked(name: str, found: pl.DataFrame, journey: Journey) -> Asked:
    """Of what a run expected and what came of it, the part of one task whose outcome is known.

    Parameters
    ----------
    found
        The columns of `serving.expectations.read` with one of `churned`, `became`, `value` for each task (null:
        not known yet), whether the customer was contacted within its horizon or the campaign's `rest_days` before, and
        what its draw was, if it was on a list (`serving.standing_for.drawn`).
    """
    said, came = _COLUMNS[name]
    rows = found.filter(pl.col(said).is_not_null() & pl.col(came).is_not_null())
    rows = rows.with_columns(pl.col(contacted(name)).alias("contacted"))
    if name != "next_stage":
        predicted, labels = (rows[column].cast(pl.Float64).to_numpy() for column in (said, came))
        return Asked(rows, predicted, labels, predicted, labels, _standing(name, rows).weight)
    names, predicted = journey.stage_names, chances(rows[said], journey)
    rows = rows.head(len(predicted))
    labels = np.array([names.index(stage) for stage in rows[came]], dtype=np.float64)
    hits = (np.argmax(predicted, axis=1) == labels).astype(np.float64) if len(rows) else np.empty(0)
    return Asked(rows, predicted.max(axis=1, initial=0.0), hits, predicted, labels, _standing(name, rows).weight)


def chances(told: pl.Series, journey: Journey) -> Array:
    """The chance of each of the journey's stages, shape (rows, stages), by a run's JSON texts.

    Of no row, where the run told of stages that the journey no longer has: what became of these nobody can say.
    """
    names, found = journey.stage_names, [orjson.loads(text) for text in told]
    if any(not set(one) <= set(names) for one in found):
        found = []
    return np.array([[one.get(stage, 0.0) for stage in names] for one in found]).reshape(len(found), len(names))


def judged(name: str, found: pl.DataFrame, journey: Journey) -> Asked:
    """The same of those by whom a model is judged: who was not contacted, the held-out for all of their list."""
    return _judging(asked(name, found, journey))


def _judging(every: Asked) -> Asked:
    return part(every, every.weight > 0)


def _standing(name: str, rows: pl.DataFrame) -> Standing:
    return standing(rows[drawn(name)].to_numpy(), rows["contacted"].to_numpy())


def contacted(name: str) -> str:
    """The column that says who was contacted within a task's horizon, or shortly before."""
    return f"contacted_{name}"


def drawn(name: str) -> str:
    """The column that says what a customer's draw was, as `serving.standing_for.drawn` has it."""
    return f"drawn_{name}"


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
            name: {**_model(run, name), "horizon_days": _days(journey, name), **parts}
            for name, parts in told.items()
            if parts is not None
        },
    }


def _model(run: Followed, name: str) -> dict[str, Any]:
    """Whose predictions they are, and whether that model had already learned from what came."""
    known = to_text(run.knows_until[name])
    return {"version": run.versions[name], "knows_until": known, "in_sample": run.in_sample(name)}


def _days(journey: Journey, name: str) -> float:
    return tasks(journey)[name].within.total_seconds() / 86_400


def _task(name: str, every: Asked, journey: Journey, grade: Grade | None) -> dict[str, Any] | None:
    if every.rows.is_empty():
        return None
    reached_out = every.rows["contacted"].to_numpy()
    arms = {arm: part(every, reached_out == wanted) for arm, wanted in ARMS.items()}
    return {
        "grade": asdict(grade) if grade else None,
        **_reached(name, _judging(every), _standing(name, every.rows), journey),
        **{arm: groups(name, found, journey) for arm, found in arms.items()},
    }


def _reached(name: str, judged: Asked, stand: Standing, journey: Journey) -> dict[str, Any]:
    """The metrics that a model reached, and what the probabilities led to expect of them."""
    lists = {"listed": stand.listed, "held_out": stand.held_out, "stand_for_lists": stand.enough}
    if not len(judged.rows):
        return {"judged": {"customers": 0, **lists}, "metrics": {}, "intervals": {}, "estimated": {}}
    rows = repeated(judged.weight, judged.said)
    reached = metrics(name, judged.labels[rows], judged.predicted[rows], journey.stage_names)
    if name == "cltv":
        reached["coverage"] = float(np.average(covered(judged), weights=judged.weight))
    sure = intervals(name, judged, reached)
    return {
        "judged": {**weighted(judged, name != "cltv"), **lists},
        "metrics": finite(reached),
        "intervals": {metric: [told.low, told.high] for metric, told in sure.items()},
        "estimated": {metric: asdict(told) for metric, told in estimated(name, judged.predicted, rows=rows).items()},
    }


def happened_digest(found: pl.DataFrame) -> str:
    """What happened, in a few letters: the same text, the same outcomes of the same customers.

    Amounts count to a hundredth of a cent: the last bits of a sum differ from run to run.
    """
    came = [column for _, column in _COLUMNS.values()]
    arms = [column(name) for name in _COLUMNS for column in (contacted, drawn)]
    columns = [name for name in (CUSTOMER, *came, *arms) if name in found.columns]
    told = found.select(columns).sort(CUSTOMER).with_columns(pl.col(pl.Float64).round(4))
    return sha256(told.write_csv().encode()).hexdigest()[:16]
