"""What the check finds: one line of its report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["error", "warning", "recommendation", "fact"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found at a place, what is needed there and what to do; facts need nothing.

    `customer` is the id that `found` names; null: it names nobody.
    """

    level: Level
    place: str
    found: str
    needed: str = ""
    do: str = ""
    customer: str | None = None


def share(part: float, whole: float) -> str:
    """`12.3 %`; what is there at all never reads as nothing."""
    if not part or not whole:
        return "0 %"
    percent = 100 * part / whole
    return "under 0.1 %" if percent < 0.05 else f"{percent:.1f} %"


def listed(names: list[str], most: int = 8) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
