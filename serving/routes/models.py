"""The registered models."""

from __future__ import annotations

import math
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from serving.problems import documented
from serving.state import Shared

router = APIRouter(tags=["models"])


class ModelEntry(BaseModel):
    """One registered version of a task's model, with its metrics beside those of the simple rules.

    `grade_words` say how far it is ahead of the best rule, `decision_words` why it was promoted or not;
    null: nothing was decided yet.
    """

    model_config = ConfigDict(extra="allow")

    task: str
    version: int
    aliases: list[str] = []
    grade: str | None = None
    grade_words: str | None = None
    decision: str | None = None
    decision_words: str | None = None
    warnings: str | None = None


class Models(BaseModel):
    """The journey's models, and the versions that answer now (empty: none is loaded)."""

    journey: str
    serving: dict[str, int]
    models: list[ModelEntry]


@router.get("/v1/models", responses=documented(503))
def models(state: Shared) -> Models:
    """Versions with aliases, grade and metrics, newest first."""
    loaded = state.loaded
    entries = [ModelEntry.model_validate(_finite(entry)) for entry in state.models()]
    return Models(journey=state.journey, serving=loaded.versions if loaded else {}, models=entries)


def _finite(value: Any) -> Any:
    """The value with null in place of NaN and infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
