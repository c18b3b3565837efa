"""Whether a rival's vectors are ours, to a relative 1e-9."""

from __future__ import annotations

import polars as pl

from features.feature import Feature

RELATIVE = ABSOLUTE = 1e-9


def lacking(features: tuple[Feature, ...], columns: list[str]) -> list[str]:
    """The features of the catalogue that a rival does not make."""
    return [feature.name for feature in features if feature.name not in columns]


def differences(ours: pl.DataFrame, theirs: pl.DataFrame, names: list[str]) -> list[str]:
    """One line per feature whose values differ; both have `customer_id`, in any order."""
    if set(ours["customer_id"]) != set(theirs["customer_id"]):
        return ["customers differ"]
    ours, theirs = ours.sort("customer_id"), theirs.sort("customer_id")
    found = []
    for name in names:
        left, right = ours[name], theirs[name]
        equal = _equal(left, right)
        if not equal.all():
            row = equal.not_().arg_true()[0]
            told = f"{left[row]!r} and {right[row]!r} of {ours['customer_id'][row]}"
            found.append(f"{name}: {(~equal).sum()} of {len(equal)} values differ, such as {told}")
    return found


def _equal(left: pl.Series, right: pl.Series) -> pl.Series:
    both = pl.DataFrame({"left": left, "right": right})
    if left.dtype == pl.String:
        return both.select(pl.col("left").eq_missing(pl.col("right").cast(pl.String))).to_series()
    both = both.select(pl.all().cast(pl.Float64).fill_nan(None))
    close = (pl.col("left") - pl.col("right")).abs() <= ABSOLUTE + RELATIVE * pl.col("left").abs()
    nulls = pl.col("left").is_null() & pl.col("right").is_null()
    return both.select((close.fill_null(False) | nulls).alias("equal")).to_series()
