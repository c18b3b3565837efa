"""Rolling cutoffs: one grid per journey, counted back from `observed_until`."""

from __future__ import annotations

from features.instants import mature, microseconds
from features.journey import Journey
from features.labels import Task


def grid(journey: Journey, first: int) -> list[int]:
    """Every cutoff of the journey, oldest first, from the shortest history on.

    Parameters
    ----------
    journey
        A resolved journey.
    first
        The instant of the log's first event.
    """
    end, step = journey.observed_until_microseconds, microseconds(journey.cutoffs.every)
    earliest = first + microseconds(journey.cutoffs.history)
    return sorted(range(end, earliest - 1, -step))


def usable(journey: Journey, task: Task, first: int) -> list[int]:
    """The cutoffs of the grid whose horizon is over: only these can train or test."""
    end = journey.observed_until_microseconds
    return [cutoff for cutoff in grid(journey, first) if mature(cutoff, task.within, end)]
