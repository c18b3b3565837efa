"""Folders that a process fills for a while with parts of a log; those of a process that was killed are deleted.

A process holds a lock on a file of its folder as long as it lives, however it ends: so a folder is told to be left
over, also across containers, where a process's number would say nothing.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

_HELD = ".held"
_LOCK = ".lock"  # on the folder of folders, while one is made and while those left over are looked for
_LONG_SECONDS = 86_400.0  # after which a folder is left over, where there are no such locks


@contextmanager
def folder(parent: Path) -> Iterator[Path]:
    """An empty folder of one's own, deleted in the end; only its owner can read it."""
    sweep(parent)
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(parent):
        made = TemporaryDirectory(dir=parent)
        held = Path(made.name, _HELD).open("w")  # noqa: SIM115 -- closed below
        _lock(held, wait=True)
    with made as name, held:
        yield Path(name)


def sweep(parent: Path) -> None:
    """Delete the folders that nobody holds any more."""
    if not parent.is_dir():
        return
    with _alone(parent):
        for path in parent.iterdir():
            if path.is_dir() and not _is_held(path):
                shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _alone(parent: Path) -> Iterator[None]:
    with (parent / _LOCK).open("w") as file:
        _lock(file, wait=True)
        yield


def _is_held(path: Path) -> bool:
    try:
        with (path / _HELD).open("r+") as file:
            return not _lock(file, wait=False) or (sys.platform == "win32" and _is_new(path))
    except FileNotFoundError:
        return False


def _is_new(path: Path) -> bool:
    return path.stat().st_mtime > time.time() - _LONG_SECONDS


def _lock(file: IO[str], *, wait: bool) -> bool:
    """Lock a file until it is closed, or its process ends; whether it is locked."""
    if sys.platform != "win32":
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
