"""Whom held-out customers stand for when a model is judged: those of their list who were contacted.

Customers who were contacted say nothing of what was predicted, and a list takes those at most risk. By the
others alone a model is judged where it matters least. Whoever was held out of a list was drawn by chance,
so of a share of 0.1 each stands for ten of the list (D. G. Horvitz, D. J. Thompson, 1952, JASA 47:663-685),
and all together for as many as were on lists (J. Hájek, in Foundations of Statistical Inference, 1971, p. 236).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from features.schema import CUSTOMER
from serving.campaigns import HOLDOUT
from serving.proportions import SMALLEST_ARM
from serving.tables import campaigns, members

Array = NDArray[np.float64]
_SENT, _MADE = "sent_at", "campaign_id"
_SCHEMA = {CUSTOMER: pl.String, "arm": pl.String, "holdout": pl.Float64, _MADE: pl.Int64, _SENT: pl.Int64}


def lists(
    connection: Connection, journey: str, begins: int, ends: int, followed: pl.Series, at: int | None = None
) -> pl.DataFrame:
    """Which customers stood on which lists that were sent between two instants and held some out.

    A list that was sent on paper, before it was made, contacted nobody. With `at` a list counts whose sending
    was known before it, as its contacts were.

    Returns
    -------
    polars.DataFrame
        customer_id, arm, holdout (the share), campaign_id, sent_at (microseconds), a row per customer and list.
    """
    sent = [campaigns.c.sent_at >= begins, campaigns.c.sent_at < ends, campaigns.c.sent_at >= campaigns.c.created_at]
    sent += [] if at is None else [campaigns.c.sent_known_at < at]
    wanted = (
        select(members.c.customer_id, members.c.arm, campaigns.c.holdout, campaigns.c.id, campaigns.c.sent_at)
        .join(campaigns, campaigns.c.id == members.c.campaign_id)
        .where(campaigns.c.journey == journey, campaigns.c.holdout > 0, *sent)
    )
    rows = pl.DataFrame(map(tuple, connection.execute(wanted).all()), schema=_SCHEMA, orient="row")
    return rows.filter(pl.col(CUSTOMER).is_in(followed.implode()))


def drawn(listed: pl.DataFrame, customers: pl.Series, begins: int, ends: int) -> pl.Series:
    """One over each customer's chance of being held out of the lists sent between two instants; 0: was not, 1: on none.

    The list that was made first decides. Its hold-out is left alone from then on, so that the lists after it are made
    of those whom it spared not: who is held out of one of these stands for customers that the first has stand-ins of.
    """
    sent = listed.filter((pl.col(_SENT) >= begins) & (pl.col(_SENT) < ends)).sort(_MADE)
    first = sent.group_by(CUSTOMER, maintain_order=True).first()
    each = pl.when(pl.col("arm") == HOLDOUT).then(1 / pl.col("holdout")).otherwise(0.0).alias("drawn")
    told = first.select(CUSTOMER, each)
    found = pl.DataFrame({CUSTOMER: customers}).join(told, on=CUSTOMER, how="left", maintain_order="left")
    return found["drawn"].fill_null(1.0)


class Standing(NamedTuple):
    """How many customers each stands for (0: is not judged by), how many were on lists, and held out of them.

    `enough` were held out to stand for their lists; otherwise everybody who was not contacted stands for themselves.
    """

    weight: Array
    listed: int
    held_out: int
    enough: bool


def standing(drawn: Array, contacted: NDArray[np.bool_]) -> Standing:
    """Those held out stand for all who were on lists, in proportion to what `drawn` gives (J. Hájek, 1971).

    The others of a list count nothing, whether they could be contacted or not: those who could not be reached are no
    fair draw. Of fewer than `SMALLEST_ARM` held out, a few customers would be the whole list.
    """
    listed, held_out = drawn != 1, (drawn > 1) & ~contacted
    enough = int(held_out.sum()) >= SMALLEST_ARM
    weight = np.where(contacted | (listed & ~held_out & enough), 0.0, 1.0)
    if enough:
        weight[held_out] = drawn[held_out] * (listed.sum() / drawn[held_out].sum())
    return Standing(weight, int(listed.sum()), int(held_out.sum()), enough)
