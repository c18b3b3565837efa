"""What a server holds of customers in memory, without those who are erased while it runs, by whomever."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import polars as pl

from features.erased import Erased
from serving.champions import Champions
from serving.current import Current
from serving.database import StoreError
from serving.kept_out import Mark, kept_out, mark
from serving.store import Store

if TYPE_CHECKING:
    from serving.scorer import Scorer

ReadProfile: TypeAlias = Callable[[Erased | None], pl.DataFrame | None]


class Held(NamedTuple):
    """The profile (null: the journey has none), and the mark of the erasures that it is without."""

    rows: pl.DataFrame | None
    mark: Mark


class HeldProfile:
    """The profile that a server reads once, and holds without who is erased since. Safe to share between threads.

    Parameters
    ----------
    store
        Its own, closed with it.
    read
        Reads the profile without those who are erased by then; null: the journey has none.
    """

    def __init__(self, store: Store, journey: str, read: ReadProfile) -> None:
        self._store, self._journey, self._read = store, journey, read
        self._lock = Lock()
        self._held: Held | None = None

    def now(self) -> Held:
        """The profile without everyone who is erased by now: the same frame until somebody of it is.

        While the store is away, as it was.

        Raises
        ------
        StoreError
            Where it was not read yet, and the store cannot say who is erased.
        """
        with self._lock:
            try:
                self._held = self._renewed(self._held)
            except StoreError:
                if self._held is None:
                    raise
            return self._held

    def close(self) -> None:
        """Close its store."""
        self._store.close()

    def _renewed(self, held: Held | None) -> Held:
        with self._store.transaction() as connection:
            found = mark(connection, self._journey)
            if held is not None and held.mark == found:
                return held
            erased = kept_out(connection, self._journey)
        if held is None:
            return Held(self._read(erased), found)
        if erased is None or held.rows is None:
            return Held(held.rows, found)
        return Held(erased.left(held.rows), found)


class Forgetting:
    """Looks whether customers were erased, by this server or elsewhere, and lets go of what is held of them."""

    def __init__(self, profile: HeldProfile, champions: Champions, current: Current) -> None:
        self._profile, self._champions, self._current = profile, champions, current
        self._mark: Mark | None = None

    def step(self) -> bool:
        """Look once; there is never more to do at once."""
        held = self._profile.now()
        if held.mark != self._mark:
            self._champions.change(lambda scorer: _with(scorer, held.rows))
            self._current.forget()
            self._mark = held.mark
        return False


def _with(scorer: Scorer, profile: pl.DataFrame | None) -> Scorer:
    return scorer if scorer.profile is profile else scorer.with_profile(profile)
