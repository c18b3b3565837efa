"""The at-risk list: one page of one run, found by where the page before ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, or_, select

from serving import cursors
from serving.answers import AtRiskCustomer
from serving.cursors import Cursor
from serving.tables import Run, scores


@dataclass(frozen=True, slots=True)
class Filters:
    """Which customers are listed; null: whichever.

    `risk` and `stage` are exact; `minimum_cltv` is in the journey's currency, over the CLTV horizon.
    """

    risk: str | None = None
    stage: str | None = None
    minimum_cltv: float | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """The filters that are given, in SQL."""
        found: list[ColumnElement[bool]] = []
        if self.risk is not None:
            found.append(scores.c.risk == self.risk)
        if self.stage is not None:
            found.append(scores.c.stage == self.stage)
        if self.minimum_cltv is not None:
            found.append(scores.c.cltv_expected >= self.minimum_cltv)
        return found


@dataclass(frozen=True, slots=True)
class Page:
    """Lines of the at-risk list in order; `next_cursor` is null on the last page."""

    items: list[AtRiskCustomer]
    next_cursor: str | None
    run: Run


def page(connection: Connection, run: Run, filters: Filters, limit: int, begun: Cursor | None) -> Page:
    """The `limit` customers after `begun` (null: the first), by expected loss, the largest first."""
    of_run = [scores.c.run_id == run.id, scores.c.rank_value.is_not(None)]
    wanted = [*of_run, *filters.conditions(), *([_behind(begun)] if begun else [])]
    order = (scores.c.rank_value.desc(), scores.c.churn_probability.desc(), scores.c.customer_id)
    rows = connection.execute(select(scores).where(*wanted).order_by(*order).limit(limit + 1)).all()
    more = len(rows) > limit
    return Page([_line(row, run) for row in rows[:limit]], cursors.encode(_end(rows[limit - 1])) if more else None, run)


def _behind(end: Cursor) -> ColumnElement[bool]:
    """What comes after `end`; the first condition is implied by the second and lets the index seek."""
    value, probability = scores.c.rank_value, scores.c.churn_probability
    later_id = and_(probability == end.churn_probability, scores.c.customer_id > end.customer_id)
    later = and_(value == end.rank_value, or_(probability < end.churn_probability, later_id))
    return and_(value <= end.rank_value, or_(value < end.rank_value, later))


def _end(row: Row[Any]) -> Cursor:
    return Cursor(row.run_id, row.rank_value, row.churn_probability, row.customer_id)


def _line(row: Row[Any], run: Run) -> AtRiskCustomer:
    fields = {name: row._mapping[name] for name in AtRiskCustomer.model_fields if name != "currency"}
    return AtRiskCustomer(**fields, currency=run.currency)
