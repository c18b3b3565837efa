"""A simulated business whose truth is known, its models trained, registered and promoted once per session."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from shutil import copyfile
from typing import TYPE_CHECKING

import polars as pl
import pytest

from features.journey import Journey
from features.log import EventLog

if TYPE_CHECKING:  # Every test run imports this file: what is heavy waits until a fixture is asked for.
    from features.simulator import Simulation
    from serving.answers import Answer
    from serving.scorer import Scorer
    from training.tracking import Tracking
    from training.train import Trained

CUSTOMERS, DAYS, SEED, START = 1300, 392, 1, date(2023, 5, 1)
RECIPE = {"learning_rate": 0.25, "leaves": 7, "rounds_at_most": 30, "patience": 5}


@dataclass(frozen=True, slots=True)
class Business:
    """A simulated business, read as a user reads it."""

    simulation: Simulation
    file: Path
    journey: Journey
    log: EventLog

    def truth(self, rows: pl.DataFrame, task: str = "churn") -> pl.Series:
        """The true probability of churn or the true expected value of each (customer, cutoff)."""
        length = getattr(self.journey.tasks, task).within.days
        ask = {"churn": self.simulation.truth.churn_probability, "cltv": self.simulation.truth.expected_value}[task]
        instants = rows["cutoff"].unique().sort()
        found = [
            ask(when, length).select("customer_id", pl.lit(cutoff).alias("cutoff"), pl.nth(1).alias("true"))
            for cutoff, when in zip(instants, instants.cast(pl.Datetime("us")), strict=True)
        ]
        return rows.join(pl.concat(found), on=["customer_id", "cutoff"], how="left", maintain_order="left")["true"]


@dataclass(frozen=True, slots=True)
class Champions:
    """A tracking store in which every task of the business has a champion."""

    tracking: Tracking
    scorer: Scorer
    cache: Path

    @property
    def uri(self) -> str:
        """MLflow's tracking URI."""
        return self.tracking.uri


def simulated(folder: Path, customers: int, days: int, seed: int, start: date = START) -> Business:
    """The shipped definition over a log of another size, with horizons and history that fit it."""
    from features.definition import SHIPPED
    from features.definition import read as read_journey
    from features.log import read
    from features.simulator import simulate, write

    simulation = simulate(customers, days, seed, start)
    write(simulation, folder / "simulated.parquet")
    until = datetime.combine(start + timedelta(days=days), time(), UTC)
    text = (SHIPPED / "simulated.yml").read_text(encoding="utf-8")
    for before, after in (
        ("../.journeycast/simulated.parquet", "simulated.parquet"),
        ("2024-06-24T00:00:00Z", until.isoformat()),
        ("within: 84d", "within: 56d"),
        ("history: 112d", "history: 84d"),
    ):
        assert before in text, f"{before} is no longer in journeys/simulated.yml"
        text = text.replace(before, after)
    file = folder / "simulated.yml"
    file.write_text(text, encoding="utf-8")
    return Business(simulation, file, *read(*read_journey(file), threads=1))


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of an empty tracking store, to be copied: making one takes seconds."""
    from training.tracking import Tracking

    folder = tmp_path_factory.mktemp("blank")
    Tracking(f"sqlite:///{folder / 'mlflow.db'}", folder / "artifacts")
    return folder / "mlflow.db"


def tracking_at(folder: Path, database: Path) -> Tracking:
    """A tracking store with a copy of this database, its artifacts beside it."""
    from training.tracking import Tracking

    copyfile(database, folder / "mlflow.db")
    return Tracking(f"sqlite:///{folder / 'mlflow.db'}", folder / "artifacts")


@pytest.fixture
def empty(tmp_path: Path, blank: Path) -> Tracking:
    """A tracking store with nothing in it."""
    return tracking_at(tmp_path, blank)


def shop_of_chance(folder: Path, customers: int = 200) -> tuple[Journey, EventLog]:
    """The shop's events dealt out to its customers at random: there is nothing to learn of anyone."""
    import numpy as np
    from shop import DEFINITION, write_log

    from features.definition import read as read_journey
    from features.log import read

    write_log(folder / "events.csv", customers)
    events = pl.read_csv(folder / "events.csv")
    dealt = np.random.default_rng(1).integers(0, customers, len(events))
    events.with_columns(pl.Series("customer_id", [f"c{number:03}" for number in dealt])).write_csv(
        folder / "events.csv"
    )
    (folder / "shop.yml").write_text(DEFINITION, encoding="utf-8")
    return read(*read_journey(folder / "shop.yml"), threads=1)


@pytest.fixture(scope="session")
def business(tmp_path_factory: pytest.TempPathFactory) -> Business:
    """The simulated business."""
    return simulated(tmp_path_factory.mktemp("business"), CUSTOMERS, DAYS, SEED)


@pytest.fixture(scope="session")
def later(business: Business, tmp_path_factory: pytest.TempPathFactory) -> Business:
    """Another business like it, 56 days longer: what its models can be judged by, who know nothing of those days.

    Its journey is that of the business, so that its models answer.
    """
    longer = simulated(tmp_path_factory.mktemp("later"), CUSTOMERS, DAYS + 56, SEED)
    until = longer.journey.observed_until
    return replace(longer, journey=business.journey.model_copy(update={"observed_until": until}))


@pytest.fixture(scope="session")
def trained(business: Business) -> dict[str, Trained]:
    """Its three models, by task; files that need them are named in `shares.MODELS`."""
    from features.labels import TASKS
    from training.recipe import Recipe
    from training.train import train

    found = train(business.journey, business.log, list(TASKS), Recipe(**RECIPE), 1, lambda _: None)
    return {one.task: one for one in found}


@pytest.fixture(scope="session")
def champions(
    business: Business, trained: dict[str, Trained], blank: Path, tmp_path_factory: pytest.TempPathFactory
) -> Champions:
    """The models, registered in a store of their own, promoted, and loaded as a server loads them."""
    from serving import registry
    from training.promote import promote

    folder = tmp_path_factory.mktemp("tracking")
    tracking = tracking_at(folder, blank)
    tracking.register(business.journey, list(trained.values()))
    for task in trained:
        decision = promote(tracking, business.journey.journey, lambda: (business.journey, business.log), task)
        assert decision.promoted, decision.words
    cache = folder / "models"
    return Champions(
        tracking, registry.load(business.journey.journey, tracking.uri, cache, business.log.profile), cache
    )


@pytest.fixture(scope="session")
def everyone(business: Business) -> pl.DataFrame:
    """Every customer at the end of the log: what batch scoring asks for."""
    from features.labels import population

    return population(business.log.events, [business.journey.observed_until_microseconds])


@pytest.fixture(scope="session")
def answers(business: Business, champions: Champions, everyone: pl.DataFrame) -> list[Answer]:
    """The answer of every customer, explained."""
    return champions.scorer.predict(business.log.events, everyone)
