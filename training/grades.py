"""The lead over a rule or another model, with its interval, and the grade it earns.

The paired bootstrap draws customers, not rows: the rows of one customer are alike, and counting
them as independent would make every interval too narrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from features.errors import InputError

Array = NDArray[np.float64]
Letter = Literal["A", "B", "C", "D"]

CLEARLY_AHEAD = 0.10  # a lead from which a model is worth an A
MIN_CUSTOMERS = 10  # of fewer customers no interval can be drawn
_SMALLEST = 1e-12  # added to every total of losses
_CELLS_AT_ONCE = 2_000_000  # bounds the memory of the draws to some tens of megabytes


@dataclass(frozen=True, slots=True)
class Lead:
    """How far mean loss lies below another's, as a share of the other's: 0.15 is 15 % ahead.

    `low` and `high` bound it with 95 % confidence.
    """

    ahead: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Grade:
    """A grade against the best simple rule, with the lead that earned it, in numbers and in words."""

    letter: Letter
    ahead: float
    low: float
    high: float
    rule: str
    words: str


def lead(
    losses: Array,
    other_losses: Array,
    customers: NDArray[Any],
    seed: int = 0,
    draws: int = 1000,
    weight: Array | None = None,
) -> Lead:
    """The lead of `losses` over `other_losses` with a paired bootstrap over customers.

    Parameters
    ----------
    losses, other_losses : arrays of shape (n,)
        A proper loss of each row, by both, never negative.
    customers : array of shape (n,)
        Whose row it is: integers or strings.
    seed, draws : int
        The same seed gives the same interval.
    weight : array of shape (n,), optional
        How many rows each stands for; default: itself.

    Raises
    ------
    InputError
        With fewer than `MIN_CUSTOMERS` customers.
    """
    _, customer = np.unique(customers, return_inverse=True)
    times = np.ones(len(losses)) if weight is None else weight
    ours, theirs = (np.bincount(customer, weights=found * times).astype(np.float64) for found in (losses, other_losses))
    if len(ours) < MIN_CUSTOMERS:
        raise InputError(
            "test rows",
            f"{len(ours)} customers",
            accepted=f"at least {MIN_CUSTOMERS} customers, to tell a lead from chance",
            do="give more history or more customers",
        )
    ahead = _ahead(ours.sum(), theirs.sum())
    low, high = np.quantile(_drawn(ours, theirs, np.random.default_rng(seed), draws), [0.025, 0.975])
    return Lead(float(ahead), float(low), float(high))


def _drawn(ours: Array, theirs: Array, rng: np.random.Generator, draws: int) -> Array:
    """The lead in each of `draws` samples of as many customers, with replacement."""
    size, found = len(ours), []
    step = max(1, _CELLS_AT_ONCE // size)
    for start in range(0, draws, step):
        sample = rng.integers(0, size, (min(step, draws - start), size), dtype=np.int32)
        found.append(_ahead(ours[sample].sum(axis=1), theirs[sample].sum(axis=1)))
    return np.concatenate(found)


def _ahead(ours: Any, theirs: Any) -> Any:
    # Of two perfect predictions neither is ahead, and against one the lead is finite all the same.
    return 1 - (ours + _SMALLEST) / (theirs + _SMALLEST)


def grade(
    model_losses: Array,
    rule_losses: Array,
    customers: NDArray[Any],
    rule: str,
    loss: str = "log loss",
    seed: int = 0,
    weight: Array | None = None,
) -> Grade:
    """Grade a model against the best simple rule on the same rows.

    A: ahead by `CLEARLY_AHEAD` or more and the 95 % interval above zero; B: the interval above
    zero; C: it contains zero; D: it lies below.

    Parameters
    ----------
    model_losses, rule_losses, customers, seed, weight
        As in `lead`.
    rule, loss : str
        Names of the rule and of the loss, for the words.
    """
    found = lead(model_losses, rule_losses, customers, seed, weight=weight)
    letter = _letter(found)
    ours, theirs = (_number(np.average(losses, weights=weight)) for losses in (model_losses, rule_losses))
    means = f"{loss} {ours} against {theirs} of '{rule}'"
    words = f"{letter}: {means}, {_told(found)}"
    return Grade(letter, found.ahead, found.low, found.high, rule, words)


def _letter(found: Lead) -> Letter:
    if found.low > 0:
        return "A" if found.ahead >= CLEARLY_AHEAD else "B"
    return "C" if found.high >= 0 else "D"


def _told(found: Lead) -> str:
    """`15 % ahead (95 %: 11 to 19)`; signs are those of the lead, `-3 to 2`."""
    side = "ahead" if found.ahead >= 0 else "behind"
    return f"{_percent(abs(found.ahead))} % {side} (95 %: {_percent(found.low)} to {_percent(found.high)})"


def _percent(share: float) -> str:
    """Whole percents; one decimal below ten, where it can decide between grades."""
    text = f"{100 * share:.0f}" if abs(share) >= 0.0995 else f"{100 * share:.1f}"
    return text.replace("-0.0", "0.0")


def _number(value: Any) -> str:
    return f"{value:.3f}" if value < 100 else f"{value:.1f}"
