"""The definitions against plain loops on random histories, and what must hold of every vector."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import oracle
import polars as pl
import pytest
from histories import logs
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from spec import SHOP, changed, frame, pairs, same

from features.catalogue import catalogue
from features.engine import build
from features.plan import Plan
from features.schema import CUSTOMER, CUTOFF, DAY, EVENT, KNOWN_AT, POSITION, TIME

BY_EVENT = changed(stages="by_event", channels=[], business=[], friction=[], properties={}, windows=["28d"])
PARTIAL = changed(types=["purchase", "visit"], stages="by_event", business=["email"], channels=["web"], properties={})
ONE_TYPE = changed(types=["purchase"], business=[], friction=[], stages={}, tasks={"churn": SHOP.tasks.churn})
FEATURES = {"shop": catalogue(SHOP), "by_event": catalogue(BY_EVENT)}
ONLINE = Plan(SHOP, FEATURES["shop"])


def examples(number: int) -> settings:
    """So many, and none made smaller: a build takes long enough for that to take minutes."""
    return settings(max_examples=number, phases=[Phase.explicit, Phase.generate])


def profile_of(customer: str, events: pl.DataFrame) -> dict[str, Any] | None:
    """Half of the customers have a profile; its plan became known at their second event."""
    times = events.filter(pl.col(CUSTOMER) == customer)[TIME].sort().to_list()
    if int(customer[1:]) % 2:
        return None
    return {CUSTOMER: customer, "region": "north", "plan": "gold", "plan_since": times[1] if len(times) > 1 else None}


def profiles(events: pl.DataFrame) -> pl.DataFrame:
    rows = [profile_of(customer, events) for customer in events[CUSTOMER].unique()]
    schema = {CUSTOMER: pl.String, "region": pl.String, "plan": pl.String, "plan_since": pl.Int64}
    return pl.DataFrame([row for row in rows if row], schema=schema)


def vectors(events: pl.DataFrame, cutoffs: list[int], which: str = "shop") -> list[dict[str, Any]]:
    every = pairs(sorted(events[CUSTOMER].unique()), cutoffs)
    return build(events, every, FEATURES[which], profiles(events)).to_dicts()


def differences(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> list[str]:
    assert len(found) == len(wanted)
    return [
        f"{row[CUSTOMER]} at {row[CUTOFF]}: {name}: found {row.get(name, 'nothing')!r}, wanted {value!r}"
        for row, other in zip(found, wanted, strict=True)
        for name, value in other.items()
        if name not in row or not same(row[name], value)
    ]


def by_hand(row: dict[str, Any], events: pl.DataFrame, which: str) -> dict[str, Any]:
    journey = SHOP if which == "shop" else BY_EVENT
    own = events.filter(pl.col(CUSTOMER) == row[CUSTOMER]).to_dicts()
    return oracle.vector(own, row[CUTOFF], journey, profile_of(row[CUSTOMER], events))


@pytest.mark.parametrize("which", ["shop", "by_event"])
@given(logs())
@examples(12)
def test_plain_loops_give_the_same_vectors(which, case):
    events, cutoffs = case
    found = vectors(events, cutoffs, which)
    wanted = [by_hand(row, events, which) for row in found]
    assert differences(found, wanted) == []
    assert set(found[0]) - {CUSTOMER, CUTOFF} == set(wanted[0])


@pytest.mark.parametrize("journey", [PARTIAL, ONE_TYPE, changed(business=["email"], windows=["6h"], profile=None)])
@given(logs())
@examples(5)
def test_journeys_without_some_of_the_parts_agree_too(journey, case):
    events, cutoffs = case
    every = pairs(sorted(events[CUSTOMER].unique()), cutoffs)
    found = build(events, every, catalogue(journey)).to_dicts()
    wanted = [
        oracle.vector(events.filter(pl.col(CUSTOMER) == row[CUSTOMER]).to_dicts(), row[CUTOFF], journey)
        for row in found
    ]
    assert differences(found, wanted) == []
    assert set(found[0]) - {CUSTOMER, CUTOFF} == set(wanted[0])


@given(logs())
@examples(5)
def test_events_from_the_cutoff_on_change_nothing(case):
    events, (cutoff, *_) = case
    before = events.filter(pl.col(TIME) < cutoff)
    if before.is_empty():
        return
    known = [row for row in vectors(events, [cutoff]) if row[CUSTOMER] in set(before[CUSTOMER])]
    assert differences(drop_profile(known), drop_profile(vectors(before, [cutoff]))) == []


@given(logs())
@examples(5)
def test_events_the_business_did_not_know_yet_change_nothing(case):
    events, (cutoff, *_) = case
    known = events.filter(pl.col(KNOWN_AT) < cutoff)
    if known.is_empty():
        return
    found = [row for row in vectors(events, [cutoff]) if row[CUSTOMER] in set(known[CUSTOMER])]
    assert differences(drop_profile(found), drop_profile(vectors(known, [cutoff]))) == []


def drop_profile(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the profile, whose date in these tests hangs on the log."""
    return [{name: value for name, value in row.items() if not name.startswith("profile_")} for row in rows]


@given(logs(), st.randoms(use_true_random=False))
@examples(5)
def test_the_order_of_rows_in_the_log_changes_nothing(case, random):
    events, cutoffs = case
    order = list(range(events.height))
    random.shuffle(order)
    assert differences(vectors(events[order], cutoffs), vectors(events, cutoffs)) == []


@given(logs())
@examples(5)
def test_many_cutoffs_at_once_give_what_each_gives_alone(case):
    events, cutoffs = case
    alone = [row for cutoff in cutoffs for row in vectors(events, [cutoff])]
    assert differences(vectors(events, cutoffs), alone) == []


@given(logs())
@examples(5)
def test_a_customer_alone_has_the_vector_of_the_batch(case):
    events, cutoffs = case
    batch = vectors(events, cutoffs[:1])
    alone = [row for row in batch for row in vectors(events.filter(pl.col(CUSTOMER) == row[CUSTOMER]), cutoffs[:1])]
    assert differences(alone, batch) == []


@given(logs())
@examples(5)
def test_one_request_has_the_vector_of_the_batch(case):
    events, cutoffs = case
    batch = build(events, pairs(sorted(events[CUSTOMER].unique()), cutoffs), FEATURES["shop"])
    for (customer,), rows in batch.group_by(CUSTOMER):
        own = events.filter(pl.col(CUSTOMER) == customer)
        found = ONLINE.run(own, rows.select(CUSTOMER, CUTOFF)).to_dicts()
        assert differences(found, rows.to_dicts()) == []


@given(logs(), st.randoms(use_true_random=False))
@examples(5)
def test_rows_keep_the_order_of_the_cutoffs_given(case, random):
    events, cutoffs = case
    every = pairs(sorted(events[CUSTOMER].unique()), cutoffs).rows()
    random.shuffle(every)
    wanted = pl.DataFrame(every, schema={CUSTOMER: pl.String, CUTOFF: pl.Int64}, orient="row")
    assert build(events, wanted, FEATURES["shop"]).select(CUSTOMER, CUTOFF).rows() == every


def test_the_columns_are_numbers_and_texts_whatever_the_log_holds():
    events = frame([{CUSTOMER: "c0", TIME: 0, KNOWN_AT: 0, EVENT: "purchase"}])
    built = build(events, pairs(["c0"], [1, 2]), FEATURES["shop"])
    kinds = {feature.name: pl.String if feature.unit == "category" else pl.Float64 for feature in FEATURES["shop"]}
    assert dict(built.drop(CUSTOMER, CUTOFF).schema) == kinds


def test_an_empty_log_gives_rows_of_unknowns_and_zeros():
    empty = frame([]).select(
        CUSTOMER, TIME, KNOWN_AT, EVENT, POSITION, "value", "channel", "items", "product", "stars", "nps"
    )
    (row,) = build(empty, pairs(["c0"], [0]), FEATURES["shop"]).to_dicts()
    assert {name: value for name, value in row.items() if value not in (0.0, None)} == {CUSTOMER: "c0"}
    assert {f.name: row[f.name] for f in FEATURES["shop"]} == {f.name: f.empty for f in FEATURES["shop"]}


PRINT_BITS = """
import sys
sys.path[:0] = [{root!r}, {tests!r}]
from test_features_agree import bits
print(bits())
"""


def bits() -> str:
    """A digest of the vectors of a log that is large enough for threads to share it."""
    random = Random(1)  # noqa: S311 - a log, not a secret
    rows = [
        {
            CUSTOMER: f"c{random.randrange(300)}",
            TIME: (time := random.randrange(200 * DAY)),
            KNOWN_AT: time,
            EVENT: random.choice(SHOP.types),
            "channel": random.choice(["web", "store", None]),
            "value": random.random(),
            "items": random.random(),
        }
        for _ in range(20_000)
    ]
    asked = pairs([f"c{number}" for number in range(300)], [100 * DAY, 200 * DAY])
    built = build(frame(rows), asked, FEATURES["shop"])
    return hashlib.sha256(built.write_csv(float_precision=None).encode()).hexdigest()


def test_the_same_log_gives_the_same_bits_with_one_thread_and_with_two():
    here = Path(__file__).resolve().parent
    script = PRINT_BITS.format(root=str(here.parent), tests=str(here))
    said = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "POLARS_MAX_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert said == {bits() + "\n"}
