"""Parity: vectors as they were served against the same built anew, offline, at the same cutoffs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from features.canonical import canonical, ordered, without_repeated_ids
from features.catalogue import catalogue, digest
from features.engine import build
from features.errors import InputError
from features.journey import Journey, Source
from features.log import EventLog, write
from features.schema import CUSTOMER, CUTOFF
from features.sources import read_table
from serving.store import Store
from serving.vector_log import ServedVector, events_of, kept


@dataclass(slots=True)
class Parity:
    """What came out.

    Attributes
    ----------
    vectors, values
        How many were compared.
    mismatches
        Feature to how many vectors hold another value in it; not one bit may differ.
    largest
        The largest relative difference of two numbers.
    other_definitions
        Vectors left out: other feature definitions built them.
    """

    vectors: int = 0
    values: int = 0
    mismatches: Counter[str] = field(default_factory=Counter)
    largest: float = 0.0
    other_definitions: int = 0


def parity(journey: Journey, log: EventLog, store: Store, sample: int) -> Parity:
    """Build served vectors anew and compare.

    Those of a scoring run are built from the business's log as it is now, those of a request from the
    request's own events, written to a file and read as a business's files are.

    Parameters
    ----------
    journey
        Resolved with `log`.
    sample
        How many of the newest served vectors, at most.

    Raises
    ------
    InputError
        Where none was kept.
    """
    found, features = Parity(), catalogue(journey)
    definitions, everything = digest(features), list(kept(store, journey.journey, sample))
    if not everything:
        raise InputError(
            "parity",
            f"no served vector of {journey.journey} is kept",
            "vectors kept while scoring (every run keeps some) or serving (`serve --log-vectors SHARE`)",
            f"run `journeycast score {journey.journey}` first",
        )
    served = [one for one in everything if one.definitions == definitions]
    found.other_definitions = len(everything) - len(served)
    of_runs = [one for one in served if one.events is None]
    _compare(found, of_runs, build(log.events, _asked(of_runs), features, log.profile))
    for one in served:
        if one.events is not None:
            events = _read_again(events_of(one, journey), journey)
            _compare(found, [one], build(events, _asked([one]), features, log.profile))
    return found


def _asked(served: Sequence[ServedVector]) -> pl.DataFrame:
    """Each (customer, cutoff) once."""
    rows = [(one.customer_id, one.cutoff) for one in served]
    return pl.DataFrame(rows, schema={CUSTOMER: pl.String, CUTOFF: pl.Int64}, orient="row").unique(maintain_order=True)


def _read_again(events: pl.DataFrame, journey: Journey) -> pl.DataFrame:
    with TemporaryDirectory() as folder:
        write(events, Path(folder, "events.parquet"))
        source = Source(file="events.parquet")
        rows = canonical(read_table(source, Path(folder)), source, journey, "events.0").rows
        return ordered(without_repeated_ids(rows))


def _compare(found: Parity, served: Sequence[ServedVector], built: pl.DataFrame) -> None:
    anew = {(row[CUSTOMER], row[CUTOFF]): row for row in built.iter_rows(named=True)}
    for one in served:
        row = anew[one.customer_id, one.cutoff]
        found.vectors += 1
        found.values += len(one.vector)
        for name, value in one.vector.items():
            if value != row[name]:
                found.mismatches[name] += 1
                found.largest = max(found.largest, _difference(value, row[name]))


def _difference(one: Any, other: Any) -> float:
    """Relative to the larger; infinite where one is no number."""
    if not isinstance(one, float) or not isinstance(other, float):
        return math.inf
    return abs(one - other) / max(abs(one), abs(other))
