"""The catalogue: every feature of a journey, in a fixed order."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence

from features.errors import InputError
from features.families import (
    activity,
    basket,
    cadence,
    calendar,
    campaign,
    channel,
    feedback,
    friction,
    habit,
    lifetime,
    profile,
    recency,
    sequence,
    session,
    spend,
    stage,
)
from features.feature import Described, Feature, Modelled
from features.journey import Journey

FAMILIES = (
    recency,
    activity,
    spend,
    cadence,
    stage,
    channel,
    campaign,
    friction,
    feedback,
    basket,
    sequence,
    session,
    habit,
    calendar,
    lifetime,
    profile,
)


def catalogue(journey: Journey) -> tuple[Feature, ...]:
    """All features of a resolved journey (its `types` and `channels` known from its log).

    Raises
    ------
    InputError
        Where two features would have one name.
    """
    found = tuple(feature for family in FAMILIES for feature in family.features(journey))
    twice = [name for name, times in Counter(f.name for f in found).items() if times > 1]
    if twice:
        raise InputError(
            "features",
            f"two features are named {', '.join(twice)}",
            "unique names",
            "rename the event type or property",
        )
    return found


def modelled(journey: Journey) -> tuple[Modelled, ...]:
    """The columns that models of the journey add to its vectors."""
    return lifetime.MODELLED if journey.conversion_event else ()


def columns(journey: Journey) -> tuple[Described, ...]:
    """Every column that models look at: the features, and what models add."""
    return (*catalogue(journey), *modelled(journey))


def described(journey: Journey, names: Sequence[str]) -> tuple[Described, ...]:
    """The columns with these names."""
    known = {column.name: column for column in columns(journey)}
    return tuple(known[name] for name in names)


def digest(features: tuple[Feature, ...]) -> str:
    """A fingerprint of the definitions: a model is only fed vectors built by the ones it learned from."""
    told = [
        (f.name, f.unit, f.reason, f.empty, f.of.name, f.description, f.categories, repr(f.value)) for f in features
    ]
    return hashlib.sha256(json.dumps(told, ensure_ascii=False).encode()).hexdigest()
