"""Promoting and rolling back from the pages: one decision at a time, beside the requests, told when it is made."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock, Thread

from features.errors import InputError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Helm:
    """What steers the models: `promote(task, version)` and `rollback(task)` say in words what they did."""

    promote: Callable[[str, int], str]
    rollback: Callable[[str], str]


class Steering:
    """Decisions in a thread of their own: comparing two recipes takes minutes.

    Parameters
    ----------
    helm
        Null: models are steered by the command line alone.
    after
        Called when a decision is made: the server looks which champions there are.
    """

    def __init__(self, helm: Helm | None, after: Callable[[], None]) -> None:
        self._helm, self._after, self._lock = helm, after, Lock()
        self.under_way: str | None = None
        self.told: str | None = None

    @property
    def possible(self) -> bool:
        """Whether models can be steered from here."""
        return self._helm is not None

    def promote(self, task: str, version: int) -> None:
        """Begin to decide whether a version becomes champion.

        Raises
        ------
        InputError
            Where another decision is under way, or none can be made here.
        """
        helm = self._begin(f"whether {task} version {version} becomes champion")
        Thread(target=self._decide, args=(lambda: helm.promote(task, version),), name="promote", daemon=True).start()

    def rollback(self, task: str) -> str:
        """Make the champion before the present one champion again; what was done, in words.

        Raises
        ------
        InputError
            Where there was none, another decision is under way, or none can be made here.
        """
        helm = self._begin(f"rolling {task} back")
        try:
            words = helm.rollback(task)
            self._after()
            return words
        finally:
            self.under_way = None

    def _begin(self, what: str) -> Helm:
        if self._helm is None:
            do = "use journeycast promote and journeycast rollback"
            raise InputError("models", "cannot be steered from this server", "", do)
        with self._lock:
            if self.under_way is not None:
                raise InputError("models", f"it is being decided {self.under_way}", "one decision at a time", "wait")
            self.under_way, self.told = what, None
        return self._helm

    def _decide(self, decide: Callable[[], str]) -> None:
        try:
            self.told = decide()
            self._after()
        except InputError as error:
            self.told = f"{error.place}: {error.found}"
        except Exception:
            _log.exception("a decision failed")
            self.told = "The decision failed: the server's log says why."
        finally:
            self.under_way = None
