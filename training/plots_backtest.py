"""How metrics of a backtest move from origin to origin, the model beside the simple rules."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import DateFormatter
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.backtest import Backtest
from training.plots_panel import HAPPENED, INK, PALE, SAID, name_axes, page, plain, say

_SHOWN = {
    "churn": {
        "log_loss": "log loss: lower is better",
        "roc_auc": "ROC AUC: higher is better",
        "ece": "ECE: lower is better",
        "profit": "profit per customer asked about: higher is better",
    },
    "next_stage": {
        "log_loss": "log loss: lower is better",
        "accuracy": "accuracy: higher is better",
        "top_2": "top 2: higher is better",
        "ece": "ECE: lower is better",
    },
    "cltv": {
        "tweedie_deviance": "Tweedie deviance: lower is better",
        "gini": "Gini: higher is better",
        "bias": "bias of the total: nearest 0 is best",
        "coverage": "share of values inside their interval",
    },
}
_TITLES = {"churn": "Churn", "next_stage": "Next stage", "cltv": "CLTV"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def figures(found: list[Backtest]) -> dict[str, Figure]:
    """Figures by file name: `backtest_TASK.png`."""
    return {f"backtest_{one.task}.png": backtest_plot(one) for one in found}


def backtest_plot(found: Backtest) -> Figure:
    """Four metrics over the origins: the model, the rule of the lowest loss, the other rules pale."""
    title = f"{_TITLES[found.task]} at {len(found.origins)} origins; best rule: {found.rules[0]}"
    figure, shown = page(title, 11.0, 7.5), _SHOWN[found.task]
    reached = found.over_origins()
    for axes, (name, told) in zip(figure.subplots(2, 2).flat, shown.items(), strict=True):
        plain(axes, told)
        if name not in reached:
            axes.set_visible(False)
            continue
        _lines(axes, found, name)
    return figure


def _lines(axes: Axes, found: Backtest, name: str) -> None:
    at = np.array([_EPOCH + timedelta(microseconds=one.instant) for one in found.origins])
    strongest, *others = found.rules
    for rule in others:
        axes.plot(at, _values(found, name, rule), color=PALE, linewidth=1.2, zorder=1)
    for values, colour, told in (
        (_values(found, name, strongest), HAPPENED, "best rule"),
        (_values(found, name), SAID, "journeycast"),
    ):
        axes.plot(at, values, "o-", color=colour, linewidth=1.8, markersize=5, zorder=2)
        if np.isfinite(values[-1]):
            say(axes, at[-1], values[-1], told, (8, 0), color=colour, va="center")
    _close_up(axes, found, name)
    axes.set_xticks(at)
    axes.xaxis.set_major_formatter(DateFormatter("%d %b"))  # type: ignore[no-untyped-call]
    axes.tick_params(axis="x", labelcolor=INK)
    name_axes(axes, f"trained as of, in {at[0]:%Y}" + (f" and {at[-1]:%Y}" if at[0].year != at[-1].year else ""), "")


def _values(found: Backtest, name: str, rule: str | None = None) -> NDArray[np.float64]:
    origins = [one.assessment.rules[rule] if rule else one.assessment.metrics for one in found.origins]
    return np.array([metrics.get(name, np.nan) for metrics in origins])


def _close_up(axes: Axes, found: Backtest, name: str) -> None:
    """Limits that hold the model and the strongest rule with room to tell them apart; weaker rules may leave."""
    values = np.concatenate([_values(found, name), _values(found, name, found.rules[0])])
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    room = 0.6 * (high - low) or 0.1 * (abs(high) or 1.0)
    axes.set_ylim(low - room, high + room)
    axes.margins(x=0.08)
