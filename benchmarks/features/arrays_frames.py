"""How the NumPy rival holds histories: arrays of rows, one customer after another, in order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.features.world import DAY

Array = NDArray[Any]
Columns = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Past:
    """The events before the cutoff: customer and type as numbers, times in microseconds."""

    log: pd.DataFrame
    history: Array
    time: Array
    kind: Array
    channel: Array
    size: int
    cutoff: int

    @classmethod
    def of(cls, log: pd.DataFrame, cutoff: int) -> Past:
        """Codes instead of categories."""
        customer = log["customer_id"].cat
        codes = (log[name].cat.codes.to_numpy() for name in ("event", "channel"))
        history = customer.codes.to_numpy().astype(np.int64)
        return cls(log, history, log["time"].to_numpy(), *codes, len(customer.categories), cutoff)

    def only(self, chosen: Array) -> Past:
        """Some of the rows; not their other columns."""
        rows = (column[chosen] for column in (self.history, self.time, self.kind, self.channel))
        return Past(self.log, *rows, self.size, self.cutoff)

    def after(self, days: int) -> Array:
        """Which rows lie in the window of so many days."""
        return self.time >= self.cutoff - days * DAY

    def since(self, instants: Array) -> Array:
        """Days from instants to the cutoff; nan from none (below 0)."""
        return np.where(instants < 0, np.nan, (self.cutoff - instants) / DAY)

    def number(self, chosen: Array) -> Array:
        """How many rows of each history are chosen."""
        return np.bincount(self.history[chosen], minlength=self.size)

    def filled(self, found: Any) -> Any:
        """What a groupby gives with a row for every history."""
        return found.reindex(range(self.size))


def same(history: Array) -> Array:
    """Whether the row before is of the same history."""
    found = np.zeros(len(history), dtype=bool)
    np.equal(history[1:], history[:-1], out=found[1:])
    return found


def differences(values: Array) -> Array:
    """From the row before; 0 at the top."""
    return np.diff(values, prepend=values[:1])


def last_rows(history: Array) -> Array:
    """The last row of each history that has any."""
    return np.flatnonzero(np.append(history[1:] != history[:-1], len(history) > 0))


def spread(size: int, history: Array, values: Array, blank: Any = np.nan) -> Array:
    """Values of some histories in a column with a row for every history."""
    found = np.full(size, blank, dtype=np.result_type(values.dtype, np.asarray(blank).dtype))
    found[history] = values
    return found


def ratio(top: Array, bottom: Array) -> Array:
    """`top / bottom`; nan where the bottom is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(bottom == 0, np.nan, top / bottom)
