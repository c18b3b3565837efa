"""What runs may be expected to reach before outcomes are due: told where they are scored, and kept with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import polars as pl
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select

from features.instants import microseconds
from features.journey import Journey
from features.labels import tasks
from features.schema import to_text
from serving import documented, expectations, performance
from serving.documented import EXPECTED, Document
from serving.expectations import Followed
from serving.store import Store, latest
from serving.tables import outcomes
from training.estimated import CONDITIONS, estimated

_OPEN_RUNS = 3  # the newest of those that are followed up


def estimates(expected: pl.DataFrame, journey: Journey) -> dict[str, dict[str, Any]]:
    """Per task that has probabilities, of how many customers which metrics are to be expected, with intervals.

    `expected` is as `serving.expectations.read` gives it.
    """
    stages = performance.chances(expected["next_stage"].drop_nulls(), journey)
    found: dict[str, NDArray[Any]] = {"churn": expected["churn_probability"].drop_nulls().to_numpy()}
    found["next_stage"] = stages
    told = {name: estimated(name, predicted) for name, predicted in found.items() if name in tasks(journey)}
    return {
        name: {"customers": len(found[name]), "metrics": {metric: asdict(value) for metric, value in metrics.items()}}
        for name, metrics in told.items()
        if metrics
    }


def document(run: Followed, journey: Journey, found: Mapping[str, Mapping[str, Any]]) -> Document:
    """The estimates of a run, to be stored with it; a task in sample has none."""
    told = {
        name: {
            "version": run.versions[name],
            "open_until": run.cutoff + microseconds(tasks(journey)[name].within),
            **found[name],
        }
        for name in _fair(run, found)
    }
    return Document(EXPECTED, {"run_id": run.run_id, "cutoff": to_text(run.cutoff), "tasks": told})


def newest(connection: Connection, journey: str) -> dict[str, Any] | None:
    """What the newest run may be expected to reach, by its tasks whose horizon is open; null: none is.

    Open until `open_until`: until the log is complete up to then, and its outcomes have been looked at.
    """
    run = latest(connection, journey)
    told = documented.read(connection, run.id, EXPECTED) if run else None
    if told is None:
        return None
    judged = select(func.max(outcomes.c.judged_until)).where(outcomes.c.journey == journey)
    until = connection.execute(judged).scalar() or 0
    still = {
        name: task | {"open_until": to_text(task["open_until"])}
        for name, task in told["tasks"].items()
        if task["open_until"] > until
    }
    return told | {"conditions": CONDITIONS, "tasks": still} if still else None


def of_runs(store: Store, journey: Journey) -> list[dict[str, Any]]:
    """The same of the newest run and of those that are followed up, newest first, over or not.

    A run's cutoff may lie beyond what the log is complete up to: what it says is open all the same.
    """
    with store.transaction() as connection:
        last = newest(connection, journey.journey)
        followed = expectations.of_journey(connection, journey.journey)[-_OPEN_RUNS:]
        rows = [(run, expectations.read(connection, run.run_id)) for run in followed]
    found = [_told(run, estimates(expected, journey)) for run, expected in reversed(rows)]
    if last is None or last["run_id"] in {run.run_id for run in followed}:
        return found
    return [{**last, "tasks": {name: task["metrics"] for name, task in last["tasks"].items()}}, *found]


def _told(run: Followed, found: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    metrics = {name: found[name]["metrics"] for name in _fair(run, found)}
    return {"run_id": run.run_id, "cutoff": to_text(run.cutoff), "conditions": CONDITIONS, "tasks": metrics}


def _fair(run: Followed, found: Mapping[str, Any]) -> list[str]:
    """The tasks that a run answered by a model that knew nothing of what is to come."""
    return [name for name in found if name in run.versions and not run.in_sample(name)]
