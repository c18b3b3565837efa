"""What is sent to a database while the next of it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeAlias

Send: TypeAlias = Callable[[Callable[[], None]], None]


@contextmanager
def one_ahead(*, beside: bool) -> Iterator[Send]:
    """Call one after the other what is given, each while the caller makes the next.

    An error of one is raised when the next is given, or at the end. The end waits for the last, whatever came before.

    Parameters
    ----------
    beside
        False: each is called at once. A driver that asks for the interpreter's lock with every row would wait
        for it longer than it works.
    """
    if not beside:
        yield lambda call: call()
        return
    last: Future[None] | None = None

    def send(call: Callable[[], None]) -> None:
        nonlocal last
        if last is not None:
            last.result()
        last = threads.submit(call)

    with ThreadPoolExecutor(1, "rows") as threads:
        yield send
        if last is not None:
            last.result()
