"""A map as plain values: what a group's tallies say of its journey."""

from __future__ import annotations

from typing import Any

import polars as pl

from features.journey import Journey
from features.journey_map import ANY, CHURNED
from features.kpis import KPIS, Kpi
from features.schema import to_text
from features.tallies import weighted_median

_TOUCHPOINTS = 200  # told of a group: the most frequent
_HOURS = 24


def document(journey: Journey, rows: pl.DataFrame) -> dict[str, Any]:
    """What `GET /v1/journey` tells of one group.

    Parameters
    ----------
    rows
        Its tallies, of `features.tallies.SCHEMA`.
    """
    told = {name: part for (name,), part in rows.group_by("what")}
    return {
        "customers": int(_sum(told.get("customers"))),
        "stages": [_stage(name, told) for name in journey.stage_names],
        "transitions": _moves(told.get("moves")),
        "touchpoints": _touchpoints(told.get("touchpoints")),
        "friction": _friction(told.get("asked"), told.get("troubled")),
        "kpis": [_kpi(kpi, journey, told.get("kpi")) for kpi in KPIS],
    }


def _stage(name: str, told: dict[str, pl.DataFrame]) -> dict[str, Any]:
    of = {what: _sum(_of(told.get(what), a=name)) for what in ("now", "reached", "went_on", "still", "dropped")}
    everyone = _sum(told.get("now"))
    reached = of["reached"]
    return {
        "stage": name,
        "customers": int(of["now"]),
        "share": of["now"] / everyone if everyone else None,
        "median_days": _median_days(_of(told.get("staying"), a=name)),
        "reached": int(reached),
        "went_on": _share(of["went_on"], reached),
        "still": _share(of["still"], reached),
        "dropped": _share(of["dropped"], reached),
    }


def _moves(rows: pl.DataFrame | None) -> list[dict[str, Any]]:
    if rows is None:
        return []
    left = {a: _sum(part) for (a,), part in rows.group_by("a")}
    found = [
        {
            "from": before,
            "to": after,
            "way": way,
            "count": int(_sum(part)),
            "share": _share(_sum(part), left[before]),
            "median_days": _median_days(part),
        }
        for (before, after, way), part in rows.group_by("a", "b", "c", maintain_order=True)
    ]
    return sorted(found, key=lambda move: -move["count"])


def _touchpoints(rows: pl.DataFrame | None) -> list[dict[str, Any]]:
    if rows is None:
        return []
    total = {a: _sum(part) for (a,), part in rows.group_by("a")}
    shown = rows.sort("number", "a", "b", "c", descending=[True, False, False, False]).head(_TOUCHPOINTS)
    return [
        {"stage": a or None, "event": b, "channel": c, "count": int(number), "share": _share(number, total[a])}
        for a, b, c, number in shown.select("a", "b", "c", "number").iter_rows()
    ]


def _friction(asked: pl.DataFrame | None, troubled: pl.DataFrame | None) -> list[dict[str, Any]]:
    """Churn with and without trouble, overall (stage null) and by stage, for any friction (type null) and by type."""
    if asked is None or troubled is None:
        return []
    found = []
    for stage in [None, *sorted(asked["a"].unique().to_list())]:
        here = asked if stage is None else _of(asked, a=stage)
        trouble = troubled if stage is None else _of(troubled, a=stage)
        everyone, churned = _sum(here), _sum(_of(here, b=CHURNED))
        for kind in sorted(trouble["c"].unique().to_list()) if trouble is not None else ():
            mine = _of(trouble, c=kind)
            with_it, lost = _sum(mine), _sum(_of(mine, b=CHURNED))
            found.append(
                {
                    "stage": stage,
                    "type": None if kind == ANY else kind,
                    "customers": int(with_it),
                    "churned": int(lost),
                    "churn_rate": _share(lost, with_it),
                    "others": int(everyone - with_it),
                    "others_churned": int(churned - lost),
                    "others_churn_rate": _share(churned - lost, everyone - with_it),
                }
            )
    return found


def _kpi(kpi: Kpi, journey: Journey, rows: pl.DataFrame | None) -> dict[str, Any]:
    why = kpi.missing(journey)
    trend = [] if why else _trend(kpi.name, rows)
    value = trend[-1]["value"] if trend else None
    if why is None and value is None:
        why = "nothing of the kind happened in the period"
    unit = journey.currency if kpi.unit == "money" else kpi.unit
    told = {"name": kpi.name, "title": kpi.title, "definition": kpi.definition, "unit": unit, "better": kpi.better}
    return told | {"value": value, "why_not": why if value is None else None, "trend": trend}


def _trend(name: str, rows: pl.DataFrame | None) -> list[dict[str, Any]]:
    if rows is None:
        return []
    if name == "cltv_cac":
        cost = {one["cutoff"]: one["value"] for one in _trend("cac", rows)}
        pairs = [(one["cutoff"], one["value"], cost.get(one["cutoff"])) for one in _trend("cltv", rows)]
        known = [(at, value / paid if value is not None and paid else None) for at, value, paid in pairs]
        return [{"cutoff": at, "value": value} for at, value in known]
    found = []
    for (at,), part in sorted(_of(rows, a=name).group_by("at"), key=lambda each: each[0]):  # type: ignore[union-attr]
        top, bottom = _sum(_of(part, b="top")), _sum(_of(part, b="bottom"))
        found.append({"cutoff": to_text(int(at)), "value": top / bottom if bottom else None})
    return found


def _median_days(rows: pl.DataFrame | None) -> float | None:
    if rows is None or rows.is_empty():
        return None
    summed = rows.group_by("at").agg(pl.col("number").sum())
    middle = weighted_median(summed["at"].to_list(), summed["number"].to_list())
    return None if middle is None else middle / _HOURS


def _of(rows: pl.DataFrame | None, **where: str | None) -> pl.DataFrame | None:
    return None if rows is None else rows.filter(pl.col(name).eq_missing(value) for name, value in where.items())


def _sum(rows: pl.DataFrame | None) -> float:
    return 0.0 if rows is None else float(rows["number"].sum())


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
