"""Runs that were asked for or are due, one at a time: each in a process of its own, so that requests stay fast."""

from __future__ import annotations

import logging
import subprocess
import tempfile
from collections.abc import Callable
from typing import IO

from serving import runs
from serving.clock import now
from serving.leases import Lease
from serving.runs import STOPPED, status
from serving.store import Store

_SECOND = 1_000_000
_AGAIN_SECONDS = 600  # after a run that failed, before the schedule tries another
_STOP_SECONDS = 10.0
_TOLD = 2_000  # characters of what a run said at its end that are kept
_log = logging.getLogger(__name__)


class Rescorer:
    """Starts runs; of several servers on one store, one does.

    Parameters
    ----------
    command
        What scores, to which `--run ID` is added.
    every_seconds
        How old the newest run may get; null: only what is asked for.
    ready
        Whether there are models to score with.
    """

    def __init__(
        self,
        store: Store,
        journey: str,
        command: tuple[str, ...],
        every_seconds: float | None,
        ready: Callable[[], bool],
    ) -> None:
        self._store, self._journey, self._command = store, journey, command
        self._every, self._ready = every_seconds, ready
        self._lease = Lease(store, f"scoring of {journey}")
        self._child: _Child | None = None

    def step(self) -> bool:
        """Look after the run that is written, or begin the next.

        Raises
        ------
        StoreError
            Where the store cannot be used; a run that is being written goes on.
        """
        if not self._command or not self._lease.hold():
            return False
        if self._child is not None:
            self._look_after(self._child)
            return False
        run_id = self._next()
        if run_id is not None:
            self._child = _Child(self._command, run_id)
        return False

    def close(self) -> None:
        """End the run that is being written; it comes to nothing."""
        if self._child is not None:
            self._child.stop()
            self._failed(self._child.run_id, STOPPED)
            self._child = None
        self._lease.release()

    def _look_after(self, child: _Child) -> None:
        ended = child.ended()
        if ended is None:
            return
        if ended:
            _log.warning("run %s of %s failed: %s", child.run_id, self._journey, ended)
            self._failed(child.run_id, ended)
        self._child = None

    def _next(self) -> int | None:
        """The run to begin now; null: none."""
        with self._store.transaction() as connection:
            asked = runs.asked_for(connection, self._journey)
            newest = runs.newest(connection, self._journey, 1)
        for run in asked:
            if status(run) == "running":  # of a server that is gone: ours is not running
                self._failed(run.id, STOPPED)
        waiting = [run.id for run in asked if status(run) == "waiting"]
        if waiting:
            return waiting[0]
        just_failed = (
            bool(newest) and newest[0].failed is not None and self._age(newest[0].finished_at) < _AGAIN_SECONDS
        )
        if self._every is None or just_failed or not self._ready():
            return None
        latest = self._store.latest_run(self._journey)
        if latest is not None and 0 <= self._age(latest.scored_at) < self._every:
            return None
        with self._store.transaction(writes=True) as connection:
            return runs.ask(connection, self._journey)[0]

    def _age(self, instant: int | None) -> float:
        return (now() - (instant or 0)) / _SECOND

    def _failed(self, run_id: int, why: str) -> None:
        with self._store.transaction(writes=True) as connection:
            runs.fail(connection, run_id, why)


class _Child:
    """A process that writes one run."""

    def __init__(self, command: tuple[str, ...], run_id: int) -> None:
        self.run_id = run_id
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 -- closed when the process has ended
        self._process = subprocess.Popen(  # noqa: S603 -- our own command line
            [*command, "--run", str(run_id)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
        )

    def ended(self) -> str | None:
        """Null: it runs. Empty: it went well. Else what it said of its failure."""
        code = self._process.poll()
        if code is None:
            return None
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip()[-_TOLD:]
        self._said.close()
        if code == 0:
            return ""
        # Of a message for people, its first line says what; of a bug, the last.
        lines = said.splitlines()
        return (lines[-1] if "Traceback" in said else " ".join(lines)) if lines else STOPPED

    def stop(self) -> None:
        """End it, so that it takes back what it began."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()
