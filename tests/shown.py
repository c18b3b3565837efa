"""A store as the pages show it: a small shop's run with reasons, journey, histories and hostile names."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
from shop import DEFINITION, write_log
from stores import OVERDUE, SPEND, TREND, churn_of

from features.definition import read as read_journey
from features.journey import Journey
from features.log import EventLog, read
from features.schema import CUSTOMER, to_text
from serving import histories
from serving.answers import Answer, CltvAnswer, NextStageAnswer, Stage
from serving.beside import Beside
from serving.segments import Segments
from serving.store import Options, Store

HOSTILE = "<script>alert(1)</script>"
LIKE_A_COLOUR = "@accent"  # as figures name the colours of the style sheet
PRICED = DEFINITION + "profile: {file: profile.csv, segments: [age]}\nacquisition: {ticket: 2.0}\n"


def read_shown(folder: Path) -> tuple[Journey, EventLog]:
    """The shop's log with a customer and an event type named as an attack."""
    write_log(folder / "events.csv", 120)
    events = pl.read_csv(folder / "events.csv")
    hostile = events.filter(pl.col(CUSTOMER) == events[CUSTOMER][0]).with_columns(pl.lit(HOSTILE).alias(CUSTOMER))
    odd = hostile.head(1).with_columns(pl.lit(HOSTILE).alias("event"), pl.lit(HOSTILE).alias("channel"))
    alike = odd.with_columns(pl.lit(LIKE_A_COLOUR).alias("event"), pl.lit(LIKE_A_COLOUR).alias("channel"))
    pl.concat([events, hostile, odd, alike]).write_csv(folder / "events.csv")
    ages = [
        f"{CUSTOMER},age",
        *(f"c{n:03},{'young' if n % 2 else 'old'}" for n in range(120)),
        f'"{HOSTILE}",{HOSTILE}',
    ]
    (folder / "profile.csv").write_text("\n".join(ages))
    (folder / "shop.yml").write_text(PRICED)
    return read(*read_journey(folder / "shop.yml"), threads=1)


def answers_of(journey: Journey) -> list[Answer]:
    """An answer for everyone, spread over risks and values; the hostile customer first of all."""
    customers = [HOSTILE, *(f"c{number:03}" for number in range(120))]
    return [_answer(journey, customer, place / len(customers)) for place, customer in enumerate(customers)]


def _answer(journey: Journey, customer: str, place: float) -> Answer:
    probability = round(0.9 - 0.85 * place, 4)
    risk = "high" if probability >= 0.5 else "medium" if probability >= 0.2 else "low"
    base, effects = 0.12, (0.6 * (probability - 0.12), 0.3 * (probability - 0.12))
    odd = replace(OVERDUE, text=f"{HOSTILE} since the last purchase") if customer == HOSTILE else OVERDUE
    reasons = [replace(odd, effect=effects[0]), replace(TREND, effect=effects[1])]
    churn = churn_of(probability, risk).model_copy(
        update={"base": base, "reasons": reasons, "other_effects": probability - base - sum(effects)}
    )
    stages = {"active": 0.7, "lapsed": 0.25, "prospect": 0.05}
    cltv = CltvAnswer(
        eligible=True, horizon_days=56, expected=200.0 - 100 * place, low=50.0, high=400.0, coverage=0.8,
        currency="EUR", grade="B", model_version=2, base=150.0, reasons=[replace(SPEND, effect=-100 * place)],
        other_effects=50.0,
    )  # fmt: skip
    stake = 150.0 - 100 * place
    return Answer(
        customer_id=customer,
        journey="shop",
        cutoff=to_text(journey.observed_until_microseconds),
        scored_at="2025-01-02T00:00:00Z",
        stage=Stage(name="active" if place < 0.7 else "lapsed", since="2024-12-01T00:00:00Z"),
        last_activity="2024-12-20T00:00:00Z",
        churn=churn,
        next_stage=NextStageAnswer(
            eligible=True, horizon_days=28, stage="active", probabilities=stages, base=0.6, other_effects=0.1,
            grade="A", model_version=1,
        ),
        cltv=cltv,
        at_stake=stake,
        expected_loss=probability * stake,
    )  # fmt: skip


def fill(url: str, folder: Path) -> Journey:
    """Two runs in the store at `url`; the resolved journey."""
    journey, log = read_shown(folder)
    store = Store(url)
    told = answers_of(journey)
    cutoff = journey.observed_until_microseconds
    histories.write(store, "shop", cutoff, log.events)
    for _ in range(2):
        beside = Beside(store, journey, log.profile, lambda: None, dict.fromkeys(("churn", "cltv"), cutoff))
        beside.part(log.events)
        beside.answered(told, len(told))
        segments = Segments(["age"], log.profile)
        options = Options(documents=beside.kept)
        store.write_run("shop", cutoff, cutoff, {"churn": 3, "cltv": 2}, told, segments, options)
    store.close()
    return journey
