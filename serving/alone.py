"""Work that only one may do at a time, on a lease for as long as it takes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from features.errors import InputError
from serving.database import StoreError
from serving.leases import Lease, LeaseLostError
from serving.store import Store

SECONDS = 30.0  # after which the work of a holder that does not let its lease beat is taken over
_LOOKS = 6  # at the lease in its length, by its holder


class BusyError(InputError):
    """Somebody else is at it."""


@contextmanager
def alone(store: Store, what: str) -> Iterator[Callable[[], None]]:
    """Hold the lease of some work, which beats while it goes on; yields a check that it is still ours.

    Where somebody has it, this watches until it beats or, its holder being gone, may be taken.

    Raises
    ------
    BusyError
        Where somebody else is at it; from the check, where somebody else took it over.
    StoreError
        Where the store cannot be used; also from the check.
    """
    lease, over = Lease(store, what, SECONDS), threading.Event()
    if not lease.watch():
        raise BusyError(what, "is under way elsewhere", do="wait for it; nothing was done here")

    def beat() -> None:
        while not over.wait(SECONDS / _LOOKS):
            try:
                if not lease.hold():
                    return
            except StoreError:
                continue  # it is away, also for those who wait

    def check() -> None:
        try:
            with store.transaction() as connection:
                lease.check(connection)
        except LeaseLostError as lost:
            raise BusyError(what, "was taken over elsewhere", do="nothing was registered here") from lost

    beating = threading.Thread(target=beat, daemon=True)
    beating.start()
    try:
        yield check
    finally:
        over.set()
        beating.join()
        lease.release()
