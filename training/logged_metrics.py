"""The metrics of a model and of a backtest by the names and in the values that a tracking store takes."""

from __future__ import annotations

import math
from typing import Any

from training.backtest import Backtest, Origin


def of_model(about: dict[str, Any]) -> dict[str, float]:
    """The model's metrics, and each rule's as `rule/NAME/METRIC`."""
    found = dict(about["metrics"]) | {"ahead_of_best_rule": about["grade"]["ahead"]}
    return finite_only(found | _of_rules(about["rules"]))


def _of_rules(rules: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Each rule's metrics as `rule/NAME/METRIC`, in the characters MLflow takes."""
    found: dict[str, Any] = {}
    for rule, metrics in rules.items():
        plain = "".join(c if c.isalnum() or c in "_-. " else "_" for c in rule)
        found |= {f"rule/{plain}/{name}": value for name, value in metrics.items()}
    return found


def at_origin(task: str, origin: Origin) -> dict[str, float]:
    """Metrics at one origin as `TASK/METRIC` and `TASK/rule/NAME/METRIC`."""
    told = origin.to_json()
    found = told["metrics"] | {"ahead_of_best_rule": told["grade"]["ahead"]} | _of_rules(told["rules"])
    return {f"{task}/{name}": value for name, value in finite_only(found).items()}


def over_origins(found: Backtest) -> dict[str, float]:
    """Mean and spread of the model's metrics as `TASK/METRIC_mean` and `TASK/METRIC_spread`."""
    told = {
        f"{found.task}/{name}_{which}": value
        for name, pair in found.over_origins().items()
        for which, value in zip(("mean", "spread"), pair, strict=True)
    }
    return finite_only(told | {f"{found.task}/ahead_of_best_rule_pooled": found.grade.ahead})


def finite_only(found: dict[str, Any]) -> dict[str, float]:
    """The metrics that can be told: MLflow's stores have no nan."""
    return {name: float(value) for name, value in found.items() if value is not None and math.isfinite(value)}
