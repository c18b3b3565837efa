"""The at-risk list: one page of one run, found by where the page before ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import polars as pl
from sqlalchemy import ColumnElement, Connection, FromClause, Row, Select, and_, func, select

from features.errors import InputError
from features.journey import Campaign
from features.schema import to_text
from serving import cursors, ranking
from serving.answers import AtRiskCustomer
from serving.cursors import Cursor
from serving.filters import Wanted
from serving.suppression import Moment, told_status, why_suppressed
from serving.tables import UNKNOWN, Run, scores, scores_by_churn, scores_of_stage, scores_ranked, worklist

Rows: TypeAlias = Select[*tuple[Any, ...]]

_NOT_IN_SCORES = {"currency", "contact_profit", "contact_cost", "incentive_cost", "accept_rate", "risk_since"}
_OF_WORKLIST = ("status", "assignee", "snoozed_until", "contacted_at", "note")
_STORED = [name for name in AtRiskCustomer.model_fields if name in scores.c and name not in _NOT_IN_SCORES]
_WORK = [worklist.c[name] for name in (*_OF_WORKLIST, "opted_out", "held_out_until")]


@dataclass(frozen=True, slots=True)
class Page:
    """Lines of the at-risk list in order; `next_cursor` is null on the last page.

    `costs` are those that the profits are told with.
    """

    items: list[AtRiskCustomer]
    next_cursor: str | None
    run: Run
    costs: Campaign


def page(connection: Connection, run: Run, wanted: Wanted, limit: int, begun: Cursor | None, now: int) -> Page:
    """The `limit` customers after `begun` (null: the first); a list begun keeps the instant it began at.

    Raises
    ------
    InputError
        Where `begun` is of another list, or profits are asked for and nobody's value is known.
    """
    digest = wanted.digest()
    if begun is not None and begun.wanted != digest:
        raise InputError(
            "cursor",
            "it belongs to a list with another sort, other costs or other filters",
            "the next_cursor of this very list",
            "keep sort, costs and filters from page to page, or leave the cursor out",
        )
    moment = Moment(begun.now if begun else now, wanted.costs.rest_days)
    chosen = _chosen(connection, run, wanted, limit + 1, begun, moment)
    rows = lines(connection, run, wanted.costs, chosen.subquery("chosen"), by=ranking.rank(wanted))
    more = len(rows) > limit
    end = _end(rows[limit - 1], run, digest, moment) if more else None
    items = [_line(row, run, wanted.costs, moment) for row in rows[:limit]]
    return Page(items, cursors.encode(end) if end else None, run, wanted.costs)


def counted(connection: Connection, run: Run, wanted: Wanted, moment: Moment, most: int) -> int:
    """How many are on the list, counted no further than to `most`."""
    found = _by_index(select(scores.c.customer_id).where(*_conditions(run, wanted, moment)), wanted).limit(most)
    return int(connection.execute(select(func.count()).select_from(found.subquery())).scalar_one())


def ranked(connection: Connection, run: Run, wanted: Wanted, moment: Moment) -> pl.DataFrame:
    """Everyone on the list in order: `customer_id`, `rank`, `churn_probability`, `at_stake` (null: unknown)."""
    columns = (scores.c.customer_id, ranking.rank(wanted).label("rank"), scores.c.churn_probability, scores.c.at_stake)
    found = _by_index(select(*columns).where(*_conditions(run, wanted, moment)), wanted)
    rows = connection.execute(found).all()
    kinds = {"customer_id": pl.String(), **dict.fromkeys(["rank", "churn_probability", "at_stake"], pl.Float64())}
    frame = pl.DataFrame(dict(zip(kinds, zip(*rows, strict=True), strict=True)) if rows else {}, schema=kinds)
    # Sorted here, not by the database: SQLite would write a million rows to disk to sort them.
    return frame.sort("rank", "churn_probability", "customer_id", descending=[True, True, False])


def named(
    connection: Connection, run: Run, costs: Campaign, chosen: FromClause, moment: Moment
) -> list[AtRiskCustomer]:
    """Lines of the customers in `chosen` (`customer_id`, `place`), in the order of their places."""
    rows = lines(connection, run, costs, chosen, by=-chosen.c.place)
    return [_line(row, run, costs, moment) for row in rows]


def lines(
    connection: Connection, run: Run, costs: Campaign, chosen: FromClause, by: ColumnElement[Any]
) -> list[Row[*tuple[Any, ...]]]:
    """The rows behind the lines of some customers, the largest `by` first."""
    here = and_(scores.c.run_id == run.id, scores.c.customer_id == chosen.c.customer_id)
    work = and_(worklist.c.journey == run.journey, worklist.c.customer_id == scores.c.customer_id)
    stored = [scores.c[name] for name in (*_STORED, "risk_since")]
    found = select(*stored, *_WORK, by.label("rank"), ranking.profit(costs).label("contact_profit"))
    joined = found.select_from(chosen.join(scores, here).outerjoin(worklist, work))
    return list(connection.execute(joined.order_by(*ranking.order(by))).all())


def _chosen(connection: Connection, run: Run, wanted: Wanted, limit: int, begun: Cursor | None, moment: Moment) -> Rows:
    """The customers of a page and the one after it."""
    key = ranking.rank(wanted)
    found = _by_index(select(scores.c.customer_id).where(*_conditions(run, wanted, moment)), wanted)
    if begun is not None:
        found = found.where(ranking.behind(key, begun))
    if wanted.sort == "profit" and not wanted.by_id:
        if begun is not None and begun.rank > UNKNOWN:
            found = found.where(ranking.at_most(begun.rank, wanted.costs))
        # Those next in the order of the expected loss are a page too: none of the best earns less than its last.
        bound = found.with_only_columns(key.label("rank")).order_by(*ranking.order(scores.c.rank_value)).limit(limit)
        found_ranks = list(connection.execute(bound).scalars())
        least = min(found_ranks, default=UNKNOWN)
        if len(found_ranks) == limit and least > UNKNOWN:
            found = found.where(ranking.at_least(least, wanted.costs), key >= least)
    return found.order_by(*ranking.order(key)).limit(limit)


def _conditions(run: Run, wanted: Wanted, moment: Moment) -> list[ColumnElement[bool]]:
    if wanted.sort == "profit" and run.currency is None:
        raise InputError(
            "sort", "profit, but this run knows nobody's value", "expected_loss", "train and promote the task cltv"
        )
    # The sum keeps SQLite from the index of all ranks where a stretch of ids is so much shorter.
    ranked = scores.c.rank_value + 0.0 if wanted.by_id else scores.c.rank_value
    listed = [scores.c.run_id == run.id, ranked.is_not(None)]
    work = wanted.filters.of_worklist(run.journey, moment, contactable=wanted.contactable)
    return [*listed, *wanted.filters.of_scores(run), *work]


def _by_index(found: Rows, wanted: Wanted) -> Rows:
    """SQLite keeps no statistics of the tables and would sort where an index has the order."""
    filters = wanted.filters
    if filters.status not in (None, "open") or wanted.by_id:
        return found  # few customers: they are looked up one by one
    covered = filters.reason is None and filters.changed_since is None
    index = scores_of_stage if filters.risk and filters.stage is not None and covered else scores_ranked
    index = scores_by_churn if wanted.sort == "churn_probability" else index
    return found.with_hint(scores, f"INDEXED BY {index.name}", "sqlite")


def _end(row: Row[*tuple[Any, ...]], run: Run, digest: str, moment: Moment) -> Cursor:
    return Cursor(run.id, moment.now, digest, row.rank, row.churn_probability, row.customer_id)


def _line(row: Row[*tuple[Any, ...]], run: Run, costs: Campaign, moment: Moment) -> AtRiskCustomer:
    found = row._mapping
    fields: dict[str, Any] = {name: found[name] for name in (*_STORED, *_OF_WORKLIST, "contact_profit")}
    fields |= costs.model_dump(exclude={"rest_days"}) | {"currency": run.currency}
    fields |= {name: _text(found[name]) for name in ("snoozed_until", "contacted_at", "risk_since")}
    fields |= {"status": told_status(found, moment), "suppressed": why_suppressed(found, moment)}
    return AtRiskCustomer(**fields)


def _text(instant: int | None) -> str | None:
    return None if instant is None else to_text(instant)
