"""The small shop renewed month by month: outcomes, retraining, scores; to be killed and begun again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from unittest.mock import patch

from features.definition import read as read_journey
from features.journey import Journey
from features.labels import tasks
from features.log import EventLog, read
from features.schema import to_datetime
from serving import batch, registry
from serving.beginning import beginning
from serving.retraining import Story, Tools, retrain
from serving.store import Store
from training.recipe import Recipe
from training.tracking import Tracking
from training.train import train

FIRST, LAST, MONTH = datetime(2024, 9, 9, tzinfo=UTC), datetime(2024, 12, 30, tzinfo=UTC), timedelta(days=28)
RECIPE = Recipe(learning_rate=0.25, leaves=7, rounds_at_most=8)


def folder_of(url: str) -> Path:
    """The folder that a shop's store is in, with its files and its tracking store."""
    return Path(url.removeprefix("sqlite:///")).parent


def tracking_of(url: str) -> Tracking:
    """The shop's tracking store."""
    folder = folder_of(url)
    return Tracking(f"sqlite:///{folder / 'mlflow.db'}", folder / "artifacts", figures=False)


def definition_of(url: str, store: Store) -> tuple[Journey, Path]:
    """The journey as it is a month after the newest scores, and the folder of its files."""
    run = store.latest_run("shop")
    until = FIRST if run is None else min(to_datetime(run.cutoff) + MONTH, LAST)
    definition, base = read_journey(folder_of(url) / "shop.yml")
    return definition.model_copy(update={"observed_until": until}), base


def shop_of(url: str, store: Store) -> tuple[Journey, EventLog]:
    """The journey resolved with its log, and that log."""
    return read(*definition_of(url, store), threads=1)


def begun(url: str) -> None:
    """The first month: every task has a champion, whatever its grade, and everyone is scored."""
    with closing(Store(url)) as store:
        journey, log = shop_of(url, store)
        tracking = tracking_of(url)
        for made in tracking.register(journey, train(journey, log, list(tasks(journey)), RECIPE, 1, lambda _: None)):
            tracking.set_champion("shop", made.name.removeprefix("shop."), made.version)
        scorer = registry.load("shop", tracking.uri, folder_of(url) / "models", log.profile)
        batch.score(journey, log, scorer, store, lambda done, of: None)


def renewed(url: str, report: Callable[[str], None]) -> Story:
    """A month's retraining, whatever the rules say, and its scores; one that is gone is taken over after seconds."""
    with closing(Store(url)) as store, patch("serving.alone.SECONDS", 3.0):
        definition, base = definition_of(url, store)
        journey, log = read(definition, base, threads=1)
        tracking = tracking_of(url)
        load = partial(registry.load, "shop", tracking.uri, folder_of(url) / "models", log.profile)

        def score() -> None:
            with beginning(store, "shop") as begin:
                journey, log = read(definition, base, 1, begin)
                batch.score(journey, log, load(), store, lambda done, of: None, begin.run)

        return retrain(journey, log, Tools(store, tracking, load, score, 1, RECIPE), report, always=True)
