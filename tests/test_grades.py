from __future__ import annotations

import numpy as np
import pytest

from features.errors import InputError
from training.grades import grade, lead

RNG = np.random.default_rng(3)
RULE = RNG.gamma(2.0, 0.2, 4000)
CUSTOMERS = np.repeat(np.arange(1000), 4)


def _model(share: float, noise: float) -> np.ndarray:
    return np.maximum(RULE * share + np.random.default_rng(4).normal(0, noise, RULE.size), 0.0)


@pytest.mark.parametrize(
    ("share", "noise", "letter"),
    [(0.8, 0.1, "A"), (0.95, 0.1, "B"), (1.0, 0.3, "C"), (1.1, 0.1, "D")],
)
def test_the_letter_follows_the_lead_and_its_interval(share: float, noise: float, letter: str) -> None:
    model = _model(share, noise)
    if letter == "C":
        model = model * (RULE.mean() / model.mean())
    found = grade(model, RULE, CUSTOMERS, "base rate")
    assert found.letter == letter
    assert found.low < found.ahead < found.high
    assert found.ahead == pytest.approx(1 - model.mean() / RULE.mean())


def test_the_lead_itself_makes_an_a_and_the_interval_above_zero_lets_it() -> None:
    model = 0.88 * RULE + RNG.normal(0, 0.6, RULE.size)
    found = grade(model, RULE, CUSTOMERS, "base rate")
    assert 0 < found.low < 0.1 < found.ahead
    assert found.letter == "A"


def test_a_model_behind_by_chance_is_a_c() -> None:
    model = 1.04 * RULE + np.random.default_rng(0).normal(0, 0.5, RULE.size)
    found = grade(model, RULE, CUSTOMERS, "base rate")
    assert found.ahead < 0 < found.high
    assert found.letter == "C"


def test_an_uncertain_large_lead_is_a_c() -> None:
    rule, model = np.full(20, 1.0), np.full(20, 0.5)
    model[0] = 6.0  # one customer decides
    found = grade(model, rule, np.arange(20), "base rate")
    assert found.ahead > 0.1
    assert found.letter == "C"


def test_the_same_seed_gives_the_same_interval_and_another_a_near_one() -> None:
    model = _model(0.9, 0.1)
    first, again, other = (lead(model, RULE, CUSTOMERS, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert other.low == pytest.approx(first.low, abs=0.01)


def test_the_interval_is_that_of_a_plain_bootstrap_over_customers() -> None:
    model = _model(0.9, 0.2) * np.where(CUSTOMERS < 500, 0.8, 1.1)
    rng, plain = np.random.default_rng(11), []
    rows_of = [np.flatnonzero(c == CUSTOMERS) for c in range(1000)]
    for _ in range(1500):
        rows = np.concatenate([rows_of[c] for c in rng.integers(0, 1000, 1000)])
        plain.append(1 - model[rows].mean() / RULE[rows].mean())
    found = lead(model, RULE, CUSTOMERS, draws=4000)
    width = np.quantile(plain, 0.975) - np.quantile(plain, 0.025)
    assert [found.low, found.high] == pytest.approx(np.quantile(plain, [0.025, 0.975]), abs=0.06 * width)


def test_rows_of_one_customer_move_together() -> None:
    model, rule = _model(0.9, 0.2)[:1000], RULE[:1000]
    single = lead(model, rule, np.arange(1000))
    copied = lead(np.tile(model, 9), np.tile(rule, 9), np.tile(np.arange(1000), 9))
    as_if_apart = lead(np.tile(model, 9), np.tile(rule, 9), np.arange(9000))
    assert copied.high - copied.low == pytest.approx(single.high - single.low, rel=1e-9)
    assert as_if_apart.high - as_if_apart.low < 0.5 * (single.high - single.low)


def test_customers_may_be_strings_and_draws_may_exceed_a_chunk() -> None:
    names = np.array([f"h{c}" for c in CUSTOMERS], dtype=object)
    model = _model(0.9, 0.1)
    assert lead(model, RULE, names, draws=2500).ahead == lead(model, RULE, CUSTOMERS, draws=2500).ahead


def test_equal_losses_are_a_c_even_when_both_are_perfect() -> None:
    assert grade(RULE, RULE, CUSTOMERS, "base rate").letter == "C"
    nothing = np.zeros(4000)
    assert grade(nothing, nothing, CUSTOMERS, "base rate").letter == "C"
    assert grade(nothing, RULE, CUSTOMERS, "base rate").letter == "A"
    assert grade(RULE, nothing, CUSTOMERS, "base rate").letter == "D"


def test_the_words_tell_losses_rule_and_interval() -> None:
    found = grade(0.85 * RULE, RULE, CUSTOMERS, "purchase count in 56 days")
    assert found.rule == "purchase count in 56 days"
    assert found.words == (
        f"A: log loss {0.85 * RULE.mean():.3f} against {RULE.mean():.3f} of 'purchase count in 56 days', "
        "15 % ahead (95 %: 15 to 15)"
    )
    behind = grade(1.05 * RULE, RULE, CUSTOMERS, "past spend", loss="Tweedie deviance")
    assert behind.words.startswith("D: Tweedie deviance ")
    assert behind.words.endswith("5.0 % behind (95 %: -5.0 to -5.0)")


def test_a_handful_of_customers_is_refused() -> None:
    with pytest.raises(InputError, match="3 customers"):
        lead(RULE[:12], RULE[:12], CUSTOMERS[:12])
