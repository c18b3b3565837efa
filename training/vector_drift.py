"""How far vectors, predictions and outcomes have moved from those that the models were trained on.

The newest cutoff is compared with the newest cutoffs of the training data, and what is usual is told by earlier
cutoffs, each compared with those that lie as far before it: customers grow older in a world without change, too.
By the population stability index (PSI) of every feature, weighed by what the feature moves in the model, so that a
column the model never looks at does not shout; and by a classifier's two-sample test of the features that matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from features.instants import KEYS, microseconds
from features.journey import Journey
from features.labels import eligible, population
from features.log import EventLog
from features.schema import CUSTOMER, CUTOFF, TIME, to_microseconds
from features.some_customers import of_some
from training import as_trained
from training.model import Model
from training.moved import ALARM, Moved, outcomes_moved, unusual_beyond
from training.stability import psi_of_sides
from training.two_samples import Apart, told_apart

Array = NDArray[np.float64]
Sides = NDArray[np.intp]
Comparison = tuple[int, tuple[int, ...]]  # a cutoff and those it is compared with, in steps before the newest
TRAINED = 3  # cutoffs of the training data that stand for all of it, the newest
LOOKS = 7  # earlier cutoffs that tell what is usual, at most
EARLIER = 3  # ... and at least
MATTERS = 0.9  # share in moving the model of the features that the classifier looks at
_COLUMNS = 40  # ... at most so many
_ROWS = 4_000  # of a cutoff, drawn: more change no number that a reader would see
_CUSTOMERS = 20_000  # whom they are drawn from, and whose outcomes are looked at: no more of a log are gone through
_EXPLAINED = 1_000  # of the rows of training: more change no share that a reader would see
_TOLD_APART = 0.55  # no area under the curve below this is called unusual ...
_FAR_APART, _FARTHER = 0.75, 0.1  # ... and any beyond these is: few earlier ones would allow for anything


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
class TwoSamples:
    """The classifier's test: area under the ROC curve with its 95 % interval, earlier ones, what it went by."""

    auc: float
    low: float
    high: float
    past: tuple[float, ...]
    by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VectorDrift:
    """Features, the strongest first, the classifier's test, and what became of all customers together.

    `trained` are the cutoffs of the training data that it was compared with, the newest first.
    """

    features: tuple[FeatureDrift, ...]
    moved: tuple[Moved, ...]
    two_samples: TwoSamples | None = None
    trained: tuple[int, ...] = ()


class _Seen(NamedTuple):
    """One model's matrix of all of its vectors; which columns say anything of customers, and what each matters."""

    task: str
    model: Model
    matrix: Array
    names: tuple[str, ...]
    weights: Array


def vector_drift(journey: Journey, log: EventLog, at: int, models: Mapping[str, Model]) -> VectorDrift:
    """Compare the vectors at an instant with those of training; empty: too few cutoffs before it, or no models.

    Parameters
    ----------
    models
        The champions by task: what they were trained on and what matters to them, their predictions too.
    """
    compared = _comparisons(journey, log, at, models)
    if len(compared) <= EARLIER:
        return VectorDrift((), ())
    step, log = microseconds(journey.cutoffs.every), replace(log, events=of_some(log.events, _CUSTOMERS))
    rows = _asked(journey, log, [at - n * step for n in range(compared[-1][1][-1] + 1)])
    side = ((at - rows[CUTOFF].to_numpy()) // step).astype(np.intp)
    of_training = np.flatnonzero(np.isin(side, compared[0][1]))
    some = of_training[np.linspace(0, len(of_training) - 1, min(len(of_training), _EXPLAINED)).astype(np.intp)]
    seen = [_seen(name, models[name], built, side, some) for name, built in _vectors(journey, log, rows, models)]
    distances = _distances(seen, side, compared)
    apart, tested = _two_samples(seen, rows, side, compared)
    moved = [*tested, *_moved(seen, side, compared, distances), *outcomes_moved(journey, log, at)]
    features = _features(seen, distances)
    return VectorDrift(features, tuple(moved), apart, tuple(at - n * step for n in compared[0][1]))


def _comparisons(journey: Journey, log: EventLog, at: int, models: Mapping[str, Model]) -> list[Comparison]:
    """The newest cutoff with those of training, then each earlier one with those as far before it."""
    if not models:
        return []
    step, first = microseconds(journey.cutoffs.every), int(str(log.events[TIME].min()))
    last = min(to_microseconds(datetime.fromisoformat(model.about["cutoffs"][-1])) for model in models.values())
    lag = max(1, -(-(at - last) // step))  # of a model that was trained later, only what came before `at`
    steps = (at - first - microseconds(journey.cutoffs.history)) // step
    looks = min(LOOKS, steps - lag - TRAINED + 1)
    return [(n, tuple(range(n + lag, n + lag + TRAINED))) for n in range(int(looks) + 1)]


def _asked(journey: Journey, log: EventLog, cutoffs: list[int]) -> pl.DataFrame:
    """Those the churn task asks about (where there is none: everyone), some of them at each cutoff."""
    everyone = population(log.events, cutoffs)
    if journey.tasks.churn is not None:
        everyone = eligible(journey.tasks.churn, log.events, everyone).filter("eligible").select(KEYS)
    return pl.concat([
        part.sample(min(len(part), _ROWS), seed=0) for _, part in everyone.group_by(CUTOFF, maintain_order=True)
    ]).sort(CUTOFF, CUSTOMER)  # fmt: skip


def _vectors(
    journey: Journey, log: EventLog, rows: pl.DataFrame, models: Mapping[str, Model]
) -> Iterator[tuple[str, pl.DataFrame]]:
    """Per task the vectors its model was trained on: the journey may define others by now."""
    built: dict[str, pl.DataFrame] = {}
    for name, model in models.items():
        features = model.about["features"]
        if features not in built:
            built[features] = as_trained.vectors(model.about, journey, log, rows)
        yield name, built[features]


def _seen(task: str, model: Model, rows: pl.DataFrame, side: Sides, of_training: NDArray[np.intp]) -> _Seen:
    """A model's matrix; a column that is the same for everyone at a cutoff tells the date, and weighs nothing."""
    matrix = model.encoding.matrix(rows)
    newest = matrix[side == 0]
    tells = np.array([len(np.unique(column)) > 1 for column in newest.T])
    moves = _moves(model, matrix[of_training])
    moves = moves * tells if (moves * tells).sum() > 0 else tells.astype(np.float64)
    return _Seen(task, model, matrix, model.encoding.names, moves / max(moves.sum(), 1e-12))


def _moves(model: Model, matrix: Array) -> Array:
    """Each column's share of the mean |SHAP value|, that of its line too; of CLTV's two parts half each.

    Classes of the next stage share a unit and are one part, as in the model's card.
    """
    effects = np.abs(model.contributions(matrix)[0]).mean(axis=0)
    parts = effects if model.task == "cltv" else effects.sum(axis=0, keepdims=True)
    return np.asarray((parts / np.maximum(parts.sum(axis=1, keepdims=True), 1e-12)).mean(axis=0))


def _distances(seen: list[_Seen], side: Sides, compared: list[Comparison]) -> dict[str, Array]:
    """The PSI of every column at every comparison, each column once."""
    found: dict[str, Array] = {}
    for one in seen:
        for n, name in enumerate(one.names):
            if name not in found:
                found[name] = psi_of_sides(one.matrix[:, n], side, compared)
    return found


def _moved(
    seen: list[_Seen], side: Sides, compared: list[Comparison], distances: Mapping[str, Array]
) -> Iterator[Moved]:
    """Per model, its features by what they matter, and its predictions."""
    chance = ALARM / (2 * len(seen) + 1)
    for one in seen:
        every = np.column_stack([distances[name] for name in one.names])
        yield unusual_beyond(f"PSI of the features of {one.task}, by what they matter", every @ one.weights, chance)
        said = one.model.link.predict(one.model.margins(one.matrix))
        predicted = said[:, -1] if one.task == "next_stage" else said[:, 0]
        yield unusual_beyond(f"PSI of the predictions of {one.task}", psi_of_sides(predicted, side, compared), chance)


def _features(seen: list[_Seen], distances: Mapping[str, Array]) -> tuple[FeatureDrift, ...]:
    """Every feature once, with its largest share in any of the models; the strongest first."""
    shares: dict[str, float] = {}
    for one in seen:
        for name, weight in zip(one.names, one.weights, strict=True):
            shares[name] = max(shares.get(name, 0.0), float(weight))
    every = [
        FeatureDrift(name, float(distances[name][0]), float(distances[name][1:].max()), share)
        for name, share in shares.items()
    ]
    return tuple(sorted(every, key=lambda one: (-one.weight, -one.psi)))


def _two_samples(
    seen: list[_Seen], rows: pl.DataFrame, side: Sides, compared: list[Comparison]
) -> tuple[TwoSamples | None, list[Moved]]:
    """The classifier's test at the newest cutoff beside earlier ones, on the features that matter to any model."""
    columns: dict[str, Array] = {}
    for one in seen:
        order = np.argsort(-one.weights, kind="stable")
        enough = int(np.searchsorted(np.cumsum(one.weights[order]), MATTERS)) + 1
        columns |= {one.names[n]: one.matrix[:, n] for n in order[: min(enough, _COLUMNS // len(seen))]}
    matrix, customers = np.column_stack(list(columns.values())), rows[CUSTOMER].rank("dense").to_numpy()
    tests = [_tested(matrix, customers, side, comparison) for comparison in compared]
    newest, past = tests[0], [one.auc for one in tests[1:] if one is not None]
    if newest is None or len(past) < EARLIER:
        return None, []
    low, high = newest.interval
    spread = float(np.hypot(np.std(past, ddof=1), newest.error)) * np.sqrt(1 + 1 / len(past))
    reach = float(stats.t.isf(ALARM / (2 * len(seen) + 1), len(past) - 1)) * spread
    limit = max(_TOLD_APART, min(float(np.mean(past)) + reach, max(_FAR_APART, max(past) + _FARTHER)))
    what = "ROC AUC of telling the newest vectors from those of training"
    names = np.array(list(columns))[np.argsort(-newest.by, kind="stable")[:3]]
    found = TwoSamples(newest.auc, low, high, tuple(past), tuple(str(name) for name in names))
    return found, [Moved(what, newest.auc, tuple(past), limit)]


def _tested(matrix: Array, customers: NDArray[Any], side: Sides, comparison: Comparison) -> Apart | None:
    """The test with every customer in one of the samples, once: rows of one customer are no two observations."""
    newest, others = comparison
    rng = np.random.default_rng(newest)
    places = rng.permutation(np.flatnonzero((side == newest) | np.isin(side, others)))
    goes_first = rng.random(int(customers.max()) + 1) < 0.5
    both = np.isin(customers[places], np.intersect1d(customers[side == newest], customers[np.isin(side, others)]))
    kept = places[~both | (goes_first[customers[places]] == (side[places] == newest))]
    kept = kept[np.unique(customers[kept], return_index=True)[1]]
    return told_apart(matrix[kept[side[kept] == newest]], matrix[kept[side[kept] != newest]])
