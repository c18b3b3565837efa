"""The simulated business: what it does, and whether its truth is true."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from features.definition import read
from features.errors import InputError
from features.journey import Journey
from features.simulator import Parameters, Simulation, Truth, simulate, write
from features.simulator.population import Floats, mean_value
from features.simulator.process import State, step

START = date(2023, 1, 1)
MIDNIGHT = datetime.combine(START, time())  # naive UTC, as in the log
FRICTION = ["ticket", "refund", "payment_failed", "complaint"]


@pytest.fixture(scope="module")
def world() -> Simulation:
    return simulate(customers=1500, days=300, seed=3)


@pytest.fixture(scope="module")
def journey() -> Journey:
    return read("simulated")[0]


def _parquet(simulation: Simulation) -> bytes:
    file = io.BytesIO()
    simulation.events.write_parquet(file)
    return file.getvalue()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not() -> None:
    first, again, other = (_parquet(simulate(customers=60, days=90, seed=seed)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_the_log_has_the_canonical_columns_sorted_by_time_with_an_id_for_each_event(world: Simulation) -> None:
    stamp = pl.Datetime("us")
    assert dict(world.events.schema) == {
        "customer_id": pl.String,
        "time": stamp,
        "event": pl.String,
        "value": pl.Float64,
        "channel": pl.String,
        "known_at": stamp,
        "event_id": pl.String,
        "items": pl.Float64,
        "product": pl.String,
        "discount": pl.Float64,
        "topic": pl.String,
        "rating": pl.Float64,
        "nps": pl.Float64,
    }
    required = world.events.select("customer_id", "time", "event", "channel", "event_id")
    assert sum(required.null_count().row(0)) == 0
    assert world.events["event_id"].n_unique() == world.events.height
    assert world.events["time"].is_sorted()
    assert world.events["time"].dt.date().is_between(START, START + timedelta(days=299)).all()


def test_every_kind_of_touchpoint_occurs_in_every_channel(world: Simulation, journey: Journey) -> None:
    types = set(world.events["event"])
    assert types == {
        *("ad_seen", "email_sent", "visit", "cart", "purchase", "payment_failed", "refund", "ticket"),
        *("complaint", "rating", "nps", "review", "referral"),
    }
    assert set(world.events["channel"]) == {"web", "app", "store", "email", "phone"}
    assert set().union(*journey.named_types().values()) <= types
    assert set(journey.properties) < set(world.events.columns)


def test_the_shipped_definition_ends_with_the_default_log(journey: Journey) -> None:
    assert journey.observed_until == datetime(2023, 1, 1, tzinfo=UTC) + timedelta(days=540)
    assert journey.stage_names == ["awareness", "consideration", "conversion", "retention", "advocacy", "lapsed"]


def test_nobody_acts_after_leaving_but_the_business_goes_on(world: Simulation, journey: Journey) -> None:
    after = world.events.join(world.truth.left_at, on="customer_id").filter(pl.col("time") >= pl.col("left_at"))
    assert set(after["event"]) == set(journey.business)


def test_nobody_but_the_business_acts_before_arriving(world: Simulation, journey: Journey) -> None:
    arrival = pl.DataFrame({"customer_id": world.truth.customers, "arrival": world.truth.traits.arrival})
    day = (pl.col("time") - MIDNIGHT).dt.total_days()
    early = world.events.join(arrival, on="customer_id").filter(day < pl.col("arrival"))
    assert set(early["event"]) == {"ad_seen"} < set(journey.business)


def test_nothing_is_known_before_it_happens_and_some_of_it_late(world: Simulation) -> None:
    late = world.events.filter(pl.col("known_at").is_not_null())
    assert (late["known_at"] >= late["time"]).all()
    assert (late["known_at"] < MIDNIGHT + timedelta(days=300)).all()
    assert set(late["event"]) == {"ticket", "complaint", "refund", "rating", "nps"}


def test_values_and_answers_keep_to_their_scales(world: Simulation) -> None:
    span = {
        (event, name): (part[name].min(), part[name].max(), part[name].null_count())
        for event, name in [("rating", "rating"), ("review", "rating"), ("nps", "nps"), ("purchase", "discount")]
        for part in [world.events.filter(pl.col("event") == event)]
    }
    assert span == {
        ("rating", "rating"): (1, 5, 0),
        ("review", "rating"): (1, 5, 0),
        ("nps", "nps"): (0, 10, 0),
        ("purchase", "discount"): (0, 0.15, 0),
    }
    money = world.events.filter(pl.col("value").is_not_null())
    assert money["value"].is_finite().all()
    assert set(money["event"]) == {"purchase", "refund"}
    assert ((money["value"] > 0) == (money["event"] == "purchase")).all()
    assert world.events.filter(pl.col("event").is_in(["purchase", "refund"]))["value"].null_count() == 0


def test_a_purchase_online_follows_a_visit_and_a_cart_in_the_same_session(world: Simulation) -> None:
    online = world.events.filter(pl.col("event").is_in(["visit", "cart", "purchase"]), pl.col("channel") != "store")
    for event, before in (("purchase", "cart"), ("cart", "visit")):
        later = online.filter(pl.col("event") == event)
        earlier = online.filter(pl.col("event") == before).select("customer_id", "time", "channel", found="time")
        joined = later.join_asof(
            earlier, on="time", by=["customer_id", "channel"], tolerance="4m", check_sortedness=False
        )
        assert joined["found"].null_count() == 0


def test_weekends_sales_and_december_sell_more() -> None:
    bought = simulate(customers=1500, days=365, seed=5).events.filter(pl.col("event") == "purchase")
    daily = bought.group_by(day=pl.col("time").dt.date()).len()
    mean = {
        name: daily.filter(rule)["len"].mean()
        for name, rule in {
            "saturday": pl.col("day").dt.weekday() == 6,
            "tuesday": pl.col("day").dt.weekday() == 2,
            "sale": pl.col("day").dt.day() >= 27,
            "no sale": pl.col("day").dt.day().is_between(15, 19),
        }.items()
    }
    assert mean["saturday"] > 1.2 * mean["tuesday"]
    assert mean["sale"] > 1.2 * mean["no sale"]


def test_friction_drives_customers_away(world: Simulation) -> None:
    """The share of customer-days that end in leaving: with and without friction, and by sensitivity."""
    states = world.truth.states
    there = np.array([state.alive for state in states])
    friction = np.array([state.friction for state in states])[1:] > 0
    left, there = there[:-1] & ~there[1:], there[:-1]
    sensitive = world.truth.traits.service_sensitivity > 1
    assert left[there & friction].mean() > 10 * left[there & ~friction].mean()
    assert left[there & friction & sensitive].mean() > 2 * left[there & friction & ~sensitive].mean()


def test_a_cause_is_the_last_friction_event_before_the_customer_left(world: Simulation) -> None:
    causes = world.truth.causes.join(world.truth.left_at, on="customer_id")
    assert causes.height > 100
    assert causes["customer_id"].is_unique().all()
    assert set(causes["cause"]) == set(FRICTION)
    assert (causes["time"] < causes["left_at"]).all()
    known = world.events.filter(pl.col("event").is_in(FRICTION), pl.col("topic").fill_null("") != "question")
    later = known.join(causes, on="customer_id", suffix="_cause").filter(pl.col("time") > pl.col("time_cause"))
    assert later.height == 0


def test_without_friction_nobody_is_driven_away() -> None:
    parameters = replace(Parameters(), friction_hazard=(0.0, 0.0, 0.0, 0.0))
    assert simulate(customers=300, days=120, parameters=parameters).truth.causes.height == 0


def _crossroads(world: Simulation) -> tuple[Truth, State, int]:
    """40 customers of whom each combination of friction, pending problem, gone and yet to arrive occurs.

    Every mechanism is stronger than in the default business, so that a fault in any of them shows.
    """
    day, number = 200, np.arange(40)
    strong = replace(Parameters(), payment_failure=0.3, fade_rate=0.25, issue_rate=0.6, calm=(1.0, 0.6, 0.4, 0.2))
    traits = replace(
        world.truth.traits.take(number),
        arrival=np.where(number >= 36, day + number - 35, 0),
        contact=np.zeros(40, int),
        base_hazard=np.full(40, 0.01),
        bad_share=np.full(40, 0.8),
        purchase_rate=np.linspace(0.02, 0.6, 40),
        service_sensitivity=np.full(40, 2.0),
    )
    here, pending = number < 33, (number < 36) & (number // 4 % 2 == 1)
    state = State(alive=here, friction=np.where(number < 36, number % 4, 0), pending=pending)
    states = (*world.truth.states[:day], state, *world.truth.states[day + 1 :])
    names = world.truth.customers.head(40)
    return replace(world.truth, parameters=strong, traits=traits, states=states, customers=names), state, day


def _futures(truth: Truth, state: State, day: int, horizon: int, draws: int) -> tuple[Floats, Floats]:
    """Purchases and spend over the horizon, (customers, draws), from `state` at the beginning of `day`."""
    rng, many = np.random.default_rng(11), np.repeat(np.arange(len(truth.traits)), draws)
    traits, state = truth.traits.take(many), state.take(many)
    count, spend = np.zeros(len(many)), np.zeros(len(many))
    for number in range(day, day + horizon):
        if number > day:
            state = state.with_arrivals(traits.arrival == number)
        today = START + timedelta(days=number)
        state, happened = step(rng, traits, state, today, truth.parameters)
        count += happened.purchases
        spend += happened.purchases * mean_value(traits, today, truth.parameters)
    return count.reshape(-1, draws), spend.reshape(-1, draws)


def _agree(simulated: Floats, true: Floats) -> bool:
    """Whether the means of (customers, draws) are the true ones but for sampling error.

    At 4.5 standard errors for each of 40 customers, which chance exceeds once in 3,600 runs, and at
    4 for their sum, which shows a small fault common to all; the seed is fixed.
    """
    error = simulated.std(axis=1) / np.sqrt(simulated.shape[1])
    gap = simulated.mean(axis=1) - true
    return bool((np.abs(gap) <= 4.5 * error + 1e-12).all() and abs(gap.sum()) <= 4 * np.sqrt((error**2).sum()))


@pytest.mark.parametrize(("horizon", "draws"), [(1, 10_000), (28, 2_000)])
def test_the_true_churn_probability_is_the_share_of_futures_without_a_purchase(
    world: Simulation, horizon: int, draws: int
) -> None:
    truth, state, day = _crossroads(world)
    count, _ = _futures(truth, state, day, horizon, draws)
    true = truth.churn_probability(MIDNIGHT + timedelta(days=day), horizon)["probability"].to_numpy()
    assert _agree((count == 0).astype(float), true)
    assert true[33:36].tolist() == [1.0, 1.0, 1.0]
    assert (true[:33] < 1).all()


@pytest.mark.parametrize(("horizon", "draws"), [(14, 6_000), (84, 1_500)])
def test_the_true_expected_value_is_the_mean_spend_of_futures(world: Simulation, horizon: int, draws: int) -> None:
    truth, state, day = _crossroads(world)
    _, spend = _futures(truth, state, day, horizon, draws)
    true = truth.expected_value(MIDNIGHT + timedelta(days=day), horizon)["value"].to_numpy()
    assert _agree(spend, true)
    assert true[33:36].tolist() == [0.0, 0.0, 0.0]
    assert (true[:33] > 0).all()


def test_purchase_values_average_to_their_expectation(world: Simulation) -> None:
    bought = world.events.filter(pl.col("event") == "purchase")
    number = bought["customer_id"].str.slice(1).cast(pl.Int64).to_numpy() - 1
    days = [START + timedelta(days=day) for day in range(300)]
    mean = np.array([mean_value(world.truth.traits, day, world.truth.parameters) for day in days])
    day = (bought["time"] - MIDNIGHT).dt.total_days().to_numpy()
    ratio = bought["value"].to_numpy() / mean[day, number]
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / np.sqrt(len(ratio))


@pytest.mark.parametrize("day", [120, 240])
def test_true_probabilities_are_what_happens(world: Simulation, day: int) -> None:
    """In every fifth of the probability and overall, within four standard errors."""
    happened = _churned(world, day, 28).sort("probability", "customer_id")
    for part in (happened, *(happened[fifth] for fifth in np.array_split(np.arange(happened.height), 5))):
        true = part["probability"].to_numpy()
        error = np.sqrt((true * (1 - true)).sum())
        assert abs(part["churned"].sum() - true.sum()) <= 4 * error + 1e-9


def _churned(world: Simulation, day: int, horizon: int) -> pl.DataFrame:
    """[customer_id, probability, churned, recency_days, purchases] of everyone reached; null: never bought."""
    cutoff = MIDNIGHT + timedelta(days=day)
    bought = world.events.filter(pl.col("event") == "purchase")
    ahead = bought.filter(pl.col("time").is_between(cutoff, cutoff + timedelta(days=horizon), closed="left"))
    past = bought.filter(pl.col("time") < cutoff).group_by("customer_id")
    recent = pl.col("time") >= cutoff - timedelta(days=56)
    known = past.agg(recency_days=(cutoff - pl.col("time").max()).dt.total_seconds() / 86_400, purchases=recent.sum())
    true = world.truth.churn_probability(cutoff, horizon).join(known, on="customer_id", how="left")
    return true.with_columns(churned=~pl.col("customer_id").is_in(ahead["customer_id"].unique().implode()))


def test_churn_can_be_told_but_not_by_recency_or_frequency_alone() -> None:
    """The default business, four cutoffs together: the ranges the parameters were chosen for."""
    world = simulate()
    rows = pl.concat([_churned(world, day, 28) for day in (260, 344, 428, 512)]).filter(pl.col("purchases") > 0)
    churned = rows["churned"].to_numpy()
    oracle, recency = (roc_auc_score(churned, rows[name].to_numpy()) for name in ("probability", "recency_days"))
    frequency = roc_auc_score(churned, -rows["purchases"].to_numpy().astype(float))
    assert 0.2 < churned.mean() < 0.45
    assert 0.85 < oracle < 0.93
    assert 0.65 < recency < oracle - 0.1
    assert 0.65 < frequency < oracle - 0.1


def test_a_cutoff_may_carry_a_time_zone_but_must_be_a_simulated_midnight(world: Simulation) -> None:
    naive = MIDNIGHT + timedelta(days=120)
    madrid = naive.replace(tzinfo=UTC).astimezone(ZoneInfo("Europe/Madrid"))
    assert world.truth.churn_probability(madrid, 28).equals(world.truth.churn_probability(naive, 28))
    for cutoff in (naive + timedelta(hours=12), MIDNIGHT - timedelta(days=1), MIDNIGHT + timedelta(days=301)):
        with pytest.raises(ValueError, match=r"not a midnight \(UTC\) from 2023-01-01 to 2023-10-28"):
            world.truth.churn_probability(cutoff, 28)


def test_only_customers_reached_before_the_cutoff_are_told_of(world: Simulation) -> None:
    cutoff = MIDNIGHT + timedelta(days=100)
    told = set(world.truth.expected_value(cutoff, 28)["customer_id"])
    seen = set(world.events.filter(pl.col("time") < cutoff)["customer_id"])
    assert seen <= told < set(world.truth.customers)


def test_writing_puts_the_log_and_the_truth_side_by_side(tmp_path: Path) -> None:
    simulation = simulate(customers=40, days=60)
    beside = write(simulation, tmp_path / "new" / "log.parquet")
    assert beside == tmp_path / "new" / "log.truth.parquet"
    assert pl.read_parquet(tmp_path / "new" / "log.parquet").equals(simulation.events)
    truth = pl.read_parquet(beside)
    assert truth.height == 40
    assert {"customer_id", "left_at", "cause", "cause_time", "purchase_rate", "service_sensitivity"} <= {*truth.columns}


def test_the_log_is_written_as_parquet_only(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"log\.csv: (?s:.*)ends in \.parquet"):
        write(simulate(customers=1, days=1), tmp_path / "log.csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("given", [{"customers": 0}, {"days": -1}])
def test_a_business_needs_a_customer_and_a_day(given: dict[str, int]) -> None:
    with pytest.raises(InputError, match=rf"(?s)simulate, {next(iter(given))}: .*a whole number from 1 on"):
        simulate(**given)


def test_one_customer_on_one_day_is_a_business() -> None:
    simulation = simulate(customers=1, days=1)
    assert simulation.events.height >= 0
    assert simulation.truth.churn_probability(MIDNIGHT, 28).height in (0, 1)
