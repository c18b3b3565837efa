"""The same change for many customers of a list: those named, who may be everyone its filters let through."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from features.errors import ErasedError, InputError, SuppressedError, UnknownCustomerError
from serving.filters import Wanted
from serving.listing import ranked
from serving.store import Store, run_of
from serving.suppression import Moment
from serving.worklist import Change, change_within

MOST = 10_000  # customers at once: more are no list that anybody works through
_TOGETHER = 500  # customers per transaction: others write in between


class Changed(NamedTuple):
    """How many were changed; `refused` opted out or are held out, `unknown` are in no run any more or were erased."""

    changed: int
    refused: int
    unknown: int


def matching(store: Store, journey: str, wanted: Wanted, moment: Moment) -> list[str]:
    """Everyone on a list, as its filters find them now.

    Raises
    ------
    NoScoresError
        Where the journey has no run.
    InputError
        Where more than `MOST` are on it.
    """
    with store.transaction() as connection:
        found: list[str] = ranked(connection, run_of(connection, journey), wanted, moment)["customer_id"].to_list()
    if len(found) > MOST:
        raise InputError(
            "customers",
            f"{len(found):,} match",
            f"up to {MOST:,} at once",
            "narrow the filters, or plan a campaign: it takes a list of any length",
        )
    return found


def of_customers(
    store: Store, journey: str, customer_ids: Sequence[str], changes: Sequence[Change], moment: Moment
) -> Changed:
    """Make the changes, one after another, to each of these customers.

    A contact that the worklist refuses leaves the customer as they were and is counted.
    """
    changed = refused = unknown = 0
    rest = iter(dict.fromkeys(customer_ids))
    while together := list(islice(rest, _TOGETHER)):
        with store.transaction(writes=True) as connection:
            for customer_id in together:
                try:
                    for change in changes:
                        change_within(connection, journey, customer_id, change, moment)
                except SuppressedError:
                    refused += 1
                except (UnknownCustomerError, ErasedError):
                    unknown += 1
                else:
                    changed += 1
    return Changed(changed, refused, unknown)
