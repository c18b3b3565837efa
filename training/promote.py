"""Promotion: a challenger becomes champion only by its grade and by being ahead of the champion.

Recipes are compared, not models: both are grown anew on the same blocks and judged on the same
later cutoffs, so a champion that was refitted on later data gains nothing from having seen it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.catalogue import catalogue
from features.journey import Journey
from features.labels import tasks
from features.log import EventLog
from features.schema import CUSTOMER
from training.assess import LOSS, losses
from training.blocks import split
from training.encoding import Encoding, fit_encoding
from training.examples import Examples, examples
from training.fit import fit_blocks, margins
from training.grades import lead
from training.lifetimes import Lifetimes, fit_lifetimes
from training.recipe import Recipe
from training.tracking import CHALLENGER, CHAMPION, Tracking, model_name
from training.trees import Grower

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a version was promoted, and why in words; `idle`: it is the champion, there was nothing to decide."""

    name: str
    version: int | None
    promoted: bool
    words: str
    idle: bool = False


def promote(
    tracking: Tracking,
    journey: str,
    read: Callable[[], tuple[Journey, EventLog]],
    task: str,
    number: int | None = None,
    accept_grade_c: bool = False,
    threads: int = 1,
) -> Decision:
    """Make the challenger (or the version `number`) champion, or say why not.

    `read` gives the resolved journey and its log; it is called only where a champion stands and the
    recipes differ. The decision is kept in words as tags of the version.
    """
    decision = _decide(tracking, journey, read, task, number, accept_grade_c, threads)
    if decision.promoted and decision.version is not None:
        tracking.set_champion(journey, task, decision.version)
    if decision.version is not None and not decision.idle:
        tracking.tell(journey, task, decision.version, decision.promoted, decision.words)
    return decision


def _decide(
    tracking: Tracking,
    journey: str,
    read: Callable[[], tuple[Journey, EventLog]],
    task: str,
    number: int | None,
    accept_grade_c: bool,
    threads: int,
) -> Decision:
    """The decision; nothing is changed."""
    name = model_name(journey, task)
    found = tracking.version(journey, task, number or CHALLENGER)
    if found is None:
        wanted = f"version {number}" if number else "challenger"
        return Decision(name, None, False, f"there is no {wanted}; run `journeycast train {journey}`")
    chosen = int(found.version)
    if not {"grade", "words", "digest"} <= set(found.tags):
        return Decision(name, chosen, False, "it was not registered by `journeycast train`: it has no grade")
    if refusal := _grade_refuses(found.tags["grade"], found.tags["words"], accept_grade_c):
        return Decision(name, chosen, False, refusal)
    champion = tracking.version(journey, task, CHAMPION)
    if champion is None:
        return Decision(name, chosen, True, f"first champion: {found.tags['words']}")
    if int(champion.version) == chosen:
        return Decision(name, chosen, False, f"version {chosen} is the champion already", idle=True)
    ours, theirs = tracking.about(found), tracking.about(champion)
    return Decision(name, chosen, *_compare(read, task, ours, theirs, threads))


def _grade_refuses(letter: str, words: str, accept_grade_c: bool) -> str | None:
    if letter == "D":
        return f"behind the best simple rule: {words}; use the rule, or mend data and features"
    if letter == "C" and not accept_grade_c:
        return f"not told apart from the best simple rule: {words}; --accept-grade C promotes it all the same"
    return None


def _compare(
    read: Callable[[], tuple[Journey, EventLog]],
    task: str,
    challenger: dict[str, Any],
    champion: dict[str, Any],
    threads: int,
) -> tuple[bool, str]:
    """Whether the challenger's recipe is ahead of the champion's, in words."""
    if all(challenger[key] == champion[key] for key in ("recipe", "features", "classes", "horizon_days")):
        return _renews(challenger, champion)
    journey, log = read()
    data = examples(journey, log, [task])[task]
    lifetimes = fit_lifetimes(journey, log, data.cutoffs[0], tasks(journey)[task])
    ours, customers = _judged(journey, data, challenger, lifetimes, threads)
    theirs, _ = _judged(journey, data, champion, lifetimes, threads)
    found = lead(ours, theirs, customers)
    told = (
        f"{LOSS[task]} {ours.mean():.4f} against the champion's {theirs.mean():.4f} at the same cutoffs, "
        f"{100 * found.ahead:.1f} % ahead (95 %: {100 * found.low:.1f} to {100 * found.high:.1f})"
    )
    return found.low > 0, told if found.low > 0 else f"not ahead of the champion: {told}"


def _renews(challenger: dict[str, Any], champion: dict[str, Any]) -> tuple[bool, str]:
    """Whether a challenger of the champion's recipe has newer data or another definition, in words."""
    newer = challenger["cutoffs"][-1] > champion["cutoffs"][-1]
    state = f"trained up to {challenger['cutoffs'][-1]}, the champion up to {champion['cutoffs'][-1]}"
    ours, theirs = (_definition(about) for about in (challenger, champion))
    older = challenger["cutoffs"][-1] < champion["cutoffs"][-1]
    if ours != theirs and not older:
        changed = ", ".join(sorted(key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key)))
        return True, f"same recipe; the journey's definition changed ({changed}); {state}"
    return newer, f"same recipe; {state}" + ("" if newer else ": nothing newer")


def _definition(about: dict[str, Any]) -> dict[str, Any]:
    """The journey a model was trained on, whatever log it met; settings that did not exist then as their defaults."""
    return Journey.model_validate({**about["journey"], "observed_until": None}).model_dump(mode="json", by_alias=True)


def _judged(
    journey: Journey, data: Examples, about: dict[str, Any], lifetimes: Lifetimes | None, threads: int
) -> tuple[Array, NDArray[Any]]:
    """Losses on the test block of a recipe grown on the blocks before it."""
    task = tasks(journey)[data.task]
    blocks = split(data.cutoffs, task.within, journey.cutoffs.held_out)
    fitted_on = data.rows.filter(data.at(blocks.trees))
    encoding = _as_far_as_defined(fit_encoding(catalogue(journey), fitted_on, lifetimes), about["names"])
    unordered = frozenset(encoding.categories)
    recipe, classes = Recipe.read(about["recipe"]), len(journey.stage_names)
    grower = Grower(data.task, classes, recipe, encoding.names, threads, unordered=unordered)
    matrix, test = encoding.matrix(data.rows), data.at(blocks.test)
    fitted = fit_blocks(task, grower, data, matrix, blocks)
    predicted = fitted.link.predict(margins(fitted.grown, matrix[test], threads))
    predicted = predicted if data.task == "next_stage" else predicted[:, 0]
    return losses(data.task, data.labels[test], predicted), data.rows.filter(test)[CUSTOMER].to_numpy()


def _as_far_as_defined(encoding: Encoding, wanted: Sequence[str]) -> Encoding:
    """Of the columns a version was trained with, those that are still defined."""
    return replace(encoding, names=tuple(name for name in encoding.names if name in set(wanted)))
