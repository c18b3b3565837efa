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
from features.feature import Described, Feature, Modelled, Table
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
    """All features of a resolved journey (its `types` and `channels` known from its log), the business's own last.

    Raises
    ------
    InputError
        Where two features would have one name, or the business's own cannot stand beside ours.
    """
    ours = tuple(feature for family in FAMILIES for feature in family.features(journey))
    own = _own(journey)
    _refuse_clashes(ours, own, journey)
    return (*ours, *own)


def _own(journey: Journey) -> tuple[Feature, ...]:
    if journey.features is None:
        return ()
    if journey.own is None:
        raise InputError(
            f"features: {journey.features}",
            "the module is not loaded: a model names it and never brings it",
            "a journey read from its file",
            "give the journey's file to the command, with the module where the file says",
        )
    return journey.own.features(journey)


def _refuse_clashes(ours: Sequence[Feature], own: Sequence[Feature], journey: Journey) -> None:
    place = journey.own.place if own and journey.own else "features"
    names = Counter([feature.name for feature in (*ours, *own)] + [column.name for column in modelled(journey)])
    if twice := [name for name, times in names.items() if times > 1]:
        theirs = {feature.name for feature in own} & set(twice)
        do = f"rename {', '.join(sorted(theirs))} in the module" if theirs else "rename the event type or property"
        raise InputError(place, f"two features are named {', '.join(twice)}", "unique names", do)
    tables = {feature.of.name: _code(feature.of) for feature in ours}
    for feature in own:
        where = f"{place}, feature {feature.name!r}"
        if tables.setdefault(feature.of.name, _code(feature.of)) != _code(feature.of):
            found = f"of another table named {feature.of.name!r}"
            raise InputError(where, found, "a name of its own for every table", "rename the table in the module")
        if feature.usual is not None and feature.usual not in names:
            raise InputError(where, f"usual {feature.usual!r} is no feature", "the name of a feature, or None")


def _code(table: Table) -> tuple[str, str]:
    """What derives a table: tables of one name are derived once for all their features."""
    return table.derive.__module__, table.derive.__qualname__


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
        (f.name, f.unit, f.reason, f.empty, f.of.name, f.description, f.categories, repr(f.value), f.source)
        for f in features
    ]
    return hashlib.sha256(json.dumps(told, ensure_ascii=False).encode()).hexdigest()
