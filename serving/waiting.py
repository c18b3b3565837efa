"""What may take for ever, asked in a thread of its own: whoever asks waits for as long as they have."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

_Found = TypeVar("_Found")


def within(seconds: float, look: Callable[[], _Found]) -> _Found:
    """What `look` finds or raises; `TimeoutError` where it takes longer, and then it goes on for nobody."""
    told: Future[_Found] = Future()

    def run() -> None:
        try:
            told.set_result(look())
        except BaseException as problem:
            told.set_exception(problem)

    Thread(target=run, name="asking", daemon=True).start()
    try:
        return told.result(seconds)
    except TimeoutError as late:
        raise late if told.done() else TimeoutError(f"no answer within {seconds:g} seconds") from None
