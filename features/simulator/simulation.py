"""One simulated business: its event log, and the truth behind it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time
from pathlib import Path

import numpy as np
import polars as pl

from features.errors import InputError
from features.schema import DAY, to_microseconds
from features.simulator import responses, touchpoints
from features.simulator.population import Parameters, Traits, draw_traits
from features.simulator.process import History, run
from features.simulator.truth import Truth

START = date(2023, 1, 1)
BUSINESS = ("ad_seen", "email_sent")
PROPERTIES = ("items", "product", "discount", "topic", "rating", "nps")


@dataclass(frozen=True, slots=True)
class Simulation:
    """The event log as a business would store it, and the truth behind it.

    `events` has the canonical columns (`time` and `known_at` as naive UTC timestamps) and the
    properties `items`, `product`, `discount`, `topic`, `rating` and `nps`, null where the event type
    has no such property; sorted by time.
    """

    events: pl.DataFrame
    truth: Truth


def simulate(
    customers: int = 5000,
    days: int = 540,
    seed: int = 7,
    start: date = START,
    parameters: Parameters = Parameters(),  # noqa: B008 - frozen
) -> Simulation:
    """Everything that happened to `customers` customers from `start` on, up to the midnight after `days` days.

    The same arguments give the same events.
    """
    for name, count in (("customers", customers), ("days", days)):
        if count < 1:
            raise InputError(f"simulate, {name}", str(count), "a whole number from 1 on")
    rngs = [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(3)]
    traits = draw_traits(rngs[0], customers, days, parameters)
    history = run(rngs[1], traits, start, days, parameters)
    names = pl.Series("customer_id", [f"c{number:05d}" for number in range(1, customers + 1)])
    happened = _happened(rngs[2], traits, history, parameters)
    truth = Truth(
        start=start,
        parameters=parameters,
        traits=traits,
        states=history.states,
        customers=names,
        left_at=_left_at(history, names),
        causes=_causes(happened, history, names),
    )
    return Simulation(_log(happened, history, names), truth)


def write(simulation: Simulation, path: Path) -> Path:
    """The events as Parquet at `path`, the truth beside them with the suffix `.truth.parquet`, whose path returns.

    Raises
    ------
    InputError
        `path` does not end in `.parquet`.
    """
    if path.suffix != ".parquet":
        raise InputError(str(path), "the log is written as Parquet", "a path that ends in .parquet")
    beside = path.with_suffix(".truth.parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    simulation.events.write_parquet(path)
    simulation.truth.traits_table().write_parquet(beside)
    return beside


def brought(
    rng: np.random.Generator,
    traits: Traits,
    history: History,
    parameters: Parameters,
    earlier: pl.DataFrame | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Everything that a history's days bring, also what comes to pass of it after them; and all purchases so far.

    `earlier` are the purchases before these days: some trouble is still to come of them.
    """
    steps = touchpoints.sessions(rng, traits, history)
    is_purchase = pl.col("event") == "purchase"
    bare = pl.concat([steps.filter(is_purchase), touchpoints.store_purchases(rng, history)], how="diagonal")
    bought = touchpoints.purchases(rng, bare, traits, history, parameters)
    so_far = bought if earlier is None else pl.concat([earlier, bought], how="diagonal_relaxed")
    parts = [
        steps.filter(~is_purchase),
        bought,
        touchpoints.advertising(rng, traits, history),
        responses.issues(rng, so_far, history),
        responses.questions(rng, history),
        responses.surveys(rng, traits, history),
        responses.feedback(rng, bought, traits),
    ]
    return pl.concat(parts, how="diagonal"), so_far


def _happened(rng: np.random.Generator, traits: Traits, history: History, parameters: Parameters) -> pl.DataFrame:
    """Every event up to the end, in order of time; what would come after a customer left does not."""
    events, _ = brought(rng, traits, history, parameters)
    gone = pl.Series(history.gone[events["customer"].to_numpy()] * DAY)
    here = (pl.col("time") < gone) | pl.col("event").is_in(BUSINESS)
    kept = events.filter(here & (pl.col("time") < len(history.bad) * DAY))
    return kept.sort("time", "customer", "event", maintain_order=True)


def _log(events: pl.DataFrame, history: History, names: pl.Series) -> pl.DataFrame:
    """What the business has learned of by the end, in the canonical form."""
    end = len(history.bad) * DAY
    known = events.filter(pl.coalesce("known_at", "time") < end)
    return known.select(
        names.gather(known["customer"]),
        instants(known["time"], history.start),
        "event",
        "value",
        "channel",
        instants(known["known_at"], history.start),
        pl.format("e{}", pl.int_range(1, pl.len() + 1).cast(pl.String).str.zfill(8)).alias("event_id"),
        *PROPERTIES,
    )


def instants(since_start: pl.Series, start: date) -> pl.Series:
    """Microseconds since the first simulated midnight as naive UTC timestamps."""
    first = to_microseconds(datetime.combine(start, time()))
    return (since_start + first).cast(pl.Datetime("us"))


def _left_at(history: History, names: pl.Series) -> pl.DataFrame:
    gone = pl.Series("left_at", history.gone)
    midnight = pl.when(gone <= len(history.bad)).then(instants(gone * DAY, history.start))
    return pl.select(names, midnight.alias("left_at"))


def _causes(events: pl.DataFrame, history: History, names: pl.Series) -> pl.DataFrame:
    """The last friction event of each customer whom friction drove away."""
    driven = pl.Series(np.nonzero(history.pushed.any(axis=0))[0])
    trouble = pl.col("event").is_in(responses.FRICTION) & (pl.col("topic") != responses.QUESTION).fill_null(True)
    last = (
        events.filter(trouble, pl.col("customer").is_in(driven.implode())).group_by("customer").last().sort("customer")
    )
    return pl.select(
        names.gather(last["customer"]), instants(last["time"], history.start), last["event"].alias("cause")
    )
