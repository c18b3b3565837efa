"""The grade of predictions on what happened, beside the simple rules as they stood when the predictions were made."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
from features.schema import CUSTOMER, CUTOFF, KNOWN_AT, TIME, to_datetime
from features.some_customers import of_some, of_these
from training import as_trained
from training.assess import LOSS, losses
from training.contenders import columns, rules
from training.examples import known, labels_as_numbers
from training.grades import MIN_CUSTOMERS, Grade, Lead, grade, lead
from training.model import Model
from training.rules import best

Array = NDArray[np.float64]
_CUTOFFS = 3  # the newest, on which the rules are fitted
_CUSTOMERS = 20_000  # ... at most, about: more change no rule of one column that a reader would see
TOO_FEW = f"fewer than {MIN_CUSTOMERS} customers"
NOTHING_BEFORE = "no earlier outcome was known"


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
    """The grade that predictions earn on what happened; None: `ungradable` says why.

    The rules answer on the same customers, each fitted on what was known at that cutoff, of cutoffs
    whose horizon the log was complete for by then: on all customers, or some where there are very many.
    """
    cutoffs = _cutoffs(journey, log, said)
    if len(said.customers) < MIN_CUSTOMERS or not cutoffs:
        return None
    keys, known_labels = _examples(journey, log, said, cutoffs)
    task = tasks(journey)[said.task]
    asked = pl.concat([keys, said.keys])
    every = columns(task, journey, _of(log, asked), asked)
    learn, there = every.head(len(keys)), every.tail(len(said.customers))
    found = {rule.name: said.losses(rule.fit(learn, known_labels)(there)) for rule in rules(task, journey)}
    strongest = best({name: losses * said.weight for name, losses in found.items()})
    ours = said.losses(said.predicted)
    return grade(ours, found[strongest], said.customers.to_numpy(), strongest, LOSS[said.task], weight=said.weight)


def ungradable(journey: Journey, log: EventLog, said: Answered) -> str | None:
    """Why predictions earn no grade, in words; None: they earn one. Found without fitting anything."""
    if len(said.customers) < MIN_CUSTOMERS:
        return TOO_FEW
    return None if _cutoffs(journey, log, said) else NOTHING_BEFORE


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

    Fitted on some of the customers where there are very many; everyone who is asked of has an answer.

    Raises
    ------
    InputError
        Where no outcome is known yet.
    """
    task, cutoff = tasks(journey)[task_name], int(asked[CUTOFF][0])
    said = Answered(task_name, cutoff, cutoff, asked[CUSTOMER], *[np.empty(0)] * 3)
    cutoffs = _cutoffs(journey, log, said)
    if not cutoffs:
        raise InputError(f"tasks.{task_name}", "no outcome is known yet", "a horizon that is over")
    keys, known_labels = _examples(journey, log, said, cutoffs)
    every = columns(task, journey, log, pl.concat([keys, asked.select(KEYS)]))
    learn, there = every.head(len(keys)), every.tail(len(asked))
    fits = {rule.name: rule.fit(learn, known_labels) for rule in rules(task, journey)}
    strongest = best({name: losses(task_name, known_labels, fit(learn)) for name, fit in fits.items()})
    return np.asarray(fits[strongest](there))


def _cutoffs(journey: Journey, log: EventLog, said: Answered) -> list[int]:
    """The newest cutoffs whose outcomes somebody at the cutoff of the predictions could know; none: nobody could."""
    seen = known(log.events.select(TIME, KNOWN_AT), said.cutoff)[TIME]
    if seen.is_empty():
        return []
    then = journey.model_copy(update={"observed_until": to_datetime(min(said.cutoff, said.complete_until))})
    return usable(then, tasks(journey)[said.task], int(str(seen.min())))[-_CUTOFFS:]


def _examples(journey: Journey, log: EventLog, said: Answered, cutoffs: list[int]) -> tuple[pl.DataFrame, NDArray[Any]]:
    """Customers at these cutoffs with the labels somebody at the cutoff of the predictions could know.

    Of very many customers who were there by then some, the same on every run.
    """
    task = tasks(journey)[said.task]
    everyone = of_some(population(log.events, cutoffs), _CUSTOMERS)
    log = _of(log, everyone)
    asked = eligible(task, log.events, everyone).filter("eligible").select(KEYS).sort(CUTOFF, CUSTOMER)
    seen = known(log.events, said.cutoff)
    told = asked.join(label(task, journey, seen, asked), on=list(KEYS), how="left")
    told = told.sort(CUTOFF, CUSTOMER)
    values = labels_as_numbers(said.task, journey, told[LABEL])
    return told.select(KEYS), np.maximum(values, 0.0) if said.task == "cltv" else values


def _of(log: EventLog, rows: pl.DataFrame) -> EventLog:
    """The log of the customers in these rows: whoever else is in it is not gone through."""
    return replace(log, events=of_these(log.events, rows[CUSTOMER]))
