"""Memory of a server that stays up."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

import pytest

from serving import memory

GLIBC = hasattr(ctypes.CDLL(None), "malloc_trim")


def resident() -> int:
    """Memory of this process, MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * 4 // 1024


@pytest.mark.skipif(not GLIBC, reason="the C library keeps no memory that could be given back")
def test_what_was_needed_for_a_moment_is_given_back():
    rows = [bytes(2_000) for _ in range(100_000)]  # too small to be given back at once, each by itself
    last = bytes(2_000)  # above all of it, so that the heap cannot simply be cut
    held = resident()
    del rows
    memory.give_back()
    assert resident() < held - 100
    assert len(last) == 2_000


def test_garbage_is_looked_for_among_what_came_after_the_models():
    before = gc.get_threshold(), gc.get_freeze_count()
    try:
        memory.set_aside()
        assert gc.get_freeze_count() > 10_000
        assert gc.get_threshold()[0] == 10_000
    finally:
        gc.unfreeze()
        gc.set_threshold(*before[0])
