"""What large logs take: the other paths, held to the same loops; order, sums and odd values of one's own features."""

from __future__ import annotations

from datetime import timedelta

import narwhals as nw
import numpy as np
import polars as pl
import pytest
from histories import logs
from hypothesis import HealthCheck, given, settings
from spec import SHOP, at, frame, log, pairs, vector
from test_features_agree import by_hand, differences, examples, vectors

from features import engine, flags, histories, instants, lookups, ranges, relational
from features.aggregates import combine, count, distinct, highest, newest, only_with, share, total
from features.catalogue import catalogue
from features.engine import build
from features.feature import EVENTS, Feature, Table
from features.histories import Keyed, Single, Sorted
from features.instants import Window
from features.numbers import only_where
from features.plan import Plan
from features.schema import CHANNEL, CUSTOMER, CUTOFF, EVENT, HISTORY, POSITION, TIME, VALUE

COUNTED = {"SEARCHED": 10**9}  # instants are counted for, not searched
LARGE = {
    flags: {"FEW": -1, "SEARCHED": 0},
    histories: {"FEW": 0},
    lookups: {"FEW": -1},
    engine: {"TOGETHER": 0},
    ranges: {"FEW_KINDS": 0, "EXPANDED_AT_ONCE": 5, "ORDERED_PIECES": 0},
}


@pytest.fixture(params=["counted", "searched"])
def large(request, monkeypatch):
    """Every threshold as though the log were large."""
    wanted = LARGE | {instants: COUNTED if request.param == "counted" else {"SEARCHED": 0}}
    for module, names in wanted.items():
        for name, value in names.items():
            monkeypatch.setattr(module, name, value)


@given(case=logs())
@settings(examples(6), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_plain_loops_give_the_vectors_of_large_logs(large, case):
    events, cutoffs = case
    found = vectors(events, cutoffs)
    assert differences(found, [by_hand(row, events, "shop") for row in found]) == []


def own(value, empty=None, of=EVENTS, unit="number") -> Feature:
    return Feature("own", "a feature of one's own", unit, "ACTIVITY", value, empty, of)


C, V = nw.col(CHANNEL), nw.col(VALUE)


def _filled_before(rows, here):
    return here.before(rows.with_columns(filled=C.fill_null("unknown")), previous="filled")


def _large_so_far(rows, here):
    return here.running(rows.with_columns(large=(V > 5).cast(nw.Int64)), number="large")


OWN = {
    "a text filled": own(share(C.fill_null("unknown") == "unknown")),
    "texts filled, told apart": own(distinct(C.fill_null("unknown"))),
    "the newest text filled": own(newest(nw.coalesce(C, nw.lit("unknown"))), unit="category"),
    "a text function": own(count(C.str.starts_with("w"))),
    "a text before": own(count(nw.col("previous") != nw.col("filled")), of=Table("filled", _filled_before)),
    "a running sum with unknowns": own(newest("number"), of=Table("large", _large_so_far)),
    "conditions told apart": own(distinct(V > 5)),
    "a text only with something": own(only_with(count(), newest(EVENT)), "none", unit="category"),
    "texts compared": own(combine(lambda a, b: only_where(a != b, 1.0, 0.0), newest(EVENT), newest(EVENT, back=1))),
    "cut to fewer bits": own(combine(lambda a: (a * 0.3).cast(nw.Int32), count())),
    "the larger of two": own(combine(nw.max_horizontal, count(C == "web"), highest(VALUE))),
    "nothing over nothing": own(combine(lambda a, b: (a / b).abs(), total(VALUE), count(C == "web")), 0.0),
    "something over nothing": own(total(VALUE, V > 5) / count(C == "web")),
}
CASES = {
    "no channel at the end": "day | event | value | channel\n-9 | visit | 6 | web\n-3 | visit | | ",
    "no channel at first": "day | event | value | channel\n-9 | visit | 1 | \n-3 | purchase | 9 | web\n-2 | visit | |",
    "one event": "day | event | value | channel\n-9 | purchase | 7 | ",
    "nothing": "day | event | value | channel\n2 | purchase | 7 | web",
}


@pytest.mark.parametrize("table", CASES.values(), ids=list(CASES))
@pytest.mark.parametrize("name", OWN)
def test_a_feature_of_ones_own_says_the_same_in_bulk_online_and_by_joining(name, table):
    events, cutoffs = log(table), pairs(["c"], [at()])
    many = pairs(["c"], [at(day) for day in range(-20, 1)])
    alone = Plan(SHOP, [OWN[name]]).run(events, cutoffs)["own"].to_list()
    frames = (nw.from_native(f.lazy()) for f in (events, cutoffs))
    joined = relational.build(*frames, [OWN[name]]).collect(backend="polars").to_native()["own"].to_list()
    assert build(events, cutoffs, [OWN[name]])["own"].to_list() == alone
    assert Plan(SHOP, [OWN[name]]).run(events, many)["own"].to_list()[-1:] == alone
    assert joined == pytest.approx(alone) if isinstance(alone[0], float) else joined == alone


def test_shuffled_cutoffs_have_the_vectors_of_sorted_ones(monkeypatch):
    monkeypatch.setattr(ranges, "ORDERED_PIECES", 0)
    rows = [
        {CUSTOMER: f"c{number}", TIME: at(-day), EVENT: "purchase", VALUE: 0.1 * day}
        for number in range(5)
        for day in range(1, 9)
    ]
    asked = pairs([f"c{number}" for number in range(5)], [at(-3), at()])
    spend = [Feature("spend", "money", "money", "SPEND", total(VALUE, window=Window(timedelta(days=5))))]
    shuffled = build(frame(rows), asked.sample(fraction=1, shuffle=True, seed=1), spend)
    assert shuffled.sort(CUSTOMER, CUTOFF).equals(build(frame(rows), asked, spend).sort(CUSTOMER, CUTOFF))


def test_money_before_a_window_takes_nothing_from_the_cents_within_it():
    table = "day | event | value\n-40 | purchase | 10000000000000000\n-3 | purchase | 0.01"
    assert vector(table, catalogue(SHOP))["spend_7d"] == 0.01


def test_a_running_sum_of_fractions_is_refused():
    rows = pl.DataFrame({HISTORY: [0, 0], POSITION: [0, 1], "value": [0.5, 1.0]})
    with pytest.raises(TypeError, match="running sums are of whole numbers: 'value' holds Float64; cast it"):
        Sorted().running(nw.from_native(rows), so_far="value")


@pytest.mark.parametrize("size", [5, 5000])
def test_unknown_numbers_and_minus_one_are_different_groups(size, monkeypatch):
    monkeypatch.setattr(histories, "FEW", 100)
    kinds = [[None, -1, 2**62, None, -1][i % 5] for i in range(size)]
    rows = pl.DataFrame({HISTORY: [0] * size, "kind": kinds, "one": 1})
    found = Sorted().running(nw.from_native(rows), "kind", number="one").to_native()["number"][-5:].to_list()
    fifth = size // 5
    assert found == [fifth * 2 - 1, fifth * 2 - 1, fifth, fifth * 2, fifth * 2]


def test_far_apart_groups_do_not_meet():
    numbers = np.array([0, 2**32 - 1] * 10)
    rows = pl.DataFrame({HISTORY: np.repeat(np.arange(10), 2), "a": numbers, "b": numbers[::-1], "one": 1})
    found = Sorted().running(nw.from_native(rows), "a", "b", number="one").to_native()
    assert found["number"].to_list() == [1] * 20


def test_the_forms_of_histories_say_the_same_of_unknown_numbers():
    rows = pl.DataFrame({HISTORY: [0] * 4, POSITION: range(4), "n": [1, None, 2, None]})
    said = [
        Sorted().running(nw.from_native(rows), s="n").to_native(),
        Single().running(nw.from_native(rows.lazy()), s="n").to_native().collect(),
        Keyed((HISTORY,)).running(nw.from_native(rows.lazy()), s="n").to_native().collect(),
    ]
    assert [one["s"].to_list() for one in said] == [[1, None, 3, None]] * 3
