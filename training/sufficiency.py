"""Whether there is enough to learn from: an honest refusal in place of a model of chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.errors import InputError
from features.journey import Journey
from features.schema import CUSTOMER
from training.blocks import Blocks
from training.examples import Examples

TO_GROW, TO_CALIBRATE = 20, 10  # customers of each outcome, in the trees' block and in the calibrator's
_OUTCOMES = {"churn": ("who stay", "who churn"), "cltv": ("with a value above 0",)}


def refuse_too_few(journey: Journey, data: Examples, blocks: Blocks) -> None:
    """Refuse a task of which hardly any customer shows an outcome.

    Of churn both outcomes are counted, of the next stage the two commonest, of values those above 0
    (that everybody brings something is no obstacle).

    Raises
    ------
    InputError
        Says how many customers there are, and how many are needed.
    """
    for cutoffs, needed, purpose in (
        (blocks.trees, TO_GROW, "to grow trees on"),
        (blocks.calibrate, TO_CALIBRATE, "to calibrate on"),
    ):
        counts = _customers(journey, data, data.at(cutoffs))
        outcome = min(counts, key=lambda name: counts[name])
        if counts[outcome] < needed:
            raise InputError(
                f"tasks.{data.task}",
                f"{counts[outcome]} customers {outcome} among those {purpose} ({len(cutoffs)} cutoffs)",
                f"at least {needed}; few more give a model of grade C at best",
                "give a longer history or more customers, or widen who is eligible; look at `journeycast check`",
            )


def _customers(journey: Journey, data: Examples, rows: NDArray[np.bool_]) -> dict[str, int]:
    """Different customers of each outcome that is needed."""
    labels, customers = data.labels[rows], data.rows.filter(rows)[CUSTOMER].to_numpy()
    if data.task == "next_stage":
        names = journey.stage_names
        counts = {f"who reach {name}": _distinct(customers[labels == n]) for n, name in enumerate(names)}
        return dict(sorted(counts.items(), key=lambda pair: -pair[1])[:2])
    found = [labels > 0] if data.task == "cltv" else [labels == 0, labels == 1]
    return {name: _distinct(customers[which]) for name, which in zip(_OUTCOMES[data.task], found, strict=True)}


def _distinct(customers: NDArray[np.object_]) -> int:
    return len(set(customers.tolist()))
