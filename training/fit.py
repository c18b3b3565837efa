"""Fitting one task: on blocks to be judged, and on everything mature to be served."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.instants import microseconds
from features.journey import Cltv
from features.labels import Task
from features.schema import CUSTOMER
from training import line
from training.blocks import Blocks, grown_again
from training.calibration import fit_platt, fit_vector
from training.examples import Examples
from training.intervals import Intervals, fit_intervals
from training.links import Link, Probabilities, Probability, TwoParts
from training.trees import Grower, Grown, nothing_to_learn

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
ORIGINS = 3  # forward-chained origins whose out-of-fold margins calibrate the served model


@dataclass(frozen=True, slots=True)
class Fitted:
    """Trees with their link, and what a task adds.

    CLTV: the intervals and what churners keep of their value. Churn: the 1st to 100th percentile of
    the calibrated probabilities of rows the trees were not grown on.
    """

    grown: Grown
    link: Link
    intervals: Intervals | None = None
    churned_value_share: float | None = None
    percentiles: tuple[float, ...] = ()


def margins(grown: Grown, matrix: Array, threads: int) -> Array:
    """Margins of shape (rows, margins)."""
    return line.margins(grown.boosters, grown.lines, matrix, threads)


def fit_blocks(task: Task, grower: Grower, data: Examples, matrix: Array, blocks: Blocks) -> Fitted:
    """Fit on the blocks before the test: trees, early stopping, calibration.

    Once the trees are stopped they are grown again as far, on every cutoff whose horizon was over when the next
    block began: those that stopped them, and those in between, are the newest. The calibrator reads margins of
    trees that were not grown on its rows.
    """
    found = [*stopped(grower, data, matrix, blocks)]
    rounds = [round(float(np.mean(counts))) for counts in zip(*(trees.rounds for trees, _, _ in found), strict=True)]
    before = data.at(grown_again(data.cutoffs, blocks, task.within))
    grown = grower.rounds((matrix[before], data.labels[before]), rounds)
    judges = [(trees, judged) for trees, _, judged in found] if blocks.shared else [(grown, data.at(blocks.calibrate))]
    told = np.concatenate([margins(trees, matrix[judged], grower.threads) for trees, judged in judges])
    rows = np.concatenate([np.flatnonzero(judged) for _, judged in judges])
    return calibrated(task, grown, data, rows, told)


def stopped(grower: Grower, data: Examples, matrix: Array, blocks: Blocks) -> Iterator[tuple[Grown, Flags, Flags]]:
    """Trees that stop early, with the rows that stopped them and the rows that may judge them.

    Once, or where the blocks are shared twice: each half of the customers stops the trees for the other.
    """
    labels, trees, held = data.labels, data.at(blocks.trees), data.at(blocks.calibrate)
    half = _half_of_customers(data) if blocks.shared else None
    pairs = [(held & half, held & ~half), (held & ~half, held & half)] if half is not None else []
    for stop, judged in pairs or [(data.at(blocks.stop), held)]:
        yield grower.until((matrix[trees], labels[trees]), (matrix[stop], labels[stop])), stop, judged


def _half_of_customers(data: Examples) -> Flags:
    """The same half for all rows of a customer, whatever the order of rows."""
    customers = np.unique(data.rows[CUSTOMER].to_numpy(), return_inverse=True)[1]
    return np.asarray(np.random.default_rng(0).permutation(customers.max() + 1)[customers] % 2 == 0)


def fit_all(task: Task, grower: Grower, data: Examples, matrix: Array, rounds: tuple[int, ...]) -> Fitted:
    """Refit on every mature cutoff with the rounds found; calibrate on forward-chained margins.

    Each of the newest origins is predicted by trees grown only on cutoffs whose horizon was over by
    then, so the calibrator never sees a margin of a row its trees were grown on.
    """
    gap, cutoffs = microseconds(task.within), data.cutoffs
    origins = [c for c in cutoffs if cutoffs[0] + gap <= c][-ORIGINS:]
    parts, masks = [], []
    for origin in origins:
        before = data.at(tuple(c for c in cutoffs if c + gap <= origin))
        held = data.at((origin,))
        grown = grower.rounds((matrix[before], data.labels[before]), rounds)
        parts.append(margins(grown, matrix[held], grower.threads))
        masks.append(np.flatnonzero(held))
    final = grower.rounds((matrix, data.labels), rounds)
    return calibrated(task, final, data, np.concatenate(masks), np.concatenate(parts))


def calibrated(
    task: Task, grown: Grown, data: Examples, rows: NDArray[np.bool_] | NDArray[np.intp], found: Array
) -> Fitted:
    """The trees with a link fitted on these rows' margins, which other trees gave."""
    labels = data.labels[rows]
    if data.task == "churn":
        link = Probability(fit_platt(found[:, 0], labels))
        percentiles = np.quantile(link.predict(found)[:, 0], np.arange(1, 101) / 100)
        return Fitted(grown, link, percentiles=tuple(float(p) for p in percentiles))
    if data.task == "next_stage":
        return Fitted(grown, Probabilities(fit_vector(found, labels)))
    two_parts = _two_parts(found, labels)
    expected = two_parts.predict(found)[:, 0]
    coverage = task.coverage if isinstance(task, Cltv) else 0.8
    churned = data.churned[rows] if len(data.churned) else data.churned
    return Fitted(grown, two_parts, fit_intervals(labels, expected, coverage), _kept_share(labels, expected, churned))


def _two_parts(found: Array, labels: Array) -> TwoParts:
    """Calibrate both parts: Platt for spending at all, a gamma regression on the log amount if so."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import GammaRegressor

    bought = labels > 0
    if not bought.any():
        raise nothing_to_learn("cltv")
    spends = fit_platt(found[:, 0], bought.astype(float))
    amounts, log_amounts = labels[bought], found[bought, 1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = GammaRegressor(alpha=0.0, solver="newton-cholesky").fit(log_amounts[:, None], amounts)
    slope = float(fitted.coef_[0])
    if not 0.1 < slope < 10:  # too few rows to tell: keep the trees' own scale, make the total right
        return TwoParts(spends, 1.0, float(np.log(amounts.sum() / np.exp(log_amounts).sum())))
    return TwoParts(spends, slope, float(fitted.intercept_))


def _kept_share(labels: Array, expected: Array, churned: Array) -> float | None:
    """What those who churn still bring, as a share of what they would have brought had they stayed.

    The ratio of realised to expected value among the churned, over that among those who stayed: the
    expectation carries how much each customer was worth.
    """
    if not len(churned):
        return None
    gone, stayed = churned == 1, churned == 0
    if min(gone.sum(), stayed.sum()) == 0 or labels[stayed].sum() <= 0:
        return None
    ratio = (labels[gone].sum() / expected[gone].sum()) / (labels[stayed].sum() / expected[stayed].sum())
    return float(np.clip(ratio, 0.0, 0.95))
