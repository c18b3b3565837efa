"""Vectors by joining and grouping: for engines without an order of rows, and the oracle of `features.engine`.

Any engine that Narwhals speaks to lazily builds these vectors; Spark does, for businesses that outgrow
one machine. Every event is repeated for each later cutoff of its customer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import narwhals as nw

from features.aggregates import COUNTS, Aggregate, column
from features.arithmetic import columns_of
from features.engine import aggregates
from features.feature import PROFILE, Feature, Table
from features.histories import Keyed
from features.instants import KEYS, inside, past
from features.schema import CUSTOMER, CUTOFF, TIME

Frame = nw.LazyFrame[Any]
OF, WHERE, RANK = "of", "where", "rank"


def build(events: Frame, cutoffs: Frame, features: Iterable[Feature], profile: Frame | None = None) -> Frame:
    """One row per (customer, cutoff), one column per feature, in no order.

    The same as `features.engine.build` to a relative 1e-9: numbers are added up in another order.
    """
    wanted = tuple(features)
    keys = cutoffs.select(*KEYS)
    built, known = keys, past(events, keys)
    tables = aggregates(wanted)
    for table, parts in tables:
        built = built.join(_grouped(known, table, parts), on=list(KEYS), how="left")
    counts = [column(table.name, part) for table, parts in tables for part in parts if part.kind in COUNTS]
    built = built.with_columns(nw.col(name).fill_null(0).cast(nw.Float64) for name in counts) if counts else built
    if profile is not None and any(f.of is PROFILE for f in wanted):
        built = built.join(profile, on=CUSTOMER, how="left")
    return built.select(*KEYS, *columns_of(wanted, profile is not None))


def _grouped(known: Frame, table: Table, parts: list[Aggregate]) -> Frame:
    """The aggregates of one table, a row per (customer, cutoff) that has any of its rows."""
    rows = table.derive(known.drop("age"), Keyed(KEYS)).filter(nw.col(TIME) < nw.col(CUTOFF))
    rows = rows.with_columns(age=nw.col(CUTOFF) - nw.col(TIME))
    columns: dict[str, nw.Expr] = {}
    for number, part in enumerate(parts):
        columns |= _row_columns(number, part)
    rows = rows.with_columns(**columns)
    for number in (number for number, part in enumerate(parts) if part.kind == "newest"):
        # How many of the rows that count come after the row.
        so_far = nw.col(f"{WHERE} {number}").cum_sum().over(*KEYS, order_by=table.order_by)
        rows = rows.with_columns((nw.col(f"{WHERE} {number}").sum().over(*KEYS) - so_far).alias(f"{RANK} {number}"))
    found = (_aggregate(number, part).alias(column(table.name, part)) for number, part in enumerate(parts))
    grouped: Frame = rows.group_by(*KEYS).agg(*found)
    return grouped


def _row_columns(number: int, part: Aggregate) -> dict[str, nw.Expr]:
    """Per row: whether it counts (1 or 0), and what of it."""
    conditions = [] if part.where is None else [part.where]
    if part.window is not None:
        conditions.append(inside(part.window))
    if part.of is not None and part.kind != "newest":
        conditions.append(~part.of.is_null())
    one: nw.Expr = nw.lit(1)
    if conditions:
        one = nw.when(nw.all_horizontal(*conditions, ignore_nulls=False)).then(nw.lit(1)).otherwise(nw.lit(0))
    found = {f"{WHERE} {number}": one}
    return found if part.of is None else {**found, f"{OF} {number}": part.of}


def _aggregate(number: int, part: Aggregate) -> nw.Expr:
    counts = nw.col(f"{WHERE} {number}") == 1
    if part.kind == "count":
        return nw.col(f"{WHERE} {number}").sum()
    if part.kind == "cutoff":
        return nw.col(CUTOFF).max()
    if part.kind in ("since", "since_first"):
        age = nw.when(counts).then(nw.col("age"))
        return age.min() if part.kind == "since" else age.max()
    if part.kind == "newest":
        counts = counts & (nw.col(f"{RANK} {number}") == part.back)
    value = nw.when(counts).then(nw.col(f"{OF} {number}"))
    if part.kind == "distinct":  # null is one of the values where a row does not count
        some_not = nw.when(~counts).then(nw.lit(1)).otherwise(nw.lit(0)).max()
        return value.n_unique() - some_not
    return {
        "total": value.sum(),
        "mean": value.mean(),
        "lowest": value.min(),
        "highest": value.max(),
        "median": value.median(),
        "deviation": value.std(),
        "newest": value.max(),
    }[part.kind]
