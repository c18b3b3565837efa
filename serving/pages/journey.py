"""Journey: the map, its touchpoints and friction, the KPIs, and two groups beside each other."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from features.schema import to_text
from serving import journeys
from serving.asked import Name
from serving.journeys import NoJourneyError
from serving.pages import figures, lists
from serving.pages.route import PageRoute
from serving.pages.sessions import Visitor
from serving.pages.sparks import spark
from serving.pages.templating import page
from serving.pages.words import plain
from serving.proportions import difference, share
from serving.state import Shared
from serving.store import NoScoresError

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_EXPECTED = ("cltv", "cltv_cac")  # whose newest value is expected, and those before realised
_FEW = 20  # customers of a group below which a rate tells nothing
_TOUCHPOINTS = 8  # shown of each stage
_MOVE, _TOUCHPOINT = ("from", "to", "way"), ("stage", "event", "channel")


@router.get("/journey")
def journey(
    request: Request,
    session: Visitor,
    state: Shared,
    group: Annotated[Name, Query()] = "",
    compare: Annotated[Name, Query()] = "",
) -> Response:
    """The journey of everyone or of a group, and of another beside it."""
    said = lists.given(request.query_params)
    if len(request.query_params.multi_items()) != sum(map(len, said.values())):
        return RedirectResponse(lists.address("/journey", said), 303)
    wanted = (group or None, compare) if compare else (group or None,)
    try:
        found = journeys.read(state.store, state.journey, *wanted)
    except (NoScoresError, NoJourneyError) as error:
        return page(request, "empty.html", {"problem": error}, here="journey")
    mine, other = found.maps[0], found.maps[1] if compare else None
    kpis = [
        _kpi(kpi, _of(other, "kpis", kpi["name"], "name"), to_text(found.run.complete_until)) for kpi in mine["kpis"]
    ]
    context = {
        "run": found.run,
        "groups": by_grouping(found.groups),
        "group": group,
        "compare": compare,
        "names": (_name(group), _name(compare)),
        "map": mine,
        "other": other,
        "kpis": [kpi for kpi in kpis if kpi["value"] is not None],
        "unknown": _unknown(kpis),
        "stages": [(stage, _of(other, "stages", stage["stage"], "stage")) for stage in mine["stages"]],
        "moves": _moves(mine, other),
        "touchpoints": _touchpoints(mine, other),
        "friction": [
            (name, [_trouble(each) for each in found["friction"]])
            for name, found in ((_name(group), mine), (_name(compare), other))
            if found and found["friction"]
        ],
        "few": _FEW,
        "figures": _figures(mine, other, (_name(group), _name(compare))),
    }
    return page(request, "journey.html", context, here="journey")


def by_grouping(groups: list[str]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Groups by what they are groups of: value and words of each."""
    found: dict[str, list[tuple[str, str]]] = {}
    for group in groups:
        grouping, _, value = group.partition(":")
        found.setdefault(grouping, []).append((group, plain(value)))
    return list(found.items())


def _name(group: str) -> str:
    grouping, _, value = group.partition(":")
    return f"{plain(grouping)} {plain(value)}" if group else "everyone"


def _of(other: dict[str, Any] | None, part: str, name: str, key: str) -> dict[str, Any] | None:
    if other is None:
        return None
    return next((each for each in other[part] if each[key] == name), None)


def _unknown(kpis: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """The KPIs that are not known, by why they are not."""
    found: dict[str, list[str]] = {}
    for kpi in kpis:
        if kpi["value"] is None:
            found.setdefault(kpi["why_not"], []).append(kpi["title"])
    return [(", ".join(titles), why) for why, titles in found.items()]


def _kpi(kpi: dict[str, Any], other: dict[str, Any] | None, newest: str) -> dict[str, Any]:
    """A KPI as the page shows it; what is only expected yet is no part of its line."""
    points = [one for one in kpi["trend"] if kpi["name"] not in _EXPECTED or one["cutoff"] != newest]
    times = [datetime.fromisoformat(one["cutoff"]).timestamp() for one in points]
    line = spark([one["value"] for one in points], times)
    beside = other["value"] if other else None
    apart = kpi["value"] - beside if kpi["value"] is not None and beside is not None else None
    return kpi | {"spark": line, "drawn": points, "other": beside, "difference": apart}


def _moves(mine: dict[str, Any], other: dict[str, Any] | None) -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
    """The moves of both; one that nobody of a group made is none of all there."""
    here, there = _by(mine["transitions"], _MOVE), _by(other["transitions"], _MOVE) if other else {}
    none = {"count": 0, "share": 0.0, "median_days": None}
    return [
        (here.get(key, move | none), there.get(key, move | none) if other else None)
        for key, move in (there | here).items()
    ]


def _touchpoints(mine: dict[str, Any], other: dict[str, Any] | None) -> list[tuple[str, list[dict[str, Any]]]]:
    """Of each stage the touchpoints most frequent in either; what a group never met is none of all there."""
    here, there = _by(mine["touchpoints"], _TOUCHPOINT), _by(other["touchpoints"], _TOUCHPOINT) if other else {}
    found: dict[str, list[dict[str, Any]]] = {stage["stage"]: [] for stage in mine["stages"]}
    for key, one in (here | there).items():
        shares = {name: rows.get(key, {"share": 0.0})["share"] for name, rows in (("share", here), ("other", there))}
        found.setdefault(one["stage"] or "", []).append(one | shares)
    ranked = {stage: sorted(rows, key=lambda one: -max(one["share"], one["other"])) for stage, rows in found.items()}
    return [(stage, rows[:_TOUCHPOINTS]) for stage, rows in ranked.items() if rows]


def _by(rows: list[dict[str, Any]], names: tuple[str, ...]) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {tuple(row[name] for name in names): row for row in rows}


def _trouble(row: dict[str, Any]) -> dict[str, Any]:
    """A line of the friction table with the difference of the two churn rates and its 95 % interval."""
    if min(row["customers"], row["others"]) < _FEW:
        return row | {"apart": None}
    with_it, without = share(row["churned"], row["customers"]), share(row["others_churned"], row["others"])
    return row | {"apart": difference(with_it, without)}


def _figures(mine: dict[str, Any], other: dict[str, Any] | None, names: tuple[str, str]) -> dict[str, Any]:
    if not mine["transitions"]:
        return {}
    if other is None:
        return {"flow": figures.flow(mine)}
    return {"flow": figures.flow(mine), "other_flow": figures.flow(other), "shares": figures.shares(mine, other, names)}
