"""How far vectors, predictions and labels have moved from those of earlier cutoffs, and whether that matters.

The population stability index (PSI) of every feature between the newest cutoff and those before, beside
what it is between each of these and the others; weighed by what the feature moves in the model, so that
a column the model never looks at does not shout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from features.catalogue import catalogue
from features.engine import build
from features.instants import KEYS, mature, microseconds
from features.journey import Journey
from features.labels import LABEL, eligible, label, population, tasks
from features.log import EventLog
from features.schema import CUSTOMER, CUTOFF, TIME
from training.examples import Examples, known, labels_as_numbers
from training.model import Model
from training.signals import ALARM

Array = NDArray[np.float64]
CUTOFFS = 8  # earlier cutoffs that vectors are compared with, at most
EARLIER = 3  # of which what is usual can be told
BINS = 10
SHIFTED = 0.1  # PSI from which a distribution is called shifted, by the usual rule of thumb
_ROWS = 4_000  # of a cutoff, drawn: more change no PSI that a reader would see


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """A feature's PSI at the newest cutoff, the largest among the earlier ones, and its share in moving the model."""

    name: str
    psi: float
    usual: float
    importance: float

    @property
    def weight(self) -> float:
        """What ranks it: how much farther than usual it moved, by what it matters."""
        return self.importance * max(0.0, self.psi - self.usual)


@dataclass(frozen=True, slots=True)
class Moved:
    """Something of all customers at the newest cutoff beside the earlier ones.

    `past` are the earlier values, `limit` what more than chance lies beyond (nan: too few to tell).
    """

    what: str
    value: float
    past: tuple[float, ...]
    limit: float

    @property
    def unusual(self) -> bool:
        """Whether it is more than chance."""
        return bool(self.value > self.limit)


@dataclass(frozen=True, slots=True)
class VectorDrift:
    """Features, the strongest first, and what became of all of them, of predictions and of labels together."""

    features: tuple[FeatureDrift, ...]
    moved: tuple[Moved, ...]


def vector_drift(journey: Journey, log: EventLog, at: int, models: Mapping[str, Model]) -> VectorDrift:
    """Compare the vectors at an instant with those of the cutoffs before it; empty: too few of these, or no models.

    Parameters
    ----------
    models
        The champions by task: their trees say what matters, their predictions are compared, too.
    """
    step, first = microseconds(journey.cutoffs.every), int(str(log.events[TIME].min()))
    earliest = first + microseconds(journey.cutoffs.history)
    past = [at - n * step for n in range(CUTOFFS, 0, -1) if at - n * step >= earliest]
    if len(past) < EARLIER or not models:
        return VectorDrift((), ())
    data = _vectors(journey, log, [*past, at])
    moved, found = [], []
    for name, model in models.items():
        matrix, names = model.encoding.matrix(data.rows), model.encoding.names
        sides = [matrix[data.at((cutoff,))] for cutoff in [*past, at]]
        weights = _importance(model, len(names))
        each = np.array([_psi_of_columns(side, sides[:-1], n) for n, side in enumerate(sides)])
        found.append([
            FeatureDrift(*parts)
            for parts in zip(names, each[-1], each[:-1].max(axis=0), weights, strict=True)
        ])  # fmt: skip
        moved.append(_moved(f"features of {name}, by what they matter", each @ weights))
        said = [model.link.predict(model.margins(side)) for side in sides]
        said = [one[:, -1] if name == "next_stage" else one[:, 0] for one in said]
        moved.append(
            _moved(f"predictions of {name}", np.array([_psi(one, said[:-1], n) for n, one in enumerate(said)]))
        )
    moved += _labels(journey, log, at)
    return VectorDrift(_joined(found), tuple(moved))


def _vectors(journey: Journey, log: EventLog, cutoffs: list[int]) -> Examples:
    """Vectors of those the churn task asks about (where there is none: everyone), some of them at each cutoff."""
    everyone = population(log.events, cutoffs)
    if journey.tasks.churn is not None:
        everyone = eligible(journey.tasks.churn, log.events, everyone).filter("eligible").select(KEYS)
    some = pl.concat([
        part.sample(min(len(part), _ROWS), seed=0) for _, part in everyone.group_by(CUTOFF, maintain_order=True)
    ]).sort(CUTOFF, CUSTOMER)  # fmt: skip
    rows = some.join(build(log.events, some, catalogue(journey), log.profile), on=list(KEYS), maintain_order="left")
    return Examples("", rows, np.empty(0), np.empty(0))


def _importance(model: Model, columns: int) -> Array:
    """Each feature's share of the gain of all splits."""
    gains = np.zeros(columns)
    for booster in model.boosters:
        gains += booster.feature_importance("gain")
    return np.asarray(gains / gains.sum()) if gains.sum() > 0 else np.full(columns, 1 / columns)


def _psi_of_columns(side: Array, others: list[Array], number: int) -> Array:
    return np.array([_psi(side[:, n], [one[:, n] for one in others], number) for n in range(side.shape[1])])


def _psi(values: Array, others: list[Array], number: int) -> float:
    """PSI against the others but the one of this number; unknown values are a bin of their own."""
    pooled = np.concatenate([other for n, other in enumerate(others) if n != number])
    return psi(values, pooled)


def psi(values: Array, reference: Array, bins: int = BINS) -> float:
    """The population stability index of values against a reference: `sum (p - q) log(p / q)` over its tenths.

    What chance alone gives for so many values is taken off: `(bins - 1) (1 / n + 1 / m)` in the mean.
    """
    if not (len(values) and len(reference)):
        return 0.0
    known_values = reference[~np.isnan(reference)]
    edges = (
        np.unique(np.quantile(known_values, np.linspace(0, 1, bins + 1)[1:-1])) if len(known_values) else np.empty(0)
    )
    shares = [_binned(part, edges) for part in (values, reference)]
    used = ((shares[0] + shares[1]) > 0).sum()
    p, q = (
        (part * len(v) + 0.5) / (len(v) + 0.5 * len(part)) for part, v in zip(shares, (values, reference), strict=True)
    )
    chance = (used - 1) * (1 / len(values) + 1 / len(reference))
    return max(0.0, float(((p - q) * np.log(p / q)).sum()) - float(chance))


def _binned(values: Array, edges: Array) -> Array:
    places = np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="right"))
    return np.asarray(np.bincount(places, minlength=len(edges) + 2) / max(1, len(values)))


def _moved(what: str, each: Array) -> Moved:
    """The newest of several distances beside the earlier ones, as logarithms alike."""
    past = np.log(each[:-1] + 0.01)
    n = len(past)
    spread = max(float(past.std(ddof=1)), 0.2) * np.sqrt(1 + 1 / n)
    limit = np.exp(past.mean() + stats.t.isf(ALARM / 4, n - 1) * spread) - 0.01
    return Moved(what, float(each[-1]), tuple(float(value) for value in each[:-1]), float(max(limit, SHIFTED / 2)))


def _labels(journey: Journey, log: EventLog, at: int) -> list[Moved]:
    """The newest outcomes that are known beside earlier ones: how far their mean lies from these, in their spread."""
    found, step = [], microseconds(journey.cutoffs.every)
    first = int(str(log.events[TIME].min())) + microseconds(journey.cutoffs.history)
    for name, task in tasks(journey).items():
        cutoffs = [at - n * step for n in range(3 * CUTOFFS, 0, -1)]
        cutoffs = [c for c in cutoffs if c >= first and mature(c, task.within, at)][-CUTOFFS - 1 :]
        if name == "next_stage" or len(cutoffs) <= EARLIER:
            continue
        everyone = population(log.events, cutoffs)
        asked = eligible(task, log.events, everyone).filter("eligible").select(KEYS)
        told = label(task, journey, known(log.events, at), asked)
        values = told.with_columns(pl.Series(LABEL, labels_as_numbers(name, journey, told[LABEL])))
        means = values.group_by(CUTOFF).agg(pl.col(LABEL).mean()).sort(CUTOFF)[LABEL].to_numpy()
        past = means[:-1]
        apart = np.abs(means - past.mean()) / max(float(past.std(ddof=1)), 0.02 * abs(float(past.mean())), 1e-9)
        limit = float(stats.t.isf(ALARM / 8, len(past) - 1) * np.sqrt(1 + 1 / len(past)))
        found.append(Moved(f"outcomes of {name}", float(apart[-1]), tuple(float(v) for v in apart[:-1]), limit))
    return found


def _joined(found: list[list[FeatureDrift]]) -> tuple[FeatureDrift, ...]:
    """Every feature once, with its largest share in any of the models; the strongest first."""
    best: dict[str, FeatureDrift] = {}
    for one in (feature for part in found for feature in part):
        if one.name not in best or one.importance > best[one.name].importance:
            best[one.name] = one
    return tuple(sorted(best.values(), key=lambda one: (-one.weight, -one.psi)))
