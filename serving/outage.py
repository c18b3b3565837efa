"""What others learned just now: while something is away, one asks it at a time, and the rest are told at once."""

from __future__ import annotations

import time
from threading import Lock, get_ident

_REST_SECONDS = 1.0  # after a failure, until one asks again
_TRY_SECONDS = 30.0  # so long the one who asks is waited for


class Outage:
    """The last failure to reach something, shared by all threads that need it.

    Without it each request waits for itself until it has learned that nobody answers, and soon all threads wait.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._failure: Exception | None = None
        self._until, self._trying = 0.0, 0  # and the thread that asks again

    def check(self) -> None:
        """Let one thread through to try, as often as it asks; for the others, raise what came of the last try."""
        if self._failure is None:
            return
        with self._lock:
            if (failure := self._failure) is None or self._trying == get_ident():
                return
            if time.monotonic() < self._until:
                raise failure.with_traceback(None)
            self._until, self._trying = time.monotonic() + _TRY_SECONDS, get_ident()

    def begin(self, failure: Exception) -> None:
        """It was asked and did not answer."""
        with self._lock:
            if failure is not self._failure:  # else it was not asked
                self._failure, self._until, self._trying = failure, time.monotonic() + _REST_SECONDS, 0

    def end(self) -> None:
        """It answered."""
        self._failure = None
