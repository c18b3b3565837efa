"""Whether a journey's rule holds for a customer at a cutoff, with what was known then."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from features.families.words import count, is_type
from features.feature import Feature, build
from features.instants import KEYS, within
from features.journey import Rule


def holds(rule: Rule, events: pl.LazyFrame, cutoffs: pl.LazyFrame, name: str = "holds") -> pl.LazyFrame:
    """`customer_id`, `cutoff` and a boolean column: whether the rule holds at the cutoff."""
    leaves = _leaves(rule)
    if not leaves:
        return cutoffs.select(KEYS).with_columns(pl.lit(True).alias(name))
    counts = tuple(_counted(leaf, f"leaf_{index}") for index, leaf in enumerate(leaves))
    built = build(events, cutoffs.select(KEYS), counts)
    return built.select(*KEYS, _combined(rule, iter(range(len(leaves)))).alias(name))


def _leaves(rule: Rule) -> list[Rule]:
    if rule.all_of is not None:
        return [leaf for inner in rule.all_of for leaf in _leaves(inner)]
    return [rule] if rule.any_of or rule.none_of else []


def _counted(leaf: Rule, name: str) -> Feature:
    inside = is_type(*(leaf.any_of or leaf.none_of or []))
    condition = inside & within(leaf.within) if leaf.within else inside
    return Feature(name, "events a rule looks at", "count", "ACTIVITY", count(condition), empty=0.0)


def _combined(rule: Rule, numbers: Iterator[int]) -> pl.Expr:
    """The rule over the columns of its leaves, which are numbered in the order `_leaves` gives."""
    if rule.all_of is not None:
        return pl.all_horizontal([_combined(inner, numbers) for inner in rule.all_of])
    if rule.any_of is not None:
        return pl.col(f"leaf_{next(numbers)}") >= rule.at_least
    if rule.none_of is not None:
        return pl.col(f"leaf_{next(numbers)}") < rule.at_least
    return pl.lit(True)
