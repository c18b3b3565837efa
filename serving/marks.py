"""Marks on the worklist for the members of a campaign: contacted, or held out until an instant."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, case, func, literal, select

from serving.campaigns import HOLDOUT, Stored
from serving.database import upsert
from serving.tables import members, worklist

_KEYS = ("journey", "customer_id")


def hold_out(connection: Connection, campaign: Stored, until: int, now: int) -> None:
    """Leave the hold-out of a campaign alone until an instant, or for as long as it is held out already."""
    held = [members.c.campaign_id == campaign.id, members.c.arm == HOLDOUT]
    marks = {"status": literal("open", Text), "held_out_until": instant(until)}
    mark(connection, campaign, held, marks, {"held_out_until": later(worklist.c.held_out_until, until)}, now)


def mark(
    connection: Connection,
    campaign: Stored,
    whom: list[ColumnElement[bool]],
    new: dict[str, Any],
    known: dict[str, Any],
    now: int,
) -> None:
    """Put members on the worklist, or change what it says of those who are on it."""
    values: dict[str, Any] = {
        "journey": literal(campaign.journey, Text),
        "customer_id": members.c.customer_id,
        "opted_out": literal(False),
        "changed_at": instant(now),
        **new,
    }
    found = select(*values.values()).where(*whom)
    put = upsert(connection, worklist).from_select(list(values), found)
    connection.execute(put.on_conflict_do_update(index_elements=_KEYS, set_={**known, "changed_at": now}))


def later(column: ColumnElement[Any], at: int) -> ColumnElement[int]:
    """The later of what a column says and an instant."""
    return case((func.coalesce(column, at) > at, column), else_=instant(at))


def instant(at: int) -> ColumnElement[int]:
    """An instant as the worklist stores it."""
    return literal(at, worklist.c.changed_at.type)
