"""Whom held-out customers stand for when a model is judged: those of their list who were contacted.

Customers who were contacted say nothing of what was predicted, and a list takes those at most risk. By the
others alone a model is judged where it matters least. Whoever was held out of a list was drawn by chance,
so of a share of 0.1 each stands for ten of the list (D. G. Horvitz, D. J. Thompson, 1952, JASA 47:663-685).
"""

from __future__ import annotations

import polars as pl
from sqlalchemy import Connection, select

from features.schema import CUSTOMER
from serving.campaigns import HOLDOUT
from serving.tables import campaigns, members

_SENT = "sent_at"
_SCHEMA = {CUSTOMER: pl.String, "arm": pl.String, "holdout": pl.Float64, "seed": pl.Int64, _SENT: pl.Int64}


def lists(connection: Connection, journey: str, begins: int, ends: int, followed: pl.Series) -> pl.DataFrame:
    """Which customers stood on which lists that were sent between two instants and held some out.

    A list that was sent on paper, before it was made, contacted nobody.

    Returns
    -------
    polars.DataFrame
        customer_id, arm, holdout (the share), seed, sent_at (microseconds), a row per customer and list.
    """
    sent = (campaigns.c.sent_at >= begins, campaigns.c.sent_at < ends, campaigns.c.sent_at >= campaigns.c.created_at)
    wanted = (
        select(members.c.customer_id, members.c.arm, campaigns.c.holdout, campaigns.c.seed, campaigns.c.sent_at)
        .join(campaigns, campaigns.c.id == members.c.campaign_id)
        .where(campaigns.c.journey == journey, campaigns.c.holdout > 0, *sent)
    )
    rows = pl.DataFrame(map(tuple, connection.execute(wanted).all()), schema=_SCHEMA, orient="row")
    return rows.filter(pl.col(CUSTOMER).is_in(followed.implode()))


def weights(listed: pl.DataFrame, customers: pl.Series, begins: int, ends: int) -> pl.Series:
    """How many customers each stands for, of lists sent between two instants: their own and those contacted.

    1 for whoever was on no list. Who is held out of one is contacted by none of them, so with the shares h that is one
    chance of 1 - (1 - h)(1 - h')..., lists of one seed being one draw, and each stands for as many as it takes. 0 for
    the others of a list, whether they could be contacted or not: those who could not be reached are no fair draw, and
    the held-out stand for them.
    """
    sent = listed.filter((pl.col(_SENT) >= begins) & (pl.col(_SENT) < ends))
    draws = sent.group_by(CUSTOMER, "seed").agg((pl.col("arm") == HOLDOUT).any(), pl.col("holdout").max())
    spared, chance = pl.col("arm").any(), 1 - (1 - pl.col("holdout")).product()
    told = draws.group_by(CUSTOMER).agg(pl.when(spared).then(1 / chance).otherwise(0.0).alias("weight"))
    found = pl.DataFrame({CUSTOMER: customers}).join(told, on=CUSTOMER, how="left", maintain_order="left")
    return found["weight"].fill_null(1.0)
