"""The grade of predictions on what happened, beside the simple rules as they stood when the predictions were made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.cutoffs import usable
from features.errors import InputError
from features.instants import KEYS
from features.journey import Journey
from features.labels import LABEL, eligible, label, population, tasks
from features.log import EventLog
from features.schema import CUSTOMER, CUTOFF, TIME, to_datetime
from training import as_trained
from training.assess import LOSS, losses
from training.contenders import columns, rules
from training.examples import known, labels_as_numbers
from training.grades import MIN_CUSTOMERS, Grade, Lead, grade, lead
from training.model import Model
from training.rules import best

Array = NDArray[np.float64]
_CUTOFFS = 3  # the newest, on which the rules are fitted


@dataclass(frozen=True, slots=True)
class Answered:
    """What a task said at a cutoff, and what came: `customers`, `predicted` and `labels` in one order.

    `predicted` and `labels` are as `training.assess.losses` wants them, `weight` is how many customers each stands
    for. The log was complete until `complete_until` when it was said: the cutoff, or before it.
    """

    task: str
    cutoff: int
    complete_until: int
    customers: pl.Series
    predicted: Array
    labels: Array
    weight: Array

    @property
    def keys(self) -> pl.DataFrame:
        """`customer_id` and `cutoff`."""
        return pl.DataFrame({CUSTOMER: self.customers, CUTOFF: pl.repeat(self.cutoff, len(self.customers), eager=True)})

    def losses(self, predicted: Array) -> Array:
        """The task's proper loss of other predictions of the same customers."""
        return losses(self.task, self.labels, predicted)


def hindsight(journey: Journey, log: EventLog, said: Answered) -> Grade | None:
    """The grade that predictions earn on what happened; None: too few customers.

    The rules answer on the same customers, each fitted on what was known at that cutoff, of cutoffs
    whose horizon the log was complete for by then; None, too, where there is none.
    """
    before = _examples(journey, log, said)
    if before is None or len(said.customers) < MIN_CUSTOMERS:
        return None
    keys, known_labels = before
    task = tasks(journey)[said.task]
    every = columns(task, journey, log, pl.concat([keys, said.keys]))
    learn, there = every.head(len(keys)), every.tail(len(said.customers))
    found = {rule.name: said.losses(rule.fit(learn, known_labels)(there)) for rule in rules(task, journey)}
    strongest = best({name: losses * said.weight for name, losses in found.items()})
    ours = said.losses(said.predicted)
    return grade(ours, found[strongest], said.customers.to_numpy(), strongest, LOSS[said.task], weight=said.weight)


def against(journey: Journey, log: EventLog, said: Answered, other: Model) -> Lead | None:
    """How far predictions as served were ahead of what another model would have said; None: too few customers.

    Raises
    ------
    InputError
        Where this version no longer has the features of the other model.
    """
    if len(said.customers) < MIN_CUSTOMERS:
        return None
    theirs = said.losses(as_trained.answers(other, journey, log, said.keys))
    return lead(said.losses(said.predicted), theirs, said.customers.to_numpy(), weight=said.weight)


def rule_answers(journey: Journey, log: EventLog, task_name: str, asked: pl.DataFrame) -> Array:
    """What the rule that fits the newest known outcomes best says of customers at one cutoff, in their order.

    Raises
    ------
    InputError
        Where no outcome is known yet.
    """
    task, cutoff = tasks(journey)[task_name], int(asked[CUTOFF][0])
    before = _examples(journey, log, Answered(task_name, cutoff, cutoff, asked[CUSTOMER], *[np.empty(0)] * 3))
    if before is None:
        raise InputError(f"tasks.{task_name}", "no outcome is known yet", "a horizon that is over")
    keys, known_labels = before
    every = columns(task, journey, log, pl.concat([keys, asked.select(KEYS)]))
    learn, there = every.head(len(keys)), every.tail(len(asked))
    fits = {rule.name: rule.fit(learn, known_labels) for rule in rules(task, journey)}
    strongest = best({name: losses(task_name, known_labels, fit(learn)) for name, fit in fits.items()})
    return np.asarray(fits[strongest](there))


def _examples(journey: Journey, log: EventLog, said: Answered) -> tuple[pl.DataFrame, NDArray[Any]] | None:
    """Customers and cutoffs with the labels somebody at that cutoff could know; None: no horizon was over."""
    task = tasks(journey)[said.task]
    seen = known(log.events, said.cutoff)
    if seen.is_empty():
        return None
    then = journey.model_copy(update={"observed_until": to_datetime(min(said.cutoff, said.complete_until))})
    cutoffs = usable(then, task, int(str(seen[TIME].min())))[-_CUTOFFS:]
    if not cutoffs:
        return None
    everyone = population(log.events, cutoffs)
    asked = eligible(task, log.events, everyone).filter("eligible").select(KEYS).sort(CUTOFF, CUSTOMER)
    told = asked.join(label(task, journey, seen, asked), on=list(KEYS), how="left")
    told = told.sort(CUTOFF, CUSTOMER)
    values = labels_as_numbers(said.task, journey, told[LABEL])
    return told.select(KEYS), np.maximum(values, 0.0) if said.task == "cltv" else values
