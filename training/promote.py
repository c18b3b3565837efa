"""Promotion: a challenger becomes champion only by its grade and by being ahead of the champion.

Recipes are compared, not models: both are grown anew on the same blocks and judged on the same
later cutoffs, so a champion that was refitted on later data gains nothing from having seen it. A
challenger of the champion's own recipe has no contest to win: see `training.renewal`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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
from training.encoding import fit_encoding
from training.examples import Examples, examples
from training.fit import fit_blocks, margins
from training.grades import lead
from training.lifetimes import Lifetimes, fit_lifetimes
from training.model import Model
from training.recipe import Recipe
from training.renewal import as_far_as_defined, asked_else, older_or_same, renewed, same_features, same_recipe
from training.tracking import CHALLENGER, CHAMPION, ROLLED_BACK, Tracking, model_name
from training.trees import Grower

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a version was promoted, and why in words.

    `idle`: it is the champion, there was nothing to decide. `standing`: an earlier decision on it stands.
    """

    name: str
    version: int | None
    promoted: bool
    words: str
    idle: bool = False
    standing: bool = False

    @property
    def told(self) -> str:
        """The whole decision in words."""
        verb = "promoted" if self.promoted else "unchanged" if self.idle else "not promoted"
        return f"{self.name} version {self.version or '-'} {verb}: {self.words}"


@dataclass(frozen=True, slots=True)
class Accepted:
    """What somebody answers for: a model not told apart from a rule, and one that answers another question."""

    grade_c: bool = False
    definition: bool = False


def promote(
    tracking: Tracking,
    journey: str,
    read: Callable[[], tuple[Journey, EventLog]],
    task: str,
    number: int | None = None,
    accepted: Accepted = Accepted(),
    threads: int = 1,
) -> Decision:
    """Make the challenger (or the version `number`) champion, or say why not.

    `read` gives the resolved journey and its log; it is called only where there is a champion to compare
    with. What answers another question than the champion is promoted by its grade alone, where that is
    accepted. A version that was rolled back is promoted only by its number. The decision is kept in words as tags
    of the version. Where the champion is another by the time it was compared with, it is decided anew.
    """
    while True:
        champion, _ = tracking.champions(journey, task)
        decision = _decide(tracking, journey, read, task, number, accepted, threads)
        if not decision.promoted or tracking.champions(journey, task)[0] == champion:
            break
    if decision.promoted and decision.version is not None:
        tracking.set_champion(journey, task, decision.version)
    if decision.version is not None and not (decision.idle or decision.standing):
        tracking.tell(journey, task, decision.version, decision.promoted, decision.words)
    return decision


def _decide(
    tracking: Tracking,
    journey: str,
    read: Callable[[], tuple[Journey, EventLog]],
    task: str,
    number: int | None,
    accepted: Accepted,
    threads: int,
) -> Decision:
    """The decision; nothing is changed."""
    name = model_name(journey, task)
    found = tracking.version(journey, task, number or CHALLENGER)
    if found is None:
        wanted = f"version {number}" if number else "challenger"
        return Decision(name, None, False, f"there is no {wanted}; run `journeycast train {journey}`")
    chosen = int(found.version)
    if refusal := _grade_refuses(found.tags, accepted.grade_c):
        return Decision(name, chosen, False, refusal)
    champion = tracking.version(journey, task, CHAMPION)
    if champion is None:
        return Decision(name, chosen, True, f"first champion: {found.tags['words']}")
    if int(champion.version) == chosen:
        return Decision(name, chosen, False, f"version {chosen} is the champion already", idle=True)
    if number is None and ROLLED_BACK in found.tags:
        told = f"it was rolled back to version {found.tags[ROLLED_BACK]}; give its number to promote it all the same"
        return Decision(name, chosen, False, told, standing=True)
    ours, theirs = tracking.model(found), tracking.model(champion)
    return Decision(name, chosen, *_compare(read, ours, theirs, accepted.definition, threads))


def _grade_refuses(tags: dict[str, str], accept_grade_c: bool) -> str | None:
    if not {"grade", "words", "digest"} <= set(tags):
        return "it was not registered by `journeycast train`: it has no grade"
    letter, words = tags["grade"], tags["words"]
    if letter == "D":
        return f"behind the best simple rule: {words}; use the rule, or mend data and features"
    if letter == "C" and not accept_grade_c:
        return f"not told apart from the best simple rule: {words}; --accept-grade C promotes it all the same"
    return None


def _redefined(changed: list[str], accepted: bool) -> str:
    told = f"it answers another question than the champion ({', '.join(changed)} changed)"
    if accepted:
        return f"{told}, which was accepted: promoted by its grade, compared with nothing"
    return f"{told} and cannot be compared with it; --accept-definition promotes it by its grade alone"


def _compare(
    read: Callable[[], tuple[Journey, EventLog]],
    challenger: Model,
    champion: Model,
    accept_definition: bool,
    threads: int,
) -> tuple[bool, str]:
    """Whether the challenger renews the champion, or its recipe is ahead of the champion's, in words."""
    ours, theirs, task = challenger.about, champion.about, challenger.task
    if changed := asked_else(task, ours, theirs):
        return accept_definition, _redefined(changed, accept_definition)
    same = same_recipe(ours, theirs)
    if same and ours["features"] == theirs["features"] and (idle := older_or_same(ours, theirs)):
        return False, idle
    journey, log = read()
    if same and same_features(ours, theirs, journey):
        idle = older_or_same(ours, theirs)
        return (False, idle) if idle else renewed(journey, log, challenger, champion, threads)
    data = examples(journey, log, [task])[task]
    lifetimes = fit_lifetimes(journey, log, data.cutoffs[0], tasks(journey)[task])
    one, customers = _judged(journey, data, ours, lifetimes, threads)
    other, _ = _judged(journey, data, theirs, lifetimes, threads)
    return ahead(one, other, customers, task)


def ahead(ours: Array, theirs: Array, customers: NDArray[Any], task: str) -> tuple[bool, str]:
    """Whether a challenger of these losses is ahead of the champion beyond chance, in words."""
    found = lead(ours, theirs, customers)
    told = (
        f"{LOSS[task]} {ours.mean():.4f} against the champion's {theirs.mean():.4f} at the same cutoffs, "
        f"{100 * found.ahead:.1f} % ahead (95 %: {100 * found.low:.1f} to {100 * found.high:.1f})"
    )
    return found.low > 0, told if found.low > 0 else f"not ahead of the champion: {told}"


def _judged(
    journey: Journey, data: Examples, about: dict[str, Any], lifetimes: Lifetimes | None, threads: int
) -> tuple[Array, NDArray[Any]]:
    """Losses on the test block of a recipe grown on the blocks before it."""
    task = tasks(journey)[data.task]
    blocks = split(data.cutoffs, task.within, journey.cutoffs.held_out)
    fitted_on = data.rows.filter(data.at(blocks.trees))
    encoding = as_far_as_defined(fit_encoding(catalogue(journey), fitted_on, lifetimes), about["names"])
    unordered = frozenset(encoding.categories)
    recipe, classes = Recipe.read(about["recipe"]), len(journey.stage_names)
    grower = Grower(data.task, classes, recipe, encoding.names, threads, unordered=unordered)
    matrix, test = encoding.matrix(data.rows), data.at(blocks.test)
    fitted = fit_blocks(task, grower, data, matrix, blocks)
    predicted = fitted.link.predict(margins(fitted.grown, matrix[test], threads))
    predicted = predicted if data.task == "next_stage" else predicted[:, 0]
    return losses(data.task, data.labels[test], predicted), data.rows.filter(test)[CUSTOMER].to_numpy()
