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
from features.instants import KEYS, Window, inside, mature, microseconds, past_at
from features.journey import Journey
from features.journey_map import silence
from features.labels import LABEL, Task, label
from features.ordering import Ordered
from features.schema import CUSTOMER, CUTOFF, EVENT, HISTORY, MINUTE, TIME, VALUE
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
    found = []
    for cutoff in cutoffs:
        rows: pl.LazyFrame = (
            past_at(nw.from_native(log.events.lazy()), cutoff).filter(inside(Window(period(journey)))).to_native()
        )
        found += _of_period(journey, rows.collect(), cutoff, groups)
    found += _first_purchases(journey, log, cutoffs, groups)
    found += _sessions(journey, log, cutoffs, groups)
    for name in ("churn", "cltv"):
        if (task := getattr(journey.tasks, name)) is not None:
            found += _labelled(name, task, journey, events, log, cutoffs, groups)
    return found


def _both(
    groups: Groups, name: str, cutoff: int, top: pl.DataFrame, bottom: pl.DataFrame, of: tuple[str, str] = ("", "")
) -> list[pl.DataFrame]:
    def one(rows: pl.DataFrame, part: str, column: str) -> pl.DataFrame:
        marked = rows.with_columns(name=pl.lit(name), part=pl.lit(part), at=pl.lit(cutoff, dtype=pl.Int64))
        return groups.tally(marked, "kpi", ["name", "part"], at="at", sum_of=column)

    return [one(top, "top", of[0]), one(bottom, "bottom", of[1])]


def _of_period(journey: Journey, rows: pl.DataFrame, cutoff: int, groups: Groups) -> list[pl.DataFrame]:
    found: list[pl.DataFrame] = []
    if conversion := journey.conversion_event:
        bought = rows.filter(pl.col(EVENT) == conversion)
        found += _both(groups, "conversion_rate", cutoff, _each(bought), _each(rows))
        valued = bought.filter(pl.col(VALUE).is_not_null())
        found += _both(groups, "aov", cutoff, valued, valued, (VALUE, ""))
    if journey.acquisition:
        costs = pl.col(EVENT).replace_strict(journey.acquisition, default=0.0, return_dtype=pl.Float64)
        spent = rows.filter(pl.col(EVENT).is_in(list(journey.acquisition))).with_columns(costs.alias("cost"))
        found += _both(groups, "cac", cutoff, spent, spent.clear(), ("cost", ""))
    if answer := nps_of(journey):
        said = rows.filter(pl.col(answer).is_not_null())
        points = pl.when(pl.col(answer) >= 9).then(100.0).when(pl.col(answer) < 7).then(-100.0).otherwise(0.0)
        found += _both(groups, "nps", cutoff, said.with_columns(points.alias("points")), said, ("points", ""))
    return found


def _each(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(HISTORY).unique()


def _first_purchases(journey: Journey, log: Ordered, cutoffs: list[int], groups: Groups) -> list[pl.DataFrame]:
    if not (journey.acquisition and journey.conversion_event):
        return []
    bought = log.events.filter(pl.col(EVENT) == journey.conversion_event)
    first = bought.group_by(HISTORY).agg(pl.col(TIME).min())
    return _in_periods(
        journey, first, cutoffs, lambda cutoff, rows: _both(groups, "cac", cutoff, rows.clear(), rows)[1:]
    )


def _sessions(journey: Journey, log: Ordered, cutoffs: list[int], groups: Groups) -> list[pl.DataFrame]:
    if journey.session_gap is None:
        return []
    derived = sessions(journey, journey.session_gap).derive(nw.from_native(log.events, eager_only=True), Sorted())
    rows: pl.DataFrame = derived.select(HISTORY, "session", TIME, "nth", "lasted").to_native()
    each = rows.group_by(HISTORY, "session").agg(
        pl.col(TIME).min(), pl.col("nth").max(), (pl.col("lasted").max() / MINUTE).alias("minutes")
    )

    def told(cutoff: int, begun: pl.DataFrame) -> list[pl.DataFrame]:
        return [
            *_both(groups, "bounce_share", cutoff, begun.filter(pl.col("nth") == 1), begun),
            *_both(groups, "session_minutes", cutoff, begun, begun, ("minutes", "")),
        ]

    return _in_periods(journey, each, cutoffs, told)


def _in_periods(
    journey: Journey,
    rows: pl.DataFrame,
    cutoffs: list[int],
    told: Callable[[int, pl.DataFrame], list[pl.DataFrame]],
) -> list[pl.DataFrame]:
    length = microseconds(period(journey))
    found = []
    for cutoff in cutoffs:
        inner = rows.filter((pl.col(TIME) >= cutoff - length) & (pl.col(TIME) < cutoff))
        found += told(cutoff, inner)
    return found


def _labelled(
    name: str, task: Task, journey: Journey, events: pl.DataFrame, log: Ordered, cutoffs: list[int], groups: Groups
) -> list[pl.DataFrame]:
    """Churn is told at the end of its horizon, CLTV at the beginning, where its horizon is over."""
    length = microseconds(task.within)
    end = journey.observed_until_microseconds
    starts = (
        {cutoff - length: cutoff for cutoff in cutoffs}
        if name == "churn"
        else {cutoff: cutoff for cutoff in cutoffs if mature(cutoff, task.within, end)}
    )
    if not starts:
        return []
    known = log.events.group_by(CUSTOMER, HISTORY).agg(pl.max_horizontal(TIME, "known_at").min().alias("first"))
    grid = known.join(pl.DataFrame({CUTOFF: pl.Series(sorted(starts), dtype=pl.Int64)}), how="cross")
    asked = grid.filter(pl.col("first") < pl.col(CUTOFF)).sort(KEYS)
    if asked.is_empty():
        return []
    fits = holds(task.eligibility, events, asked.select(KEYS), "eligible")["eligible"]
    value = label(task, journey, events, asked.select(KEYS))[LABEL].cast(pl.Float64).fill_null(0.0)
    rows = asked.with_columns(value=value).filter(fits)
    kpi = "churn_rate" if name == "churn" else "cltv"
    found = []
    for start, cutoff in starts.items():
        mine = rows.filter(pl.col(CUTOFF) == start)
        found += _both(groups, kpi, cutoff, mine, mine, ("value", ""))
    return found
