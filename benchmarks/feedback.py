"""What feedback and friction add: each task judged with all features, and without those of the two families.

`python -m benchmarks.feedback simulated --seeds 3`, or the file of a journey, `benchmarks/quality/loans.yml --logs
FOLDER`. All fits see the same rows and blocks; the lead of all features over fewer is drawn over customers. The
last line of a task leaves out the events themselves: what other families tell of them (how many, when) is gone, too.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks.drift import business
from benchmarks.lines import Line, Lines
from benchmarks.quality.options import RESULTS
from features.catalogue import catalogue
from features.definition import read as read_journey
from features.instants import KEYS
from features.journey import Journey
from features.labels import tasks
from features.log import EventLog, read
from features.schema import EVENT
from training.assess import Assessment
from training.blocks import split
from training.examples import Examples, examples
from training.grades import lead
from training.judgement import Prepared, ground, judge, prepare
from training.recipe import Recipe

FAMILIES = {
    "feedback": ("FEEDBACK",),
    "friction": ("FRICTION",),
    "feedback and friction": ("FEEDBACK", "FRICTION"),
}
EVENTS = "their events"


class Fit(NamedTuple):
    """A task judged with all features, and without some."""

    task: str
    left_out: str
    full: Assessment
    fewer: Assessment


def without(prepared: Prepared, codes: tuple[str, ...]) -> Prepared:
    """The same without the features of some reason codes."""
    gone = {feature.name for feature in catalogue(prepared.on.journey) if feature.reason in codes}
    kept = [n for n, name in enumerate(prepared.encoding.names) if name not in gone]
    names = tuple(prepared.encoding.names[n] for n in kept)
    return replace(prepared, encoding=replace(prepared.encoding, names=names), matrix=prepared.matrix[:, kept])


def silent(journey: Journey, log: EventLog) -> EventLog:
    """The log without friction and without events that carry an answer."""
    answers = [name for name, kind in journey.properties.items() if kind in ("rating", "nps")]
    said = pl.any_horizontal(pl.col(EVENT).is_in(journey.friction), *(pl.col(name).is_not_null() for name in answers))
    return replace(log, events=log.events.filter(~said))


def ablated(journey: Journey, log: EventLog, recipe: Recipe, threads: int) -> Iterator[Fit]:
    """Per task and family both fits."""
    quiet = silent(journey, log)
    every, fewer = (examples(journey, one, list(tasks(journey))) for one in (log, quiet))
    has = {feature.reason for feature in catalogue(journey)}
    for name, data in every.items():
        prepared = _prepared(journey, log, data)
        full = judge(prepared, recipe, threads).assessment
        for family, codes in FAMILIES.items():
            if set(codes) <= has:
                yield Fit(name, family, full, judge(without(prepared, codes), recipe, threads).assessment)
        there = _prepared(journey, quiet, _same_rows(fewer[name], data))
        yield Fit(name, EVENTS, full, judge(there, recipe, threads).assessment)


def _prepared(journey: Journey, log: EventLog, data: Examples) -> Prepared:
    blocks = split(data.cutoffs, tasks(journey)[data.task].within, journey.cutoffs.held_out)
    return prepare(ground(journey, log, data), blocks)


def _same_rows(fewer: Examples, data: Examples) -> Examples:
    """Of the fewer events' examples the rows of the others, with their labels."""
    rows = data.rows.select(KEYS).join(fewer.rows, on=KEYS, how="left", maintain_order="left")
    return Examples(data.task, rows, data.labels, data.churned)


def main() -> None:
    """Write one line per task and family, over all seeds together."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("journey")
    parser.add_argument("--logs", type=Path, help="the folder of the journey's files; default: the journey's own")
    parser.add_argument("--out", type=Path, help="the file of JSON lines")
    for name, default in (("seeds", 3), ("customers", 2500), ("days", 540)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    if asked.journey == "simulated":
        logs = [business(seed, asked.customers, asked.days) for seed in range(200, 200 + asked.seeds)]
    else:
        definition, base = read_journey(asked.journey)
        logs = [read(definition, asked.logs or base, threads=2)]
    journey = logs[0][0].journey
    lines = Lines(asked.out or RESULTS / f"feedback_{journey}.jsonl")
    for (task, family), fits in _pooled(logs).items():
        lines.add(_line(journey, task, family, fits))


def _pooled(logs: list[tuple[Journey, EventLog]]) -> dict[tuple[str, str], list[tuple[Fit, NDArray[Any]]]]:
    """Per task and family the fits of all logs, each with whose rows they are."""
    found: dict[tuple[str, str], list[tuple[Fit, NDArray[Any]]]] = {}
    for number, (journey, log) in enumerate(logs):
        for one in ablated(journey, log, Recipe(), 1):
            customers = np.char.add(one.full.customers.astype(str), f"-{number}")
            found.setdefault((one.task, one.left_out), []).append((one, customers))
    return found


def _line(journey: str, task: str, family: str, fits: list[tuple[Fit, NDArray[Any]]]) -> Line:
    ours, theirs = (np.concatenate([losses(one) for one, _ in fits]) for losses in (_with_all, _with_fewer))
    customers = np.concatenate([of for _, of in fits])
    found = lead(ours, theirs, customers)
    detail = {"from": round(100 * found.low, 2), "to": round(100 * found.high, 2)}
    detail |= {"loss": round(float(ours.mean()), 5), "loss_without": round(float(theirs.mean()), 5)}
    detail |= {"rows": len(ours), "customers": len(np.unique(customers))}
    return Line(f"{journey}, {task}: all features ahead of all but {family}", 100 * found.ahead, "%", None, detail)


def _with_all(one: Fit) -> NDArray[np.float64]:
    return one.full.losses


def _with_fewer(one: Fit) -> NDArray[np.float64]:
    return one.fewer.losses


if __name__ == "__main__":
    main()
