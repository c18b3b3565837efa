"""Models' files on this machine's disk, by digest: what was fetched once is there when the registry is away."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from pathlib import Path

from features.errors import InputError
from training.model import digest as digest_of

_log = logging.getLogger(__name__)


def keep(folder: Path, digest: str, fetch: Callable[[Path], Path]) -> None:
    """Have the files of a model in `folder / digest`, fetched where they are not there or not what they were.

    Parameters
    ----------
    fetch
        Downloads the files below the folder that it is given; the folder that holds them then.

    Raises
    ------
    InputError
        Where what was fetched has another digest: the registry's files were changed.
    """
    kept = folder / digest
    if kept.exists():
        if _digest(kept) == digest:
            return
        _log.warning("the files of a model in %s are damaged, and fetched again", kept)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".part-", dir=folder) as scratch:
        fetched = fetch(Path(scratch))
        if (found := _digest(fetched)) != digest:
            raise InputError(
                "the model registry",
                f"a model's files have digest {found[:12]}, registered was {digest[:12]}",
                do="train and promote again; the files were changed",
            )
        _put(fetched, kept, Path(scratch) / "damaged")


def _digest(folder: Path) -> str:
    """The digest of what can be read there; that of no file is no model's."""
    try:
        return digest_of(folder)
    except OSError as problem:
        return f"unreadable: {problem}"


def _put(fetched: Path, kept: Path, aside: Path) -> None:
    """Move a folder to its place, whole: a second server sees all files or none."""
    if kept.exists():
        kept.rename(aside)
    try:
        fetched.rename(kept)
    except OSError:
        if not kept.exists():  # else another server was first, with the same files
            raise
