"""Money: what a customer's leaving costs and what contacting them earns, one set of formulas everywhere.

With `p` the churn probability, `V` the value over the CLTV horizon of a customer who stays and `r`
the share of it that those who churn still bring, the expected value is `(1 - p) V + p r V`.
Amounts are in the journey's currency; NaN means unknown and stays NaN. All functions take single
numbers or arrays and follow numpy's broadcasting.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.journey import Campaign


@dataclass(frozen=True, slots=True)
class Offer:
    """What contacting anyone costs, and what is at stake with each customer: an amount per row, or one for all."""

    campaign: Campaign
    stake: float | NDArray[np.float64]


def at_stake(expected: ArrayLike, probability: ArrayLike, churned_value_share: ArrayLike) -> NDArray[np.float64]:
    """Value over the CLTV horizon if the customer stays minus that if they churn.

    Parameters
    ----------
    expected
        Expected value over the horizon; it already contains the chance of leaving.
    probability
        Churn probability, 0 to 1.
    churned_value_share
        Value of those who churn over that of those who stay, 0 to 1 (kept with the CLTV model).

    Returns
    -------
    float64 array (of no dimension for single numbers)
        `V (1 - r)` with `V = expected / (1 - p + p r)`. NaN where the customer is certain to leave
        and would bring nothing: then nothing is known of their value if they stayed.
    """
    e, p, r = _floats(expected), _floats(probability), _floats(churned_value_share)
    share_of_stay = 1 - p + p * r
    known = share_of_stay > 0
    return np.where(known, e / np.where(known, share_of_stay, 1.0) * (1 - r), np.nan)


def expected_loss(probability: ArrayLike, stake: ArrayLike) -> NDArray[np.float64]:
    """Churn probability times what is at stake: the value if all stayed minus the expected value."""
    return np.asarray(_floats(probability) * _floats(stake))


def contact_profit(probability: ArrayLike, stake: ArrayLike, campaign: Campaign) -> NDArray[np.float64]:
    """Expected profit of contacting a customer: `p g (at_stake - d) - (1 - p) d - f`.

    `g` is the campaign's accept rate among those who would leave, `d` the incentive's cost, `f` the
    contact's. Those who would have stayed take the incentive too.
    """
    p, gain = _floats(probability), _floats(stake) - campaign.incentive_cost
    kept = p * campaign.accept_rate * gain
    return np.asarray(kept - (1 - p) * campaign.incentive_cost - campaign.contact_cost)


def contact_expense(probability: ArrayLike, campaign: Campaign) -> NDArray[np.float64]:
    """Expected cost of contacting a customer: `f + d (1 - p + p g)`, what `contact_profit` takes off `p g at_stake`."""
    p = _floats(probability)
    takers = 1 - p + p * campaign.accept_rate
    return np.asarray(campaign.contact_cost + campaign.incentive_cost * takers)


def best_length(profit: ArrayLike) -> int:
    """The length whose contacts earn most in sum: as far as each still earns something; nan earns nothing.

    `profit` is in the order of the list, the most profitable contact first.
    """
    return int(np.count_nonzero(_floats(profit) > 0))


def _floats(values: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64)
