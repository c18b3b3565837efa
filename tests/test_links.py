"""Links: margins to predictions, with derivatives that are true and a written form that comes back."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from training.calibration import PlattCalibrator, VectorCalibrator
from training.links import Probabilities, Probability, TwoParts, read_link

CLASSES = 4
STEP = 1e-5


def numbers(low, high):
    return st.floats(low, high, allow_nan=False)


platt = st.builds(PlattCalibrator, slope=numbers(0.05, 5), intercept=numbers(-3, 3))
vector = st.builds(
    VectorCalibrator, temperature=numbers(0.2, 5), biases=st.tuples(*[numbers(-2, 2) for _ in range(CLASSES)])
)
links = st.one_of(
    st.tuples(st.builds(Probability, platt), st.just(1)),
    st.tuples(st.builds(Probabilities, vector), st.just(CLASSES)),
    st.tuples(st.builds(TwoParts, spends=platt, slope=numbers(0.1, 3), intercept=numbers(-2, 3)), st.just(2)),
)


def margins_of(width, rows=3):
    return arrays(np.float64, (rows, width), elements=numbers(-4, 4))


@st.composite
def cases(draw):
    link, width = draw(links)
    outputs = width if isinstance(link, Probabilities) else 1
    margins = draw(margins_of(width))
    return link, margins, np.array([draw(st.integers(0, outputs - 1)) for _ in margins])


@given(cases())
def test_a_gradient_is_the_slope_of_the_prediction(case):
    link, margins, output = case
    found = link.gradient(margins, output)
    assert found.shape == margins.shape
    for column in range(margins.shape[1]):
        step = np.zeros(margins.shape[1])
        step[column] = STEP
        rise = link.predict(margins + step) - link.predict(margins - step)
        slope = np.take_along_axis(rise, output[:, None], axis=1)[:, 0] / (2 * STEP)
        np.testing.assert_allclose(found[:, column], slope, rtol=1e-5, atol=1e-8)


@given(cases())
def test_a_link_comes_back_from_json_as_it_was(case):
    link, margins, _ = case
    again = read_link(json.loads(json.dumps(link.to_json())))
    assert again == link
    np.testing.assert_array_equal(again.predict(margins), link.predict(margins))


@given(cases())
def test_many_rows_are_answered_as_each_alone(case):
    link, margins, output = case
    stacked = np.stack([margins, margins + 1])
    np.testing.assert_array_equal(link.predict(stacked)[1], link.predict(margins + 1))
    both = np.stack([output, output])
    np.testing.assert_array_equal(link.gradient(stacked, both)[1], link.gradient(margins + 1, output))


@given(st.builds(Probabilities, vector), margins_of(CLASSES))
def test_class_probabilities_sum_to_one_and_their_gradients_to_nothing(link, margins):
    np.testing.assert_allclose(link.predict(margins).sum(axis=1), 1.0, atol=1e-12)
    gradients = sum(link.gradient(margins, np.full(len(margins), chosen)) for chosen in range(CLASSES))
    np.testing.assert_allclose(gradients, 0.0, atol=1e-12)


def test_an_expected_value_is_the_chance_to_spend_times_the_amount():
    link = TwoParts(PlattCalibrator(1.0, 0.0), slope=1.0, intercept=np.log(40.0))
    assert link.predict(np.array([[0.0, 0.0]])).item() == pytest.approx(20.0)


@pytest.mark.parametrize(
    "written",
    [
        {"kind": "square root"},
        {"kind": "probability", "calibrator": {"kind": "vector", "temperature": 1.0, "biases": [0.0, 0.0]}},
        {"kind": "probabilities", "calibrator": {"kind": "platt", "slope": 1.0, "intercept": 0.0}},
        {
            "kind": "two parts",
            "spends": {"kind": "vector", "temperature": 1.0, "biases": [0.0, 0.0]},
            "slope": 1.0,
            "intercept": 0.0,
        },
        {},
    ],
)
def test_what_is_no_link_is_refused(written):
    with pytest.raises(ValueError, match=r"is not a (link|calibrator)"):
        read_link(written)
