"""The feature catalogue."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from features.catalogue import columns
from serving.answers import unit_of
from serving.problems import documented
from serving.state import Shared

router = APIRouter(tags=["features"])


class FeatureEntry(BaseModel):
    """One column of a vector: what it says, in which unit, and the reason code it belongs to."""

    name: str
    description: str
    unit: str
    reason: str


class Catalogue(BaseModel):
    """Every feature of the journey, in the order of a vector's columns, and what models add to it."""

    journey: str
    features: list[FeatureEntry]


@router.get("/v1/features", responses=documented(503))
def features(state: Shared) -> Catalogue:
    """What the models look at."""
    journey = state.scorer().journey
    entries = [
        FeatureEntry(name=f.name, description=f.description, unit=unit_of(journey, f.unit), reason=f.reason)
        for f in columns(journey)
    ]
    return Catalogue(journey=journey.journey, features=entries)
