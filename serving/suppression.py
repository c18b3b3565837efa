"""Who is left alone: what the worklist says of a customer at an instant, in SQL and for one row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from sqlalchemy import ColumnElement, and_, case, func, or_

from features.schema import DAY
from serving.tables import worklist

Status: TypeAlias = Literal["open", "assigned", "snoozed", "contacted", "won", "lost"]
Suppressed: TypeAlias = Literal["opted_out", "contacted", "held_out"]
SUPPRESSED, SNOOZED = "suppressed", "snoozed"  # what `include` may name


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant (microseconds) and how many days a contacted customer is left alone."""

    now: int
    rest_days: float

    @property
    def rested_since(self) -> int:
        """Contacts after this instant are too recent."""
        return self.now - round(self.rest_days * DAY)


def status_at(moment: Moment) -> ColumnElement[str]:
    """The status; a customer who is not on the worklist, or whose snooze is over, is open."""
    over = and_(worklist.c.status == SNOOZED, worklist.c.snoozed_until <= moment.now)
    return case((over, "open"), else_=func.coalesce(worklist.c.status, "open"))


def snoozed(moment: Moment) -> ColumnElement[bool]:
    """Whether the customer is to be left until later."""
    return and_(worklist.c.status == SNOOZED, worklist.c.snoozed_until > moment.now)


def suppressed(moment: Moment) -> ColumnElement[bool]:
    """Whether the customer must not be contacted: opted out, contacted lately, or in a hold-out."""
    return or_(barred(moment), worklist.c.contacted_at > moment.rested_since)


def barred(moment: Moment) -> ColumnElement[bool]:
    """Whether the customer opted out or is in a hold-out."""
    return or_(worklist.c.opted_out, worklist.c.held_out_until > moment.now)


def told_status(row: Mapping[Any, Any], moment: Moment) -> Status:
    """`status_at` of one row."""
    if row["status"] == SNOOZED and row["snoozed_until"] <= moment.now:
        return "open"
    found: Status = row["status"] or "open"
    return found


def why_suppressed(row: Mapping[Any, Any], moment: Moment) -> Suppressed | None:
    """`suppressed` of one row, with the first reason that holds; null: none."""
    if row["opted_out"]:
        return "opted_out"
    if row["contacted_at"] is not None and row["contacted_at"] > moment.rested_since:
        return "contacted"
    if row["held_out_until"] is not None and row["held_out_until"] > moment.now:
        return "held_out"
    return None
