"""`journeycast retrain --every`: again after a while, and sooner where it could not be done."""

from __future__ import annotations

import pytest

from commands import loop
from serving.alone import BusyError


class StopError(Exception):
    """The service is stopped."""


def test_what_could_not_be_done_is_tried_again_soon_and_then_as_often_as_asked(monkeypatch, capsys):
    """A service that begins anew a second after it was killed finds its own lease, for a minute."""
    slept, busy = [], iter([True, True, True, False, True])

    def once(journey: str, *, always: bool) -> None:
        assert (journey, always) == ("shop", False)
        if next(busy):
            raise BusyError("retraining of shop", "is under way elsewhere")

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 5:
            raise StopError

    monkeypatch.setattr(loop, "_retrain", once)
    monkeypatch.setattr(loop, "sleep", sleep)
    with pytest.raises(StopError):
        loop.retrain("shop", loop.When.due, "3m")
    assert slept == [75.0, 150.0, 180.0, 180.0, 75.0]
    assert capsys.readouterr().err.count("is under way elsewhere") == 4
