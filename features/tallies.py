"""Tallies: sums by group in one long table, so that those of a log in parts are the sum of the parts'."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import polars as pl

from features.schema import HISTORY

EVERYONE: Final = ""  # the grouping that holds all customers in one group
KEYS = ("grouping", "group", "what", "a", "b", "c", "at")
SCHEMA = {name: pl.Int64() if name == "at" else pl.String() for name in KEYS} | {"number": pl.Float64()}


class Groups:
    """Which group each history is in, by grouping.

    Parameters
    ----------
    of
        Grouping to the group of each history, in the order of their numbers; null: in none.
    everyone
        Whether all of them together are told too.
    """

    def __init__(self, of: Mapping[str, pl.Series] | None = None, *, everyone: bool = True) -> None:
        self._of, self._everyone = dict(of or {}), everyone

    def tally(
        self, rows: pl.DataFrame, what: str, by: Sequence[str] = (), *, at: str = "", sum_of: str = ""
    ) -> pl.DataFrame:
        """The rows of each group counted, or a column of theirs summed.

        Parameters
        ----------
        rows
            With `history`, the columns in `by` (at most three, texts), `at` (whole numbers) and `sum_of`.

        Returns
        -------
        polars.DataFrame
            Of `SCHEMA`; `a`, `b`, `c` hold the columns in `by`, in order.
        """
        number = pl.col(sum_of).sum().cast(pl.Float64) if sum_of else pl.len().cast(pl.Float64)
        keys = [*by, *([at] if at else [])]
        parts = [_shaped(_grouped(rows, keys, number), EVERYONE, what, by, at)] if self._everyone else []
        for name, groups in self._of.items():
            mine = rows.with_columns(groups.gather(rows[HISTORY]).alias("group")).filter(pl.col("group").is_not_null())
            parts.append(_shaped(_grouped(mine, ["group", *keys], number), name, what, by, at))
        return pl.concat(parts)


def merged(parts: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """The sum of tallies."""
    return pl.concat([pl.DataFrame(schema=SCHEMA), *parts]).group_by(KEYS).agg(pl.col("number").sum()).sort(KEYS)


def weighted_median(values: Sequence[int], weights: Sequence[float]) -> float | None:
    """The middle of values that stand `weights` times each; of two in the middle, their mean; null: there is none."""
    pairs = sorted(zip(values, weights, strict=True))
    total = sum(weight for _, weight in pairs)
    if not total:
        return None
    passed = 0.0
    for place, (value, weight) in enumerate(pairs):
        passed += weight
        if passed * 2 > total:
            return float(value)
        if passed * 2 == total:
            return (value + pairs[place + 1][0]) / 2
    return None


def _grouped(rows: pl.DataFrame, keys: list[str], number: pl.Expr) -> pl.DataFrame:
    if keys:
        return rows.group_by(keys).agg(number.alias("number"))
    return rows.select(number.alias("number"))


def _shaped(found: pl.DataFrame, grouping: str, what: str, by: Sequence[str], at: str) -> pl.DataFrame:
    columns = dict(zip("abc", by, strict=False))
    return found.select(
        pl.lit(grouping).alias("grouping"),
        (pl.col("group") if "group" in found.columns else pl.lit("")).cast(pl.String).alias("group"),
        pl.lit(what).alias("what"),
        *((pl.col(columns[n]) if n in columns else pl.lit(None)).cast(pl.String).alias(n) for n in "abc"),
        (pl.col(at) if at else pl.lit(None)).cast(pl.Int64).alias("at"),
        "number",
    )
