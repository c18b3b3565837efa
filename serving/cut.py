"""Where a ranked list is cut, and who of it is held out.

All arrays are in the order of the list, the most profitable contact first.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

_POINTS = 20  # lengths at which a curve is told
_EVERYTHING = 2.0**64


def held_out(customer_ids: Sequence[str], seed: int, share: float) -> Flags:
    """Who is held out: each with probability `share`, by a hash of the seed and the id.

    Whoever else is on the list, and in which order, changes nothing: the draw can be repeated for
    one customer.
    """
    key = seed.to_bytes(8, "big")
    drawn = (blake2b(name.encode(), key=key, digest_size=8).digest() for name in customer_ids)
    return np.fromiter((int.from_bytes(one, "big") / _EVERYTHING < share for one in drawn), bool, len(customer_ids))


def affordable_length(expense: Array, held: Flags, most: float) -> int:
    """The longest list whose contacts cost `most` or less in sum; who is held out costs nothing."""
    spent = np.cumsum(np.where(held, 0.0, expense))
    return int(np.searchsorted(spent, most, side="right"))


def curve_lengths(listed: int, *also: int) -> list[int]:
    """Some twenty lengths up to the whole list, evenly spaced, and those that must not be missing."""
    even = np.linspace(0, listed, min(listed, _POINTS) + 1).round().astype(int)
    return sorted({*even.tolist(), *also})
