"""Commands in processes of their own, forked from one that has imported what they need, which takes seconds."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from subprocess import CompletedProcess
from tempfile import TemporaryDirectory
from typing import TextIO

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


def spoken_to(module: str, argument: str) -> tuple[BaseProcess, TextIO, TextIO]:
    """A process in which `main` of a module has this argument, with its input and its output."""
    reads, asks = _FROM.Pipe(duplex=False)
    answers, writes = _FROM.Pipe(duplex=False)
    process = _FROM.Process(target=_main, args=(module, argument, reads, writes), daemon=True)
    process.start()
    reads.close()
    writes.close()
    return process, os.fdopen(os.dup(asks.fileno()), "w"), os.fdopen(os.dup(answers.fileno()))


def _main(module: str, argument: str, reads: Connection, writes: Connection) -> None:
    for number, end in ((0, reads), (1, writes)):
        os.dup2(end.fileno(), number)
        end.close()
    sys.stdin, sys.stdout = os.fdopen(0, closefd=False), os.fdopen(1, "w", closefd=False)
    import_module(module).main(argument)


def share() -> None:
    """Use one CPU: where three processes share two, threads that wait for each other make little way."""
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {allowed[os.getpid() % len(allowed)]})


def _typed(arguments: list[str], folder: Path, environment: dict[str, str], out: str, err: str) -> None:
    for number, file in ((1, out), (2, err)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))
    os.chdir(folder)
    share()
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
