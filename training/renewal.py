"""Renewal: a challenger of the champion's recipe and definition, grown on newer data.

There is no contest of recipes to win. What can have gone wrong is the data: a feed that lost events,
a history written anew. So the served champion is asked about cutoffs after everything it learned
from, and nobody who learned from newer data may be behind it there: neither the challenger as it is
to be served, nor a twin grown anew on what was over before those cutoffs. The twin is refitted as
served models are: the judged one learned from a horizon less than the champion did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.catalogue import catalogue, digest
from features.instants import microseconds
from features.journey import Journey
from features.labels import tasks
from features.log import EventLog
from features.schema import CUSTOMER, to_microseconds
from training import as_trained
from training.assess import LOSS, losses
from training.blocks import split
from training.encoding import Encoding, fit_encoding
from training.examples import Examples, examples
from training.fit import fit_all, margins
from training.grades import lead
from training.lifetimes import fit_lifetimes
from training.model import Model
from training.recipe import Recipe
from training.trees import Grower

Array = NDArray[np.float64]
LOG_DERIVED = ("types", "channels")  # what a resolved journey may have taken from its log


def definition(about: dict[str, Any]) -> dict[str, Any]:
    """The journey a model was trained with, as this version writes it, however far its log had come."""
    found = Journey.model_validate(about["journey"]).model_dump(mode="json", by_alias=True)
    return {**found, "observed_until": None}


def asked_else(task: str, ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """What makes two models answer different questions, by its place in the journey; empty: nothing does."""
    one, other = definition(ours), definition(theirs)
    changed = [key for key in ("events", "stages") if one[key] != other[key]]
    if "stages" not in changed and set(ours["classes"]) != set(theirs["classes"]):
        changed.append("stages")  # by_event: another type occurs
    if one["tasks"].get(task) != other["tasks"].get(task):
        changed.append(f"tasks.{task}")
    return changed


def question(task: str, journey: Journey) -> dict[str, Any]:
    """The question a journey asks by now, as a model says of itself which one it answers."""
    asked = journey.model_dump(mode="json", by_alias=True)
    return {"journey": asked, "classes": journey.stage_names if task == "next_stage" else []}


def same_recipe(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Whether the same recipe was asked for; models of before tell only what was used."""
    asked = [Recipe.read(about.get("asked_recipe", about["recipe"])) for about in (ours, theirs)]
    return asked[0].to_json() == asked[1].to_json()


def same_features(ours: dict[str, Any], theirs: dict[str, Any], journey: Journey) -> bool:
    """Whether features differ at most by the event types and channels that the log had come to have."""
    now, then = (Journey.model_validate(about["journey"]).with_own(journey.own) for about in (ours, theirs))
    if digest(catalogue(then)) != theirs["features"]:
        return False  # defined by another module, or another version of journeycast
    alike = then.model_copy(update={key: getattr(now, key) for key in LOG_DERIVED}).with_own(journey.own)
    found: str = digest(catalogue(alike))
    return bool(found == ours["features"])


def older_or_same(ours: dict[str, Any], theirs: dict[str, Any]) -> str | None:
    """Why the challenger is no renewal at all; None: it is newer, or of another definition."""
    one, other = ours["cutoffs"][-1], theirs["cutoffs"][-1]
    if one > other or (one == other and definition(ours) != definition(theirs)):
        return None
    return f"{_state(ours, theirs)}: nothing newer"


def renewed(journey: Journey, log: EventLog, ours: Model, theirs: Model, threads: int) -> tuple[bool, str]:
    """Whether the challenger may follow the champion, in words; only after `older_or_same` said nothing."""
    state = _state(ours.about, theirs.about)
    data = examples(journey, log, [ours.task])[ours.task]
    if set(theirs.about["classes"]) - {*journey.stage_names}:
        return False, f"{state}; the log has other stages by now: run `journeycast train` again"
    fresh = _fresh(journey, data, theirs.about)
    if not fresh:
        return True, f"{state}; no horizon has passed since then: nothing to compare them on yet"
    asked = data.at(fresh)
    labels, customers = data.labels[asked], data.rows.filter(asked)[CUSTOMER].to_numpy()
    champion = losses(data.task, labels, as_trained.answers(theirs, journey, log, data.rows.filter(asked), threads))
    challengers = {
        "the challenger": as_trained.answers(ours, journey, log, data.rows.filter(asked), threads),
        "its twin that never saw them": _twin(ours.about, journey, log, data, fresh, threads),
    }
    for who, predicted in challengers.items():
        refused, told = behind(champion, losses(data.task, labels, predicted), customers, who, data.task)
        if refused:
            return False, f"{state}; {told}"
    at = "1 cutoff" if len(fresh) == 1 else f"{len(fresh)} cutoffs"
    return True, f"{state}; at {at} after all it learned from the champion is not ahead: {told}"


def behind(champion: Array, ours: Array, customers: NDArray[Any], who: str, task: str) -> tuple[bool, str]:
    """Whether the champion is ahead beyond chance, in words."""
    found = lead(champion, ours, customers)
    told = f"{who} has {LOSS[task]} {ours.mean():.4f}, the champion {champion.mean():.4f}"
    interval = f"{100 * found.ahead:.1f} % ahead (95 %: {100 * found.low:.1f} to {100 * found.high:.1f})"
    if found.low > 0:
        return True, f"behind the champion on cutoffs it never saw: {told}, {interval}; look at what became of the data"
    return False, told


def _state(ours: dict[str, Any], theirs: dict[str, Any]) -> str:
    one, other = definition(ours), definition(theirs)
    changed = ", ".join(sorted(key for key in one if one[key] != other[key]))
    told = f"same recipe; trained up to {ours['cutoffs'][-1]}, the champion up to {theirs['cutoffs'][-1]}"
    return told + (f"; the journey changed ({changed})" if changed else "")


def _fresh(journey: Journey, data: Examples, champion: dict[str, Any]) -> tuple[int, ...]:
    """The test cutoffs after the last horizon that the champion learned from."""
    within = tasks(journey)[data.task].within
    last = to_microseconds(datetime.fromisoformat(champion["cutoffs"][-1]))
    test = split(data.cutoffs, within, journey.cutoffs.held_out).test
    return tuple(cutoff for cutoff in test if cutoff >= last + microseconds(within))


def _twin(
    about: dict[str, Any], journey: Journey, log: EventLog, data: Examples, fresh: Sequence[int], threads: int
) -> Array:
    """What the recipe answers at the fresh cutoffs, refitted on what was over before them."""
    task = tasks(journey)[data.task]
    over = data.at(tuple(cutoff for cutoff in data.cutoffs if cutoff + microseconds(task.within) <= fresh[0]))
    churned = data.churned[over] if len(data.churned) else data.churned
    known = Examples(data.task, data.rows.filter(over), data.labels[over], churned)
    lifetimes = fit_lifetimes(journey, log, data.cutoffs[0], task)
    encoding = as_far_as_defined(fit_encoding(catalogue(journey), known.rows, lifetimes), about["names"])
    recipe, unordered = Recipe.read(about["recipe"]), frozenset(encoding.categories)
    grower = Grower(data.task, len(journey.stage_names), recipe, encoding.names, threads, unordered=unordered)
    fitted = fit_all(task, grower, known, encoding.matrix(known.rows), tuple(about["rounds"]))
    asked = encoding.matrix(data.rows.filter(data.at(tuple(fresh))))
    predicted = fitted.link.predict(margins(fitted.grown, asked, threads))
    return predicted if data.task == "next_stage" else predicted[:, 0]


def as_far_as_defined(encoding: Encoding, wanted: Sequence[str]) -> Encoding:
    """Of the columns a version was trained with, those that are still defined."""
    return replace(encoding, names=tuple(name for name in encoding.names if name in set(wanted)))
