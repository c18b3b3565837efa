"""Lifetime: buy till you die, what BG/NBD knows of a customer.

Fader, Hardie and Lee (2005), "Counting Your Customers the Easy Way": frequency is the number of
purchase days after the first, recency the days from the first purchase to the last, age the days from
the first purchase to the cutoff. The age stands in the catalogue as `purchase_tenure_days`. What the
model makes of the three needs parameters that are learned from all customers: the columns `MODELLED` are
no part of a vector, models add them (`training.lifetimes`).
"""

from __future__ import annotations

import narwhals as nw

from features.aggregates import age, age_of_first, combine, count, only_with
from features.families.tables import conversions
from features.feature import Feature, Modelled
from features.instants import days
from features.journey import Journey

FREQUENCY, RECENCY, AGE = "repeat_purchase_days", "repeat_span_days", "purchase_tenure_days"

ALIVE, EXPECTED = "p_alive", "expected_purchase_days"
MODELLED = (
    Modelled(
        ALIVE,
        "probability that the customer still buys at all, by BG/NBD",
        "share",
        "LIFETIME",
        "still a customer with a probability of {value}, by the rhythm of all customers",
    ),
    Modelled(
        EXPECTED,
        "days with a purchase to expect within the horizon, by BG/NBD",
        "number",
        "LIFETIME",
        "{value} purchase days to expect within the horizon, by the rhythm of all customers",
    ),
)


def features(journey: Journey) -> tuple[Feature, ...]:
    """Frequency and recency of BG/NBD; null for customers who never bought."""
    orders, day = conversions(journey), count(nw.col("new_day"))
    return (
        Feature(
            FREQUENCY,
            "days with a purchase after the first such day",
            "number",
            "LIFETIME",
            only_with(day, day - 1),
            of=orders,
            says="bought again on {value} days",
        ),
        Feature(
            RECENCY,
            "days from the first purchase to the newest",
            "days",
            "LIFETIME",
            combine(days, age_of_first() - age()),
            of=orders,
            says="{value} from the first purchase to the newest",
        ),
    )
