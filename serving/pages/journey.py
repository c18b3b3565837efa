"""Journey: the map, its touchpoints and friction, the KPIs, and two groups beside each other."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

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

_FEW = 20  # customers of a group below which a rate tells nothing
_TOUCHPOINTS = 8  # shown of each stage


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
    kpis = [_kpi(kpi, _of(other, "kpis", kpi["name"], "name")) for kpi in mine["kpis"]]
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
        "friction": [_trouble(each) for each in mine["friction"]],
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


def _kpi(kpi: dict[str, Any], other: dict[str, Any] | None) -> dict[str, Any]:
    values = [point["value"] for point in kpi["trend"]]
    beside = other["value"] if other else None
    apart = kpi["value"] - beside if kpi["value"] is not None and beside is not None else None
    return kpi | {"spark": spark(values), "other": beside, "difference": apart}


def _moves(mine: dict[str, Any], other: dict[str, Any] | None) -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
    beside = {(move["from"], move["to"], move["way"]): move for move in other["transitions"]} if other else {}
    return [(move, beside.get((move["from"], move["to"], move["way"]))) for move in mine["transitions"]]


def _touchpoints(mine: dict[str, Any], other: dict[str, Any] | None) -> list[tuple[str, list[dict[str, Any]]]]:
    """Of each stage the most frequent touchpoints."""
    beside = (
        {(one["stage"], one["event"], one["channel"]): one["share"] for one in other["touchpoints"]} if other else {}
    )
    found: dict[str, list[dict[str, Any]]] = {stage["stage"]: [] for stage in mine["stages"]}
    for one in mine["touchpoints"]:
        shown = found.setdefault(one["stage"] or "", [])
        if len(shown) < _TOUCHPOINTS:
            shown.append(one | {"other": beside.get((one["stage"], one["event"], one["channel"]))})
    return [(stage, shown) for stage, shown in found.items() if shown]


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
