"""A trend as a line small enough to stand beside its number."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH, HEIGHT, EDGE = 100.0, 28.0, 2.0


def spark(values: Sequence[float | None]) -> str | None:
    """The line as an SVG path in a box of 100 x 28, broken where a value is missing; null: fewer than two."""
    known = [value for value in values if value is not None]
    if len(known) < 2:
        return None
    low, high = min(known), max(known)
    span = (high - low) or 1.0
    step = WIDTH / (len(values) - 1)
    parts, begun = [], False
    for place, value in enumerate(values):
        if value is None:
            begun = False
            continue
        level = 0.5 if high == low else (value - low) / span
        y = HEIGHT - EDGE - level * (HEIGHT - 2 * EDGE)
        parts.append(f"{'L' if begun else 'M'}{place * step:.1f} {y:.1f}")
        begun = True
    return " ".join(parts)
