"""Who the simulated customers are: traits that no feature sees, and the calendar they live by."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

PRODUCTS = ("grocery", "home", "garden", "clothing", "electronics", "books")

_WEEKDAYS = (0.90, 0.85, 0.90, 0.95, 1.10, 1.25, 1.05)  # Monday first; their mean is 1
_YEARLY_SWING, _YEARLY_PEAK = 0.20, 345  # demand peaks in the middle of December


@dataclass(frozen=True, slots=True)
class Parameters:
    """What the simulated business is like; fixed before any model was trained (docs/simulator.md).

    Rates and hazards are per day, shares between 0 and 1, money in the journey's currency.
    """

    present_at_start: float = 0.35  # share of customers who are there on the first day
    purchase_rate: float = 0.12  # mean over customers ...
    purchase_shape: float = 0.8  # ... of a gamma with this shape: smaller is more unequal
    browse_rate: float = 0.10  # median sessions without a cart
    cart_completion: float = 0.55  # carts bought, of carts whose payment did not fail
    payment_failure: float = 0.03  # failed payments for each cart
    bad_share: float = 0.08  # mean share of purchases that go wrong later
    issue_rate: float = 0.2  # chance a day that a pending problem comes to light
    fade_rate: float = 0.06  # chance a day that friction falls by one level
    base_hazard: float = 0.0004  # median chance a day of leaving for no reason the business gave
    friction_hazard: tuple[float, ...] = (0.0, 0.018, 0.05, 0.12)  # the same by friction level, at sensitivity 1
    calm: tuple[float, ...] = (1.0, 0.85, 0.7, 0.6)  # activity by friction level
    basket: float = 42.0  # median of the customers' mean purchase values
    sale_discount: float = 0.15  # price taken off on sale days


@dataclass(frozen=True, slots=True)
class Traits:
    """One array per trait, one element per customer; rates and hazards are per day."""

    arrival: Ints  # day of the first own activity
    contact: Ints  # day from which ads and e-mails reach them; never after `arrival`
    purchase_rate: Floats
    online_share: Floats  # of purchases
    app_share: Floats  # of sessions
    browse_rate: Floats
    basket: Floats  # mean value of a purchase at full price
    price_sensitivity: Floats  # activity on a sale day is 1 + this
    service_sensitivity: Floats  # multiplies the hazard of friction
    base_hazard: Floats
    bad_share: Floats
    favourite: Ints  # index into PRODUCTS

    def __len__(self) -> int:
        return len(self.arrival)

    def take(self, customers: Ints) -> Traits:
        """The traits of these customers, in this order; a customer may come more than once."""
        return Traits(**{field.name: getattr(self, field.name)[customers] for field in fields(self)})


def draw_traits(rng: np.random.Generator, customers: int, days: int, parameters: Parameters) -> Traits:
    """Independent traits, but that quick buyers also look around more."""
    p = parameters
    arrival = rng.integers(0, max(1, int(days * 0.9)), customers)
    arrival[rng.random(customers) < p.present_at_start] = 0
    pace = rng.gamma(p.purchase_shape, 1 / p.purchase_shape, customers)
    return Traits(
        arrival=arrival,
        contact=np.maximum(0, arrival - rng.integers(0, 22, customers)),
        purchase_rate=p.purchase_rate * pace,
        online_share=rng.beta(2.0, 1.2, customers),
        app_share=rng.beta(0.8, 0.8, customers),
        browse_rate=p.browse_rate * pace**0.3 * rng.lognormal(0.0, 0.5, customers),
        basket=p.basket * rng.lognormal(0.0, 0.5, customers),
        price_sensitivity=rng.gamma(1.2, 0.5, customers),
        service_sensitivity=rng.gamma(1.5, 1 / 1.5, customers),
        base_hazard=np.minimum(0.2, p.base_hazard * rng.lognormal(0.0, 0.8, customers)),
        bad_share=rng.beta(1.5, 1.5 * (1 - p.bad_share) / p.bad_share, customers),
        favourite=rng.integers(0, len(PRODUCTS), customers),
    )


def season(day: date) -> float:
    """Demand on `day` against an average day: the time of year and the day of the week."""
    turn = 2 * np.pi * (day.timetuple().tm_yday - _YEARLY_PEAK) / 365.25
    return float((1 + _YEARLY_SWING * np.cos(turn)) * _WEEKDAYS[day.weekday()])


def on_sale(day: date) -> bool:
    """Sales: from the 27th to the end of a month, the second week of January, the end of November."""
    return day.day >= 27 or (day.month == 1 and 8 <= day.day < 15) or (day.month == 11 and day.day >= 20)


def activity(traits: Traits, day: date) -> Floats:
    """How active each customer without friction is on `day` against their average day."""
    return season(day) * (1 + traits.price_sensitivity * on_sale(day))


def mean_value(traits: Traits, day: date, parameters: Parameters) -> Floats:
    """The expected value of a purchase on `day`."""
    return traits.basket * (1 - parameters.sale_discount * on_sale(day))
