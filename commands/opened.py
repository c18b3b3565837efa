"""What commands open: the journey, its event log, the model registry, the score store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from commands.settings import current
from features.errors import InputError

if TYPE_CHECKING:
    from polars import DataFrame

    from features.erased import Erased
    from features.extra import Arrived, Extra
    from features.journey import Journey
    from features.log import EventLog
    from serving.scorer import Scorer
    from serving.store import Store
    from training.tracking import Tracking


def journey(name: str) -> tuple[Journey, Path]:
    """The definition of that name or path, and the folder its paths begin at."""
    from features.definition import read

    return read(name)


def log(name: str) -> tuple[Journey, EventLog]:
    """The journey resolved against its event log, and the log: the sources and what the store knows besides.

    It ends where it is complete: what came in since counts once `observed_until` reaches it.
    """
    definition, base = journey(name)
    return read(definition, base, stored_events(definition))


def log_so_far(name: str) -> tuple[Journey, EventLog]:
    """The same with all that came in since: what vectors at cutoffs beyond `observed_until` see."""
    definition, base = journey(name)
    return read(definition, base, so_far(definition))


def read(definition: Journey, base: Path, extra: Extra | None) -> tuple[Journey, EventLog]:
    """The journey resolved against its sources and these events, without who was erased, and the log."""
    from features import log as of_sources
    from training.cpus import usable_cpus

    return of_sources.read(definition, base, usable_cpus(), extra, erased(definition))


def stored_events(definition: Journey) -> DataFrame | None:
    """What the store knows besides the journey's sources; null: there is no store yet."""
    from serving.database import exists
    from serving.events import stored

    if not exists(current().store_url):
        return None
    with store() as opened:
        return stored(opened, definition.journey)


def so_far(definition: Journey) -> Extra | None:
    """The same, and how far it reaches by now."""
    from serving.beginning import so_far as of_store
    from serving.database import exists

    def known(end: int | None) -> Arrived:
        with store() as opened:
            return of_store(opened, definition.journey, end)

    return known if exists(current().store_url) else None


def erased(definition: Journey) -> Erased | None:
    """Who is left out of the journey's sources; null: nobody."""
    from serving.database import exists
    from serving.kept_out import kept_out

    if not exists(current().store_url):
        return None
    with store() as opened, opened.transaction() as connection:
        return kept_out(connection, definition.journey)


def tasks(definition: Journey, wanted: list[str] | None) -> list[str]:
    """The names of the wanted tasks; null: all that the journey has."""
    from features.labels import tasks as of_journey

    known = list(of_journey(definition))
    if not known:
        do = "build its vectors with features.next_event, or add one of those tasks"
        raise InputError("tasks", "next_event alone", "churn, next_stage or cltv: what commands train", do)
    unknown = [name for name in wanted or [] if name not in known]
    if unknown:
        raise InputError("task", ", ".join(unknown), f"{', '.join(known)}: the tasks of {definition.journey}")
    return wanted or known


def tracking() -> Tracking:
    """Where runs are logged and models registered."""
    from training.tracking import Tracking

    found = current()
    found.home.mkdir(parents=True, exist_ok=True)
    return Tracking(found.tracking_uri, found.artifacts)


@contextmanager
def store() -> Iterator[Store]:
    """The score store for as long as the command needs it."""
    from features.schema import DAY
    from serving.store import Store

    found = current()
    found.home.mkdir(parents=True, exist_ok=True)
    opened = Store(found.store_url, keep_changes=round(found.keep_changes_days * DAY))
    try:
        yield opened
    finally:
        opened.close()


def scorer(definition: Journey, profile: DataFrame | None) -> Scorer:
    """The journey's champions, ready to score with every usable CPU."""
    from features.labels import tasks as of_journey
    from serving import registry
    from training.cpus import usable_cpus

    found = current()
    where, threads = (found.tracking_uri, found.models), usable_cpus()
    return registry.load(definition.journey, *where, profile, threads, definition.own, of_journey(definition))
