"""A run begun: its cutoff is settled, and what it sees, before any event of the store is read for it.

What comes in from then on is known from the run's cutoff on (`serving.present`). Were the run begun after its
events were read, those that came in between would be known before a cutoff at which nobody had seen them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Connection

from features.extra import Arrived
from serving import events
from serving.clock import now
from serving.database import StoreError
from serving.present import reached
from serving.runs import Asked, Begun, begin_run, undo
from serving.store import Store, latest


class Beginning:
    """Begins a run when the sources of its log are read: `features.log.read` asks it for the store's events.

    Attributes
    ----------
    begun
        The run; null until then.
    """

    def __init__(self, store: Store, journey: str, asked: Asked | None) -> None:
        self._store, self._journey, self._asked = store, journey, asked
        self.begun: Begun | None = None

    def __call__(self, end: int | None) -> Arrived:
        """Begin the run; the events it sees, and its cutoff.

        Parameters
        ----------
        end
            The instant up to which the log is complete; null: its sources hold nothing.
        """
        self.begun = begin(self._store, self._journey, end, self._asked)
        return Arrived(events.stored(self._store, self._journey, self.begun.event_id), self.begun.cutoff)

    @property
    def run(self) -> Begun:
        """The run, which was begun."""
        assert self.begun is not None, "a log is read with its beginning first"  # noqa: S101
        return self.begun


def begin(store: Store, journey: str, end: int | None, asked: Asked | None = None) -> Begun:
    """Begin a run at the end of its log or the moment after the newest event that came in, whichever is later.

    Parameters
    ----------
    end
        The instant up to which the log is complete, microseconds; null: where the events that came in end.
    asked
        The run that was asked for; null: a run of its own.

    Raises
    ------
    UnknownRunError
        Where the run that was asked for is not waiting.
    LeaseLostError
        Where whoever began it is not the one that scores any more.
    """
    with store.transaction(writes=True) as connection:
        events.in_order(connection, journey)  # nobody else acknowledges an event before the run is begun
        cutoff = cutoff_of(connection, journey, end)
        before, event_id = latest(connection, journey), events.newest(connection, journey)
        new = {"journey": journey, "cutoff": cutoff, "observed_until": cutoff if end is None else end}
        run_id = begin_run(connection, new | {"scored_at": now(), "versions": {}, "event_id": event_id}, asked)
    return Begun(run_id, cutoff, event_id, before, asked.fence if asked else None)


@contextmanager
def beginning(store: Store, journey: str, asked: Asked | None = None) -> Iterator[Beginning]:
    """A run that is begun when its log is read, and taken back where it is not written to its end."""
    found = Beginning(store, journey, asked)
    try:
        yield found
    except BaseException as error:
        if found.begun is not None:
            with suppress(StoreError), store.transaction(writes=True) as connection:
                undo(connection, found.begun.run_id, error, found.begun.fence)
        raise


def cutoff_of(connection: Connection, journey: str, end: int | None) -> int:
    """The cutoff of a run that begins now, of a log that is complete up to `end` (null: that has no sources)."""
    return max(end or 0, reached(connection, journey, end).acknowledged or 0)


def so_far(store: Store, journey: str, end: int | None) -> Arrived:
    """The store's events and the cutoff that a run would have now; no run is begun."""
    with store.transaction() as connection:
        cutoff = cutoff_of(connection, journey, end)
    return Arrived(events.stored(store, journey), cutoff)
