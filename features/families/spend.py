"""Spend: money, order value and refunds."""

from __future__ import annotations

from datetime import timedelta

import narwhals as nw

from features.aggregates import (
    at_least,
    count,
    deviation,
    highest,
    mean,
    median,
    newest,
    ratio,
    since_first,
    total,
)
from features.families.tables import conversions
from features.families.words import second, spell
from features.feature import Feature, Table
from features.instants import Window
from features.journey import Journey, duration_text
from features.schema import VALUE


def features(journey: Journey) -> tuple[Feature, ...]:
    """Money per window, per order and per month; its trend; what went back."""
    orders = conversions(journey)
    found: list[Feature] = []
    for window in journey.windows:
        found += [_spend(window, orders), _order_value(window, orders)]
    return (*found, *_lifetime(orders), _trend(second(journey), orders), *_refunds())


def _spend(window: timedelta, orders: Table) -> Feature:
    return Feature(
        f"spend_{duration_text(window)}",
        f"money spent in the last {spell(window)}",
        "money",
        "SPEND",
        total(VALUE, window=Window(window)),
        empty=0.0,
        of=orders,
        says=f"spent {{value}} in the last {spell(window)}",
    )


def _order_value(window: timedelta, orders: Table) -> Feature:
    return Feature(
        f"order_value_{duration_text(window)}",
        f"average order value (AOV) of the last {spell(window)}",
        "money",
        "ORDER_VALUE",
        mean(VALUE, window=Window(window)),
        of=orders,
        says=f"average order of {{value}} in the last {spell(window)}",
        usual="order_value_median",
    )


def _lifetime(orders: Table) -> tuple[Feature, ...]:
    return (
        Feature(
            "order_value_median",
            "the usual (median) order value",
            "money",
            "ORDER_VALUE",
            median(VALUE),
            of=orders,
            says="usual order of {value}",
        ),
        Feature(
            "order_value_max",
            "the largest order",
            "money",
            "ORDER_VALUE",
            highest(VALUE),
            of=orders,
            says="largest order {value}",
        ),
        Feature(
            "order_value_std",
            "how much order values vary (standard deviation)",
            "money",
            "ORDER_VALUE",
            deviation(VALUE),
            of=orders,
            says="orders vary by {value}",
        ),
        Feature(
            "last_order_value",
            "value of the newest order",
            "money",
            "ORDER_VALUE",
            newest(VALUE),
            of=orders,
            says="last order of {value}",
            usual="order_value_median",
        ),
        Feature(
            "spend_per_day",
            "money spent per day since the first purchase (at least one day)",
            "money",
            "SPEND",
            total(VALUE) / at_least(since_first(), 1.0),
            empty=0.0,
            of=orders,
            says="spends {value} a day",
        ),
    )


def _trend(window: timedelta, orders: Table) -> Feature:
    now, both = total(VALUE, window=Window(window)), total(VALUE, window=Window(2 * window))
    return Feature(
        f"spend_trend_{duration_text(window)}",
        f"share of the spend of the last two {spell(window)} that falls in the later ones",
        "share",
        "TREND",
        ratio(now, both),
        of=orders,
        says=f"{{value}} of the spend of the last {spell(2 * window)} falls in the later half",
    )


def _refunds() -> tuple[Feature, ...]:
    back = nw.col(VALUE) < 0
    return (
        Feature(
            "refunds_count",
            "number of events that gave money back",
            "count",
            "REFUNDS",
            count(back),
            empty=0.0,
            says="{value} refunds",
        ),
        Feature(
            "refunds_share",
            "money given back as a share of money received",
            "share",
            "REFUNDS",
            ratio(total(VALUE, back) * -1.0, total(VALUE, ~back)),
            says="{value} of the money went back",
        ),
    )
