"""Models: how good they are, what moves them, which answer, and what came of what they expected."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Form, Path, Request
from starlette.responses import RedirectResponse, Response

from features.errors import InputError
from serving import estimates, realised
from serving.pages import figures
from serving.pages.route import PageRoute
from serving.pages.sessions import Visitor, needs
from serving.pages.templating import page
from serving.pages.work import in_words
from serving.problems import NotReadyError, UnknownModelError
from serving.show import SHOWN_METRICS
from serving.state import Shared, State
from serving.steering import Steering

router = APIRouter(route_class=PageRoute, include_in_schema=False)

Task = Annotated[Literal["churn", "next_stage", "cltv"], Path()]
Version = Annotated[int, Path(ge=1, le=2**31 - 1)]
_TASKS = ("churn", "cltv", "next_stage")
_LOSS = {"churn": "log_loss", "next_stage": "log_loss", "cltv": "tweedie_deviance"}
_VERDICTS = ("behind", "not told apart", "ahead", "too small")
_RULES = 4  # the strongest, beside the model
_REASONS = 8
_REALISED = 5  # of the newest runs whose horizon is over


@router.get("/models")
def models(request: Request, session: Visitor, state: Shared) -> Response:
    """Every task with its champion, its versions and what came of its predictions."""
    steering: Steering = request.app.state.steering
    try:
        entries = state.models()
    except NotReadyError as error:
        return page(request, "empty.html", {"problem": error}, here="models")
    tasks = [_task(request, state, name, [one for one in entries if one["task"] == name]) for name in _TASKS]
    tasks = [task for task in tasks if task["versions"]]
    found = {f"calibration_{t['name']}": t["figure"] for t in tasks if t["figure"]}
    found |= next(({"lift": t["lift"]} for t in tasks if t["lift"]), {})
    context = {
        "tasks": tasks,
        "serving": state.loaded.versions if state.loaded else {},
        "steering": steering,
        "expected": _expected(state),
        "trained": {(one["task"], one["version"]): one.get("metrics", {}) for one in entries},
        "realised": _realised(state),
        "figures": found,
    }
    return page(request, "models.html", context, here="models")


@router.get("/models/{task}/{version}")
def card(request: Request, session: Visitor, state: Shared, task: Task, version: Version) -> Response:
    """The card of a version."""
    found = _card(request, state, task, version)
    if found is None:
        raise UnknownModelError(f"{task} version {version}", "has no card", "a version of the models page")
    segments = sorted(found["segments"], key=lambda one: _VERDICTS.index(one["verdict"]))
    context = {"card": found, "segments": segments, "task": task, "version": version, "shares": task != "cltv"}
    return page(request, "card.html", context, here="models")


@router.post("/models/{task}/{version}/promote")
def promote(request: Request, session: Visitor, state: Shared, task: Task, version: Version) -> Response:
    """Begin to decide whether a version becomes champion."""
    return _steered(request, session, partial(request.app.state.steering.promote, task, version))


@router.post("/models/{task}/rollback")
def rollback(
    request: Request, session: Visitor, state: Shared, task: Task, sure: Annotated[str, Form()] = ""
) -> Response:
    """Make the champion before the present one champion again."""
    needs(session, "admin")
    if not sure:
        session.say(f"Nothing was changed: tick Sure to roll {task} back.", "failed")
        return RedirectResponse("/models", 303)
    return _steered(request, session, partial(request.app.state.steering.rollback, task))


def _steered(request: Request, session: Any, steer: Any) -> Response:
    needs(session, "admin")
    try:
        words = steer()
    except InputError as error:
        session.say(in_words(error, "Nothing was changed."), "failed")
    else:
        session.say(words or "It is being decided; this takes minutes where a champion stands. Look here again soon.")
    return RedirectResponse("/models", 303)


def _task(request: Request, state: State, name: str, versions: list[dict[str, Any]]) -> dict[str, Any]:
    """What a task's part of the page shows; its champion, or else its newest version."""
    first = versions[0] if versions else None
    shown = next((one for one in versions if "champion" in one["aliases"]), first)
    found = _card(request, state, name, shown["version"]) if shown else None
    calibration = found["calibration"] if found else []
    return {
        "name": name,
        "versions": versions,
        "shown": shown,
        "metrics": SHOWN_METRICS[name],
        # The registry's names of rules are those of metrics; the card has their own.
        "rules": _rules(name, found["rules"] if found else shown["rules"]) if shown else [],
        "card": found,
        "reasons": _reasons(found) if found else [],
        "calibration": calibration,
        "figure": figures.calibration(calibration, name) if calibration else None,
        "lift": figures.lift(calibration) if calibration and name == "churn" else None,
    }


def _rules(name: str, rules: dict[str, dict[str, float]]) -> list[tuple[str, dict[str, float]]]:
    """The strongest rules by the proper loss."""
    loss = _LOSS[name]
    ranked = sorted(rules.items(), key=lambda rule: rule[1].get(loss) or float("inf"))
    return ranked[:_RULES]


def _reasons(card: dict[str, Any]) -> list[tuple[str, float]]:
    """Reason codes in words by their share of all that moves the model's first part."""
    sums: dict[str, float] = {}
    for feature in card["what_moves_it"][0]["features"] if card["what_moves_it"] else ():
        sums[feature["reason_is"]] = sums.get(feature["reason_is"], 0.0) + feature["share"]
    return sorted(sums.items(), key=lambda each: -each[1])[:_REASONS]


def _card(request: Request, state: State, task: str, version: int) -> dict[str, Any] | None:
    """A version's card, which never changes; null: an earlier version of journeycast logged none."""
    kept: dict[tuple[str, int], dict[str, Any]] = request.app.state.cards
    if (task, version) not in kept:
        try:
            kept[task, version] = orjson.loads(state.model_file(task, version, "model_card.json"))
        except (UnknownModelError, NotReadyError):
            return None
    return kept[task, version]


def _realised(state: State) -> list[dict[str, Any]]:
    """What came of the newest runs whose horizon is over."""
    with state.store.transaction() as connection:
        return realised.reports(connection, state.journey, _REALISED)


def _expected(state: State) -> dict[str, Any] | None:
    """What the newest run may be expected to reach; null: its horizons are over."""
    with state.store.transaction() as connection:
        return estimates.newest(connection, state.journey)
