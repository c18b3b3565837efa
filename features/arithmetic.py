"""From aggregates to features: arithmetic, types, and what stands in place of null."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

import narwhals as nw
import numpy as np
import polars as pl

from features.aggregates import COUNTS, column
from features.feature import PROFILE, Feature
from features.lookups import Values
from features.numbers import Numbers
from features.schema import CUSTOMER


def computable(feature: Feature, texts: Container[str]) -> bool:
    """Whether the feature's arithmetic asks nothing but what `Numbers` can; `texts` are aggregates that are texts."""
    if feature.value.bare:
        return True
    if feature.of is PROFILE or any(name in texts for name in wanted([feature])):
        return False
    try:
        with np.errstate(all="ignore"):
            return isinstance(feature.value.over(lambda _: Numbers(np.ones(1))), Numbers | pl.Series)
    except Exception:  # a business's own function may ask anything of a column
        return False


def texts_of(found: Mapping[str, Values]) -> set[str]:
    """The aggregates that are texts."""
    return {name for name, values in found.items() if isinstance(values, pl.Series)}


def computed(features: Iterable[Feature], found: Mapping[str, Values]) -> dict[str, Values]:
    """The columns of computable features from those of their aggregates."""
    with np.errstate(all="ignore"):
        return {feature.name: _finite(_filled(feature, _one(feature, found))) for feature in features}


def queried(built: pl.LazyFrame, features: Sequence[Feature], profile: pl.DataFrame | None) -> pl.LazyFrame:
    """The columns of other features, as a query over the aggregates beside `customer_id` and `cutoff`."""
    if profile is not None and any(f.of is PROFILE for f in features):
        built = built.join(profile.lazy(), on=CUSTOMER, how="left", maintain_order="left")
    known = nw.from_native(built.with_columns(pl.col(pl.Float64).fill_nan(None)))
    columns = known.with_columns(*columns_of(features, profile is not None))  # a literal alone would be one row
    return columns.select(f.name for f in features).to_native()


def wanted(features: Iterable[Feature]) -> list[str]:
    """The columns of the features' aggregates."""
    return list({column(f.of.name, part): None for f in features for part in f.value.parts})


def columns_of(features: Iterable[Feature], has_profile: bool) -> Iterator[nw.Expr]:
    """The features' columns from those of their aggregates; a profile's are unknown where there is none."""
    unknown = nw.lit(None, dtype=nw.String)
    for feature in features:
        value = unknown if feature.of is PROFILE and not has_profile else feature.value.expr(feature.of.name)
        yield (value if _is_count(feature) else _typed(feature, value)).alias(feature.name)


def _one(feature: Feature, found: Mapping[str, Values]) -> Values:
    name = feature.of.name
    if feature.value.bare:
        return found[column(name, feature.value.parts[0])]
    value: Numbers | pl.Series = feature.value.over(lambda part: Numbers(np.asarray(found[column(name, part)])))
    return value if isinstance(value, pl.Series) else value.values


def _filled(feature: Feature, values: Values) -> Values:
    if feature.empty is None or _is_count(feature):
        return values
    if isinstance(values, pl.Series):
        return values.fill_null(feature.empty)
    return np.where(np.isnan(values), feature.empty, values)


def _finite(values: Values) -> Values:
    """What is beyond all numbers is not known."""
    return values if isinstance(values, pl.Series) else np.where(np.isinf(values), np.nan, values)


def _is_count(feature: Feature) -> bool:
    """Whether the feature is a bare count or total: a float64 that is never null."""
    return feature.value.bare and feature.value.parts[0].kind in COUNTS


def _typed(feature: Feature, column: nw.Expr) -> nw.Expr:
    """Numbers as float64, with `empty` in place of null; nan is null, and so is what is beyond all numbers."""
    if feature.unit == "category":
        return column if feature.empty is None else column.fill_null(feature.empty)
    number = column.cast(nw.Float64).fill_nan(None)
    number = number if feature.empty is None else number.fill_null(feature.empty)
    return nw.when(number.is_finite()).then(number)
