"""Time blocks: which cutoffs fit trees, stop, calibrate and test, a horizon apart.

A block's labels end before the next block's first cutoff, so nothing a later block is asked about
was seen by an earlier one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from features.errors import InputError
from features.instants import microseconds
from features.journey import duration_text

AT_MOST = 2  # cutoffs in each of the middle blocks
TREES_AT_LEAST = 2  # cutoffs below which the middle blocks are shared over customers instead


@dataclass(frozen=True, slots=True)
class Blocks:
    """Cutoffs per block, oldest first.

    Where `shared`, `stop` and `calibrate` are the same cutoffs, and each half of the customers stops
    the trees for the other.
    """

    trees: tuple[int, ...]
    stop: tuple[int, ...]
    calibrate: tuple[int, ...]
    test: tuple[int, ...]
    shared: bool


def split(cutoffs: Sequence[int], horizon: timedelta, held_out: int) -> Blocks:
    """Divide mature cutoffs (oldest first) into blocks.

    Raises
    ------
    InputError
        Where the history is too short for even three blocks.
    """
    gap = microseconds(horizon)
    test = tuple(cutoffs[-held_out:])
    calibrate, rest = _newest_before(cutoffs, test, gap, AT_MOST)
    stop, trees = _newest_before(rest, calibrate, gap, AT_MOST)
    trees = _until(trees, stop, gap)
    if len(trees) >= TREES_AT_LEAST:
        return Blocks(trees, stop, calibrate, test, shared=False)
    for most in range(AT_MOST, 0, -1):
        calibrate, rest = _newest_before(cutoffs, test, gap, most)
        trees = _until(rest, calibrate, gap)
        if trees:
            return Blocks(trees, calibrate, calibrate, test, shared=True)
    raise InputError(
        "cutoffs",
        f"{len(cutoffs)} mature cutoffs are too few for time blocks {duration_text(horizon)} apart",
        f"a history of about {duration_text(4 * horizon)} after the first cutoff",
        "give a longer history, a shorter horizon, or cutoffs more often (cutoffs.every)",
    )


def grown_again(cutoffs: Sequence[int], blocks: Blocks, horizon: timedelta) -> tuple[int, ...]:
    """The cutoffs a judged model learns from: all whose horizon was over when calibration, or else the test, began.

    Where the blocks are shared, the calibrator reads margins of the trees that were stopped.
    """
    return _until(cutoffs, blocks.test if blocks.shared else blocks.calibrate, microseconds(horizon))


def _until(cutoffs: Sequence[int], following: Sequence[int], gap: int) -> tuple[int, ...]:
    """The cutoffs whose horizon is over when the following block begins."""
    return tuple(c for c in cutoffs if following and c + gap <= following[0])


def _newest_before(
    cutoffs: Sequence[int], following: Sequence[int], gap: int, most: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The newest cutoffs before the following block, `most` of them, and those before them."""
    usable = _until(cutoffs, following, gap)
    return usable[-most:], usable[:-most]
