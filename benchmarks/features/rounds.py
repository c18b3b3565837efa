"""Contenders timed in turn, so that whatever else the machine does meets all of them alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any


def interleaved(contenders: Mapping[str, Callable[[], Any]], runs: int) -> dict[str, list[float]]:
    """Seconds of each run of each contender; the order turns from round to round.

    All run in one process: they share one log in memory, as warm as it gets, and whoever compared their answers before
    has run each once.
    """
    took: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    for run in range(runs):
        for name in names[run % len(names) :] + names[: run % len(names)]:
            gc.collect()
            start = time.perf_counter()
            contenders[name]()
            took[name].append(time.perf_counter() - start)
    return took


def medians(took: Mapping[str, list[float]]) -> dict[str, float]:
    """Of each contender."""
    return {name: median(seconds) for name, seconds in took.items()}
