"""What follows a purchase: trouble that comes to light, and what customers say.

Frames as in `touchpoints`; `known_at` is microseconds since the first simulated midnight, null: at once.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from features.schema import DAY
from features.simulator.population import Floats, Ints, Traits
from features.simulator.process import History
from features.simulator.touchpoints import cells, moments, own_screen

FRICTION = ("ticket", "refund", "payment_failed", "complaint")
QUESTION = "question"  # the topic of tickets that are no trouble

_QUESTION_RATE, _NPS_RATE = 0.002, 1 / 120
_RATED, _REVIEWED, _REFERRED = 0.2, 0.05, 0.025  # shares of purchases
_TOPICS = ("late_delivery", "damaged", "wrong_item")


def issues(rng: np.random.Generator, bought: pl.DataFrame, history: History) -> pl.DataFrame:
    """One ticket, refund or complaint for each problem that came to light, about the last bad purchase."""
    day, customer = cells(history.issue.astype(np.int64))
    size = len(day)
    event = rng.choice(["ticket", "refund", "complaint"], size=size, p=[0.45, 0.35, 0.2])
    calls = np.where(rng.random(size) < 0.5, "phone", "email")
    counter = np.where(rng.random(size) < 0.3, "store", "web")
    issue = pl.DataFrame(
        {"customer": customer, "time": moments(rng, day, online=False), "morning": day * DAY}
    ).with_columns(
        event=pl.Series(event.tolist(), dtype=pl.String),
        channel=pl.Series(np.where(event == "refund", counter, calls).tolist(), dtype=pl.String),
        topic=pl.Series(rng.choice(_TOPICS, size=size).tolist(), dtype=pl.String),
        share=pl.Series(rng.choice([0.25, 0.5, 1.0], size=size, p=[0.2, 0.2, 0.6])),
        known_at=_late(rng, day, np.where(event == "refund", 0.2, 0.35)),
    )
    bad = bought.filter("bad").select("customer", "value", "product", morning="time").sort("morning")
    about = issue.sort("morning", maintain_order=True).join_asof(
        bad, on="morning", by="customer", coalesce=True, check_sortedness=False
    )
    refunded = -pl.max_horizontal(pl.lit(0.01), (pl.col("value") * pl.col("share")).round(2))
    is_refund = pl.col("event") == "refund"
    return about.with_columns(value=pl.when(is_refund).then(refunded), topic=pl.when(~is_refund).then("topic")).drop(
        "share", "morning"
    )


def _late(rng: np.random.Generator, day: Ints, share: Floats | float) -> pl.Series:
    """For a `share` of things: learned in the night one to four days later; null: at once."""
    late = rng.random(len(day)) < share
    known = (day + rng.integers(1, 5, len(day))) * DAY + 3 * (DAY // 24)
    return pl.select(pl.when(pl.Series(late)).then(pl.Series(known))).to_series()


def questions(rng: np.random.Generator, history: History) -> pl.DataFrame:
    """Tickets that are no trouble."""
    day, customer = _present(rng, history, _QUESTION_RATE)
    channel = rng.choice(["phone", "email", "app"], size=len(day)).tolist()
    return pl.DataFrame({"customer": customer, "time": moments(rng, day)}).with_columns(
        event=pl.lit("ticket"),
        channel=pl.Series(channel, dtype=pl.String),
        topic=pl.lit(QUESTION),
        known_at=_late(rng, day, 0.35),
    )


def surveys(rng: np.random.Generator, traits: Traits, history: History) -> pl.DataFrame:
    """NPS answers, 0 to 10, lower with friction; most come in batches days later."""
    day, customer = _present(rng, history, _NPS_RATE)
    friction = np.array([state.friction for state in history.states])[day, customer]
    mood = 8.2 - 2.2 * friction - 0.6 * (traits.service_sensitivity[customer] - 1)
    answer = np.clip(np.round(mood + rng.normal(0, 2.0, len(day))), 0, 10)
    return pl.DataFrame({"customer": customer, "time": moments(rng, day), "nps": answer}).with_columns(
        event=pl.lit("nps"), channel=pl.lit("email"), known_at=_late(rng, day, 0.7)
    )


def _present(rng: np.random.Generator, history: History, rate: float) -> tuple[Ints, Ints]:
    """Day and customer of something that happens at `rate` a day to those who are there."""
    there = np.array([state.alive for state in history.states[:-1]])
    return cells(((rng.random(there.shape) < rate) & there).astype(np.int64))


def feedback(rng: np.random.Generator, bought: pl.DataFrame, traits: Traits) -> pl.DataFrame:
    """Ratings, reviews and referrals some days after a purchase; bad purchases get low ratings."""
    parts = []
    for event, share, days in (("rating", _RATED, 5), ("review", _REVIEWED, 10), ("referral", _REFERRED, 4)):
        chosen = rng.random(len(bought)) < share
        if event == "referral":
            chosen &= ~bought["bad"].to_numpy()
        about = bought.filter(pl.Series(chosen))
        time = about["time"].to_numpy() + rng.integers(DAY // 12, days * DAY, len(about))
        customer, bad = about["customer"].to_numpy(), about["bad"].to_numpy()
        stars = np.clip(np.round(4.3 - 2.0 * bad + rng.normal(0, 0.8, len(about))), 1, 5)
        part = pl.DataFrame({"customer": customer, "time": time}).with_columns(
            event=pl.lit(event),
            channel=pl.lit("email") if event == "rating" else own_screen(rng, traits, customer),
            product=about["product"] if event != "referral" else pl.lit(None, pl.String),
            rating=pl.Series(stars) if event != "referral" else pl.lit(None, pl.Float64),
            known_at=_late(rng, time // DAY, 0.3 if event == "rating" else 0.0),
        )
        parts.append(part)
    return pl.concat(parts)
