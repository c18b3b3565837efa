"""Plots of a trained task: the judged model on the test block, ready to be logged."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from features.journey import Journey
from training.plots_judgement import calibration, confusion, deciles, intervals, lift_and_gains
from training.plots_shap import Importance, importances, shap_summary
from training.plots_tuning import tuning
from training.train import Trained

_TITLES = {"churn": "Churn", "next_stage": "Next stage", "cltv": "CLTV"}


def figures(trained: Trained, parts: list[Importance] | None = None) -> dict[str, Figure]:
    """Figures by file name.

    Every task has `shap_summary.png`. Churn adds `calibration.png` and `lift_and_gains.png`; next
    stage `calibration.png` (of the likeliest stage) and `confusion.png`; CLTV `deciles.png` and
    `intervals.png` (coverage per fifth). Where recipes were tried there is `tuning.png`.
    `parts` are the importances, where they are known already.
    """
    draw = {"churn": _churn, "next_stage": _next_stage, "cltv": _cltv}[trained.task]
    found = draw(trained) | {"shap_summary.png": shap_summary(_TITLES[trained.task], parts or importances(trained))}
    return found | ({"tuning.png": tuning(_TITLES[trained.task], trained.study)} if trained.study else {})


def _churn(trained: Trained) -> dict[str, Figure]:
    churned, probability = trained.assessment.labels, trained.assessment.predicted
    days = trained.judged.about["horizon_days"]
    drawn = calibration(
        "Churn: predicted and true frequency",
        churned,
        probability,
        f"predicted probability of churn within {days:g} days",
        "share that churned",
    )
    return {"calibration.png": drawn, "lift_and_gains.png": lift_and_gains(churned, probability)}


def _next_stage(trained: Trained) -> dict[str, Figure]:
    labels, predicted = trained.assessment.labels, trained.assessment.predicted
    drawn = calibration(
        "Next stage: confidence and how often it is right",
        (np.argmax(predicted, axis=1) == labels).astype(np.float64),
        np.max(predicted, axis=1),
        "predicted probability of the likeliest stage",
        "share that reached it",
    )
    return {"calibration.png": drawn, "confusion.png": confusion(trained.judged.about["classes"], labels, predicted)}


def _cltv(trained: Trained) -> dict[str, Figure]:
    about, found = trained.judged.about, trained.assessment
    unit = _unit(Journey.model_validate(about["journey"]))
    coverage = np.array([found.metrics[f"coverage_fifth_{fifth}"] for fifth in range(1, 6)])
    stated = float(about["intervals"]["coverage"])
    return {
        "deciles.png": deciles(found.labels, found.predicted, unit, about["horizon_days"]),
        "intervals.png": intervals(coverage, stated, found.predicted, unit),
    }


def _unit(journey: Journey) -> str:
    """What CLTV counts: money, or events of a type."""
    task = journey.tasks.cltv
    return journey.currency if task is None or task.sum else f"{task.count} events"
