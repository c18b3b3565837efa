"""Spec tests: a small text table of events in, a dict of feature values out.

    day | event    | value
    -40 | purchase | 10
     -3 | purchase |  5

`day` counts from the cutoff: negative days lie before it, `+2` after. `-7-1us` is a microsecond
further back. `known_at` reads the same way; an empty cell is null, and a missing `known_at` means at
once. Rows stand in order of arrival.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import polars as pl

from features.engine import build
from features.feature import Feature
from features.journey import Journey
from features.schema import CHANNEL, CUSTOMER, CUTOFF, DAY, EVENT, KNOWN_AT, POSITION, TIME, VALUE, to_microseconds


def utc(*parts: int) -> datetime:
    """An instant in UTC."""
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


NOW = utc(2024, 6, 30, 12)  # a Sunday
_DAY = re.compile(r"([+-]?\d+(?:\.\d+)?)?(?:([+-]\d+)us)?")

SHOP = Journey.model_validate(
    {
        "journey": "shop",
        "events": [{"file": "events.csv"}],
        "observed_until": utc(2025, 1, 1),
        "types": ["purchase", "visit", "email", "flyer", "ticket", "refund", "coupon"],
        "business": ["email", "flyer"],
        "friction": ["ticket", "refund"],
        "abandoned": {"started": "visit", "finished": "purchase", "within": "1d"},
        "coupons": ["coupon"],
        "channels": ["web", "store", "app"],
        "properties": {"items": "number", "product": "category", "stars": "rating", "nps": "nps"},
        "profile": {
            "file": "profile.csv",
            "features": {"region": {"static": True}, "plan": {"known_at": "plan_since"}},
        },
        "stages": {
            "prospect": {},
            "buyer": {"any_of": ["purchase"]},
            "regular": {"any_of": ["purchase"], "at_least": 2, "within": "28d"},
            "lapsed": {"all_of": [{"any_of": ["purchase"]}, {"none_of": ["purchase"], "within": "56d"}]},
        },
        "tasks": {
            "churn": {"no": "purchase", "within": "28d"},
            "next_stage": {"in": "28d"},
            "cltv": {"sum": "purchase", "within": "56d"},
        },
        "windows": ["7d", "28d", "56d"],
    }
)


def changed(journey: Journey = SHOP, **keys: Any) -> Journey:
    """The journey with some keys given anew, checked again."""
    kept = journey.model_dump(mode="json", by_alias=True, exclude_none=True)
    return Journey.model_validate({**kept, **keys})


def log(table: str, journey: Journey = SHOP, *, now: datetime = NOW, customer: str = "c") -> pl.DataFrame:
    """The canonical log of one customer from a text table."""
    head, *rows = [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]
    cutoff = to_microseconds(now)
    events = []
    for row in rows:
        given = dict(zip(head, row, strict=True))
        time = cutoff + _since(given.pop("day"))
        known = given.pop(KNOWN_AT, "")
        events.append({CUSTOMER: customer, TIME: time, KNOWN_AT: cutoff + _since(known) if known else time, **given})
    return frame(events, journey)


def _since(text: str) -> int:
    found = _DAY.fullmatch(text)
    assert found, f"{text!r} is not a day such as -3, -0.5, +2 or -7-1us"
    return round(float(found[1] or 0) * DAY) + int(found[2] or 0)


def frame(events: Iterable[dict[str, Any]], journey: Journey = SHOP) -> pl.DataFrame:
    """Events as the canonical log: sorted by customer and time, ties in order of arrival, numbered."""
    numbers = [VALUE, *(name for name, kind in journey.properties.items() if kind != "category")]
    texts = [CUSTOMER, EVENT, CHANNEL, *(name for name, kind in journey.properties.items() if kind == "category")]
    columns = {
        **dict.fromkeys([TIME, KNOWN_AT], pl.Int64),
        **dict.fromkeys(numbers, pl.Float64),
        **dict.fromkeys(texts, pl.String),
    }
    rows = [{name: _cell(event.get(name), name in numbers) for name in columns} for event in events]
    ordered = pl.DataFrame(rows, schema=columns).sort(CUSTOMER, TIME, maintain_order=True)
    return ordered.with_columns(pl.int_range(pl.len()).over(CUSTOMER).alias(POSITION))


def _cell(value: Any, number: bool) -> Any:
    if value in (None, ""):
        return None
    return float(value) if number else value


def pairs(customers: Iterable[str], cutoffs: Iterable[int]) -> pl.DataFrame:
    """Every customer at every cutoff."""
    rows = [(customer, cutoff) for cutoff in cutoffs for customer in customers]
    return pl.DataFrame(rows, schema={CUSTOMER: pl.String, CUTOFF: pl.Int64}, orient="row")


class Question(NamedTuple):
    """What is asked of an engine; it is answered by a row per pair, in their order."""

    events: pl.DataFrame
    pairs: pl.DataFrame
    features: tuple[Feature, ...]
    journey: Journey
    profile: pl.DataFrame | None = None


def on_polars(question: Question) -> list[dict[str, Any]]:
    """The vectors that a question asks for."""
    return build(question.events, question.pairs, question.features, question.profile).to_dicts()


ask: Callable[[Question], list[dict[str, Any]]] = on_polars  # the fixture `engine` puts another in its place


def vector(
    table: str,
    features: Iterable[Feature],
    journey: Journey = SHOP,
    *,
    now: datetime = NOW,
    profile: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The vector at `now` of the one customer whose events the table tells."""
    known = None if profile is None else pl.DataFrame([{CUSTOMER: "c", **profile}])
    asked = pairs(["c"], [to_microseconds(now)])
    (row,) = ask(Question(log(table, journey, now=now), asked, tuple(features), journey, known))
    return {name: value for name, value in row.items() if name not in (CUSTOMER, CUTOFF)}


def at(days: float = 0, *, now: datetime = NOW) -> int:
    """The instant some days from the cutoff, in microseconds."""
    return to_microseconds(now + timedelta(days=days))


def same(found: Any, wanted: Any) -> bool:
    """Equal, numbers to a relative 1e-9; null equals only null."""
    if isinstance(found, float) and isinstance(wanted, int | float):
        return math.isclose(found, wanted, rel_tol=1e-9, abs_tol=1e-12)
    return bool(found == wanted)


class approx:  # noqa: N801 - reads as pytest.approx does
    """Equal to a vector that has these values; other features are not looked at."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, **wanted: Any) -> None:
        self.wanted = wanted

    def __eq__(self, found: object) -> bool:
        return isinstance(found, dict) and not self.differences(found)

    def __repr__(self) -> str:
        return f"approx({', '.join(f'{name}={value!r}' for name, value in self.wanted.items())})"

    def differences(self, found: dict[str, Any]) -> list[str]:
        """One line per feature that is not as wanted."""
        absent = "no such feature"
        return [
            f"{name}: found {found.get(name, absent)!r}, wanted {value!r}"
            for name, value in self.wanted.items()
            if name not in found or not same(found[name], value)
        ]
