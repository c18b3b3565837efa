"""Answers as rows of the score store: a run is written a part at a time, each in a transaction of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, TypeAlias, cast

from isal import isal_zlib
from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError

from features.errors import InputError
from features.instants import microseconds
from features.journey import Risk, RiskBands
from serving.answers import Answer, to_json
from serving.bands import Band, moved, settled
from serving.bulk import among, put
from serving.kept_out import barred
from serving.memory import uncollected
from serving.overlap import one_ahead
from serving.runs import check
from serving.segments import Segments
from serving.tables import UNKNOWN, Run, scores, stored_answers

Rows: TypeAlias = list[dict[str, Any]]

CHUNK = 2_000  # fits the number of parameters that SQLite takes at once


class Held(NamedTuple):
    """What a run's answers are held against: the customers' segments, and the bands (null: as each answer says)."""

    segments: Segments
    bands: RiskBands | None = None


class Written(NamedTuple):
    """How many customers were written, the currency of their values and the horizon of churn, where there are any."""

    customers: int
    currency: str | None
    horizon: int | None


class To(NamedTuple):
    """The run that is written: its id, its stamp and the number of the lease (null: it was not asked for)."""

    journey: str
    run_id: int
    scored_at: int
    fence: int | None = None


def write(
    transaction: Callable[..., AbstractContextManager[Connection]],
    to: To,
    answers: Iterable[Answer],
    before: Run | None,
    held: Held,
) -> Written:
    """Write all answers; risk bands are compared with those of the run `before` (null: this is the first).

    Whoever was erased, be it just now, is left out. On PostgreSQL a part is sent while the next one is made.

    Raises
    ------
    InputError
        Where there are two answers of one customer, or the run was given up meanwhile.
    """
    found, total, gone = iter(answers), Written(0, None, None), set[str]()

    def send(made: tuple[Rows, Rows]) -> None:
        with transaction(writes=True) as connection:
            gone.update(out := barred(connection, to.journey, (row["customer_id"] for row in made[0])))
            check(connection, to.journey, to.run_id, to.fence)
            _insert(connection, _without(made, out))

    with transaction() as connection:
        beside = connection.dialect.name == "postgresql"
    with one_ahead(beside=beside) as sent:
        while chunk := list(islice(found, CHUNK)):
            with transaction() as connection:
                known = _known(connection, before, [answer.customer_id for answer in chunk])
            # Rows are made between two transactions: on SQLite, others may write meanwhile.
            with uncollected(len(chunk)):
                made = _made(to.run_id, to.scored_at, chunk, known, held)
            sent(partial(send, made))
            total = _with(total, chunk)
    return total._replace(customers=total.customers - len(gone))


def _with(total: Written, chunk: list[Answer]) -> Written:
    """With what is known of further answers."""
    days = next((answer.churn.horizon_days for answer in chunk if answer.churn), None)
    return Written(
        total.customers + len(chunk),
        total.currency or next((answer.cltv.currency for answer in chunk if answer.cltv), None),
        total.horizon or (microseconds(timedelta(days=days)) if days else None),
    )


def _made(
    run_id: int, scored_at: int, chunk: list[Answer], known: Mapping[str, Band] | None, held: Held
) -> tuple[Rows, Rows]:
    """The rows of scores and those of answers."""
    rows, packed = [], []
    segments = held.segments.of([answer.customer_id for answer in chunk])
    for answer, own in zip(chunk, segments, strict=True):
        before = known.get(answer.customer_id) if known else None
        told = answer if held.bands is None else settled(answer, before.risk if before else None, held.bands)
        band = moved(before, told.churn.risk if told.churn else None, scored_at, compared=known is not None)
        rows.append(_score(run_id, told, band, own))
        packed.append(
            {"run_id": run_id, "customer_id": told.customer_id, "answer": isal_zlib.compress(to_json(told), 1)}
        )
    return rows, packed


def _without(made: tuple[Rows, Rows], gone: set[str]) -> tuple[Rows, Rows]:
    """The rows of everyone but those."""
    if not gone:
        return made
    rows, packed = ([row for row in part if row["customer_id"] not in gone] for part in made)
    return rows, packed


def _insert(connection: Connection, made: tuple[Rows, Rows]) -> None:
    rows, packed = made
    if not rows:
        return
    try:
        put(connection, scores, rows)
    except IntegrityError as error:
        raise InputError(
            "score", "two answers of one customer", "one answer per customer", "score each customer once"
        ) from error
    put(connection, stored_answers, packed)


def _known(connection: Connection, before: Run | None, ids: list[str]) -> Mapping[str, Band] | None:
    """The bands of these customers in the run before; null: there is none."""
    if before is None:
        return None
    columns = (scores.c.customer_id, scores.c.risk, scores.c.risk_before, scores.c.risk_since)
    theirs = (scores.c.run_id == before.id, among(connection, scores.c.customer_id, ids))
    rows = connection.execute(select(*columns).where(*theirs))
    return {
        customer_id: Band(cast(Risk, risk), cast(Risk, earlier), since) for customer_id, risk, earlier, since in rows
    }


def _score(run_id: int, answer: Answer, band: Band, segments: dict[str, str] | None) -> dict[str, Any]:
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
