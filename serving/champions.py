"""The models that answer now: loaded beside the requests, which take what there is and never wait."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Event, Lock
from typing import TYPE_CHECKING

from features.errors import InputError, NoModelError
from serving.problems import NotReadyError

if TYPE_CHECKING:
    from serving.scorer import Scorer

_log = logging.getLogger(__name__)
_LONGEST_SECONDS = 60.0  # between two tries to load what could not be loaded


class Champions:
    """The champions of one journey. Safe to share between threads.

    Parameters
    ----------
    load
        Loads them, for as long as that takes.
    registered
        Task to the version that is champion now; empty: unknown.
    again_seconds
        How long after a failure they are tried again; from failure to failure twice as long, up to a minute.
    """

    def __init__(
        self,
        journey: str,
        load: Callable[[], Scorer],
        registered: Callable[[], dict[str, int]],
        again_seconds: float,
    ) -> None:
        self._journey, self._load, self._registered, self._first = journey, load, registered, again_seconds
        self._held: Scorer | None = None
        self._failure: InputError = NotReadyError(journey, "the models are being loaded", "", "try again in a moment")
        self._refused: dict[str, int] | None = None  # what could not be loaded; null: nothing
        self._seconds, self._again_at = again_seconds, 0.0
        self._lock, self._tried, self._unread = Lock(), Event(), False

    @property
    def held(self) -> Scorer | None:
        """The scorer; null: none is loaded."""
        return self._held

    def scorer(self) -> Scorer:
        """The scorer.

        Raises
        ------
        NoModelError
            Where no model serves the journey yet.
        NotReadyError
            Where the models could not be loaded, or are being loaded.
        """
        if (held := self._held) is None:
            raise self._failure.with_traceback(None)
        return held

    def wait(self, seconds: float) -> None:
        """Wait until the models were loaded or could not be."""
        self._tried.wait(seconds)

    def renew(self) -> bool:
        """Load the champions where none are, or where others were promoted since; whether they changed.

        Those before answer until the new ones are ready, and stay where those cannot be loaded. Failures are
        told in the log, and tried again after a while.
        """
        with self._lock:
            held, wanted = self._held, self._wanted()
            if wanted is None or (held is not None and wanted in ({}, held.versions)):
                return False
            if wanted == self._refused and time.monotonic() < self._again_at:
                return False
            try:
                loaded = self._load()
            except Exception as error:
                self._tell(error)
                self._rest(wanted, grows=not isinstance(error, NoModelError))
                return False
            finally:
                self._tried.set()
            return self._take(loaded, wanted)

    def change(self, changed: Callable[[Scorer], Scorer]) -> None:
        """Let what answers be another from now on; nothing where none is loaded."""
        with self._lock:
            if self._held is not None:
                self._held = changed(self._held)

    def _wanted(self) -> dict[str, int] | None:
        """What the registry calls champions, where others are held already; null: it cannot be read."""
        if self._held is None:
            return {}
        try:
            wanted = self._registered()
        except Exception as error:
            if not self._unread:  # once: a registry that is away for an hour is one line
                _log.warning("the champions of %s cannot be looked up: %s", self._journey, error)
            self._unread = True
            return None
        self._unread = False
        return wanted

    def _take(self, loaded: Scorer, wanted: dict[str, int]) -> bool:
        if wanted and loaded.versions != wanted:  # the loader fell back on others, and said why
            self._rest(wanted, grows=True)
        else:
            self._refused = None
        if self._held is not None and loaded.versions == self._held.versions:
            return False
        self._held = loaded
        _log.info("champions of %s are now %s", self._journey, loaded.versions)
        return True

    def _tell(self, error: Exception) -> None:
        if isinstance(error, NoModelError):
            self._failure = error
        elif self._held is None:
            self._failure = unreadable(self._journey, error)
        else:
            known = isinstance(error, InputError)
            text = "new champions of %s cannot be loaded, those before stay: %s"
            _log.error(text, self._journey, error, exc_info=None if known else error)

    def _rest(self, wanted: dict[str, int], *, grows: bool) -> None:
        again = grows and wanted == self._refused
        self._seconds = min(2 * self._seconds, _LONGEST_SECONDS) if again else self._first
        self._refused, self._again_at = wanted, time.monotonic() + self._seconds


def unreadable(journey: str, error: Exception) -> NotReadyError:
    """What requests are told of models that cannot be read; the log has the rest."""
    known = isinstance(error, InputError)
    _log.error("the models of %s cannot be read: %s", journey, error, exc_info=None if known else error)
    if isinstance(error, InputError):
        return NotReadyError(journey, error.found, error.accepted, error.do)
    return NotReadyError(journey, "the server's log says why", "", "see that the model registry can be reached")
