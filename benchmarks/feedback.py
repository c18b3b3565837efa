"""What feedback and friction add: each task judged with all features, and without those of the two families.

`python -m benchmarks.feedback simulated --seeds 3`, or the name or file of a journey. Both fits see the same rows
and blocks; the lead of all features over the fewer ones is drawn over customers.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from benchmarks.drift import business
from features.catalogue import catalogue
from features.definition import read as read_journey
from features.journey import Journey
from features.labels import tasks
from features.log import EventLog, read
from training.blocks import split
from training.examples import examples
from training.grades import lead
from training.judgement import Prepared, ground, judge, prepare
from training.recipe import Recipe

FAMILIES = {
    "feedback": ("FEEDBACK",),
    "friction": ("FRICTION",),
    "feedback and friction": ("FEEDBACK", "FRICTION"),
}


def without(prepared: Prepared, codes: tuple[str, ...]) -> Prepared:
    """The same without the features of some reason codes."""
    gone = {feature.name for feature in catalogue(prepared.on.journey) if feature.reason in codes}
    kept = [n for n, name in enumerate(prepared.encoding.names) if name not in gone]
    names = tuple(prepared.encoding.names[n] for n in kept)
    return replace(prepared, encoding=replace(prepared.encoding, names=names), matrix=prepared.matrix[:, kept])


def ablated(journey: Journey, log: EventLog, recipe: Recipe, threads: int) -> Iterator[dict[str, object]]:
    """Per task and family the lead of all features, with the rows to pool."""
    for name, data in examples(journey, log, list(tasks(journey))).items():
        blocks = split(data.cutoffs, tasks(journey)[name].within, journey.cutoffs.held_out)
        prepared = prepare(ground(journey, log, data), blocks)
        full = judge(prepared, recipe, threads).assessment
        for family, codes in FAMILIES.items():
            fewer = judge(without(prepared, codes), recipe, threads).assessment
            yield {"task": name, "family": family, "full": full, "fewer": fewer}


def main() -> None:
    """Print one line of JSON per task and family, over all seeds together."""
    parser = argparse.ArgumentParser()
    parser.add_argument("journey")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--customers", type=int, default=2500)
    parser.add_argument("--days", type=int, default=540)
    asked = parser.parse_args()
    if asked.journey == "simulated":
        logs = [business(seed, asked.customers, asked.days) for seed in range(200, 200 + asked.seeds)]
    else:
        logs = [read(*read_journey(asked.journey), threads=2)]
    pooled: dict[tuple[str, str], list[tuple[object, object, object]]] = {}
    for number, (journey, log) in enumerate(logs):
        for one in ablated(journey, log, Recipe(), 1):
            full, fewer = one["full"], one["fewer"]
            customers = np.char.add(full.customers.astype(str), f"-{number}")
            pooled.setdefault((one["task"], one["family"]), []).append((full.losses, fewer.losses, customers))
            print(json.dumps({"seed": number, "task": one["task"], "family": one["family"]}), flush=True)
    for (task, family), parts in pooled.items():
        ours, theirs, customers = (np.concatenate(part) for part in zip(*parts, strict=True))
        found = lead(ours, theirs, customers)
        told = {"journey": asked.journey, "task": task, "family": family, "loss": float(ours.mean())}
        told |= {"loss_without": float(theirs.mean()), "ahead": found.ahead, "low": found.low, "high": found.high}
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
