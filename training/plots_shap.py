"""Which features move a model's predictions most: mean |SHAP value| on the test block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import spearmanr

from features.feature import Described
from training.plots_panel import HAPPENED, INK, legible, name_axes, page, plain, say, words
from training.train import Trained

Array = NDArray[np.float64]

Direction = Literal["raises", "lowers", "mixed"]
TOP = 15
CLEAR = 0.6  # rank correlation of a feature's values with their effects from which it has a direction
ROWS_AT_MOST = 2_000  # evenly spaced over the test block: more change no mean that a reader would see

# Every part of a prediction with its unit. The classes of the next stage are one part: their margins
# share a unit, so the values of a feature are summed over them.
_PARTS = {
    "churn": (("the chance of churn", "log-odds"),),
    "next_stage": (("the next stage", "log-odds, summed over the stages"),),
    "cltv": (("whether there is any value at all", "log-odds"), ("how much, if there is any", "log of the amount")),
}


@dataclass(frozen=True, slots=True)
class Importance:
    """How much each feature moves one part of the prediction.

    Attributes
    ----------
    part, unit
        What is moved, in words, and the unit of the margin it is counted in.
    features
        The model's features, the strongest first.
    effects
        Mean |SHAP value| of each over the rows.
    rows
        How many rows of the test block the means are taken over.
    directions
        Of each feature: `raises` (the higher the value, the higher the prediction), `lowers`, or
        `mixed`; of the next stage, which has no higher and lower, and of categories always the last.
    """

    part: str
    unit: str
    features: tuple[Described, ...]
    effects: Array
    rows: int
    directions: tuple[Direction, ...]


def importances(trained: Trained) -> list[Importance]:
    """One importance per part of the prediction: two for CLTV, one for the other tasks.

    Told of the judged model on the test block, which its trees never saw.
    """
    model, rows = trained.judged, trained.test_rows
    chosen = np.linspace(0, len(rows) - 1, min(len(rows), ROWS_AT_MOST)).astype(np.intp)
    matrix = model.encoding.matrix(rows[chosen])
    values, _ = model.contributions(matrix)
    means, unordered = np.abs(values).mean(axis=0), model.encoding.categories
    means = means if trained.task == "cltv" else means.sum(axis=0, keepdims=True)
    found = []
    for number, ((part, unit), effects) in enumerate(zip(_PARTS[trained.task], means, strict=True)):
        order = np.argsort(-effects, kind="stable")
        strongest = tuple(trained.columns[column] for column in order)
        ordered = trained.task != "next_stage"
        told = [ordered and trained.columns[column].name not in unordered and effects[column] > 0 for column in order]
        directions = tuple(
            _direction(matrix[:, column], values[:, number, column]) if tell else "mixed"
            for column, tell in zip(order, told, strict=True)
        )
        found.append(Importance(part, unit, strongest, effects[order], len(chosen), directions))
    return found


def _direction(column: Array, effects: Array) -> Direction:
    known = np.isfinite(column)
    if known.sum() < 2 or np.ptp(column[known]) == 0 or np.ptp(effects[known]) == 0:
        return "mixed"
    with_it = float(spearmanr(column[known], effects[known]).statistic)
    return "raises" if with_it >= CLEAR else "lowers" if with_it <= -CLEAR else "mixed"


def shap_summary(title: str, parts: list[Importance]) -> Figure:
    """Bars of mean |SHAP value|, the strongest features of each part, told by their descriptions."""
    figure = page(f"{title}: the features that move it most", 9.5, 1.0 + 4.6 * len(parts))
    for axes, found in zip(figure.subplots(len(parts), 1, squeeze=False)[:, 0], parts, strict=True):
        effects, features = found.effects[:TOP], found.features[:TOP]
        plain(axes, f"{found.part} ({found.rows:,} predictions)")
        axes.barh(range(len(effects)), effects, color=HAPPENED, height=0.7)
        told = [legible(feature.description) for feature in features]
        axes.set_yticks(range(len(effects)), told, color=INK, **words())
        for place, effect in enumerate(effects):
            say(axes, effect, place, f"{effect:#.2g}", (4, 0), va="center")
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.1, y=0.02)
        name_axes(axes, f"mean |SHAP value| ({found.unit})", "")
    return figure
