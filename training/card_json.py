"""The model card as JSON: the numbers and words of the Markdown, for programs."""

from __future__ import annotations

import re
from typing import Any

from features.feature import REASONS
from features.journey import Journey
from features.labels import tasks
from training.card_task import asked, limits, reading, target
from training.metrics import equal_mass_bins
from training.plots_shap import Importance
from training.segments import said_and_came
from training.train import Trained


def card_json(trained: Trained, parts: list[Importance]) -> dict[str, Any]:
    """What the card says; `parts` are the importances of the judged model."""
    about = trained.model.about
    journey = Journey.model_validate(about["journey"])
    task = tasks(journey)[trained.task]
    told = ["grade", "metrics", "rules", "blocks", "cutoffs", "by_cutoff", "rows", "customers", "log", "recipe"]
    told += ["horizon_days"]
    return {
        "name": f"{journey.journey}.{trained.task}",
        "target": _plain(target(task, journey)),
        "asked_of": _plain(asked(task.eligibility)),
        "description": journey.description,
        **{key: about[key] for key in told},
        "intervals": about["intervals"] and about["intervals"]["coverage"],
        "stake": about["stake"],
        "tuning": about["tuning"],
        "warnings": about["warnings"],
        "calibration": calibration(trained),
        "segments": [segment.to_json() for segment in trained.segments],
        "what_moves_it": [_part(found) for found in parts],
        "limits": _lines(limits(task, journey, about)),
        "how_to_read_it": _lines(reading(task, journey, about)),
    }


def calibration(trained: Trained) -> list[dict[str, Any]]:
    """What was predicted and what came true in ten groups of equal size, lowest prediction first."""
    said, came = said_and_came(trained.assessment)
    return equal_mass_bins(came, said).to_dicts()


def _part(found: Importance) -> dict[str, Any]:
    total = float(found.effects.sum()) or 1.0
    features = [
        {
            "name": feature.name,
            "description": feature.description,
            "reason": feature.reason,
            "reason_is": REASONS[feature.reason],
            "share": float(effect) / total,
            "direction": direction,
        }
        for feature, effect, direction in zip(found.features, found.effects, found.directions, strict=True)
        if effect > 0
    ]
    return {"part": found.part, "unit": found.unit, "rows": found.rows, "features": features}


def _lines(text: str) -> list[str]:
    return [_plain(line.removeprefix("- ")) for line in text.splitlines()]


def _plain(text: str) -> str:
    """The text without the escapes of Markdown."""
    return re.sub(r"\\([\\|`*_\[\]<>#])", r"\1", text)
