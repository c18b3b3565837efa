"""How the native Polars rival holds histories: rows of one customer after another, in order."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import or_

import polars as pl

HISTORY, TIME, TYPE = "history", "time", "type"
SAME = pl.col(HISTORY) == pl.col(HISTORY).shift(1)  # the row before is of the same customer; null at the top


def is_type(*names: str) -> pl.Expr:
    """Whether the row is an event of one of these types."""
    return reduce(or_, (pl.col(TYPE) == name for name in names))


def beside(base: pl.DataFrame, frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The frames' columns beside the base's, which has a row for every history in order."""
    whole = [base]
    for frame in frames:
        aligned = frame if len(frame) == len(base) else _spread(frame, len(base))
        whole.append(aligned.drop(HISTORY))
    return pl.concat(whole, how="horizontal")


def _spread(frame: pl.DataFrame, size: int) -> pl.DataFrame:
    """A row for every history: the row of each is looked up, then gathered."""
    place = pl.repeat(None, size, dtype=pl.UInt32, eager=True)
    place = place.scatter(frame[HISTORY], pl.int_range(len(frame), dtype=pl.UInt32, eager=True))
    return frame.select(pl.all().gather(place))


def ends(history: pl.Series) -> pl.DataFrame:
    """Per history its number, its first row and its last."""
    changed = (history != history.shift(-1)).fill_null(True)
    last = changed.arg_true().cast(pl.Int64)
    first = (last.shift(1) + 1).fill_null(0)
    return pl.DataFrame({HISTORY: history.gather(last), "first": first, "last": last})


def dense(rows: pl.DataFrame, kinds: int, size: int, column: str, fill: int | None) -> list[pl.Series]:
    """A column of one row per (history, kind) as one column per kind with a row per history.

    `rows` holds `kind` (number) and `history`; the place of a value in the whole is kind x size + history.
    """
    blank = pl.repeat(fill, kinds * size, dtype=rows[column].dtype, eager=True)
    place = rows["kind"].cast(pl.UInt32) * size + rows[HISTORY]
    whole = blank.scatter(place, rows[column])
    return [whole.slice(kind * size, size) for kind in range(kinds)]


def ratio(top: pl.Expr, bottom: pl.Expr) -> pl.Expr:
    """`top / bottom`; null where the bottom is 0 or unknown."""
    return pl.when(bottom != 0).then(top / bottom)
