"""What a server does beside requests, each in a thread of its own that outlives every failure."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event, Thread

from features.errors import InputError
from serving.database import StoreError

_log = logging.getLogger(__name__)
_STOP_SECONDS = 20.0  # for what is being done to end
_CLOSE_SECONDS = 15.0  # for everything to be closed then


@dataclass(frozen=True, slots=True)
class Work:
    """Something done over and over.

    `step` says whether there is more to do at once; `seconds` is the rest until the next one. `close` is
    called in the end.
    """

    name: str
    step: Callable[[], bool]
    seconds: float
    close: Callable[[], None] = field(default=lambda: None)


class Background:
    """Runs works until it is stopped."""

    def __init__(self, works: list[Work]) -> None:
        self._works = works
        self._stopping = Event()
        self._threads = [Thread(target=self._run, args=[work], name=work.name, daemon=True) for work in works]

    def start(self) -> None:
        """Begin all works."""
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float = _STOP_SECONDS) -> None:
        """Let what is being done end, then close every work; a work that hangs is left as it is."""
        self._stopping.set()
        _wait(self._threads, seconds)
        end({work.name: work.close for work in self._works})

    def _run(self, work: Work) -> None:
        failing = False
        while not self._stopping.is_set():
            more = False
            try:
                more = work.step()
                failing = False
            except StoreError as error:
                if not failing:  # once: a database that is away for an hour is one line
                    _log.warning("%s waits: %s", work.name, error.found)
                failing = True
            except Exception:
                _log.exception("%s failed and is tried again", work.name)
            if not more:
                self._stopping.wait(work.seconds)


def end(endings: Mapping[str, Callable[[], None]], seconds: float = _CLOSE_SECONDS) -> None:
    """Close things beside each other, within so many seconds: what fails is told, what hangs is left.

    A store that answers no more must not keep a server from ending.
    """
    threads = [Thread(target=_end, args=one, name=one[0], daemon=True) for one in endings.items()]
    for thread in threads:
        thread.start()
    _wait(threads, seconds)


def _wait(threads: Sequence[Thread], seconds: float) -> None:
    """Wait so long for all of them; those that go on are told, and left."""
    until = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
        if thread.is_alive():
            _log.warning("%s did not end within %g s and is left", thread.name, seconds)


def _end(name: str, close: Callable[[], None]) -> None:
    try:
        close()
    except InputError as error:
        _log.warning("%s ended, but %s", name, error.found)
    except Exception:
        _log.exception("%s failed at its end", name)
