"""Journeys as runs keep them: everyone's and each group's."""

from __future__ import annotations

from typing import Any, NamedTuple

from features.errors import InputError
from serving import documented
from serving.documented import JOURNEY
from serving.store import Store, run_of
from serving.tables import Run


class NoJourneyError(InputError):
    """The newest run was made before runs kept their journey."""


class Kept(NamedTuple):
    """The newest run, the groups that can be asked for as `GROUPING:VALUE`, and the journeys of those asked for."""

    run: Run
    groups: list[str]
    maps: list[dict[str, Any]]


def read(store: Store, journey: str, *wanted: str | None) -> Kept:
    """The journeys of these groups in the newest run; null: everyone's.

    Raises
    ------
    NoScoresError
        Where the journey has no run.
    NoJourneyError
        Where the newest run kept none.
    InputError
        Where there is no such group.
    """
    with store.transaction() as connection:
        run = run_of(connection, journey)
        known = {
            _named(grouping, name): (grouping, name)
            for grouping, name in documented.groups(connection, run.id, JOURNEY)
        }
        if not known:
            raise NoJourneyError(
                journey, f"run {run.id} kept no journey", "", f"run journeycast score {journey} again with this version"
            )
        groups = [name for name in known if name]
        maps = []
        for group in wanted:
            if (group or "") not in known:
                raise InputError("group", str(group), ", ".join(groups) or "none: the profile declares no segments")
            found = documented.read(connection, run.id, JOURNEY, *known[group or ""])
            maps.append({"group": group, **(found or {})})
    return Kept(run, groups, maps)


def _named(grouping: str, name: str) -> str:
    return f"{grouping}:{name}" if grouping else ""
