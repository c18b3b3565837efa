"""A model asked by the features it was trained on, whatever the journey's definition has become since."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.catalogue import catalogue, digest
from features.engine import build
from features.errors import InputError
from features.feature import Feature
from features.instants import KEYS
from features.journey import Journey
from features.log import EventLog
from training.model import Model

Array = NDArray[np.float64]


def features(about: Mapping[str, Any], journey: Journey) -> tuple[Feature, ...]:
    """The features of a model by what it says of itself; a module of the business's own comes from the journey.

    Raises
    ------
    InputError
        Where this version of journeycast, or the module, defines them otherwise.
    """
    found = catalogue(Journey.model_validate(about["journey"]).with_own(journey.own))
    if digest(found) != about["features"]:
        raise InputError(
            f"a model trained up to {about['cutoffs'][-1][:10]}",
            "its features are defined otherwise by now: by another version of journeycast, or a module that changed",
            "models of this version and module",
            f"run `journeycast train {journey.journey}` and `journeycast promote {journey.journey} all`",
        )
    return found


def vectors(about: Mapping[str, Any], journey: Journey, log: EventLog, keys: pl.DataFrame) -> pl.DataFrame:
    """The vectors a model reads of these customers and cutoffs, in their order."""
    keys = keys.select(KEYS)
    built = build(log.events, keys, features(about, journey), log.profile)
    return keys.join(built, on=list(KEYS), how="left", maintain_order="left")


def answers(model: Model, journey: Journey, log: EventLog, rows: pl.DataFrame, threads: int = 1) -> Array:
    """What a model answers; of the next stage, a column per stage in the journey's order.

    Parameters
    ----------
    rows
        Customers and cutoffs, alone or with the journey's own vectors, which a model of the same features reads.
    """
    built = set(rows.columns) > set(KEYS) and model.about["features"] == digest(catalogue(journey))
    predicted = model.predict(rows if built else vectors(model.about, journey, log, rows), threads)
    if model.task != "next_stage":
        return predicted[:, 0]
    return predicted[:, [model.about["classes"].index(name) for name in journey.stage_names]]
