"""From counts of a day to events: sessions, carts, payments, purchases, advertising.

Each function returns a frame of events with `customer` (a number), `time` and the columns its events
have; times are microseconds since the first simulated midnight.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from features.schema import DAY, MICROSECONDS
from features.simulator.population import PRODUCTS, Floats, Ints, Parameters, Traits, mean_value, on_sale
from features.simulator.process import History

_HOUR = 3_600 * MICROSECONDS
# Weights of the hours 0 to 23. Nothing starts after 23:00, so that no session crosses midnight.
_ONLINE_HOURS = (0, 0, 0, 0, 0, 0, 2, 4, 5, 5, 5, 5, 7, 6, 4, 4, 5, 6, 8, 10, 11, 9, 4, 0)
_OPEN_HOURS = (0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 6, 8, 8, 6, 5, 6, 8, 10, 9, 5, 0, 0, 0, 0)
_UNIT_PRICES = (6.0, 25.0, 18.0, 35.0, 120.0, 15.0)  # of PRODUCTS
_VALUE_SPREAD = 0.6  # of the logarithm of a purchase's value
_AD_RATE, _EMAIL_RATE, _SALE_EMAIL_RATE, _SUBSCRIBED = 0.035, 0.035, 0.3, 0.75


def cells(counts: Ints) -> tuple[Ints, Ints]:
    """Day and customer of each of the counted things."""
    day, customer = np.nonzero(counts)
    times = counts[day, customer].astype(np.int64)
    return np.repeat(day, times), np.repeat(customer, times)


def moments(rng: np.random.Generator, day: Ints, online: bool = True) -> Ints:
    """A time on each of the days: any hour people are up, or an hour the store is open."""
    weights = np.asarray(_ONLINE_HOURS if online else _OPEN_HOURS, dtype=float)
    hour = rng.choice(24, size=len(day), p=weights / weights.sum())
    return day * DAY + hour * _HOUR + rng.integers(0, _HOUR, len(day))


def own_screen(rng: np.random.Generator, traits: Traits, customer: Ints) -> pl.Series:
    """`app` or `web`, as each customer likes it."""
    in_app = pl.Series(rng.random(len(customer)) < traits.app_share[customer])
    return pl.select(pl.when(in_app).then(pl.lit("app")).otherwise(pl.lit("web"))).to_series()


def sessions(rng: np.random.Generator, traits: Traits, history: History) -> pl.DataFrame:
    """Visits in sessions of up to an hour; a session may end in a cart, and that in a (failed) payment.

    The purchases among them still lack their value: see `purchases`.
    """
    parts = []
    for kind, endings in (
        ("browse", ()),
        ("left_cart", ("cart",)),
        ("failed", ("cart", "payment_failed")),
        ("online", ("cart", "purchase")),
    ):
        day, customer = cells(history.counts[kind])
        begin, gap = moments(rng, day), rng.integers(20 * MICROSECONDS, 240 * MICROSECONDS, len(day))
        pages = np.minimum(rng.geometric(0.6, len(day)) + len(endings) // 2, 12)
        session = pl.DataFrame(
            {"customer": customer, "day": day, "begin": begin, "gap": gap, "pages": pages},
        ).with_columns(channel=own_screen(rng, traits, customer))
        page = session.with_columns(page=pl.int_ranges(0, "pages")).explode("page", empty_as_null=False)
        parts.append(page.with_columns(event=pl.lit("visit"), step="page"))
        for number, event in enumerate(endings):
            parts.append(session.with_columns(event=pl.lit(event), step=pl.col("pages") + number))
    steps = pl.concat(parts, how="diagonal")
    return steps.select("customer", "day", "event", "channel", time=pl.col("begin") + pl.col("step") * pl.col("gap"))


def store_purchases(rng: np.random.Generator, history: History) -> pl.DataFrame:
    """Purchases in the store, without their value."""
    day, customer = cells(history.counts["store"])
    return pl.DataFrame({"customer": customer, "day": day, "time": moments(rng, day, online=False)}).with_columns(
        event=pl.lit("purchase"), channel=pl.lit("store")
    )


def purchases(
    rng: np.random.Generator, bare: pl.DataFrame, traits: Traits, history: History, parameters: Parameters
) -> pl.DataFrame:
    """The purchases with value, product, items, discount, and `bad` for those that went wrong."""
    bare = bare.sort("time", "customer", maintain_order=True)
    day, customer = bare["day"].to_numpy(), bare["customer"].to_numpy()
    mean = np.array([mean_value(traits, date, parameters) for date in history.days])[day, customer]
    spread = rng.lognormal(-(_VALUE_SPREAD**2) / 2, _VALUE_SPREAD, len(bare))
    value = np.maximum(0.01, np.round(mean * spread, 2))
    taste = rng.random(len(bare)) < 0.6
    product = np.where(taste, traits.favourite[customer], rng.integers(0, len(PRODUCTS), len(bare)))
    sale = np.array([on_sale(date) for date in history.days])[day]
    nth = pl.int_range(pl.len()).over("customer", "day")
    return bare.with_columns(
        value=pl.Series(value),
        product=pl.Series([PRODUCTS[index] for index in product], dtype=pl.String),
        items=pl.Series(_items(rng, value, product)),
        discount=pl.Series(sale * parameters.sale_discount),
        bad=nth < pl.Series(history.bad[day, customer]),
    )


def _items(rng: np.random.Generator, value: Floats, product: Ints) -> Floats:
    price = np.asarray(_UNIT_PRICES)[product] * rng.lognormal(0.0, 0.3, len(value))
    return np.maximum(1.0, np.round(value / price))


def advertising(rng: np.random.Generator, traits: Traits, history: History) -> pl.DataFrame:
    """Ads and e-mails; they reach those who are gone, too."""
    number = np.arange(len(history.bad))[:, None]
    sale = np.array([on_sale(date) for date in history.days])
    begins = (sale & ~np.roll(sale, 1))[:, None]
    shape = (len(number), len(traits))
    ads = (rng.random(shape) < _AD_RATE * (1 + sale[:, None])) & (number >= traits.contact)
    subscribed = rng.random(len(traits)) < _SUBSCRIBED
    mails = rng.random(shape) < np.where(begins, _SALE_EMAIL_RATE, _EMAIL_RATE) * subscribed
    day, customer = cells(ads.astype(np.int64))
    ad = pl.DataFrame({"customer": customer, "time": moments(rng, day)}).with_columns(
        event=pl.lit("ad_seen"), channel=own_screen(rng, traits, customer)
    )
    day, customer = cells((mails & (number >= traits.arrival)).astype(np.int64))
    mail = pl.DataFrame({"customer": customer, "time": moments(rng, day)}).with_columns(
        event=pl.lit("email_sent"), channel=pl.lit("email")
    )
    return pl.concat([ad, mail])
