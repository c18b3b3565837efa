"""Risk bands from run to run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores import answer_of

from features.journey import RiskBands
from serving.bands import settled

BANDS = RiskBands(medium=0.2, high=0.5, margin=0.1)  # passed at 0.18 and 0.22, at 0.45 and 0.55
NAMES = ["low", "medium", "high"]


@pytest.mark.parametrize(
    ("before", "probability", "after"),
    [
        (None, 0.2, "medium"),
        (None, 0.199, "low"),
        ("low", 0.21, "low"),
        ("low", 0.221, "medium"),
        ("medium", 0.19, "medium"),
        ("medium", 0.179, "low"),
        ("medium", 0.54, "medium"),
        ("medium", 0.551, "high"),
        ("high", 0.46, "high"),
        ("high", 0.44, "medium"),
        ("low", 0.52, "medium"),
        ("high", 0.19, "medium"),
        ("low", 0.9, "high"),
        ("high", 0.1, "low"),
    ],
)
def test_a_band_changes_only_when_the_bound_is_passed_by_the_margin(before, probability, after):
    assert BANDS.band(probability, before) == after


@given(st.lists(st.floats(0.45, 0.5499), max_size=20), st.sampled_from(["medium", "high"]))
def test_a_customer_on_the_edge_keeps_the_band_however_often_the_bound_is_crossed(probabilities, before):
    band = before
    for probability in probabilities:
        band = BANDS.band(probability, band)
    assert band == before


@given(st.floats(0, 1), st.sampled_from(NAMES), st.floats(0.01, 0.49), st.floats(0.5, 0.99), st.floats(0, 0.99))
def test_a_band_is_never_further_from_the_probability_than_the_one_before(probability, before, medium, high, margin):
    bands = RiskBands(medium=medium, high=high, margin=margin)
    plain, settled_band = (NAMES.index(bands.band(probability, known)) for known in (None, before))
    assert min(NAMES.index(before), plain) <= settled_band <= max(NAMES.index(before), plain)
    assert {bands.band(0.0, before), bands.band(1.0, before)} == {"low", "high"}  # every band can be reached


@given(st.floats(0, 1), st.sampled_from(NAMES))
def test_without_a_margin_the_band_before_does_not_matter(probability, before):
    bands = RiskBands(margin=0)
    assert bands.band(probability, before) == bands.band(probability)


def test_an_answer_takes_the_band_that_its_customer_keeps():
    assert settled(answer_of("a", probability=0.52), "medium", BANDS).churn.risk == "medium"
    answer = answer_of("a", probability=0.52)
    assert settled(answer, None, BANDS) is answer
    unasked = answer_of("a", probability=None)
    assert settled(unasked, "high", BANDS) is unasked
