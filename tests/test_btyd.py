from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from training.btyd import BgNbd, GammaGamma, fit_bg_nbd, fit_gamma_gamma, log_likelihood

# Published for the CDNOW sample, time in weeks (Fader, Hardie and Lee 2005, table 2).
CDNOW = BgNbd(r=0.2426, alpha=4.4136, a=0.7929, b=2.4259)
TRUE = BgNbd(r=0.8, alpha=40.0, a=1.2, b=3.5)


def _simulated(model: BgNbd, customers: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Frequency, recency, age at the cutoff and the purchases of the 90 days after it, bought one by one."""
    rng = np.random.default_rng(seed)
    rows = []
    for age in rng.uniform(60, 365, customers):
        rate, leave = rng.gamma(model.r, 1 / model.alpha), rng.beta(model.a, model.b)
        time, past, last, future = 0.0, 0, 0.0, 0
        while True:
            time += rng.exponential(1 / rate)
            if time > age + 90:
                break
            past, last, future = (past + 1, time, future) if time < age else (past, last, future + 1)
            if rng.uniform() < leave:
                break
        rows.append((past, last, age, future))
    return tuple(np.array(rows, dtype=float).T)


HISTORIES = _simulated(TRUE, 8000, seed=2)


def test_the_likelihood_is_the_integral_over_rates_and_chances_to_leave() -> None:
    r, alpha, a, b, x, t_x, t = 0.8, 4.0, 1.2, 3.5, 3, 7.0, 10.0

    def density(leave: np.ndarray, rate: np.ndarray) -> np.ndarray:
        stayed = (1 - leave) ** x * rate**x * np.exp(-rate * t)
        left = leave * (1 - leave) ** (x - 1) * rate**x * np.exp(-rate * t_x)
        return (stayed + left) * stats.gamma.pdf(rate, r, scale=1 / alpha) * stats.beta.pdf(leave, a, b)

    nodes, weights = np.polynomial.legendre.leggauss(400)
    leave, rate = np.meshgrid((nodes + 1) / 2, 6 * (nodes + 1))  # rates up to 12 hold all but 1e-20
    by_hand = 3 * weights @ density(leave, rate) @ weights
    found = log_likelihood(r, alpha, a, b, np.array([x]), np.array([t_x]), np.array([t]))
    assert np.exp(found[0]) == pytest.approx(by_hand, rel=1e-4)


def test_parameters_of_simulated_customers_are_recovered() -> None:
    frequency, recency, age, _ = HISTORIES
    found = fit_bg_nbd(frequency, recency, age)
    assert found.r == pytest.approx(TRUE.r, rel=0.1)
    assert found.alpha == pytest.approx(TRUE.alpha, rel=0.15)
    assert found.a / (found.a + found.b) == pytest.approx(TRUE.a / (TRUE.a + TRUE.b), rel=0.1)


def test_expected_purchases_are_what_simulated_customers_go_on_to_buy() -> None:
    frequency, recency, age, future = HISTORIES
    expected = TRUE.expected_purchases(90, frequency, recency, age)
    assert expected.sum() == pytest.approx(future.sum(), rel=0.05)
    for part in (frequency == 0, frequency > 4, recency < age / 2):
        deviation = 4 * future[part].std() / np.sqrt(part.sum())
        assert expected[part].mean() == pytest.approx(future[part].mean(), abs=deviation)


def test_the_unit_of_time_does_not_matter() -> None:
    frequency, recency, age, _ = (values[:500] for values in HISTORIES)
    days, weeks = fit_bg_nbd(frequency, recency, age), fit_bg_nbd(frequency, recency / 7, age / 7)
    assert days.alpha == pytest.approx(7 * weeks.alpha, rel=1e-6)
    assert (days.r, days.a, days.b) == pytest.approx((weeks.r, weeks.a, weeks.b), rel=1e-6)


def test_the_fit_has_the_highest_likelihood_near_it() -> None:
    frequency, recency, age, _ = HISTORIES
    histories = (np.minimum(frequency, 4), 30 * np.ceil(recency / 30), 30 * np.ceil(age / 30))  # many alike
    found = fit_bg_nbd(*histories)
    best = log_likelihood(found.r, found.alpha, found.a, found.b, *histories).sum()
    for factors in ((1.1, 1, 1, 1), (1, 0.9, 1, 1), (1, 1, 1.1, 1), (1, 1, 1, 0.9)):
        r, alpha, a, b = np.array([found.r, found.alpha, found.a, found.b]) * factors
        assert log_likelihood(r, alpha, a, b, *histories).sum() < best


def test_the_published_customer_of_cdnow_buys_1_226_times_in_39_weeks() -> None:
    assert CDNOW.expected_purchases(39, 2, 30.43, 38.86) == pytest.approx(1.226, abs=5e-4)


@settings(max_examples=60, deadline=None)
@given(
    st.floats(0.1, 5), st.floats(1, 100), st.floats(0.3, 8), st.floats(0.5, 8), st.integers(0, 20), st.floats(1, 200)
)
def test_expected_purchases_follow_the_paper_s_formula(
    r: float, alpha: float, a: float, b: float, x: int, horizon: float
) -> None:
    age, recency, c = 100.0, 60.0 * (x > 0), a + b + x - 1
    if abs(a - 1) < 0.01 or abs(c) < 0.01:
        return  # the poles, where the formula itself loses its digits
    z = horizon / (alpha + age + horizon)
    gone = special.hyp2f1(r + x, b + x, c, z) * ((alpha + age) / (alpha + age + horizon)) ** (r + x)
    left = a / (b + x - 1) * ((alpha + age) / (alpha + recency)) ** (r + x) if x else 0.0
    by_formula = c / (a - 1) * (1 - gone) / (1 + left)
    found = BgNbd(r, alpha, a, b).expected_purchases(horizon, x, recency, age)
    assert found == pytest.approx(by_formula, rel=1e-3, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(
    st.floats(1e-5, 1e5),
    st.floats(1e-5, 1e5),
    st.floats(1e-5, 1e5),
    st.floats(1e-5, 1e5),
    st.integers(0, 100_000),
    st.floats(0, 1),
    st.floats(0, 5000),
)
def test_no_history_and_no_parameters_overflow(
    r: float, alpha: float, a: float, b: float, x: int, share: float, age: float
) -> None:
    model, recency = BgNbd(r, alpha, a, b), share * age
    alive = model.p_alive(x, recency, age)
    expected = np.array([model.expected_purchases(horizon, x, recency, age) for horizon in (1, 28, 365)])
    assert 0 <= alive <= 1
    assert np.all(np.isfinite(expected) & (expected >= 0))
    assert np.all(np.diff(expected) >= -1e-9 * expected[1:])
    assert np.all(np.isfinite(log_likelihood(r, alpha, a, b, *np.array([[x], [recency], [age]], dtype=float))))


def test_a_pause_much_longer_than_the_usual_gap_means_gone() -> None:
    frequent = CDNOW.p_alive([20, 20], [38, 10], [39, 39])
    assert frequent[0] > 0.9
    assert frequent[1] < 0.01
    assert CDNOW.p_alive(0, 0, 39) == 1


def test_customers_who_never_come_back_give_a_fit_that_expects_little() -> None:
    found = fit_bg_nbd(np.zeros(50), np.zeros(50), np.full(50, 100.0))
    assert found.expected_purchases(100, 0, 0, 100) < 0.2


@pytest.mark.parametrize(
    "histories", [([], [], []), ([1], [5.0], [4.0]), ([1], [-1.0], [4.0]), ([1], [np.nan], [4.0]), ([1], [0.0], [4.0])]
)
def test_impossible_histories_are_refused(histories: tuple[list[float], ...]) -> None:
    with pytest.raises(ValueError, match="0 <= recency <= age"):
        fit_bg_nbd(*histories)


def _spend(customers: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(6)
    scale = 1 / rng.gamma(3.7, 1 / 15.4, customers)
    x = rng.integers(1, 8, customers)
    return x.astype(float), rng.gamma(6.2 * x, scale / x), 6.2 * scale


def test_the_gamma_gamma_parameters_are_recovered_in_any_currency() -> None:
    x, mean, _ = _spend(8000)
    found, cents = fit_gamma_gamma(x, mean), fit_gamma_gamma(x, 100 * mean)
    assert (found.p, found.q, found.gamma) == pytest.approx((6.2, 3.7, 15.4), rel=0.1)
    assert cents.gamma == pytest.approx(100 * found.gamma, rel=1e-4)


def test_the_expected_value_is_the_mean_of_customers_with_the_same_history() -> None:
    x, mean, true = _spend(60_000)
    expected = GammaGamma(6.2, 3.7, 15.4).expected_value(x, mean)
    alike = (x == 2) & (mean > 50) & (mean < 60)
    assert expected[alike].mean() == pytest.approx(true[alike].mean(), rel=0.03)
    assert expected.mean() == pytest.approx(true.mean(), rel=0.02)


def test_unknown_spend_is_that_of_everyone() -> None:
    model = GammaGamma(6.0, 4.0, 15.0)
    assert model.expected_value([0, 3, 3], [80, np.nan, -5]) == pytest.approx([30, 30, 30])
    assert model.expected_value(1000, 80) == pytest.approx(80, rel=0.01)


def test_the_likelihood_of_spend_is_that_of_its_parts() -> None:
    """Fitted on one customer group with no spread between customers, q grows and p is that of the gamma."""
    rng = np.random.default_rng(0)
    mean = rng.gamma(4.0, 10.0, 4000)
    found = fit_gamma_gamma(np.ones(4000), mean)
    assert found.expected_value(0, np.nan) == pytest.approx(40, rel=0.05)


def test_without_any_spend_there_is_nothing_to_fit() -> None:
    with pytest.raises(ValueError, match="purchase of positive value"):
        fit_gamma_gamma([0, 2, 2], [10.0, np.nan, -1.0])
