"""A prediction as a fall of steps: from the base through the reasons to what was predicted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from serving.answers import Reason

Kind = Literal["total", "raises", "lowers"]
_LEAST = 0.6  # of a hundred: the narrowest step that is still seen


@dataclass(frozen=True, slots=True)
class Step:
    """One line: what it says, how much, and where its bar stands, both in hundredths of the width."""

    words: str
    amount: str
    kind: Kind
    start: float
    width: float
    end: float


@dataclass(frozen=True, slots=True)
class Fall:
    """The steps in order; the first and the last are totals, the others what leads from one to the other."""

    steps: list[Step]


def fall(base: float, reasons: Sequence[Reason], other: float, told: Callable[[float], str], digits: int) -> Fall:
    """The steps of a prediction: what raises it first, then what lowers it, each the strongest first.

    Parameters
    ----------
    told
        How an amount is written.
    digits
        As many digits behind the point are written of it. What rounding loses is left to "everything else",
        so that the written numbers add up too.
    """
    ordered = sorted(reasons, key=lambda reason: (reason.effect < 0, -abs(reason.effect)))
    total_level = round(base + other + sum(reason.effect for reason in ordered), digits)
    base = round(base, digits)
    moves = [(reason.text, round(reason.effect, digits)) for reason in ordered]
    moves.append(("everything else", round(total_level - base - sum(effect for _, effect in moves), digits)))
    levels = [base]
    for _, effect in moves:
        levels.append(levels[-1] + effect)
    low, high = min(0.0, *levels), max(0.0, *levels)
    span = (high - low) or 1.0

    def place(level: float) -> float:
        return round(100 * (level - low) / span, 2)

    def total(words: str, level: float) -> Step:
        first, last = sorted((place(0.0), place(level)))
        return Step(words, told(level), "total", first, max(last - first, _LEAST), place(level))

    steps = [total("the average customer", base)]
    for (words, effect), before, after in zip(moves, levels, levels[1:], strict=False):
        first, last = sorted((place(before), place(after)))
        kind: Kind = "raises" if effect >= 0 else "lowers"
        start = min(first, 100 - _LEAST)
        steps.append(Step(words, _signed(effect, told), kind, start, max(last - first, _LEAST), place(after)))
    return Fall([*steps, total("this customer", levels[-1])])


def _signed(effect: float, told: Callable[[float], str]) -> str:
    text = told(abs(effect))
    if not any(digit in text for digit in "123456789"):
        return text
    return f"{'+' if effect > 0 else '−'}{text}"
