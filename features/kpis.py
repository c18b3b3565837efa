"""KPIs of a journey at each of its newest cutoffs; `docs/kpis.md` has the source of every definition.

Each is a ratio of two sums, so that those of parts and groups add up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import narwhals as nw
import polars as pl

from features.eligibility import holds
from features.families.tables import sessions
from features.histories import Sorted
from features.instants import KEYS, Window, inside, mature, microseconds
from features.journey import Journey
from features.journey_map import silence
from features.labels import LABEL, Task, label
from features.ordering import Ordered
from features.schema import CUSTOMER, CUTOFF, EVENT, HISTORY, KNOWN_AT, MINUTE, TIME, VALUE
from features.tallies import Groups

Unit = Literal["share", "money", "minutes", "ratio", "points"]
MOST = 13  # cutoffs of a trend


@dataclass(frozen=True, slots=True)
class Kpi:
    """A KPI: `better` says which way is good, `missing` why a journey has none of it (null: it has one)."""

    name: str
    title: str
    unit: Unit
    better: Literal["up", "down", ""]
    definition: str
    missing: Callable[[Journey], str | None]


def period(journey: Journey) -> timedelta:
    """The stretch before each cutoff that KPIs of what happened are told of: the churn horizon."""
    return silence(journey)


def nps_of(journey: Journey) -> str | None:
    """The first property that holds answers from 0 to 10."""
    return next((name for name, kind in journey.properties.items() if kind == "nps"), None)


def _no_conversion(journey: Journey) -> str | None:
    return None if journey.conversion_event else "the journey names no event that earns money (conversion)"


def _no_value(journey: Journey) -> str | None:
    return _no_conversion(journey)


def _no_churn(journey: Journey) -> str | None:
    return None if journey.tasks.churn else "the journey has no churn task"


def _no_cltv(journey: Journey) -> str | None:
    return None if journey.tasks.cltv else "the journey has no CLTV task"


def _no_cost(journey: Journey) -> str | None:
    if journey.acquisition:
        return _no_conversion(journey)
    return "acquisition cost is not known: name it under acquisition, event type by event type"


def _no_sessions(journey: Journey) -> str | None:
    return None if journey.session_gap else "the journey has no sessions (session_gap)"


def _no_nps(journey: Journey) -> str | None:
    return None if nps_of(journey) else "no property of the journey is of the kind nps"


KPIS = (
    Kpi(
        "conversion_rate",
        "Conversion rate",
        "share",
        "up",
        "customers who bought in the period, of all with an event in it, contacts by the business too",
        _no_conversion,
    ),
    Kpi(
        "churn_rate",
        "Churn rate",
        "share",
        "down",
        "customers who churned in the period, of those churn asked about at its start",
        _no_churn,
    ),
    Kpi("aov", "Average order value", "money", "up", "value of the purchases of the period, per purchase", _no_value),
    Kpi(
        "cltv",
        "CLTV",
        "money",
        "up",
        "value per customer over the CLTV horizon after the cutoff: realised, or expected at the newest",
        _no_cltv,
    ),
    Kpi(
        "cac",
        "CAC",
        "money",
        "down",
        "cost of acquisition in the period, per customer who bought for the first time in it",
        _no_cost,
    ),
    Kpi(
        "cltv_cac",
        "CLTV / CAC",
        "ratio",
        "up",
        "CLTV over the cost of winning a customer",
        lambda journey: _no_cltv(journey) or _no_cost(journey),
    ),
    Kpi(
        "bounce_share",
        "Bounce share",
        "share",
        "down",
        "sessions of the period that end with their first event, of all begun in it",
        _no_sessions,
    ),
    Kpi(
        "session_minutes",
        "Session length",
        "minutes",
        "",
        "minutes from the first to the last event of a session begun in the period",
        _no_sessions,
    ),
    Kpi(
        "nps",
        "NPS",
        "points",
        "up",
        "promoters (9, 10) less detractors (0 to 6), per 100 answers of the period",
        _no_nps,
    ),
)


def tally(
    journey: Journey, events: pl.DataFrame, log: Ordered, cutoffs: list[int], groups: Groups
) -> list[pl.DataFrame]:
    """Both sums of every KPI at each cutoff: `a` is its name, `b` is `top` or `bottom`."""
    found = _of_period(journey, _in_periods(journey, log.events, cutoffs), groups)
    found += _first_purchases(journey, log, cutoffs, groups)
    found += _sessions(journey, log, cutoffs, groups)
    for name in ("churn", "cltv"):
        if (task := getattr(journey.tasks, name)) is not None:
            found += _labelled(name, task, journey, events, log, cutoffs, groups)
    return found


def _both(
    groups: Groups, name: str, top: pl.DataFrame, bottom: pl.DataFrame, of: tuple[str, str] = ("", "")
) -> list[pl.DataFrame]:
    """The two sums, each a count of rows or the sum of a column, by the cutoff in `at`."""

    def one(rows: pl.DataFrame, part: str, column: str) -> pl.DataFrame:
        marked = rows.with_columns(name=pl.lit(name), part=pl.lit(part))
        return groups.tally(marked, "kpi", ["name", "part"], at="at", sum_of=column)

    return [one(top, "top", of[0]), one(bottom, "bottom", of[1])]


def _in_periods(journey: Journey, rows: pl.DataFrame, cutoffs: list[int]) -> pl.DataFrame:
    """The rows in the period before each cutoff, once for every period they lie in, with the cutoff as `at`."""
    inner = Window(period(journey))
    found = [rows.clear().with_columns(at=pl.lit(None, dtype=pl.Int64))]
    for cutoff in cutoffs:
        timed = nw.from_native(rows.lazy()).with_columns(age=nw.lit(cutoff, dtype=nw.Int64) - nw.col(TIME))
        mine: pl.LazyFrame = timed.filter(nw.col("age") > 0, inside(inner)).drop("age").to_native()
        found.append(mine.collect().with_columns(at=pl.lit(cutoff, dtype=pl.Int64)))
    return pl.concat(found)


def _of_period(journey: Journey, rows: pl.DataFrame, groups: Groups) -> list[pl.DataFrame]:
    found: list[pl.DataFrame] = []
    if conversion := journey.conversion_event:
        bought = rows.filter(pl.col(EVENT) == conversion)
        found += _both(groups, "conversion_rate", _each(bought), _each(rows))
        valued = bought.filter(pl.col(VALUE).is_not_null())
        found += _both(groups, "aov", valued, valued, (VALUE, ""))
    if journey.acquisition:
        costs = pl.col(EVENT).replace_strict(journey.acquisition, default=0.0, return_dtype=pl.Float64)
        spent = rows.filter(pl.col(EVENT).is_in(list(journey.acquisition))).with_columns(costs.alias("cost"))
        found += _both(groups, "cac", spent, spent.clear(), ("cost", ""))
    if answer := nps_of(journey):
        said = rows.filter(pl.col(answer).is_not_null())
        points = pl.when(pl.col(answer) >= 9).then(100.0).when(pl.col(answer) < 7).then(-100.0).otherwise(0.0)
        found += _both(groups, "nps", said.with_columns(points.alias("points")), said, ("points", ""))
    return found


def _each(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(HISTORY, "at").unique()


def _first_purchases(journey: Journey, log: Ordered, cutoffs: list[int], groups: Groups) -> list[pl.DataFrame]:
    if not (journey.acquisition and journey.conversion_event):
        return []
    bought = log.events.filter(pl.col(EVENT) == journey.conversion_event)
    first = _in_periods(journey, bought.group_by(HISTORY).agg(pl.col(TIME).min()), cutoffs)
    return _both(groups, "cac", first.clear(), first)[1:]


def _sessions(journey: Journey, log: Ordered, cutoffs: list[int], groups: Groups) -> list[pl.DataFrame]:
    if journey.session_gap is None:
        return []
    derived = sessions(journey, journey.session_gap).derive(nw.from_native(log.events, eager_only=True), Sorted())
    rows: pl.DataFrame = derived.select(HISTORY, "session", TIME, "nth", "lasted").to_native()
    each = rows.group_by(HISTORY, "session").agg(
        pl.col(TIME).min(), pl.col("nth").max(), (pl.col("lasted").max() / MINUTE).alias("minutes")
    )
    begun = _in_periods(journey, each, cutoffs)
    return [
        *_both(groups, "bounce_share", begun.filter(pl.col("nth") == 1), begun),
        *_both(groups, "session_minutes", begun, begun, ("minutes", "")),
    ]


def _labelled(
    name: str, task: Task, journey: Journey, events: pl.DataFrame, log: Ordered, cutoffs: list[int], groups: Groups
) -> list[pl.DataFrame]:
    """Churn is told at the end of its horizon, CLTV at the beginning, where its horizon is over."""
    length, end = microseconds(task.within), journey.observed_until_microseconds
    if name == "churn":
        starts = {cutoff - length: cutoff for cutoff in cutoffs}
    else:
        starts = {cutoff: cutoff for cutoff in cutoffs if mature(cutoff, task.within, end)}
    known = log.events.group_by(CUSTOMER, HISTORY).agg(pl.max_horizontal(TIME, KNOWN_AT).min().alias("first"))
    told = pl.DataFrame({CUTOFF: list(starts), "at": list(starts.values())}, schema={CUTOFF: pl.Int64, "at": pl.Int64})
    asked = known.join(told, how="cross").filter(pl.col("first") < pl.col(CUTOFF)).sort(KEYS)
    if asked.is_empty():
        return []
    fits = holds(task.eligibility, events, asked.select(KEYS), "eligible")["eligible"]
    value = label(task, journey, events, asked.select(KEYS))[LABEL].cast(pl.Float64).fill_null(0.0)
    rows = asked.with_columns(value=value).filter(fits)
    return _both(groups, "churn_rate" if name == "churn" else "cltv", rows, rows, ("value", ""))
