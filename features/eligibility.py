"""Whether a journey's rule holds for a customer at a cutoff, with what was known then."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from features.aggregates import count
from features.engine import build
from features.families.words import is_type
from features.feature import Feature
from features.instants import KEYS, Window
from features.journey import Rule


def holds(rule: Rule, events: pl.DataFrame, cutoffs: pl.DataFrame, name: str = "holds") -> pl.DataFrame:
    """`customer_id`, `cutoff` and a boolean column: whether the rule holds at the cutoff."""
    counts, answer = conditions(rule, name)
    return build(events, cutoffs.select(KEYS), counts).select(*KEYS, answer.alias(name))


def conditions(rule: Rule, name: str) -> tuple[tuple[Feature, ...], pl.Expr]:
    """The counts a rule looks at, as features, and the rule over their columns.

    `name` begins the columns' names, so that several rules can be built with one set of vectors.
    """
    counts = tuple(_counted(leaf, f"{name} {number}") for number, leaf in enumerate(_leaves(rule)))
    return counts, _combined(rule, iter([feature.name for feature in counts]))


def _leaves(rule: Rule) -> list[Rule]:
    if rule.all_of is not None:
        return [leaf for inner in rule.all_of for leaf in _leaves(inner)]
    return [rule] if rule.any_of or rule.none_of else []


def _counted(leaf: Rule, name: str) -> Feature:
    counted = count(is_type(*(leaf.any_of or leaf.none_of or [])), Window(leaf.within) if leaf.within else None)
    return Feature(name, "events a rule looks at", "count", "ACTIVITY", counted, empty=0.0)


def _combined(rule: Rule, columns: Iterator[str]) -> pl.Expr:
    """The rule over the columns of its leaves, in the order `_leaves` gives them."""
    if rule.all_of is not None:
        return pl.all_horizontal([_combined(inner, columns) for inner in rule.all_of])
    if rule.any_of is not None:
        return pl.col(next(columns)) >= rule.at_least
    if rule.none_of is not None:
        return pl.col(next(columns)) < rule.at_least
    return pl.lit(True)
