"""A simulated business as its definition and its files have it, on a day of its life."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time
from pathlib import Path

from features.definition import SHIPPED
from features.definition import read as read_journey
from features.errors import InputError
from features.journey import Journey
from features.simulator.live import World

MONTH = 28
HISTORY = 504  # days before the first list
SHARE = 0.1  # of a list that is held out
SEED = 1  # of the hold-outs
# The shipped definition over another log, with a horizon and a history that the first training can afford.
_CHANGED = (
    ("../.journeycast/simulated.parquet", "simulated.parquet"),
    ("within: 84d", "within: 56d"),
    ("history: 112d", "history: 84d"),
)
_UNTIL = "2024-06-24T00:00:00Z"
Changes = Sequence[tuple[str, str]]


def cost(journey: Journey, contacted: int, accepted: int) -> float:
    """What contacts cost, with the offers that were taken."""
    return contacted * journey.campaign.contact_cost + accepted * journey.campaign.incentive_cost


def written(world: World, file: Path, changed: Changes, *, contacts: bool) -> tuple[Journey, Path]:
    """The shipped definition over the world's log of this morning, both written to the file's folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    world.log(contacts=contacts).write_parquet(file.parent / "simulated.parquet")
    text = (SHIPPED / "simulated.yml").read_text(encoding="utf-8")
    until = datetime.combine(world.today, time(), UTC).isoformat().replace("+00:00", "Z")
    for before, after in (*_CHANGED, (_UNTIL, until), *changed):
        if before not in text:
            raise InputError("journeys/simulated.yml", f"has no {before} any more")
        text = text.replace(before, after)
    file.write_text(text, encoding="utf-8")
    return read_journey(file)
