"""What feedback and friction add: each task judged with all features, and without those of the two families.

`python -m benchmarks.feedback simulated --seeds 3`, or the file of a journey, `benchmarks/quality/loans.yml --logs
FOLDER`. All fits see the same rows and blocks; the lead of all features over fewer is drawn over customers. The
last line of a task leaves out the events themselves: what other families tell of them (how many, when) is gone, too.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from benchmarks.drift import business
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
    """Print one line of JSON per task and family, over all seeds together."""
    parser = argparse.ArgumentParser()
    parser.add_argument("journey")
    parser.add_argument("--logs", type=Path, help="the folder of the journey's files; default: the journey's own")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--customers", type=int, default=2500)
    parser.add_argument("--days", type=int, default=540)
    asked = parser.parse_args()
    if asked.journey == "simulated":
        logs = [business(seed, asked.customers, asked.days) for seed in range(200, 200 + asked.seeds)]
    else:
        definition, base = read_journey(asked.journey)
        logs = [read(definition, asked.logs or base, threads=2)]
    pooled: dict[tuple[str, str], list[tuple[Assessment, Assessment, np.ndarray]]] = {}
    for number, (journey, log) in enumerate(logs):
        for one in ablated(journey, log, Recipe(), 1):
            customers = np.char.add(one.full.customers.astype(str), f"-{number}")
            pooled.setdefault((one.task, one.left_out), []).append((one.full, one.fewer, customers))
    for (task, family), parts in pooled.items():
        print(json.dumps({"journey": asked.journey, "task": task, "left out": family, **_told(parts)}), flush=True)


def _told(parts: list[tuple[Assessment, Assessment, np.ndarray]]) -> dict[str, object]:
    ours, theirs = (np.concatenate([part[n].losses for part in parts]) for n in (0, 1))
    customers = np.concatenate([part[2] for part in parts])
    found = lead(ours, theirs, customers)
    told = {"rows": len(ours), "customers": len(np.unique(customers)), "loss": round(float(ours.mean()), 5)}
    told |= {"loss without": round(float(theirs.mean()), 5)}
    return told | {f"{name} %": round(100 * getattr(found, name), 2) for name in ("ahead", "low", "high")}


if __name__ == "__main__":
    main()
