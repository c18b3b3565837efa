"""POST /v1/predictions beside `mlflow models serve`: raw events to three explained tasks against one ready vector."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import polars as pl

from benchmarks.lines import Line, Lines, progress
from benchmarks.load import Measured, Request, load, middle
from benchmarks.servers import mlflows, ours
from features.journey import Journey
from features.log import EventLog
from features.schema import CUSTOMER, CUTOFF, KNOWN_AT, POSITION, TIME, to_text
from serving.scorer import Scorer

EVENTS, CUSTOMERS, ROUNDS = 200, 50, 3
CONNECTIONS = (1, 8)
WITH, WITHOUT, MLFLOW = "with reasons", "without reasons", "mlflow models serve"
LEAST = {WITH: ">= 2", WITHOUT: ">= 4"}


def against_mlflow(journey: Journey, log: EventLog, scorer: Scorer, home: Path, seconds: float, lines: Lines) -> None:
    """Requests per second of both servers, in turn; `home` holds the registry and the champions of the journey."""
    events = _events(log)
    raw, ready = list(_raw(events)), list(_ready(journey, events, scorer))
    found: dict[tuple[str, int], list[Measured]] = {}
    with ExitStack() as stack:
        mine = stack.enter_context(ours(journey.journey, home))
        theirs = stack.enter_context(
            mlflows(f"models:/{journey.journey}.churn@champion", f"sqlite:///{home / 'mlflow.db'}", home / "mlflow.log")
        )
        path = "/v1/predictions"
        works = {
            WITH: (mine, [Request(path, "POST", body) for body in raw]),
            MLFLOW: (theirs, [Request("/invocations", "POST", body) for body in ready]),
            WITHOUT: (mine, [Request(f"{path}?reasons=false", "POST", body) for body in raw]),
        }
        for address, requests in works.values():
            load(address, requests, 1, 2)  # what is made once is not measured
        for number in range(ROUNDS):
            for connections in CONNECTIONS:
                for name, (address, requests) in works.items():
                    progress(f"round {number + 1} of {ROUNDS}: {name}, {connections} connections")
                    one = load(address, requests, connections, seconds)
                    found.setdefault((name, connections), []).append(one)
    _tell({place: middle(rounds) for place, rounds in found.items()}, lines)


def _tell(found: dict[tuple[str, int], Measured], lines: Lines) -> None:
    what = f"POST /v1/predictions, one customer, {EVENTS} events, three tasks"
    alone = found[WITH, 1]
    detail = {"p99_ms": alone.p99, "requests": alone.requests, "customers": CUSTOMERS, "rounds": ROUNDS}
    lines.add(Line(f"{what}, {WITH}, p50 at 1 connection", alone.p50, "ms", "<= 30", detail))
    for name, target in LEAST.items():
        for connections in CONNECTIONS:
            mine, theirs = found[name, connections], found[MLFLOW, connections]
            detail = {"ours_per_s": mine.rate, "ours_p50_ms": mine.p50, "mlflow_per_s": theirs.rate}
            detail |= {"mlflow_p50_ms": theirs.p50, "mlflow": "one ready vector, churn alone, without reasons"}
            at = f"{connections} connection{'s' if connections > 1 else ''}"
            said = f"{what}, {name}: requests per second / those of {MLFLOW}, {at}"
            lines.add(Line(said, mine.rate / theirs.rate, "x", target, detail))


def _events(log: EventLog) -> list[pl.DataFrame]:
    """The newest events of customers who have enough of them."""
    counts = log.events.group_by(CUSTOMER).len().filter(pl.col("len") >= EVENTS).sort(CUSTOMER)
    chosen = counts[CUSTOMER].head(CUSTOMERS)
    rows = log.events.filter(pl.col(CUSTOMER).is_in(chosen.implode())).sort(CUSTOMER, POSITION)
    return [customer.tail(EVENTS) for customer in rows.partition_by(CUSTOMER, maintain_order=True)]


def _raw(customers: list[pl.DataFrame]) -> Iterator[str]:
    """Each customer's events as a client sends them."""
    for events in customers:
        records = []
        for event in events.drop(CUSTOMER, POSITION).iter_rows(named=True):
            given = {name: value for name, value in event.items() if value is not None}
            records.append({**given, TIME: to_text(event[TIME]), KNOWN_AT: to_text(event[KNOWN_AT])})
        yield json.dumps({"customers": [{CUSTOMER: events[CUSTOMER][0], "events": records}]})


def _ready(journey: Journey, customers: list[pl.DataFrame], scorer: Scorer) -> Iterator[str]:
    """The same customers' vectors, as MLflow's server takes them."""
    names = list(scorer.models["churn"].model.encoding.names)
    for events in customers:
        after = int(events.select(pl.max_horizontal(TIME, KNOWN_AT).max()).item()) + 1
        vector = scorer.vectors(events, pl.DataFrame({CUSTOMER: [events[CUSTOMER][0]], CUTOFF: [after]}))
        row = [None if value != value else value for value in vector.select(names).row(0)]  # noqa: PLR0124
        yield json.dumps({"dataframe_split": {"columns": names, "data": [row]}})
