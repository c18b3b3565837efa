"""Commands in processes of their own, forked from one that has imported what they need, which takes seconds."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory

_FROM = multiprocessing.get_context("forkserver")
_FROM.set_forkserver_preload(["journeycast", "training.train", "training.tracking", "serving.app", "serving.registry"])
_OURS = ("JOURNEYCAST", "MLFLOW_TRACKING", "MLFLOW_RUN")


def run(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> CompletedProcess[str]:
    """The command as typed in a folder, with these variables beside those of the test run; ended and told in full."""
    with TemporaryDirectory() as kept:
        told = Path(kept, "out"), Path(kept, "err")
        process = _FROM.Process(target=_typed, args=([*arguments], folder, dict(environment), *map(str, told)))
        process.start()
        process.join()
        out, err = (file.read_text(encoding="utf-8") for file in told)
    return CompletedProcess(["journeycast", *arguments], process.exitcode or 0, out, err)


def _typed(arguments: list[str], folder: Path, environment: dict[str, str], out: str, err: str) -> None:
    for number, file in ((1, out), (2, err)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))
    os.chdir(folder)
    for name in [name for name in os.environ if name.startswith(_OURS)]:
        del os.environ[name]
    os.environ.update(environment)
    sys.argv = ["journeycast", *arguments]
    import journeycast

    try:
        journeycast.main()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
