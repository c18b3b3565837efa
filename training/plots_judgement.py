"""Plots of the judged model's predictions on the test block against what happened."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.metrics import equal_mass_bins, expected_calibration_error, tied_means
from training.plots_panel import (
    GREY,
    HAPPENED,
    INK,
    PALE,
    SAID,
    in_percent,
    legible,
    name_axes,
    page,
    panel,
    percent,
    plain,
    say,
    whiskers,
    words,
)

Array = NDArray[np.float64]
NUMBERED_AT_MOST = 12  # classes in a confusion plot that leave room for numbers


def calibration(title: str, happened: Array, probability: Array, said: str, seen: str) -> Figure:
    """Predicted probability against true frequency, over ten groups of equal size.

    `said` and `seen` name the axes: what was predicted, what happened.
    """
    groups = equal_mass_bins(happened, probability)
    predicted, true, rows = (groups[name].to_numpy() for name in ("predicted", "true", "rows"))
    error = expected_calibration_error(happened, probability)
    line = f"Each dot: about {np.mean(rows):,.0f} predictions, with a 95 % interval; on average {percent(error, 1)} off"
    figure, axes = panel(title, line, 6.2, 5.8)
    end = min(1.0, 1.1 * float(max(predicted.max(), true.max(), 0.05)))
    axes.plot([0, end], [0, end], color=PALE, linewidth=1.5, zorder=0)
    say(axes, end, end, "as predicted", (4, 0), va="center")
    whiskers(axes, predicted, true, rows)
    axes.plot(predicted, true, "o-", color=HAPPENED, linewidth=1.2, markersize=6)
    axes.set_aspect("equal")
    name_axes(axes, said, seen)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(in_percent(0 if end > 0.1 else 1))
    return figure


def lift_and_gains(churned: Array, probability: Array) -> Figure:
    """How many churners a list of the likeliest holds, and how much denser they stand in it."""
    figure = page("Churn: whom a list of the likeliest churners reaches", 11.5, 5.2)
    left, right = figure.subplots(1, 2)
    _gains(left, churned, probability)
    _lift(right, churned, probability)
    return figure


def _gains(axes: Axes, churned: Array, probability: Array) -> None:
    order, total = np.argsort(-probability, kind="stable"), float(churned.sum())
    plain(axes, f"{len(churned):,} predictions for the test block, {total:,.0f} of them of churners")
    listed = np.linspace(0, 1, len(churned) + 1)
    reached = np.concatenate([[0.0], np.cumsum(tied_means(churned, probability)[order])]) / (total or np.nan)
    axes.plot([0, 1], [0, 1], color=PALE, linewidth=1.5)
    axes.plot([0, total / len(churned), 1], [0, 1, 1], color=PALE, linewidth=1.5)
    axes.plot(listed, reached, color=HAPPENED, linewidth=2)
    say(axes, 0.72, 0.72, "at random", (6, -2), va="top")
    say(axes, total / len(churned), 1.0, "best possible", (4, 2), va="bottom")
    for share in (0.1, 0.2, 0.3) if total else ():
        at = round(share * len(churned))
        axes.plot(share, reached[at], "o", color=HAPPENED, markersize=6)
        told = f"{percent(share)} hold {percent(reached[at])}"
        say(axes, share, reached[at], told, (9, -1), color=HAPPENED, va="top")
    name_axes(axes, "share of customers listed, the likeliest first", "share of all churners on the list")
    axes.xaxis.set_major_formatter(in_percent())
    axes.yaxis.set_major_formatter(in_percent())


def _lift(axes: Axes, churned: Array, probability: Array) -> None:
    base = float(np.mean(churned))
    plain(axes, f"Churners in each tenth of the list, against {percent(base, 1)} among all")
    lift = equal_mass_bins(churned, probability)["true"].to_numpy()[::-1] / (base or np.nan)
    tenths = np.arange(1, len(lift) + 1)
    axes.bar(tenths, lift, color=HAPPENED, width=0.7)
    paper = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}  # a number may stand on the line
    for tenth, height in zip(tenths, lift, strict=True):
        if np.isfinite(height):
            say(axes, float(tenth), height, f"{height:.1f}", (0, 3), ha="center", color=INK, bbox=paper)
    axes.axhline(1.0, color=GREY, linewidth=1)
    say(axes, len(lift) + 0.45, 1.0, "all customers", (0, 3), ha="right")
    axes.set_xticks(tenths)
    name_axes(axes, "tenth of the list (1: the likeliest)", "lift: times as many churners as among all")


def confusion(stages: list[str], labels: Array, predicted: Array) -> Figure:
    """Where customers really went (rows) and where they were predicted (columns), as shares of the row."""
    count, true, best = len(stages), labels.astype(np.intp), np.argmax(predicted, axis=1)
    table = np.zeros((count, count))
    np.add.at(table, (true, best), 1)
    rows = table.sum(axis=1, keepdims=True)
    shares = np.divide(table, rows, out=np.zeros_like(table), where=rows > 0)
    side = float(np.clip(1.1 * count, 4.0, 12.0))
    line = f"{len(labels):,} predictions for the test block, {percent(float(np.mean(true == best)))} predicted right"
    figure, axes = panel("Next stage: predicted and reached", line, side + 2.5, side + 1.2)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if count <= NUMBERED_AT_MOST:
        _number_cells(axes, table, shares)
    tilt: dict[str, Any] = {"rotation": 30 if count <= NUMBERED_AT_MOST else 90, "rotation_mode": "anchor"}
    named = [legible(stage) for stage in stages]
    axes.set_xticks(range(count), named, ha="right", **tilt, **words())
    axes.set_yticks(range(count), [f"{s} ({n:,.0f})" for s, n in zip(named, rows[:, 0], strict=True)], **words())
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    name_axes(axes, "likeliest stage, as predicted", "stage reached (how often)")
    return figure


def _number_cells(axes: Axes, table: Array, shares: Array) -> None:
    for row, column in np.argwhere(table):
        share = shares[row, column]
        told = percent(share) if share >= 0.005 else "under 1 %"
        colour = "white" if share > 0.5 else INK
        text = f"{told}\n{table[row, column]:,.0f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=9, color=colour)


def deciles(values: Array, expected: Array, unit: str, horizon_days: float) -> Figure:
    """Mean predicted and realised value in each tenth of the prediction."""
    groups = equal_mass_bins(values, expected)
    predicted, true = groups["predicted"].to_numpy(), groups["true"].to_numpy()
    tenths = np.arange(1, len(groups) + 1)
    line = f"{len(values):,} predictions for the test block; bars: what they brought, dots: what was expected"
    figure, axes = panel("CLTV: expected and realised value", line, 8.0, 5.0)
    axes.bar(tenths, true, color=HAPPENED, width=0.7)
    axes.plot(tenths, predicted, "o-", color=SAID, linewidth=1.5, markersize=6)
    last = len(groups) - 1
    say(axes, tenths[last] + 0.5, predicted[last], f"expected {predicted[last]:,.0f}", color=SAID, va="center")
    say(axes, tenths[last] + 0.5, 0.5 * true[last], f"realised {true[last]:,.0f}", color=HAPPENED, va="center")
    axes.set_xlim(0.4, tenths[last] + 0.6)
    axes.set_xticks(tenths)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    name_axes(
        axes, "tenth of customers, by expected value (10: highest)", f"{unit} per customer in {horizon_days:g} days"
    )
    return figure


def intervals(coverage: Array, stated: float, expected: Array, unit: str) -> Figure:
    """Share of customers whose value fell inside their interval, in each fifth of the prediction.

    `coverage` has one number per fifth, the lowest first; nan where the fifth has nobody.
    """
    fifths = np.array_split(np.sort(expected), len(coverage))
    at = np.arange(1, len(coverage) + 1)
    figure, axes = panel(
        "CLTV: how often the value falls inside its interval",
        f"{len(expected):,} predictions for the test block, with 95 % intervals of the share",
        7.5,
        4.8,
    )
    axes.axhline(stated, color=GREY, linewidth=1.2)
    say(axes, len(coverage) + 0.5, stated, f"stated: {percent(stated)}", (4, 0), va="center")
    seen = np.isfinite(coverage)
    sizes = np.array([len(part) for part in fifths])
    whiskers(axes, at[seen], coverage[seen], sizes[seen])
    axes.plot(at, coverage, "o", color=HAPPENED, markersize=7)
    for place, share in zip(at[seen], coverage[seen], strict=True):
        say(axes, place, share, percent(share), (7, 5), color=HAPPENED)
    axes.set_xticks(at, [_span(part) for part in fifths])
    axes.set_xlim(0.5, len(coverage) + 0.5)
    axes.set_ylim(max(0.0, float(np.nanmin([*coverage, stated])) - 0.15), 1.0)
    axes.yaxis.set_major_formatter(in_percent())
    name_axes(axes, f"fifth of customers, by expected value ({unit})", "share inside the interval")
    return figure


def _span(values: Array) -> str:
    return f"{values[0]:,.0f} to {values[-1]:,.0f}" if len(values) else "nobody"
