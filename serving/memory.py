"""Memory of a server that stays up for months: where garbage is looked for, and what is given back to the system."""

from __future__ import annotations

import ctypes
import gc

_YOUNG = 10_000  # objects between two looks for garbage; Python's own 700 are a few requests
_ARENA_MAX = -8  # malloc.h: M_ARENA_MAX
_ARENAS = 4


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
