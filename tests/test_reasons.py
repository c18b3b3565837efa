"""Reasons: effects summed by code, told in words, and nothing lost on the way."""

import narwhals as nw
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from features.feature import Feature
from features.journey import Journey
from serving.reasons import SHOWN, Teller, shown

JOURNEY = Journey.model_validate(
    {
        "journey": "shop",
        "currency": "EUR",
        "events": [{"file": "events.csv"}],
        "tasks": {"churn": {"no": "purchase", "within": "28d"}},
    }
)


def feature(name, reason, unit="days", says="", usual=None):
    return Feature(name, f"the {name} in words", unit, reason, nw.lit(0), says=says, usual=usual)


OVERDUE = feature("recency", "OVERDUE", says="{value} since the last purchase", usual="gap")
GAP = feature("gap", "CADENCE")
SPEND = feature("spend", "SPEND", "money")
MORE_SPEND = feature("spend_trend", "SPEND", "ratio")
STAGE = feature("stage", "STAGE", "category", "in stage {value}")
FEATURES = (OVERDUE, GAP, SPEND, MORE_SPEND, STAGE)
VALUES = {"recency": 19.0, "gap": 6.0, "spend": 1234.5, "spend_trend": 0.5, "stage": "lapsed"}


def told(effects, features=FEATURES, **values):
    return Teller(JOURNEY, features).tell(pl.DataFrame([VALUES | values]), np.array([effects]))[0]


def reasons(effects, **values):
    return {reason.code: reason for reason in told(effects, **values).reasons}


def test_a_reason_says_the_value_and_the_customers_own_usual_one():
    reason = reasons([0.17, 0, 0, 0, 0])["OVERDUE"]
    assert reason.text == "19 days since the last purchase; usual 6 days"
    assert (reason.value, reason.usual, reason.unit) == (19.0, 6.0, "days")
    assert (reason.effect, reason.direction) == (0.17, "raises")


def test_without_a_usual_value_none_is_told():
    reason = reasons([0.17, 0, 0, 0, 0], gap=None)["OVERDUE"]
    assert reason.text == "19 days since the last purchase"
    assert reason.usual is None


def test_a_feature_without_events_says_so():
    reason = reasons([-0.1, 0, 0, 0, 0], recency=None)["OVERDUE"]
    assert reason.text == "the recency in words: unknown, no such events on record, or too few"
    assert (reason.value, reason.direction) == (None, "lowers")


def test_effects_of_one_code_are_one_reason_told_by_the_strongest_of_its_direction():
    reason = reasons([0, 0, -0.3, 0.1, 0])["SPEND"]
    assert (reason.effect, reason.direction) == (pytest.approx(-0.2), "lowers")
    assert reason.text == "the spend in words: EUR 1,234.50"
    assert reason.unit == "EUR"


def test_a_category_is_told_by_its_name():
    reason = reasons([0, 0, 0, 0, 0.2])["STAGE"]
    assert (reason.text, reason.value) == ("in stage lapsed", "lapsed")


def test_both_directions_are_told_the_strongest_first():
    found = told([0.1, -0.3, 0, 0.05, 0.2]).reasons
    assert [reason.code for reason in found] == ["CADENCE", "STAGE", "OVERDUE", "SPEND"]
    assert [reason.direction for reason in found] == ["lowers", "raises", "raises", "raises"]


def test_of_each_direction_only_the_strongest_are_told_and_the_rest_is_summed():
    many = tuple(feature(f"f{number}", code) for number, code in enumerate("ABCDEFGH"))
    values = {f.name: 1.0 for f in many}
    found = told([0.8, 0.7, 0.6, 0.5, 0.4, -0.3, -0.2, -0.1], many, **values)
    assert [reason.code for reason in found.reasons] == ["A", "B", "C", "F", "G", "H"]
    assert len(found.reasons) == 2 * SHOWN
    assert found.other_effects == pytest.approx(0.9)


def test_effects_too_small_to_matter_are_not_told():
    found = told([0.5, 0.001, 0, 0, -0.001])
    assert [reason.code for reason in found.reasons] == ["OVERDUE"]
    assert found.other_effects == pytest.approx(0.0, abs=1e-12)


def test_where_nothing_moves_the_prediction_there_is_no_reason():
    found = told([0.0] * 5)
    assert (found.reasons, found.other_effects) == ([], 0.0)


@given(arrays(np.float64, (3, len(FEATURES)), elements=st.floats(-1e3, 1e3, allow_nan=False)))
def test_reasons_and_the_rest_add_up_to_all_effects(effects):
    for row, found in enumerate(Teller(JOURNEY, FEATURES).tell(pl.DataFrame([VALUES] * 3), effects)):
        total = sum(reason.effect for reason in found.reasons) + found.other_effects
        assert total == pytest.approx(effects[row].sum(), abs=1e-9)
        assert all((reason.effect > 0) == (reason.direction == "raises") for reason in found.reasons)
        assert all(reason.effect != 0 for reason in found.reasons)


@pytest.mark.parametrize(
    ("unit", "value", "text"),
    [
        ("days", 19.4, "19 days"),
        ("days", 6.0, "6 days"),
        ("days", 6.25, "6.2 days"),
        ("days", 1.0, "1 day"),
        ("days", 0.0, "0 days"),
        ("money", 34.2, "EUR 34.20"),
        ("money", -1234.5, "EUR -1,234.50"),
        ("money", -0.001, "EUR 0.00"),
        ("share", 0.404, "40 %"),
        ("share", -0.0, "0 %"),
        ("share", -0.004, "0 %"),
        ("count", 1234.0, "1,234"),
        ("ratio", 0.12345, "0.123"),
        ("number", 12345.6, "12,346"),
        ("category", "lapsed", "lapsed"),
    ],
)
def test_a_value_is_shown_as_people_read_it(unit, value, text):
    assert shown(JOURNEY, unit, value) == text
