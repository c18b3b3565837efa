"""A feature is a value: a name, words, a unit, a reason code and an aggregate over the past."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby

import narwhals as nw
import polars as pl

from features.instants import KEYS, Frame, past
from features.schema import CUSTOMER, CUTOFF

REASONS = {
    "OVERDUE": "time since the last purchase, against the customer's own rhythm",
    "INACTIVE": "time since the customer last did anything",
    "ACTIVITY": "how much the customer did lately",
    "TREND": "whether the customer does more or less than before",
    "SPEND": "how much the customer spends",
    "ORDER_VALUE": "how large the customer's orders are",
    "REFUNDS": "money given back",
    "CADENCE": "how regularly the customer buys",
    "TENURE": "how long the customer has been known",
    "STAGE": "where the customer stands in the journey and how they came there",
    "CHANNEL": "where the customer meets the business",
    "CAMPAIGN": "what the business sent and how the customer answered",
    "FRICTION": "trouble the customer had",
    "FEEDBACK": "what the customer said when asked",
    "BASKET": "what the customer's events contain",
    "SEQUENCE": "the customer's last steps",
    "HABIT": "the days and hours the customer keeps",
    "PROFILE": "what is known of the customer besides events",
}


@dataclass(frozen=True, slots=True)
class Table:
    """A table derived from the past, with one group of rows per (customer, cutoff).

    `derive` takes the rows of `features.instants.past` and adds or drops rows and columns. It sees
    only what was known before the cutoff, so nothing it computes can lean on a later event.
    """

    name: str
    derive: Callable[[Frame], Frame]


EVENTS = Table("events", lambda rows: rows)
PROFILE = Table("profile", lambda rows: rows)


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of a vector.

    Attributes
    ----------
    name
        Column: `what_unit` or `what_{window}`.
    description
        One sentence in words a retention team uses.
    unit
        `count`, `days`, `hours`, `money`, `share`, `ratio`, `number` or `category`.
    reason
        The reason code it belongs to, one of `REASONS`.
    expr
        Aggregate over the rows of one (customer, cutoff) in the table `of`.
    empty
        Value where those rows are empty; None: unknown.
    of
        The table derived from the past that `expr` aggregates.
    says
        How a reason tells it; `{value}` stands for the value with its unit.
    usual
        The feature that holds the customer's own usual value of this one.
    categories
        The values in their order, where the journey gives them; None: learned from the training rows.
    """

    name: str
    description: str
    unit: str
    reason: str
    expr: nw.Expr
    empty: float | str | None = None
    of: Table = EVENTS
    says: str = ""
    usual: str | None = None
    categories: tuple[str, ...] | None = None


def build(
    events: pl.LazyFrame, cutoffs: pl.LazyFrame, features: Iterable[Feature], profile: pl.LazyFrame | None = None
) -> pl.LazyFrame:
    """One row per (customer, cutoff), one column per feature.

    Parameters
    ----------
    events
        The internal event log of `features.schema`.
    cutoffs
        `customer_id` and `cutoff`, unique pairs; further columns are kept, unless a feature has
        their name.
    features
        What to build, in the order of the columns.
    profile
        One row per customer; without it profile features are null.

    Returns
    -------
    pl.LazyFrame
        The rows of `cutoffs`, in their order, with a column per feature. A count is 0 where the
        past is empty; what cannot be known is null.

    Notes
    -----
    Collect with `engine="in-memory"` where bits matter: Polars' streaming engine adds up in another
    order on every run, so its means differ in their last bits, and so might the trees grown on them.
    """
    wanted = tuple(features)
    names = {f.name for f in wanted}
    kept = [name for name in cutoffs.collect_schema().names() if name not in names]
    frame = nw.from_native(cutoffs).select(*kept)
    known = past(nw.from_native(events), frame)
    built = frame
    for table, group in groupby(sorted(wanted, key=lambda f: f.of.name), key=lambda f: f.of.name):
        chosen = list(group)
        if table == PROFILE.name:
            built = _with_profile(built, chosen, profile)
            continue
        rows = chosen[0].of.derive(known)
        found = rows.group_by(*KEYS).agg(*(f.expr.alias(f.name) for f in chosen))
        built = built.join(found, on=list(KEYS), how="left")
    filled = [_typed(f) for f in wanted]
    result = built.with_columns(*filled) if filled else built
    values = result.select(*KEYS, *(f.name for f in wanted)).to_native()
    return cutoffs.select(kept).join(values, on=KEYS, how="left", maintain_order="left")


def collect(plan: pl.LazyFrame) -> pl.DataFrame:
    """Run a plan with the engine that gives the same bits in every run, whatever the number of threads."""
    return plan.collect(engine="in-memory")


def _typed(feature: Feature) -> nw.Expr:
    """Numbers as float64, with `empty` where the past was empty."""
    column = nw.col(feature.name)
    column = column if feature.unit == "category" else column.cast(nw.Float64)
    return column if feature.empty is None else column.fill_null(feature.empty)


def _with_profile(built: Frame, features: list[Feature], profile: pl.LazyFrame | None) -> Frame:
    """Join the profile; a feature's `expr` picks a column, null before it was known."""
    if profile is None:
        return built.with_columns(*(nw.lit(None, dtype=nw.String).alias(f.name) for f in features))
    rows = built.select(CUSTOMER, CUTOFF).join(nw.from_native(profile), on=CUSTOMER)
    found = rows.select(CUSTOMER, CUTOFF, *(f.expr.alias(f.name) for f in features))
    return built.join(found, on=list(KEYS), how="left")
