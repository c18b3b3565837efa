"""Leakage guard: a feature whose values change when the events after its cutoff are taken away fails training.

That none does proves nothing: what is no event, such as a column of the profile, is asked by `training.separation`.
"""

from __future__ import annotations

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

PROBED = 300  # customers whose vectors are built a second time, each at one of their cutoffs
TOLERANCE = 1e-5  # relative: sums are added in an order of the engine's own


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
