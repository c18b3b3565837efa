"""Runs that were asked for or are due, one at a time: each in a process of its own, so that requests stay fast."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Connection

from features.errors import InputError
from features.schema import MICROSECONDS
from serving import runs
from serving.child import Child
from serving.clock import now
from serving.leases import SECONDS, Lease, LeaseLostError, scoring
from serving.runs import UnknownRunError, status
from serving.store import Store

_AGAIN_SECONDS = 600  # after a run that failed, before the schedule tries another
_log = logging.getLogger(__name__)


class Rescorer:
    """Starts runs; of several servers on one store, one does.

    Parameters
    ----------
    command
        What scores, to which `--fence N --run ID` is added.
    every_seconds
        How old the newest run may get; null: only what is asked for.
    ready
        Whether there are models to score with.
    lease_seconds
        How soon another server takes over from one that is gone.
    """

    def __init__(
        self,
        store: Store,
        journey: str,
        command: tuple[str, ...],
        every_seconds: float | None,
        ready: Callable[[], bool],
        lease_seconds: float = SECONDS,
    ) -> None:
        self._store, self._journey, self._command = store, journey, command
        self._every, self._ready = every_seconds, ready
        self._lease = Lease(store, scoring(journey), lease_seconds)
        self._child: Child | None = None

    def step(self) -> bool:
        """Look after the run that is written, or begin the next.

        Raises
        ------
        StoreError
            Where the store cannot be used; a run that is being written goes on.
        """
        if self._command:
            with suppress(LeaseLostError):  # the next step sees it
                self._go_on()
        return False

    def _go_on(self) -> None:
        held = self._lease.hold()
        if self._child is not None and not (held and self._child.fence == self._lease.fence):
            _log.warning("run %s of %s is stopped: another server scores", self._child.run_id, self._journey)
            self._child.stop()
            self._child = None
        if held and self._child is not None:
            self._look_after(self._child)
        elif held and (run_id := self._next()) is not None:
            self._begin(run_id)

    def close(self) -> None:
        """Stop the run that is being written, which waits again, and let another server score."""
        child, self._child = self._child, None
        if child is not None:
            child.stop()
            try:
                if self._given_back(child.run_id, gone=False):
                    _log.info("run %s of %s is stopped, and waits again", child.run_id, self._journey)
            except InputError as error:  # whoever scores next gives it back
                _log.warning("run %s of %s stays as it is: %s", child.run_id, self._journey, error.found)
        self._lease.release()

    def _begin(self, run_id: int) -> None:
        try:
            self._child = Child(self._command, run_id, self._lease.fence)
        except OSError as error:
            self._failed(run_id, f"no process could be started for it: {error.strerror}")

    def _look_after(self, child: Child) -> None:
        ended = child.ended()
        if ended is None:
            return
        if child.killed:
            waits = self._given_back(child.run_id, gone=True)
            _log.warning("run %s of %s was killed%s", child.run_id, self._journey, ", and waits again" if waits else "")
        elif ended:
            self._failed(child.run_id, ended)
        self._child = None

    def _given_back(self, run_id: int, *, gone: bool) -> bool:
        with suppress(UnknownRunError), self._writing() as connection:
            return runs.give_back(connection, runs.read(connection, self._journey, run_id), gone=gone)
        return False

    def _failed(self, run_id: int, why: str) -> None:
        _log.warning("run %s of %s failed: %s", run_id, self._journey, why)
        with self._writing() as connection:
            for fence in (None, self._lease.fence):  # it may have ended before it began to write
                runs.fail(connection, run_id, fence, why)

    def _next(self) -> int | None:
        """The run to begin now; null: none."""
        with self._store.transaction() as connection:
            asked = runs.asked_for(connection, self._journey)
        left = [run for run in asked if status(run) == "running"]
        if left:  # of a server that is gone: ours writes none
            with self._writing() as connection:
                for run in left:
                    waits = runs.give_back(connection, run, gone=True)
                    told = "and waits again" if waits else "and is given up"
                    _log.warning("run %s of %s was left unfinished %s", run.id, self._journey, told)
            return None
        waiting = [run.id for run in asked if status(run) == "waiting"]
        if waiting:
            return waiting[0]
        if not self.due():
            return None
        with self._writing() as connection:
            return runs.ask(connection, self._journey)[0]

    def due(self) -> bool:
        """Whether the schedule asks for a run.

        The clock may be set, back or ahead: a run from far in the future is as old as one from far in the past.
        """
        if self._every is None:
            return False
        with self._store.transaction() as connection:
            newest = runs.newest(connection, self._journey, 1)
        if newest and newest[0].failed is not None and _apart(newest[0].finished_at or 0) < _AGAIN_SECONDS:
            return False
        latest = self._store.latest_run(self._journey)
        return (latest is None or _apart(runs.when(latest)) >= self._every) and self._ready()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """A transaction in which no other server can take over."""
        with self._store.transaction(writes=True, long=True) as connection:  # a run's rows may go
            self._lease.check(connection)
            yield connection


def _apart(instant: int) -> float:
    """Seconds between an instant and now, whichever is first."""
    return abs(now() - instant) / MICROSECONDS
