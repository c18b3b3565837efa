"""Signals of an event log, step by step: how much of what, from where, at what price, learned how late.

Each signal has one value for every step of the journey's cutoffs, counted back from an instant. What is
usual is what the journey's own earlier steps were: the newest value is compared with where they and
they lead to expect it. A step counts only what was known when it was over, as the newest does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import stats

from features.instants import microseconds
from features.journey import Journey
from features.schema import CHANNEL, CONTACTED, CUSTOMER, DAY, EVENT, KNOWN_AT, TIME, VALUE
from training.price_levels import commonest, price_levels

Array = NDArray[np.float64]

ALL = "events of all types"
STEPS = 16  # at most, the newest among them
EARLIER = 5  # steps of which what is usual can be told
# The chance, over all signals together, that one of a world without change is called unusual. Low, because tails are
# heavier than Student's: a few customers who buy a lot make a share jump.
ALARM = 0.02
_WEIGHTS = (0.0, 0.25, 0.5, 1.0)  # of the newest value
_SEEN = 10  # events of a type in a step from which their absence is more than chance
_MOST = 0.8  # of all events: what there is besides says little of a type
_LEAST = 30  # events of a step from which a share or a price of theirs means something
_SPREAD = {"log": 0.015, "logit": 0.03}  # no signal is steadier than this, whatever few steps say
_LATE = DAY // 2


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal: what it is in words, its value per step (oldest first), and how unusual the newest is.

    `kind` is `volume`, `price`, `channel`, `category`, `number`, `known` or `late`; `of` what it is of.
    `expected`, `low` and `high` are where the earlier steps lead to expect the newest value; `surprise`
    is its distance from there in standard errors, `chance` the probability of one as large in any signal
    of a journey that goes on as before.
    """

    kind: str
    of: str
    words: str
    values: tuple[float, ...]
    expected: float
    low: float
    high: float
    surprise: float
    chance: float

    @property
    def unusual(self) -> bool:
        """Whether it is more than chance."""
        return self.chance < ALARM


def signals(journey: Journey, events: pl.DataFrame, at: int) -> list[Signal]:
    """Every signal at an instant, the most surprising first; empty: too few earlier steps.

    Parameters
    ----------
    events
        The log as the journey's log is read; what was not known before `at` is not seen.
    """
    step = microseconds(journey.cutoffs.every)
    first = int(str(events[TIME].min()))
    steps = min(STEPS, (at - first) // step)
    if steps <= EARLIER:
        return []
    rows = _in_steps(events, at, step, steps)
    series = list(_series(journey, rows, int(steps)))
    found = [_judged(one, len(series)) for one in series]
    return sorted(found, key=lambda one: (one.chance, -abs(one.surprise)))


def _in_steps(events: pl.DataFrame, at: int, step: int, steps: int) -> pl.DataFrame:
    """The events of the steps, each in the column `step` (the newest is the last), as known at its end."""
    number = steps - 1 - (at - 1 - pl.col(TIME)) // step
    end = at - (steps - 1 - pl.col("step")) * step
    rows = events.filter((pl.col(TIME) < at) & (pl.col(KNOWN_AT) < at) & (pl.col(EVENT) != CONTACTED))
    return rows.with_columns(step=number).filter((pl.col("step") >= 0) & (pl.col(KNOWN_AT) < end))


class Series(NamedTuple):
    """Kind, what it is of, words, scale and values of a signal; `noise`: what counting alone makes of a value.

    `noise` is on the scale, a standard error. Few steps may by luck lie closer together than that.
    """

    kind: str
    of: str
    words: str
    scale: str
    values: Array
    noise: float = 0.0


def _series(journey: Journey, rows: pl.DataFrame, steps: int) -> Iterator[Series]:
    """Each signal that can be told."""
    own = rows.filter(pl.col(EVENT).is_in(journey.customer_types))
    active = np.maximum(_counts(own.unique(["step", CUSTOMER]), steps), 1.0)
    yield Series("volume", "customers", "customers who did anything", "log", active, _of_counts(active))
    total = _counts(rows, steps)
    yield Series("volume", ALL, ALL, "log", np.maximum(total, 1.0), _of_counts(total))
    sizes = {name: _counts(rows.filter(pl.col(EVENT) == name), steps) for name in rows[EVENT].unique().sort()}
    for name, counts in sizes.items():
        if counts[:-1].mean() >= _SEEN or counts[-1] >= _LEAST:
            yield _volume(name, counts, total)
    frequent = [name for name, counts in sizes.items() if counts.min() >= _LEAST]
    for name in frequent:
        mine = rows.filter(pl.col(EVENT) == name)
        late = pl.col(KNOWN_AT) - pl.col(TIME) > _LATE
        yield _share("late", name, f"{name} events learned late", mine, late, steps)
        prices = mine.filter(pl.col(VALUE).is_not_null())
        if len(prices):
            yield _share("known", name, f"{name} events that tell a value", mine, pl.col(VALUE).is_not_null(), steps)
        if _counts(prices, steps).min() >= _LEAST:
            levels = price_levels(prices, journey.properties, steps)
            yield Series("price", name, f"price level of {name} events", "log", levels)
    if len(own) and _counts(own, steps).min() >= _LEAST:
        if own[CHANNEL].null_count() < len(own):
            yield _share("known", CHANNEL, "events that tell a channel", own, pl.col(CHANNEL).is_not_null(), steps)
        for level in commonest(own[CHANNEL].cast(pl.String)):
            yield _share("channel", level, f"events through {level}", own, pl.col(CHANNEL) == level, steps)
    yield from _of_properties(journey, rows.filter(pl.col(EVENT).is_in(frequent)), steps)


def _of_properties(journey: Journey, rows: pl.DataFrame, steps: int) -> Iterator[Series]:
    for name, kind in journey.properties.items():
        if name not in rows.columns:
            continue
        bearers = rows.filter(pl.col(name).is_not_null())[EVENT].unique()
        mine = rows.filter(pl.col(EVENT).is_in(bearers.implode()))
        if mine.is_empty() or _counts(mine, steps).min() < _LEAST:
            continue
        yield _share("known", name, f"events that tell {name}", mine, pl.col(name).is_not_null(), steps)
        told = mine.filter(pl.col(name).is_not_null())
        if _counts(told, steps).min() < _LEAST:
            continue
        if kind == "category":
            for level in commonest(told[name].cast(pl.String)):
                holds = pl.col(name).cast(pl.String) == level
                yield _share("category", f"{name} {level}", f"{name} {level}", told, holds, steps)
        else:
            # Added up in the order of the log: by parts, the last bits would differ from run to run.
            place, values = told["step"].to_numpy(), told[name].cast(pl.Float64).to_numpy()
            means = np.bincount(place, values, steps) / np.bincount(place, minlength=steps)
            yield Series("number", name, f"mean {name}", "plain", means)


def _volume(name: str, counts: Array, total: Array) -> Series:
    """Events of a type: beside all others, but where it is nearly all there is."""
    if counts.sum() > _MOST * total.sum():
        return Series("volume", name, f"{name} events", "log", np.maximum(counts, 1.0), _of_counts(counts))
    return _beside(name, counts, np.maximum(total - counts, 1.0))


def _beside(name: str, counts: Array, others: Array) -> Series:
    """Events of a type to a thousand others: businesses have seasons, and what breaks breaks alone.

    On the scale on which chance spreads all counts by a half (Anscombe, Biometrika 35, 1948).
    """
    each = 1000 * (counts + 0.375) / others
    noise = 0.5 * float(np.sqrt(1000 / others[:-1].mean()))
    return Series("volume", name, f"{name} events to 1,000 others", "root", each, noise)


def _by_step(rows: pl.DataFrame, value: pl.Expr, steps: int) -> Array:
    found = np.zeros(steps)
    told = rows.group_by("step").agg(value.alias("told"))
    found[told["step"].to_numpy()] = told["told"].cast(pl.Float64).fill_null(0.0).to_numpy()
    return found


def _counts(rows: pl.DataFrame, steps: int) -> Array:
    return _by_step(rows, pl.len(), steps)


def _of_counts(counts: Array) -> float:
    """Poisson's noise of the logarithm of what earlier steps lead to expect."""
    return float(1 / np.sqrt(max(1.0, counts[:-1].mean())))


def _share(kind: str, of: str, words: str, rows: pl.DataFrame, holds: pl.Expr, steps: int) -> Series:
    """Of events by step; never 0 or 1: as if half an event of each kind had been seen besides."""
    counts, hits = _counts(rows, steps), _by_step(rows, holds.fill_null(False).sum(), steps)
    part = float((hits[:-1].sum() + 0.5) / (counts[:-1].sum() + 1))
    noise = 1 / np.sqrt(max(1.0, counts[:-1].mean() * part * (1 - part)))
    return Series(kind, of, words, "logit", (hits + 0.5) / (counts + 1), float(noise))


def _judged(one: Series, signals_: int) -> Signal:
    """How the newest value stands to the earlier ones, on the scale on which equal changes are alike."""
    there, back = _SCALES[one.scale]
    lined = there(one.values)
    least = _SPREAD.get(one.scale, 0.03 * float(np.abs(lined).mean()))
    expected, error, freedom = _expected(lined[:-1], least, one.noise)
    surprise = float((lined[-1] - expected) / error)
    alone = 2 * float(stats.t.sf(abs(surprise), freedom))
    reach = float(stats.t.isf(ALARM / 2 / signals_, freedom)) * error
    low, high = back(expected - reach), back(expected + reach)
    chance = float(-np.expm1(signals_ * np.log1p(-min(alone, 1 - 1e-12))))
    told = tuple(float(value) for value in one.values)
    return Signal(one.kind, one.of, one.words, told, float(back(expected)), float(low), float(high), surprise, chance)


def _expected(past: Array, least: float, noise: float = 0.0) -> tuple[float, float, int]:
    """Where past values lead, with the standard error of a new one and its degrees of freedom.

    Simple exponential smoothing (Hyndman and Athanasopoulos, Forecasting, 3rd edition, 8.1) by the weight that would
    have served best so far: 0 is the mean of a level that stays, 1 the last value of one that wanders, as with the
    seasons. The error is that of the forecasts it would have made; counting alone makes one of `noise` a value.
    """
    level, around, weight = min((_smoothed(past, weight) for weight in _WEIGHTS), key=lambda found: found[1])
    counted = noise * float(np.sqrt(2 / (2 - weight)))
    return level, float(np.hypot(max(around, counted), least)), len(past) - 2


def _smoothed(past: Array, weight: float) -> tuple[float, float, float]:
    """The level after all values, the root mean square of the errors on the way to it, and the weight."""
    level, squares = float(past[0]), 0.0
    for number, value in enumerate(past[1:].tolist(), start=2):
        error = value - level
        squares += error**2
        level += max(weight, 1 / number) * error
    return level, float(np.sqrt(squares / (len(past) - 1))), weight


def _logit(p: Array) -> Array:
    return np.asarray(np.log(p / (1 - p)))


def _expit(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def _square(x: Array) -> Array:
    return np.asarray(np.square(np.maximum(x, 0.0)))  # no count is below none


_SCALES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "log": (np.log, np.exp),
    "logit": (_logit, _expit),
    "plain": (np.asarray, np.asarray),
    "root": (np.sqrt, _square),
}
