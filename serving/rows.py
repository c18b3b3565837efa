"""Answers as rows of the score store: a run is written a part at a time, each in a transaction of its own."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from features.errors import InputError
from features.instants import microseconds
from serving.answers import Answer, to_json
from serving.kept_out import barred
from serving.segments import Segments
from serving.tables import UNKNOWN, Run, scores, stored_answers

CHUNK = 2_000  # fits the number of parameters that SQLite takes at once


class Written(NamedTuple):
    """How many customers were written, the currency of their values and the horizon of churn, where there are any."""

    customers: int
    currency: str | None
    horizon: int | None


class _Band(NamedTuple):
    """A risk band, the one before it, and since when it is so."""

    risk: str | None
    before: str | None
    since: int | None


def write(
    transaction: Callable[..., AbstractContextManager[Connection]],
    journey: str,
    run_id: int,
    scored_at: int,
    answers: Iterable[Answer],
    before: Run | None,
    segments: Segments,
) -> Written:
    """Write all answers; risk bands are compared with those of the run `before` (null: this is the first).

    Whoever was erased, be it just now, is left out.

    Raises
    ------
    InputError
        Where there are two answers of one customer.
    """
    found, customers, currency, horizon = iter(answers), 0, None, None
    while chunk := list(islice(found, CHUNK)):
        with transaction(writes=True) as connection:
            gone = barred(connection, journey, (answer.customer_id for answer in chunk))
            chunk = [answer for answer in chunk if answer.customer_id not in gone] if gone else chunk
            ids = [answer.customer_id for answer in chunk]
            bands = _bands(connection, before, ids) if before else {}
            rows = [
                _score(run_id, each, _moved(bands.get(each.customer_id), _risk(each), scored_at, bool(before)), held)
                for each, held in zip(chunk, segments.of(ids), strict=True)
            ]
            _insert(connection, run_id, chunk, rows)
        customers += len(chunk)
        currency = currency or next((answer.cltv.currency for answer in chunk if answer.cltv), None)
        days = next((answer.churn.horizon_days for answer in chunk if answer.churn), None)
        horizon = horizon or (microseconds(timedelta(days=days)) if days else None)
    return Written(customers, currency, horizon)


def _insert(connection: Connection, run_id: int, chunk: list[Answer], rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    try:
        connection.execute(insert(scores), rows)
    except IntegrityError as error:
        raise InputError(
            "score", "two answers of one customer", "one answer per customer", "score each customer once"
        ) from error
    connection.execute(
        insert(stored_answers),
        [{"run_id": run_id, "customer_id": a.customer_id, "answer": zlib.compress(to_json(a), 1)} for a in chunk],
    )


def _bands(connection: Connection, before: Run, ids: list[str]) -> Mapping[str, _Band]:
    columns = (scores.c.customer_id, scores.c.risk, scores.c.risk_before, scores.c.risk_since)
    rows = connection.execute(select(*columns).where(scores.c.run_id == before.id, scores.c.customer_id.in_(ids)))
    return {customer_id: _Band(risk, earlier, since) for customer_id, risk, earlier, since in rows}


def _moved(known: _Band | None, risk: str | None, scored_at: int, compared: bool) -> _Band:
    """The band now: one that stays keeps its date; before the first run, nothing is known."""
    if not compared:
        return _Band(risk, None, None)
    if known is not None and known.risk == risk:
        return known
    return _Band(risk, known.risk if known else None, scored_at)


def _risk(answer: Answer) -> str | None:
    return answer.churn.risk if answer.churn else None


def _score(run_id: int, answer: Answer, band: _Band, segments: dict[str, str] | None) -> dict[str, Any]:
    churn, cltv = answer.churn, answer.cltv
    probability = churn.probability if churn else None
    raising = [reason for reason in churn.reasons if reason.effect > 0] if churn else []
    top = max(raising, key=lambda reason: reason.effect, default=None)
    known = UNKNOWN if answer.expected_loss is None else answer.expected_loss
    return {
        "run_id": run_id,
        "customer_id": answer.customer_id,
        "stage": answer.stage.name if answer.stage else None,
        "churn_eligible": bool(churn and churn.eligible),
        "churn_probability": probability,
        "churn_percentile": churn.percentile if churn else None,
        "risk": band.risk,
        "cltv_expected": cltv.expected if cltv else None,
        "at_stake": answer.at_stake,
        "expected_loss": answer.expected_loss,
        "reason_code": top.code if top else None,
        "reason": top.text if top else None,
        "rank_value": known if probability is not None else None,
        "risk_before": band.before,
        "risk_since": band.since,
        "segments": segments,
    }
