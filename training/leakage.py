"""Leakage guards: what must not be in a vector, looked for in the vectors themselves before anything is learned.

Two fail training: one feature that alone separates the outcomes almost perfectly, and a feature whose
values change when the events after its cutoff are taken away. Neither proves that nothing leaks.
"""

from __future__ import annotations

from collections.abc import Sequence

import narwhals as nw
import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.catalogue import catalogue
from features.engine import build
from features.errors import InputError
from features.instants import KEYS, seen
from features.journey import Journey
from features.log import EventLog
from features.schema import CUSTOMER, CUTOFF
from training.examples import Examples

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

ALMOST_PERFECT = 0.99  # ROC AUC of one feature alone: recency, a strong rule, reaches 0.75 to 0.85
CUSTOMERS_AT_LEAST = 50  # of each outcome: fewer are separated by chance, when there are hundreds of features
ROWS_AT_MOST = 20_000
PROBED = 300  # customers whose vectors are built a second time, each at one of their cutoffs
BINS = 64  # of a feature's values; unknown is one more
TOLERANCE = 1e-5  # relative: sums are added in an order of the engine's own


def refuse_separation(
    journey: Journey, data: Examples, matrix: Array, names: Sequence[str], trusted: Sequence[str] = ()
) -> None:
    """Refuse a feature that alone separates the outcomes almost perfectly.

    Parameters
    ----------
    data, matrix, names
        The rows to learn from, their matrix and its columns.
    trusted
        Features of which the user says that they are known before the cutoff.

    Raises
    ------
    InputError
        Names the strongest such feature. Its own order counts, and any shape: bins of its values learned
        from half of the customers and judged on the others, so that chance counts for nothing.
    """
    outcomes = _outcomes(journey, data)
    if outcomes is None:
        return
    found = separations(matrix, outcomes, data.rows[CUSTOMER].to_numpy())
    suspects = {name: auc for name, auc in zip(names, found, strict=True) if auc >= ALMOST_PERFECT}
    guilty = sorted(suspects.keys() - set(trusted), key=lambda name: -suspects[name])
    if guilty:
        name, told = guilty[0], {"churn": "who churns", "next_stage": "whose stage changes"}[data.task]
        more = f" (so do {', '.join(guilty[1:4])})" if len(guilty) > 1 else ""
        raise InputError(
            f"feature {name}",
            f"alone it tells {told} with a ROC AUC of {suspects[name]:.3f}: it seems to know the future{more}",
            f"features below {ALMOST_PERFECT}",
            "see when the business really learns of it: give the column its known_at, or take it out; "
            f"--trust {name} trains with it all the same",
        )


def _outcomes(journey: Journey, data: Examples) -> Flags | None:
    """What one feature must not know: who churns, whose stage changes. None: values have no classes."""
    if data.task == "churn":
        return np.asarray(data.labels == 1)
    if data.task == "next_stage":
        names = journey.stage_names
        present = data.rows["stage"].cast(pl.String).replace_strict(names, range(len(names)), default=None)
        return np.asarray(data.labels != present.cast(pl.Float64).to_numpy())
    return None


def separations(matrix: Array, outcomes: Flags, customers: NDArray[np.object_]) -> Array:
    """Per column the ROC AUC with which it alone tells the outcomes apart; 0.5 where there are too few customers."""
    _, customer = np.unique(customers, return_inverse=True)
    order = np.random.default_rng(0).permutation(customer.max() + 1)[customer]
    few = min(len(np.unique(customer[outcomes])), len(np.unique(customer[~outcomes]))) < CUSTOMERS_AT_LEAST
    if few:
        return np.full(matrix.shape[1], 0.5)
    kept = np.argsort(order, kind="stable")[:ROWS_AT_MOST]  # whole customers, in a drawn order
    learn = order[kept] % 2 == 0
    part, outcome = matrix[kept], outcomes[kept]
    return np.array([_separation(column, outcome, learn) for column in part.T])


def _separation(values: Array, outcomes: Flags, learn: Flags) -> float:
    """The better of the feature's own order, in either direction, and of any shape told in bins."""
    known = np.where(np.isnan(values), -np.inf, values)
    ordered = _auc(np.unique(known, return_inverse=True)[1], outcomes)
    return max(ordered, 1 - ordered, _auc(_binned(values, outcomes, learn), outcomes, ~learn))


def _binned(values: Array, outcomes: Flags, learn: Flags) -> NDArray[np.intp]:
    """The rank of each value's bin by its share of the outcome among the rows learned from."""
    known = values[learn & np.isfinite(values)]
    edges = np.unique(np.quantile(known, np.arange(1, BINS) / BINS)) if len(known) else np.empty(0)
    bins = np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="right"))
    ones, rows = (np.bincount(bins[which], minlength=len(edges) + 2) for which in (learn & outcomes, learn))
    return np.asarray(np.argsort(np.argsort((ones + 1) / (rows + 2), kind="stable"))[bins])


def _auc(ranks: NDArray[np.intp], outcomes: Flags, rows: Flags | None = None) -> float:
    """ROC AUC of whole ranks, ties counted half; over `rows`, by default all."""
    rows = np.ones(len(ranks), dtype=bool) if rows is None else rows
    positive, negative = (
        np.bincount(ranks[rows & which], minlength=int(ranks.max()) + 1) for which in (outcomes, ~outcomes)
    )
    pairs = float(positive.sum()) * float(negative.sum())
    below = np.cumsum(negative) - negative
    return float(np.sum(positive * (below + negative / 2))) / pairs if pairs else 0.5


def refuse_later_events(journey: Journey, log: EventLog, vectors: pl.DataFrame) -> None:
    """Refuse a feature whose values change when what its cutoff may not see is taken away.

    `vectors` are those built from the whole log; those of `PROBED` customers are built again.

    Raises
    ------
    InputError
        Names the features, and one customer and cutoff at which they differ.
    """
    features = catalogue(journey)
    probed = _probed(vectors)
    whose = log.events.join(probed.select(KEYS), on=CUSTOMER)
    past = nw.from_native(whose).filter(seen()).to_native().drop(CUTOFF)
    again = build(past, probed.select(KEYS), features, log.profile)
    again = probed.select(KEYS).join(again, on=KEYS, how="left", maintain_order="left")
    changed = {f.name: rows for f in features if len(rows := _differing(probed[f.name], again[f.name]))}
    if changed:
        name, rows = next(iter(changed.items()))
        customer, cutoff = probed.select(KEYS).row(int(rows[0]))
        raise InputError(
            f"feature {', '.join(changed)}",
            f"its value changes when the events after the cutoff are taken away: {name} of customer {customer!r} is "
            f"{probed[name][int(rows[0])]} with them and {again[name][int(rows[0])]} without (cutoff {cutoff} us)",
            "values of the past alone",
            "mend its table: a row may lean on rows before it, never on later ones",
        )


def _probed(vectors: pl.DataFrame) -> pl.DataFrame:
    """The vectors of some customers, each at one cutoff, old and new cutoffs alike."""
    order = pl.struct(KEYS).hash(seed=1)
    return vectors.filter(order == order.min().over(CUSTOMER)).sort(order).head(PROBED)


def _differing(one: pl.Series, other: pl.Series) -> NDArray[np.intp]:
    """Where the values differ by more than rounding; unknown equals unknown."""
    if one.dtype.is_numeric():
        a, b = (column.cast(pl.Float64).fill_null(float("nan")).to_numpy() for column in (one, other))
        return np.flatnonzero(~np.isclose(a, b, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True))
    return np.flatnonzero(one.cast(pl.String).ne_missing(other.cast(pl.String)).to_numpy())
