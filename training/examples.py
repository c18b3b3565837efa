"""Examples: vectors at rolling cutoffs with each task's labels."""

from __future__ import annotations

from dataclasses import dataclass

import narwhals as nw
import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.catalogue import catalogue
from features.cutoffs import usable
from features.engine import build
from features.errors import InputError
from features.instants import KEYS, late, mature, seen
from features.journey import Journey
from features.labels import LABEL, eligible, label, population, tasks
from features.log import EventLog
from features.schema import CUSTOMER, CUTOFF, TIME

Array = NDArray[np.float64]
DECIMALS = 6  # of a value: the last bits of a sum differ from run to run


@dataclass(frozen=True, slots=True)
class Examples:
    """The rows of one task, ordered by cutoff and customer.

    Attributes
    ----------
    rows
        `customer_id`, `cutoff` and every feature of the catalogue.
    labels
        Per row: 0 or 1 (churn), the stage's index (next stage), the value (CLTV).
    churned
        Per row of CLTV: whether the customer churned, nan where that was not asked; else empty.
    """

    task: str
    rows: pl.DataFrame
    labels: Array
    churned: Array

    @property
    def cutoffs(self) -> list[int]:
        """The distinct cutoffs, oldest first."""
        return sorted(self.rows[CUTOFF].unique().to_list())

    def at(self, cutoffs: tuple[int, ...]) -> NDArray[np.bool_]:
        """Which rows belong to these cutoffs."""
        return self.rows[CUTOFF].is_in(list(cutoffs)).to_numpy()


def examples(journey: Journey, log: EventLog, task_names: list[str]) -> dict[str, Examples]:
    """The examples of each task; vectors are built once for all.

    Raises
    ------
    InputError
        Where no cutoff's horizon is over yet, or a task has fewer than two classes.
    """
    events, first = log.events, log.events[TIME].min()
    asked = {name: task for name, task in tasks(journey).items() if name in task_names}
    labelled = {name: _labelled(name, journey, events, int(str(first))) for name in asked}
    churn = labelled.get("churn") if "cltv" in asked else None
    if "cltv" in asked and churn is None and _has_churn(journey, int(str(first))):
        churn = _labelled("churn", journey, events, int(str(first)))
    wanted = pl.concat([frame.select(KEYS) for frame in labelled.values()]).unique().sort(CUTOFF, CUSTOMER)
    vectors = _vectors(journey, log, wanted)
    return {name: _examples(name, frame, vectors, journey, churn) for name, frame in labelled.items()}


def as_known_at(origin: int, data: Examples, journey: Journey, events: pl.DataFrame) -> Examples:
    """The examples that somebody at `origin` (microseconds) could train and be asked about.

    Those whose horizon was over by then, labelled with what the business had learned by then, and those
    at the origin itself, labelled with what is known today. Who churned is not told of CLTV.
    """
    task = tasks(journey)[data.task]
    past = data.at(tuple(cutoff for cutoff in data.cutoffs if mature(cutoff, task.within, origin)))
    kept, asked = past | data.at((origin,)), past.nonzero()[0]
    labels = data.labels.copy()
    if is_late(events, origin):
        rows = data.rows[asked].select(KEYS)
        learned = label(task, journey, known(events, origin), rows)
        learned = rows.join(learned, on=KEYS, how="left", maintain_order="left")
        labels[asked] = labels_as_numbers(data.task, journey, learned[LABEL])
    return Examples(data.task, data.rows.filter(kept), labels[kept], np.empty(0))


def known(events: pl.DataFrame, instant: int) -> pl.DataFrame:
    """The events that the business knew before an instant."""
    asked = nw.from_native(events).with_columns(nw.lit(instant).alias(CUTOFF))
    return asked.filter(seen()).drop(CUTOFF).to_native()


def is_late(events: pl.DataFrame, instant: int) -> bool:
    """Whether something had happened before an instant that the business learned of only afterwards."""
    return bool(nw.from_native(events).filter(late(nw.lit(instant))).shape[0])


def _has_churn(journey: Journey, first: int) -> bool:
    """Whether it can be told of some cutoff who churned: CLTV asks, whether churn is trained or not."""
    return journey.tasks.churn is not None and bool(usable(journey, journey.tasks.churn, first))


def _vectors(journey: Journey, log: EventLog, wanted: pl.DataFrame) -> pl.DataFrame:
    return build(log.events, wanted, catalogue(journey), log.profile)


def _labelled(name: str, journey: Journey, events: pl.DataFrame, first: int) -> pl.DataFrame:
    """`customer_id`, `cutoff`, `label` of the eligible at every mature cutoff."""
    task = tasks(journey)[name]
    cutoffs = usable(journey, task, first)
    if not cutoffs:
        raise InputError(
            f"tasks.{name}",
            "no cutoff has both its history and its horizon within the log",
            "observed history + horizon at least as long as cutoffs.history + the horizon",
            "give a longer log or a shorter cutoffs.history",
        )
    everyone = population(events, cutoffs)
    asked = eligible(task, events, everyone).filter("eligible").select(KEYS)
    return asked.join(label(task, journey, events, everyone), on=KEYS).sort(CUTOFF, CUSTOMER)


def _examples(
    name: str, labelled: pl.DataFrame, vectors: pl.DataFrame, journey: Journey, churn: pl.DataFrame | None
) -> Examples:
    rows = labelled.select(KEYS).join(vectors, on=KEYS, how="left", maintain_order="left")
    values = labels_as_numbers(name, journey, labelled[LABEL])
    churned = np.empty(0)
    if name == "cltv" and churn is not None:
        joined = labelled.select(KEYS).join(churn, on=KEYS, how="left", maintain_order="left")
        churned = joined[LABEL].to_numpy()
    _check_classes(name, values)
    return Examples(name, rows, values, churned)


def labels_as_numbers(name: str, journey: Journey, labels: pl.Series) -> Array:
    """Labels as numbers; a stage is its index."""
    if name == "next_stage":
        names = journey.stage_names
        labels = labels.replace_strict(names, range(len(names)), return_dtype=pl.Float64)
    return np.asarray(np.round(labels.cast(pl.Float64).to_numpy(), DECIMALS))


def _check_classes(name: str, labels: Array) -> None:
    outcomes = np.maximum(labels, 0.0) if name == "cltv" else labels
    if len(np.unique(outcomes)) < 2:
        raise InputError(
            f"tasks.{name}",
            f"all {len(labels)} examples have the same outcome; there is nothing to tell apart",
            "at least two outcomes among eligible customers",
            "look at `journeycast check`; widen who is eligible or change the horizon",
        )
