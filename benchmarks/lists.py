"""A store of a million scores over HTTP: customers by id, and pages of the at-risk list."""

from __future__ import annotations

import json
import random
import sqlite3
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

from benchmarks.lines import Line, Lines, progress
from benchmarks.load import Request, load
from benchmarks.servers import ours

IDS, WALKS, COSTS, DEEP = 20_000, 12, 200, 100
LIMIT = 50
WARM_SECONDS = 10  # a server that has just begun is still looking for its models


def from_the_store(definition: Path, home: Path, customers: int, seconds: float, lines: Lines) -> None:
    """`home` holds the store; it needs no models."""
    rng = random.Random(0)  # noqa: S311
    size = f"store of {customers:,}"
    with ours(str(definition), home) as address:
        _customers(address, home, size, seconds, lines)
        filters = list(_filters(home))
        progress(f"lists by {len(filters)} filters")
        _pages(address, filters, size, seconds, lines)
        _with_costs(address, filters, rng, size, seconds, lines)


def _customers(address: str, home: Path, size: str, seconds: float, lines: Lines) -> None:
    with sqlite3.connect(home / "scores.db") as store:
        found = store.execute("SELECT customer_id FROM answers ORDER BY random() LIMIT ?", [IDS]).fetchall()
    requests = [Request(f"/v1/customers/{quote(name, safe='')}") for (name,) in found]
    load(address, requests, 1, WARM_SECONDS)
    eight = load(address, requests, 8, seconds)
    detail = {"connections": 8, "workers": 1, "different_customers": len(requests), "p50_ms": eight.p50}
    what = f"GET /v1/customers/{{id}}, {size}"
    lines.add(Line(f"{what}: requests per second", eight.rate, "per second", ">= 500", detail))
    lines.add(Line(f"{what}: p99", eight.p99, "ms", "<= 30", detail))


def _pages(address: str, filters: list[dict[str, object]], size: str, seconds: float, lines: Lines) -> None:
    first = [_path(one) for one in filters]
    deep = [path for path in (_page(address, one, DEEP) for one in filters) if path]
    for place, paths in (("first", first), ("100th", deep)):
        if not paths:
            progress("no list of this store has 100 pages")
            continue
        found = load(address, [Request(path) for path in paths], 1, seconds)
        detail = {"different_requests": len(paths), "p50_ms": found.p50, "customers_per_page": LIMIT}
        what = f"GET /v1/at-risk by risk, stage and minimum CLTV, {size}, {place} page: p99"
        lines.add(Line(what, found.p99, "ms", "<= 50", detail))


def _with_costs(
    address: str, filters: list[dict[str, object]], rng: random.Random, size: str, seconds: float, lines: Lines
) -> None:
    """By profit, at costs of the request's own."""

    def asked(one: dict[str, object]) -> dict[str, object]:
        costs = {"contact_cost": round(rng.uniform(0, 3), 2), "incentive_cost": rng.choice([0, 2, 5, 10, 20])}
        return one | {"sort": "profit", **costs, "accept_rate": round(rng.uniform(0.05, 0.5), 3)}

    first = [_path(asked(rng.choice(filters))) for _ in range(COSTS)]
    deep = [path for path in (_page(address, asked(one), DEEP) for one in filters[:WALKS]) if path]
    for place, paths in (("first", first), ("100th", deep)):
        if not paths:
            progress("no list of this store has 100 pages")
            continue
        found = load(address, [Request(path) for path in paths], 1, seconds)
        detail = {"different_requests": len(paths), "p50_ms": found.p50, "costs": "of each request's own"}
        what = f"the same by profit at the request's own costs, {size}, {place} page: p99"
        lines.add(Line(what, found.p99, "ms", "<= 500", detail))


def _filters(home: Path) -> Iterator[dict[str, object]]:
    """Risk, stage and a least CLTV, such that the list has 100 pages if any has; of the largest groups."""
    with sqlite3.connect(home / "scores.db") as store:
        groups = store.execute(
            "SELECT risk, stage, count(*), avg(cltv_expected) FROM scores "
            "WHERE rank_value IS NOT NULL AND risk IS NOT NULL GROUP BY risk, stage ORDER BY 3 DESC LIMIT 6"
        ).fetchall()
    for risk, stage, _, value in groups:
        for share in (0.25, 0.75):
            yield {"risk": risk, "stage": stage, "minimum_cltv": round(share * (value or 0.0), 2)}


def _path(asked: dict[str, object]) -> str:
    return f"/v1/at-risk?{urlencode({**asked, 'limit': LIMIT})}"


def _page(address: str, asked: dict[str, object], number: int) -> str | None:
    """The path of the list's page of that number; null: it has fewer."""
    path = _path(asked)
    for _ in range(number - 1):
        with urllib.request.urlopen(address + path, timeout=60) as answer:
            cursor = json.loads(answer.read())["next_cursor"]
        if cursor is None:
            return None
        path = _path(asked | {"cursor": cursor})
    return path
