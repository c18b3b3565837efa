from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime, minimize
from scipy.special import expit, softmax
from sklearn.metrics import log_loss

from training.calibration import MIN_SLOPE, PlattCalibrator, VectorCalibrator, fit_platt, fit_vector, read_calibrator

SLOPES = st.floats(0.01, 20)
INTERCEPTS = st.floats(-10, 10)
RNG = np.random.default_rng(5)
MARGINS = RNG.normal(-1, 2, 20_000)
Y = RNG.uniform(size=20_000) < expit(MARGINS)
MARGINS3 = RNG.normal(0, 1.5, (20_000, 3))
Y3 = (softmax(MARGINS3, axis=1).cumsum(axis=1) < RNG.uniform(size=(20_000, 1))).sum(axis=1)


@given(SLOPES, INTERCEPTS, st.floats(-700, 30), st.floats(0.01, 5))
def test_a_higher_margin_gets_a_higher_probability(slope: float, intercept: float, start: float, step: float) -> None:
    calibrator = PlattCalibrator(slope, intercept)
    log_odds = np.array([start, min(start + 1.02 * step, 30.05)])
    lower, higher = calibrator.probability((log_odds - intercept) / slope)
    assert lower < higher or log_odds[1] - log_odds[0] < 0.01


@given(SLOPES, INTERCEPTS, st.floats(-1e6, 1e6))
def test_no_margin_is_a_certainty(slope: float, intercept: float, margin: float) -> None:
    assert 0 < PlattCalibrator(slope, intercept).probability(margin) < 1


@given(st.floats(0.05, 20), st.lists(st.floats(-1e4, 1e4), min_size=3, max_size=3))
def test_no_class_is_a_certainty_and_probabilities_sum_to_one(temperature: float, margins: list[float]) -> None:
    found = VectorCalibrator(temperature, (0.5, -0.2, -0.3)).probabilities(margins)
    assert np.all((found > 0) & (found < 1))
    assert found.sum() == pytest.approx(1, abs=1e-12)


@given(st.floats(0.5, 20), st.lists(st.floats(-3, 3), min_size=3, max_size=3), st.floats(0.01, 3))
def test_a_class_with_a_higher_margin_gets_a_higher_probability(
    temperature: float, margins: list[float], step: float
) -> None:
    calibrator, raised = VectorCalibrator(temperature, (0.5, -0.2, -0.3)), [margins[0] + step, *margins[1:]]
    before, after = calibrator.probabilities([margins, raised])
    assert after[0] > before[0]
    assert np.all(after[1:] < before[1:])


@given(SLOPES, INTERCEPTS, st.lists(st.floats(-5, 5), min_size=2, max_size=5), st.floats(0.05, 20))
def test_json_gives_the_very_same_calibrator_back(
    slope: float, intercept: float, biases: list[float], temperature: float
) -> None:
    for calibrator in (PlattCalibrator(slope, intercept), VectorCalibrator(temperature, tuple(biases))):
        assert read_calibrator(json.loads(json.dumps(calibrator.to_json()))) == calibrator


@pytest.mark.parametrize(
    "written",
    [
        {},
        {"kind": "isotonic", "x": [1]},
        {"kind": "platt", "slope": 1},
        {"kind": "vector", "temperature": 1, "biases": 3},
    ],
)
def test_an_object_that_is_no_calibrator_is_refused(written: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="is not a calibrator"):
        read_calibrator(written)


@pytest.mark.parametrize("slope", [0.0, -1.0, float("nan"), float("inf")])
def test_a_slope_that_would_turn_the_order_is_refused(slope: float) -> None:
    with pytest.raises(ValueError, match="slope must be positive"):
        PlattCalibrator(slope, 0.0)
    with pytest.raises(ValueError, match="positive, and one number per class"):
        VectorCalibrator(slope, (0.0, 0.0))


@given(SLOPES, INTERCEPTS, st.floats(-3, 3))
def test_the_derivative_is_the_change_per_unit_of_margin(slope: float, intercept: float, margin: float) -> None:
    calibrator, step = PlattCalibrator(slope, intercept), 1e-6
    ends = calibrator.probability([margin - step, margin + step])
    assert calibrator.derivative(margin) == pytest.approx((ends[1] - ends[0]) / (2 * step), abs=1e-6, rel=1e-3)


def test_calibrated_margins_are_left_as_they_are() -> None:
    found = fit_platt(MARGINS, Y)
    assert found.slope == pytest.approx(1, abs=0.05)
    assert found.intercept == pytest.approx(0, abs=0.06)
    vector = fit_vector(MARGINS3, Y3)
    assert vector.temperature == pytest.approx(1, abs=0.04)
    assert vector.biases == pytest.approx((0, 0, 0), abs=0.05)


def test_distorted_margins_are_set_right() -> None:
    found = fit_platt(3 * MARGINS + 2, Y)
    assert found.slope == pytest.approx(1 / 3, abs=0.02)
    assert found.intercept == pytest.approx(-2 / 3, abs=0.06)
    assert found.probability(3 * MARGINS + 2).mean() == pytest.approx(Y.mean(), abs=1e-3)
    vector = fit_vector(2 * MARGINS3 + [1.0, 0.0, -1.0], Y3)
    assert vector.temperature == pytest.approx(2, abs=0.06)
    assert vector.biases == pytest.approx((-0.5, 0, 0.5), abs=0.05)
    assert sum(vector.biases) == pytest.approx(0, abs=1e-12)


def test_the_fit_is_the_lowest_log_loss() -> None:
    few = slice(0, 300)
    found = fit_platt(MARGINS[few] * 2, Y[few])
    best = log_loss(Y[few], found.probability(MARGINS[few] * 2))
    for slope, intercept in ((0.05, 0), (-0.05, 0), (0, 0.1), (0, -0.1)):
        other = PlattCalibrator(found.slope + slope, found.intercept + intercept)
        assert log_loss(Y[few], other.probability(MARGINS[few] * 2)) > best
    vector = fit_vector(MARGINS3 * 2, Y3)
    best = log_loss(Y3, vector.probabilities(MARGINS3 * 2))
    assert log_loss(Y3, VectorCalibrator(vector.temperature * 1.1, vector.biases).probabilities(MARGINS3 * 2)) > best
    assert log_loss(Y3, VectorCalibrator(vector.temperature, (0.1, 0, -0.1)).probabilities(MARGINS3 * 2)) > best


@pytest.mark.parametrize("only", [False, True])
def test_one_class_only_keeps_the_order_and_stays_short_of_certainty(only: bool) -> None:
    found = fit_platt(MARGINS[:98], np.full(98, only))
    assert found.slope == 1
    assert found.probability(MARGINS[:98]).mean() == pytest.approx(0.99 if only else 0.01)


def test_equal_margins_get_the_rate() -> None:
    assert fit_platt(np.full(98, 2.0), np.arange(98) < 49).probability(2.0) == pytest.approx(0.5)


def test_margins_that_separate_the_classes_keep_a_finite_slope() -> None:
    margins = np.linspace(-3, 3, 200)
    found = fit_platt(margins, margins > 0)
    assert 1 < found.slope < 100
    assert 0.9 < found.probability(3.0) < 1


def test_margins_in_the_wrong_order_are_flattened_and_never_turned() -> None:
    found = fit_platt(-MARGINS, Y)
    assert found.slope == MIN_SLOPE
    assert found.probability(-MARGINS).mean() == pytest.approx(Y.mean(), abs=1e-3)


def test_a_class_no_row_has_keeps_a_small_probability() -> None:
    kept = Y3 != 2
    vector = fit_vector(MARGINS3[kept], Y3[kept])
    share = vector.probabilities(MARGINS3[kept])[:, 2].mean()
    assert 0 < share < 0.005
    assert np.all(np.isfinite(vector.biases))


def test_the_pull_to_the_identity_is_as_documented() -> None:
    z, y = 4 * MARGINS3[:60], np.where(Y3[:60] == 2, 0, Y3[:60])

    def loss(logs: np.ndarray) -> float:
        p = softmax(z / np.exp(logs[0]) + logs[1:], axis=1)
        return float(-np.log(p[np.arange(60), y]).sum() + 0.5 * (logs**2).sum())

    found = fit_vector(z, y)
    here = np.array([np.log(found.temperature), *found.biases])
    assert loss(here) == pytest.approx(minimize(loss, np.zeros(4), method="BFGS").fun, abs=1e-6)
    assert np.linalg.norm(approx_fprime(here, loss)) < 1e-3


def test_weights_count_as_copies_of_rows() -> None:
    m, y, z, c = MARGINS[:400] * 2, Y[:400], MARGINS3[:400] * 2, Y3[:400]
    rng = np.random.default_rng(0)
    copies = rng.permutation(np.repeat([1, 3], 200))
    twice = [np.repeat(values, copies, axis=0) for values in (m, y, z, c)]
    weighted, copied = fit_platt(m, y, copies), fit_platt(twice[0], twice[1])
    assert weighted.slope == pytest.approx(copied.slope, rel=0.03)
    assert weighted.slope != pytest.approx(fit_platt(m, y).slope, rel=1e-3)
    vector, copied_vector = fit_vector(z, c, copies), fit_vector(twice[2], twice[3])
    assert vector.temperature == pytest.approx(copied_vector.temperature, rel=0.03)
    assert fit_vector(z, c, copies) == fit_vector(z, c, 2.0 * copies)


def test_no_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="no rows to calibrate on"):
        fit_platt([], [])


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.floats(-20, 20), st.booleans()), min_size=1, max_size=30))
def test_any_rows_give_an_increasing_calibrator(rows: list[tuple[float, bool]]) -> None:
    margins, y = np.array([m for m, _ in rows]), np.array([c for _, c in rows])
    low, high = fit_platt(margins, y).probability([-5.0, 5.0])
    assert 0 < low <= high < 1
