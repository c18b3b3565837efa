"""The order of a list in SQL: by expected loss, by the expected profit of a contact, or by churn probability.

With `p` the churn probability, `S` what is at stake and `L = p S` the expected loss, the profit
`p g (S - d) - (1 - p) d - f` is `g L + d (1 - g) p - (d + f)`: it grows with both `L` and `p`. Since
`0 <= p <= 1`, a profit of `w` or more needs an expected loss of at least `(w + f) / g + d`, and one of
`v` or less an expected loss of at most `(v + d + f) / g`. So a list by profit reads only a stretch of
the index that is ordered by expected loss, whatever the costs are.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_

from features.journey import Campaign
from serving.cursors import Cursor
from serving.filters import Wanted
from serving.tables import UNKNOWN, scores

_ROUNDING = 1e-9  # bounds are widened by this share, so that no rounding cuts off a customer


def profit(costs: Campaign) -> ColumnElement[float | None]:
    """`training.money.contact_profit` in SQL, step by step the same; null where the stake is unknown."""
    p, gain = scores.c.churn_probability, scores.c.at_stake - costs.incentive_cost
    kept = p * costs.accept_rate * gain
    return kept - (1.0 - p) * costs.incentive_cost - costs.contact_cost


def rank(wanted: Wanted) -> ColumnElement[Any]:
    """What the list is ordered by; `UNKNOWN` where it is not known."""
    if wanted.sort == "expected_loss":
        return scores.c.rank_value + 0.0 if wanted.by_id else scores.c.rank_value
    if wanted.sort == "churn_probability":
        return scores.c.churn_probability
    return func.coalesce(profit(wanted.costs), UNKNOWN)


def order(ranked: ColumnElement[Any]) -> tuple[ColumnElement[Any], ...]:
    """The largest first; ties by churn probability, then by id."""
    probability = scores.c.churn_probability
    ties = () if ranked is probability else (probability.desc(),)
    return ranked.desc(), *ties, scores.c.customer_id


def behind(ranked: ColumnElement[Any], end: Cursor) -> ColumnElement[bool]:
    """What comes after `end`; the first condition is implied by the second and lets an index seek."""
    probability = scores.c.churn_probability
    later_id = and_(probability == end.churn_probability, scores.c.customer_id > end.customer_id)
    later = and_(ranked == end.rank, or_(probability < end.churn_probability, later_id))
    return and_(ranked <= end.rank, or_(ranked < end.rank, later))


def at_most(value: float, costs: Campaign) -> ColumnElement[bool]:
    """What every profit of `value` or less implies of the expected loss."""
    bound = (value + costs.incentive_cost + costs.contact_cost) / costs.accept_rate
    return scores.c.rank_value <= bound + _slack(value, costs)


def at_least(value: float, costs: Campaign) -> ColumnElement[bool]:
    """What every profit of `value` or more implies of the expected loss."""
    bound = (value + costs.contact_cost) / costs.accept_rate + costs.incentive_cost
    return scores.c.rank_value >= bound - _slack(value, costs)


def _slack(value: float, costs: Campaign) -> float:
    return _ROUNDING * (1.0 + abs(value) + costs.incentive_cost + costs.contact_cost) / costs.accept_rate
