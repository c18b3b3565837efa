"""What earlier runs expected against what happened, once their horizons are over, by risk band."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import polars as pl
from sqlalchemy import Connection, select

from features.instants import mature
from features.journey import Journey
from features.labels import LABEL, label
from features.schema import CUSTOMER, CUTOFF, to_text
from serving import documented
from serving.documented import REALISED, Document
from serving.store import Store
from serving.tables import runs, scores

_BANDS = ("high", "medium", "low")
_SUMS = ("customers", "expected_churned", "churned", "valued", "expected_value", "value")


class _Due(NamedTuple):
    """A run whose churn horizon is over; `valued` says whether that of CLTV is over too."""

    run_id: int
    cutoff: int
    valued: bool
    scored: pl.DataFrame


class Realised:
    """Compares, part by part of a log, the runs for which that was not done yet.

    Parameters
    ----------
    journey
        Resolved with the log.
    """

    def __init__(self, store: Store, journey: Journey) -> None:
        self._journey = journey
        with store.transaction() as connection:
            self._due = _due(connection, journey)
        self._sums = {
            due.run_id: pl.DataFrame(schema={"risk": pl.String, **dict.fromkeys(_SUMS, pl.Float64)})
            for due in self._due
        }

    def add(self, events: pl.DataFrame) -> None:
        """Look at what happened to a part's customers."""
        tasks, customers = self._journey.tasks, events[CUSTOMER].unique()
        for due in self._due:
            asked = due.scored.filter(pl.col(CUSTOMER).is_in(customers.implode())).sort(CUSTOMER)
            if asked.is_empty() or tasks.churn is None:
                continue
            keys = asked.select(CUSTOMER, pl.lit(due.cutoff, dtype=pl.Int64).alias(CUTOFF))
            found = asked.with_columns(churned=label(tasks.churn, self._journey, events, keys)[LABEL].cast(pl.Float64))
            value = pl.lit(None, dtype=pl.Float64)
            if due.valued and tasks.cltv is not None:
                value = pl.lit(label(tasks.cltv, self._journey, events, keys)[LABEL].cast(pl.Float64))
            self._count(due.run_id, found.with_columns(value=value))

    def documents(self) -> Iterator[Document]:
        """What became of each run's expectations."""
        for due in self._due:
            sums = self._sums[due.run_id].group_by("risk").agg(pl.col(_SUMS).sum())
            rows = {row["risk"]: row for row in sums.iter_rows(named=True)}
            bands = [_band(rows[band]) for band in _BANDS if band in rows]
            if bands:
                yield Document(REALISED, {"cutoff": to_text(due.cutoff), "bands": bands}, run_id=due.run_id)

    def _count(self, run_id: int, found: pl.DataFrame) -> None:
        known = pl.col("value").is_not_null() & pl.col("cltv_expected").is_not_null()
        sums = found.group_by("risk").agg(
            pl.len().cast(pl.Float64).alias("customers"),
            pl.col("churn_probability").sum().alias("expected_churned"),
            pl.col("churned").sum(),
            known.sum().cast(pl.Float64).alias("valued"),
            pl.col("cltv_expected").filter(known).sum().alias("expected_value"),
            pl.col("value").filter(known).sum(),
        )
        self._sums[run_id] = pl.concat([self._sums[run_id], sums.select("risk", *_SUMS)])


def _due(connection: Connection, journey: Journey) -> list[_Due]:
    """Runs whose horizon is over and that were not compared; with those whose CLTV was still open, anew."""
    churn, cltv = journey.tasks.churn, journey.tasks.cltv
    if churn is None:
        return []
    end, found = journey.observed_until_microseconds, []
    of_journey = select(runs.c.id, runs.c.cutoff).where(runs.c.journey == journey.journey, runs.c.customers > 0)
    for run_id, cutoff in connection.execute(of_journey).all():
        if not mature(cutoff, churn.within, end):
            continue
        valued = cltv is not None and mature(cutoff, cltv.within, end)
        before = documented.read(connection, run_id, REALISED)
        if before is None or (valued and not any(band["valued"] for band in before["bands"])):
            found.append(_Due(run_id, cutoff, valued, _scored(connection, run_id)))
    return found


def _scored(connection: Connection, run_id: int) -> pl.DataFrame:
    columns = [scores.c[name] for name in ("customer_id", "risk", "churn_probability", "cltv_expected")]
    wanted = select(*columns).where(scores.c.run_id == run_id, scores.c.churn_probability.is_not(None))
    kinds = {
        CUSTOMER: pl.String(),
        "risk": pl.String(),
        "churn_probability": pl.Float64(),
        "cltv_expected": pl.Float64(),
    }
    return pl.DataFrame([tuple(row) for row in connection.execute(wanted)], schema=kinds, orient="row")


def _band(row: dict[str, Any]) -> dict[str, Any]:
    customers, valued = row["customers"], row["valued"]
    return {
        "risk": row["risk"],
        "customers": int(customers),
        "expected_churn_rate": row["expected_churned"] / customers,
        "churned": int(row["churned"]),
        "churn_rate": row["churned"] / customers,
        "valued": int(valued),
        "expected_value": row["expected_value"] / valued if valued else None,
        "value": row["value"] / valued if valued else None,
    }
