"""What has changed at a cutoff, whether it is more than chance, and its likely causes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from features.journey import Journey
from features.log import EventLog
from features.schema import CONTACTED, EVENT, KNOWN_AT, TIME, to_text
from training.model import Model, knows_until
from training.moved import Moved
from training.signals import ALL, Signal, signals
from training.vector_drift import VectorDrift, vector_drift

CAUSES = 10  # told at most
_SHOWN = 30  # features
_NOTHING = 1e-4  # per customer: what few steps that differ much leave possible


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that changed: what it is of, and how, in words."""

    of: str
    words: str


@dataclass(frozen=True, slots=True)
class DriftReport:
    """Signals and vectors at an instant; `unknown_types` are event types the champions never saw.

    `later` are the tasks whose champion knows more than was known then, and had no part in it.
    """

    journey: str
    at: int
    signals: tuple[Signal, ...]
    vectors: VectorDrift
    unknown_types: tuple[str, ...]
    later: tuple[str, ...] = ()

    @property
    def alarm(self) -> bool:
        """Whether anything changed by more than chance."""
        return bool(self.causes)

    @property
    def moved(self) -> tuple[Moved, ...]:
        """What of all customers together moved by more than chance."""
        return tuple(one for one in self.vectors.moved if one.unusual)

    @property
    def names(self) -> tuple[str, ...]:
        """Features that moved and matter, the strongest first; where none did, what the classifier went by."""
        strongest = tuple(one.name for one in self.vectors.features if one.weight > 0)[:3]
        return strongest or (self.vectors.two_samples.by if self.vectors.two_samples else ())

    @property
    def causes(self) -> tuple[Cause, ...]:
        """What changed, the clearest first: event types never seen, signals, then what the models look at."""
        found = [Cause(name, f"event type {name} was never seen in training") for name in self.unknown_types]
        # The most surprising first: chances below one in a million are all alike, distances are not.
        # What all events lack is not the fault of one type.
        odd = sorted((one for one in self.signals if one.unusual), key=lambda one: (one.of != ALL, -abs(one.surprise)))
        found += [Cause(one.of, told(one)) for one in odd]
        found += [Cause(one.what, told_of_all(one)) for one in self.moved]
        if self.moved and (names := self.names):
            found.append(Cause(", ".join(names), f"what moved and matters most: {', '.join(names)}"))
        return tuple(found[:CAUSES])

    @property
    def words(self) -> str:
        """One sentence."""
        if not self.signals:
            return "too few earlier cutoffs to tell what is usual"
        if not self.alarm:
            return "nothing changed by more than chance"
        return "; ".join(cause.words for cause in self.causes[:3])

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        features, test = [asdict(one) for one in self.vectors.features[:_SHOWN]], self.vectors.two_samples
        return {
            "journey": self.journey,
            "at": to_text(self.at),
            "alarm": self.alarm,
            "words": self.words,
            "causes": [asdict(cause) for cause in self.causes],
            "signals": [asdict(one) | {"unusual": one.unusual} for one in self.signals],
            "unknown_types": list(self.unknown_types),
            "later_champions": list(self.later),
            "trained": [to_text(cutoff) for cutoff in self.vectors.trained],
            "features": features,
            "two_samples": None if test is None else asdict(test),
            "moved": [_plain(one) for one in self.vectors.moved],
        }


def drift_report(journey: Journey, log: EventLog, models: Mapping[str, Model], at: int | None = None) -> DriftReport:
    """What has changed at an instant (default: `observed_until`), by what was known before it.

    Nor is a model asked that learned from what came later: that day it was not there.
    """
    instant = journey.observed_until_microseconds if at is None else at
    later = tuple(name for name, model in models.items() if knows_until(model.about) > instant)
    models = {name: model for name, model in models.items() if name not in later}
    seen = log.events.filter((pl.col(TIME) < instant) & (pl.col(KNOWN_AT) < instant))
    types = {name for model in models.values() for name in model.about["journey"]["types"]}
    new = sorted(set(seen[EVENT].unique()) - types - {CONTACTED}) if types else []
    found = signals(journey, seen, instant)
    vectors = vector_drift(journey, EventLog(seen, log.profile), instant, models)
    return DriftReport(journey.journey, instant, tuple(found), vectors, tuple(new), later)


def told(signal: Signal) -> str:
    """A signal in words: what it was and is."""
    now = signal.values[-1]
    if signal.kind == "volume" and signal.of != "customers" and now < 0.05 * signal.expected:
        return f"hardly any {signal.of if signal.of == ALL else f'{signal.of} events'}: is the feed broken?"
    side = "above" if now > signal.expected else "below"
    span = f"{number(signal, signal.low)} to {number(signal, signal.high)} would be usual"
    return f"{signal.words} {side} expectation: {number(signal, now)}, {span}"


def told_of_all(one: Moved) -> str:
    """Something of all customers in words."""
    return f"{one.what}: {one.value:.3f}, up to {one.limit:.3f} would be usual"


def number(signal: Signal, value: float) -> str:
    """A signal's value as people read it."""
    if signal.kind in ("channel", "category", "known", "late"):
        return f"{100 * value:.1f} %"
    if abs(value) < _NOTHING:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:,.4g}"  # no exponents


def _plain(one: Moved) -> dict[str, Any]:
    return asdict(one) | {"unusual": one.unusual}
