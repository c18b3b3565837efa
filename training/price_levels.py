"""The price level of an event type, step by step: the same customers, the same kind of thing, another amount."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.schema import CUSTOMER, VALUE

Array = NDArray[np.float64]
LEVELS = 8  # of a category that prices are told apart by, the commonest
_ROWS = 200_000  # of all steps together; more tell a price no better


def price_levels(rows: pl.DataFrame, properties: Mapping[str, str], steps: int) -> Array:
    """The geometric mean of the values of each step, were customers and what they bought the same in all.

    Least squares of the logarithm on the step, with a level of each customer's own and what the events tell of
    themselves (how many items, which product ...): who buys what when is no change of price.

    Parameters
    ----------
    rows
        Events with a value and their `step`.
    properties
        Kind of each of the journey's properties.
    """
    rows = _fewer(rows)
    logs = np.log(np.maximum(rows[VALUE].abs().to_numpy(), 1e-9))
    step = rows["step"].to_numpy()
    told = np.column_stack([step[:, None] == np.arange(steps), *_told(rows, properties)]).astype(np.float64)
    customer = rows[CUSTOMER].rank("dense").to_numpy().astype(np.intp) - 1
    found = np.linalg.lstsq(_within(told, customer), _within(logs[:, None], customer)[:, 0], rcond=None)[0][:steps]
    return np.asarray(np.exp(np.median(logs) + found - found.mean()))


def _fewer(rows: pl.DataFrame) -> pl.DataFrame:
    """Some of the customers, with all of their rows, where there are very many."""
    part = -(-len(rows) // _ROWS)
    return rows if part == 1 else rows.filter(pl.col(CUSTOMER).hash(seed=7) % part == 0)


def _told(rows: pl.DataFrame, properties: Mapping[str, str]) -> list[Array]:
    """A column for each level of a category and two for each number, itself and its logarithm; none where unknown."""
    found: list[Array] = []
    for name, kind in properties.items():
        if name not in rows.columns or rows[name].null_count() == len(rows):
            continue
        if kind == "category":
            texts = rows[name].cast(pl.String)
            found += [(texts == level).fill_null(False).to_numpy() for level in commonest(texts)]
        else:
            numbers = rows[name].cast(pl.Float64).fill_null(0.0).to_numpy()
            found += [numbers, np.log1p(np.maximum(numbers, 0.0))]
    return found


def commonest(texts: pl.Series) -> list[str]:
    """The levels of a category that prices are told apart by; of equally many the first by name, on every run."""
    counts = texts.drop_nulls().rename("level").value_counts().sort("count", "level", descending=[True, False])
    return counts["level"].head(LEVELS).to_list()


def _within(columns: Array, group: NDArray[np.intp]) -> Array:
    """Each column less its group's mean."""
    sizes = np.bincount(group)
    return np.column_stack([one - (np.bincount(group, weights=one) / sizes)[group] for one in columns.T])
