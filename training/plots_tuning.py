"""What tuning tried, in the order it was tried."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from training.plots_panel import GREY, HAPPENED, SAID, name_axes, panel, say
from training.tuning import Study


def tuning(title: str, study: Study) -> Figure:
    """The validation loss of every recipe, the best so far as a line; pruned ones as crosses at the foot."""
    losses = np.array([np.nan if trial.loss is None else trial.loss for trial in study.trials])
    figure, axes = panel(f"{title}: recipes tried", study.words, 8.0, 4.4)
    at = np.arange(1, len(losses) + 1)
    seen = np.isfinite(losses)
    axes.plot(at[seen], losses[seen], "o", color=HAPPENED, markersize=5)
    axes.step(at, np.fmin.accumulate(losses), where="post", color=SAID, linewidth=1.6)
    say(axes, at[-1], np.nanmin(losses), "best so far", (6, 0), color=SAID, va="center")
    axes.plot(at[~seen], np.full(int((~seen).sum()), np.nanmin(losses)), "x", color=GREY, markersize=5)
    axes.set_xlim(0.5, len(losses) + 0.5)
    name_axes(axes, "recipe (1: the one given; crosses: pruned)", "loss on validation rows")
    return figure
