"""Causes put into histories that had none, and the reason a model tells first."""

from __future__ import annotations

import polars as pl

from features.instants import KEYS
from features.schema import CUSTOMER, CUTOFF, DAY, EVENT, KNOWN_AT, POSITION, TIME
from serving.scorer import Scorer, Served
from training.model import Model

FRICTION, SILENCE = "trouble", "silence"
CODES = {FRICTION: {"FRICTION"}, SILENCE: {"ACTIVITY", "INACTIVE", "OVERDUE"}}
TROUBLES = ("ticket", "complaint", "refund", "payment_failed")
CALM_DAYS, BOUGHT_DAYS = 112, 14  # without trouble for so long, and a purchase so lately
TOLD = ((5, "ticket"), (2, "complaint"))  # days before the cutoff
SILENT_DAYS = 35
CASES_AT_MOST = 500
_HOUR = DAY // 24


def injected(kind: str, events: pl.DataFrame, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, set[str]]:
    """The changed events, the cases (`customer_id`, `cutoff`), and the reason codes that name what was injected.

    Cases are active customers without trouble at the newest cutoff of `rows`. Trouble: a ticket and a complaint
    in the last week. Silence: nothing of what they did in the last five weeks.
    """
    cutoff = int(str(rows[CUTOFF].max()))
    cases = _calm(events, rows.filter(pl.col(CUTOFF) == cutoff).select(KEYS), cutoff)
    own = events.join(cases.select(CUSTOMER), on=CUSTOMER, how="semi")
    if kind == SILENCE:
        lately = pl.col(TIME).is_between(cutoff - SILENT_DAYS * DAY, cutoff, closed="left")
        return own.filter(~lately), cases, CODES[kind]
    more = [_trouble(own, cases, cutoff - days * DAY + 12 * _HOUR, event) for days, event in TOLD]
    return _numbered(pl.concat([own, *more], how="diagonal")), cases, CODES[kind]


def _calm(events: pl.DataFrame, asked: pl.DataFrame, cutoff: int) -> pl.DataFrame:
    def since(days: int) -> pl.Expr:
        return pl.col(TIME).is_between(cutoff - days * DAY, cutoff, closed="left")

    troubled = events.filter(since(CALM_DAYS), pl.col(EVENT).is_in(TROUBLES))
    bought = events.filter(since(BOUGHT_DAYS), pl.col(EVENT) == "purchase")
    before = events.filter(since(56) & ~since(SILENT_DAYS), pl.col(EVENT) == "purchase")  # still asked when silent
    kept = asked.join(troubled, on=CUSTOMER, how="anti").join(bought, on=CUSTOMER, how="semi")
    return kept.join(before, on=CUSTOMER, how="semi").sort(CUSTOMER).head(CASES_AT_MOST)


def _trouble(own: pl.DataFrame, cases: pl.DataFrame, time: int, event: str) -> pl.DataFrame:
    found = {TIME: time, KNOWN_AT: time, EVENT: event, "channel": "phone", "topic": "late_delivery"}
    told = [pl.lit(value).cast(own.schema[name]).alias(name) for name, value in found.items() if name in own.columns]
    return cases.select(CUSTOMER).with_columns(told)


def _numbered(events: pl.DataFrame) -> pl.DataFrame:
    """In order of time, numbered anew."""
    rows = events.sort(CUSTOMER, TIME, POSITION, nulls_last=True)
    place = pl.int_range(pl.len()).over(CUSTOMER).cast(events.schema[POSITION])
    return rows.with_columns(place.alias(POSITION))


def top_reasons(churn: Model, events: pl.DataFrame, cutoffs: pl.DataFrame) -> list[str | None]:
    """Of each case the code of the strongest reason that raises the risk; None: nothing does."""
    answers = Scorer({"churn": Served(churn, 1)}).predict(events, cutoffs)
    found: list[str | None] = []
    for answer in answers:
        raising = [reason for reason in answer.churn.reasons if reason.direction == "raises"] if answer.churn else []
        found.append(max(raising, key=lambda reason: reason.effect).code if raising else None)
    return found
