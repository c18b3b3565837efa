"""Memory of a server that stays up for months: where garbage is looked for, and what is given back to the system."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager

_YOUNG = 10_000  # objects between two looks for garbage; Python's own 700 are a few requests
_ARENA_MAX = -8  # malloc.h: M_ARENA_MAX
_ARENAS = 4
_MANY = 1_000  # from here on, making answers takes long enough for garbage collection to matter


def bound() -> None:
    """Let threads share four arenas of memory, where the C library is one (glibc) that gives each its own.

    What a thread has used for a moment stays with its arena: thirty threads of requests each keep their peak.
    """
    if (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)) is not None:
        mallopt(_ARENA_MAX, _ARENAS)


def give_back() -> bool:
    """Give free memory back to the system, where the C library can (glibc); whether anything was."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim is not None and bool(trim(0))


def set_aside() -> None:
    """Look for garbage among what comes after this alone.

    Modules and models, which stay, are most of what there is: every thousand requests or so all others stood
    still for a quarter of a second while Python looked through them. What went since the last time is found first.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])


@contextmanager
def uncollected(answers: int) -> Iterator[None]:
    """Look for no garbage while many answers are made or written: they hold no cycles, and looking takes long."""
    pause = answers >= _MANY and gc.isenabled()
    if pause:
        gc.disable()
    try:
        yield
    finally:
        if pause:
            gc.enable()
