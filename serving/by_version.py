"""What came of each model version over all of its runs: the same customers again and again, counted as such."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.journey import Journey
from features.labels import tasks
from features.schema import CUSTOMER, to_text
from serving import performance
from serving.compared import BANDS, Asked, compared
from serving.means import mean, with_error
from serving.proportions import Estimate, share
from serving.realised import Realised

Array = NDArray[np.float64]


class _Run(NamedTuple):
    """A run with the customers of one task who were not contacted."""

    cutoff: int
    judged: Asked


def by_version(found: Iterable[Realised], journey: Journey) -> list[dict[str, Any]]:
    """Per task and version what was expected and what happened over all runs at hand, the newest version first.

    Of customers who were not contacted. A customer is in many runs of a version: the intervals draw
    customers, not rows.
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
    said = np.concatenate([run.judged.said for run in runs])
    came = np.concatenate([run.judged.came for run in runs])
    customers = np.concatenate([run.judged.rows[CUSTOMER].to_numpy() for run in runs])
    risk = np.concatenate([run.judged.rows["risk"].to_numpy() for run in runs])
    bands = []
    for band in BANDS:
        if (chosen := risk == band).any():
            row = _row(said[chosen], came[chosen], customers[chosen], name != "cltv")
            bands.append({"group": band, **row})
    cutoffs = [to_text(run.cutoff) for run in runs]
    return {
        "runs": len(runs),
        "first_cutoff": min(cutoffs),
        "last_cutoff": max(cutoffs),
        "rows": len(said),
        **_row(said, came, customers, name != "cltv"),
        "bands": bands,
    }


def _row(said: Array, came: Array, customers: NDArray[Any], binary: bool) -> dict[str, Any]:
    _, customer = np.unique(customers, return_inverse=True)
    totals, sizes = np.bincount(customer, weights=came), np.bincount(customer)
    found = _share(totals, sizes) if binary else mean(totals, sizes)
    return compared(len(sizes), float(said.mean()), found, binary)


def _share(hits: NDArray[Any], sizes: NDArray[Any]) -> Estimate:
    """A share with Wilson's interval of as many independent rows as these are worth; both by customer.

    The effective sample size as E. L. Korn and B. I. Graubard have it (1998, Survey Methodology 24:193-201).
    """
    rate, error = with_error(hits, sizes)
    worth = min(max(rate * (1 - rate) / error**2, 1.0), int(sizes.sum())) if error else float(len(sizes))
    told = share(rate * worth, worth)
    return Estimate(rate, told.low, told.high)
