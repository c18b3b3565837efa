"""Effects: SHAP values of margins carried to the prediction's unit, adding up whatever the link."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from test_links import CLASSES, numbers, platt, vector

from serving.effects import effects
from training.calibration import PlattCalibrator, VectorCalibrator
from training.links import Probabilities, Probability, TwoParts

FEATURES = 5
FIRST = np.zeros(1, dtype=np.intp)


def shap_values(width, size=3.0):
    return arrays(np.float64, (2, width, FEATURES), elements=numbers(-size, size))


@st.composite
def cases(draw, size):
    """A link, SHAP values up to `size`, base margins, and the output explained in each row."""
    link, width, outputs = draw(
        st.sampled_from(
            [
                (Probability(draw(platt)), 1, 1),
                (Probabilities(draw(vector)), CLASSES, CLASSES),
                (TwoParts(draw(platt), draw(numbers(0.1, 1)), draw(numbers(-2, 3))), 2, 1),
            ]
        )
    )
    base = draw(arrays(np.float64, width, elements=numbers(-3, 3)))
    return link, draw(shap_values(width, size)), base, np.array([draw(st.integers(0, outputs - 1)) for _ in range(2)])


def distance(case):
    """How far base and effects are from the prediction, and its size."""
    link, phi, base, output = case
    found, start = effects(link, phi, base, output)
    np.testing.assert_array_equal(start, link.predict(base[None, :])[0][output])
    predicted = np.take_along_axis(link.predict(base + phi.sum(axis=2)), output[:, None], axis=1)[:, 0]
    return np.abs(start + found.sum(axis=1) - predicted) / np.maximum(1.0, np.maximum(start, predicted))


@given(cases(size=0.5))
def test_base_and_effects_add_up_to_the_prediction_for_any_link(case):
    assert distance(case).max() < 1e-9


@given(cases(size=3.0))
def test_effects_still_add_up_where_no_tree_model_goes(case):
    assert distance(case).max() < 1e-6


@given(platt, shap_values(1), numbers(-3, 3))
def test_with_one_margin_the_closed_form_is_the_integral(calibrator, phi, base):
    found, _ = effects(Probability(calibrator), phi, np.array([base]), np.zeros(2, dtype=np.intp))
    nodes, weights = np.polynomial.legendre.leggauss(200)
    along = base + (nodes + 1) / 2 * phi.sum(axis=2)
    slope = calibrator.derivative(along) @ (weights / 2)
    np.testing.assert_allclose(found, phi[:, 0] * slope[:, None], rtol=1e-6, atol=1e-9)


@given(platt, shap_values(1), numbers(-3, 3))
def test_with_one_margin_an_effect_has_the_sign_of_its_shap_value(calibrator, phi, base):
    found, _ = effects(Probability(calibrator), phi, np.array([base]), np.zeros(2, dtype=np.intp))
    assert np.all(found * phi[:, 0] >= 0)


def test_where_the_customer_is_at_the_base_the_derivative_is_the_limit():
    calibrator = PlattCalibrator(1.5, -0.5)
    phi = np.array([[[0.7, -0.7, 0.2, -0.2]]])  # they cancel
    found, base = effects(Probability(calibrator), phi, np.array([0.3]), FIRST)
    np.testing.assert_allclose(found, phi[:, 0] * calibrator.derivative(0.3), rtol=1e-12)
    assert (base + found.sum()).item() == pytest.approx(calibrator.probability(0.3).item(), abs=1e-15)


@pytest.mark.parametrize("way", [1e-9, 1e-7, 9.9e-7, 1.1e-6, 1e-5, 1e-4])
def test_close_to_the_base_the_quotient_and_the_derivative_meet(way):
    calibrator = PlattCalibrator(1.5, -0.5)
    found, _ = effects(Probability(calibrator), np.array([[[2.0, way - 2.0]]]), np.array([0.3]), FIRST)
    assert found[0, 0] == pytest.approx(2.0 * float(calibrator.derivative(0.3 + way / 2)), rel=1e-9)


def test_two_classes_are_explained_as_one_margin_would_be():
    margins = np.array([[[1.2, -0.4, 0.1], [0.0, 0.0, 0.0]]])
    softmax = Probabilities(VectorCalibrator(1.0, (0.0, 0.0)))
    two, start = effects(softmax, margins, np.array([0.4, 0.0]), FIRST)
    one, same = effects(Probability(PlattCalibrator(1.0, 0.0)), margins[:, :1], np.array([0.4]), FIRST)
    np.testing.assert_allclose(two, one, atol=1e-12)
    assert start == pytest.approx(same)


def test_a_class_loses_what_the_others_gain():
    phi = np.array([[[0.5, -0.2], [1.5, 0.3], [-2.0, 0.4]]] * 3)
    base, link = np.array([0.1, 0.2, -0.3]), Probabilities(VectorCalibrator(1.3, (0.2, 0.0, -0.2)))
    found, start = effects(link, phi, base, np.arange(3))
    np.testing.assert_allclose(found.sum(axis=0), 0.0, atol=1e-12)
    assert start.sum() == pytest.approx(1.0)


def test_more_rows_than_a_chunk_holds_are_explained_as_each_alone():
    rng = np.random.default_rng(0)
    phi, output = rng.normal(size=(5000, CLASSES, 2)), rng.integers(0, CLASSES, 5000)
    link, base = Probabilities(VectorCalibrator(1.0, (0.0,) * CLASSES)), np.zeros(CLASSES)
    found, _ = effects(link, phi, base, output)
    alone, _ = effects(link, phi[4500:4501], base, output[4500:4501])
    np.testing.assert_allclose(found[4500:4501], alone, atol=1e-14)


def test_nobody_to_explain_is_no_effect():
    found, base = effects(Probability(PlattCalibrator(1.0, 0.0)), np.zeros((0, 1, 3)), np.zeros(1), FIRST[:0])
    assert found.shape == (0, 3)
    assert len(base) == 0


def test_effects_of_large_amounts_add_up_too():
    link, rng = TwoParts(PlattCalibrator(1.0, 0.0), 1.0, 0.0), np.random.default_rng(5)
    phi, base = rng.normal(0, 3, size=(400, 2, 12)), np.array([0.4, 6.0])
    found, start = effects(link, phi, base, np.zeros(400, dtype=np.intp))
    predicted = link.predict(base + phi.sum(axis=2))[:, 0]
    assert predicted.max() > 1e6
    np.testing.assert_allclose(start + found.sum(axis=1), predicted, rtol=1e-14, atol=1e-9)
