"""Cursors: the place in a list where the next page begins, as text no client needs to read."""

from __future__ import annotations

import math
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any, NamedTuple

import orjson

from features.errors import InputError

_LATEST = 2**63 - 1


class Cursor(NamedTuple):
    """The last line of a page, in the run that the first page was read from.

    `now` (microseconds) is when the first page was read, `wanted` says which list it is.
    """

    run_id: int
    now: int
    wanted: str
    rank: float
    churn_probability: float
    customer_id: str


class Place(NamedTuple):
    """The last line of a page of a campaign's members."""

    campaign_id: int
    place: int


class Mark(NamedTuple):
    """The last change that was read of a journey; 0: none yet."""

    journey: str
    id: int

    def text(self) -> str:
        """As URL-safe text."""
        return encode(self)


def encode(cursor: Cursor | Place | Mark) -> str:
    """The cursor as URL-safe text."""
    return urlsafe_b64encode(orjson.dumps([*cursor])).decode().rstrip("=")


def decode(text: str, latest: int = _LATEST) -> Cursor:
    """The cursor of a list that `text` stands for.

    Raises
    ------
    InputError
        Where the text was not made by `encode`, or says an instant after `latest`.
    """
    try:
        run_id, now, wanted, rank, churn_probability, customer_id = _parts(text)
        if not (_fits(run_id, 31) and _fits(now, 63) and isinstance(wanted, str) and isinstance(customer_id, str)):
            raise ValueError
        if not all(type(number) in (int, float) and math.isfinite(number) for number in (rank, churn_probability)):
            raise ValueError
        if "\x00" in customer_id:  # PostgreSQL has no place for it
            raise ValueError
        if now > latest:
            raise ValueError
    except (ValueError, TypeError, OverflowError):
        raise _refused(text) from None
    return Cursor(run_id, now, wanted, float(rank), float(churn_probability), customer_id)


def decode_place(text: str) -> Place:
    """The place among a campaign's members that `text` stands for.

    Raises
    ------
    InputError
        Where the text was not made by `encode`.
    """
    try:
        campaign_id, place = _parts(text)
        if not (_fits(campaign_id, 31) and _fits(place, 31)):
            raise ValueError
    except (ValueError, TypeError):
        raise _refused(text) from None
    return Place(campaign_id, place)


def decode_mark(text: str) -> Mark:
    """The place in the changes that `text` stands for.

    Raises
    ------
    InputError
        Where the text was not made by `encode`.
    """
    try:
        journey, change_id = _parts(text)
        if not (isinstance(journey, str) and _fits(change_id, 63)):
            raise ValueError
    except (ValueError, TypeError):
        raise _refused(text) from None
    return Mark(journey, change_id)


def _parts(text: str) -> Any:
    return orjson.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def _fits(number: object, bits: int) -> bool:
    return type(number) is int and 0 <= number < 2**bits


def _refused(text: str) -> InputError:
    return InputError(
        "cursor",
        f"{text[:80]!r} is not a cursor",
        "the next_cursor of an earlier page, unchanged",
        "leave the cursor out to begin with the first page",
    )
