"""Cursors: the place in a list where the next page begins, as text no client needs to read."""

from __future__ import annotations

import math
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import NamedTuple

import orjson

from features.errors import InputError


class Cursor(NamedTuple):
    """The last line of a page, in the run that the first page was read from."""

    run_id: int
    rank_value: float
    churn_probability: float
    customer_id: str


def encode(cursor: Cursor) -> str:
    """The cursor as URL-safe text."""
    return urlsafe_b64encode(orjson.dumps([*cursor])).decode().rstrip("=")


def decode(text: str) -> Cursor:
    """The cursor that `text` stands for.

    Raises
    ------
    InputError
        Where the text was not made by `encode`.
    """
    try:
        run_id, rank_value, churn_probability, customer_id = orjson.loads(
            urlsafe_b64decode(text + "=" * (-len(text) % 4))
        )
        numbers = (rank_value, churn_probability)
        if type(run_id) is not int or abs(run_id) > 2**31 - 1 or not isinstance(customer_id, str):
            raise ValueError
        if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
            raise ValueError
    except (ValueError, TypeError):
        raise InputError(
            "cursor",
            f"{text[:80]!r} is not a cursor",
            "the next_cursor of an earlier page, unchanged",
            "leave the cursor out to begin with the first page",
        ) from None
    return Cursor(run_id, float(rank_value), float(churn_probability), customer_id)
