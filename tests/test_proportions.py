"""Shares, differences and amounts with their intervals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.proportions import detectable, difference, mean_difference, share, share_needed


def test_a_share_has_wilsons_interval():
    # Newcombe (1998), Statistics in Medicine 17:857-872, table I: 81 of 263 and 1 of 29, method 3.
    assert share(81, 263) == pytest.approx((0.3080, 0.2553, 0.3662), abs=5e-5)
    assert share(1, 29) == pytest.approx((0.0345, 0.0061, 0.1718), abs=5e-5)
    assert share(0, 20) == pytest.approx((0.0, 0.0, 0.1611), abs=5e-5)


def test_a_difference_has_newcombes_interval():
    # Newcombe (1998), Statistics in Medicine 17:873-890, table II, method 10: 56/70 - 48/80, 9/10 - 3/10, 5/56 - 0/29.
    for hits, size, other_hits, other_size, low, high in (
        (56, 70, 48, 80, 0.0524, 0.3339),
        (9, 10, 3, 10, 0.1705, 0.8090),
        (5, 56, 0, 29, -0.0381, 0.1926),
        (0, 10, 0, 20, -0.1611, 0.2775),
        (10, 10, 0, 20, 0.6791, 1.0),
    ):
        found = difference(share(hits, size), share(other_hits, other_size))
        assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


sizes = st.integers(1, 500)


@given(sizes, sizes, st.data())
def test_a_difference_lies_within_its_interval_and_turns_with_its_sides(size, other, data):
    one, two = (share(data.draw(st.integers(0, n)), n) for n in (size, other))
    there, back = difference(one, two), difference(two, one)
    assert -1 <= there.low <= there.value <= there.high <= 1
    assert back == pytest.approx((-there.value, -there.high, -there.low))


@pytest.mark.parametrize(
    ("size", "other", "rate", "saved"), [(900, 100, 0.15, 0.0), (90, 10, 0.3, 0.1), (450, 50, 0.5, 0.2)]
)
def test_the_interval_of_a_difference_covers_the_truth_in_95_of_100_campaigns(size, other, rate, saved):
    rng = np.random.default_rng(3)
    contacted, held = rng.binomial(size, rate - saved, 4000), rng.binomial(other, rate, 4000)
    found = [difference(share(int(h), other), share(int(c), size)) for c, h in zip(contacted, held, strict=True)]
    covered = np.mean([one.low <= saved <= one.high for one in found])
    assert 0.935 <= covered <= 0.985


def test_the_bootstrap_covers_the_truth_in_some_95_of_100_campaigns():
    rng = np.random.default_rng(4)
    found = [mean_difference(rng.gamma(2, 10, 200), rng.gamma(2, 11, 60), seed) for seed in range(300)]
    assert 0.91 <= np.mean([one.low <= -2.0 <= one.high for one in found]) <= 0.98


def test_the_bootstrap_repeats_itself():
    one, other = np.arange(30.0), np.arange(20.0)
    assert mean_difference(one, other, 1) == mean_difference(one, other, 1)
    assert mean_difference(one, other, 1).value == 5.0


def test_amounts_that_are_all_the_same_differ_for_certain():
    assert mean_difference(np.full(10, 3.0), np.full(10, 1.0), 1) == (2.0, 2.0, 2.0)


def test_a_large_bootstrap_is_drawn_in_parts(monkeypatch):
    values = np.random.default_rng(1).normal(0, 1, 50)
    whole = mean_difference(values, values, 1)
    monkeypatch.setattr("serving.proportions._DRAWS_AT_ONCE", 500)
    assert mean_difference(values, values, 1) == pytest.approx(whole, abs=0.2)


def test_a_detectable_difference_is_detected_in_80_of_100_campaigns():
    least = detectable(0.3, 2000, 500)
    rng = np.random.default_rng(5)
    pairs = zip(rng.binomial(2000, 0.3 - least, 2000), rng.binomial(500, 0.3, 2000), strict=True)
    told = np.mean([difference(share(int(h), 500), share(int(c), 2000)).low > 0 for c, h in pairs])
    assert 0.75 <= told <= 0.86


def test_an_empty_group_detects_nothing():
    assert detectable(0.3, 100, 0) == 1.0
    assert share_needed(0.3, 0, 0.1) is None


@given(st.floats(0.01, 0.99), st.integers(100, 100_000), st.floats(0.005, 0.5))
def test_the_share_needed_is_just_enough(rate, size, wanted):
    needed = share_needed(rate, size, wanted)
    if needed is None:
        assert detectable(rate, size // 2, size // 2) > wanted * 0.99
    else:
        n, m = size * (1 - needed), size * needed
        told = 2.8015852 * np.sqrt(rate * (1 - rate) * (1 / n + 1 / m))
        assert told == pytest.approx(wanted, rel=1e-6)
        assert needed <= 0.5
