"""What came of each model version over all of its runs: the same customers again and again, counted as such."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from features.journey import Journey
from features.labels import tasks
from features.schema import CUSTOMER, to_text
from serving import performance
from serving.compared import BANDS, Asked, part, weighted
from serving.realised import Realised


class _Run(NamedTuple):
    """A run with the customers of one task who were not contacted."""

    cutoff: int
    judged: Asked


def by_version(found: Iterable[Realised], journey: Journey) -> list[dict[str, Any]]:
    """Per task and version what was expected and what happened over all runs at hand, the newest version first.

    Of customers who were not contacted, those held out standing for their lists. A customer is in many runs of a
    version: the intervals draw customers, not rows.
    """
    kept = list(found)
    told = []
    for name in tasks(journey):
        versions = sorted({one.run.versions[name] for one in kept if name in one.run.versions}, reverse=True)
        for version in versions:
            runs = list(_of_version(kept, name, version, journey))
            if runs:
                told.append({"task": name, "version": version, **_pooled(name, runs)})
    return told


def _of_version(kept: Sequence[Realised], name: str, version: int, journey: Journey) -> Iterator[_Run]:
    for one in kept:
        if one.run.versions.get(name) == version and not one.run.in_sample(name):
            judged = performance.judged(name, one.found, journey)
            if len(judged.rows):
                yield _Run(one.run.cutoff, judged)


def _pooled(name: str, runs: Sequence[_Run]) -> dict[str, Any]:
    rows = pl.concat([run.judged.rows.select(CUSTOMER, "risk") for run in runs])
    every = Asked(rows, *map(np.concatenate, zip(*(run.judged[1:] for run in runs), strict=True)))
    held = [(band, (rows["risk"] == band).fill_null(False).to_numpy()) for band in BANDS]
    cutoffs = [to_text(run.cutoff) for run in runs]
    return {
        "runs": len(runs),
        "first_cutoff": min(cutoffs),
        "last_cutoff": max(cutoffs),
        "rows": len(rows),
        **weighted(every, name != "cltv"),
        "bands": [{"group": band, **weighted(part(every, of), name != "cltv")} for band, of in held if of.any()],
    }
