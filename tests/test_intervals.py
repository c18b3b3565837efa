from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import InputError
from training.intervals import MIN_ROWS_PER_BIN, Intervals, fit_intervals, read_intervals
from training.metrics import interval_metrics


def _spend(rows: int, seed: int, silent: tuple[float, float] = (0.5, 0.02)) -> tuple[np.ndarray, np.ndarray]:
    """True and expected value: customers of low expectation spend nothing more often, and vary more."""
    rng = np.random.default_rng(seed)
    rank = rng.uniform(size=rows)
    expected = 5 + 200 * rank**2
    nothing = silent[0] + (silent[1] - silent[0]) * rank
    shape = 1 + 4 * rank
    amount = expected / (1 - nothing) * rng.gamma(shape, 1 / shape)
    return np.where(rng.uniform(size=rows) < nothing, 0.0, amount), expected


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_intervals_hold_the_stated_coverage_overall_and_in_each_fifth(coverage: float) -> None:
    found = fit_intervals(*_spend(20_000, seed=1), coverage=coverage)
    y, expected = _spend(20_000, seed=2)
    held = interval_metrics(y, expected, *found.interval(expected))
    error = np.sqrt(coverage * (1 - coverage))  # of the fit and of the test, 4000 rows each in a fifth
    assert held["coverage"] == pytest.approx(coverage, abs=4 * error * np.sqrt(2 / 20_000))
    for fifth in range(1, 6):
        assert held[f"coverage_fifth_{fifth}"] == pytest.approx(coverage, abs=4 * error * np.sqrt(2 / 4000))


def test_fifths_where_many_spend_nothing_have_an_upper_bound_alone() -> None:
    found = fit_intervals(*_spend(20_000, seed=1))
    assert found.lower[0] is None
    assert found.lower[-1] is not None
    low, high = found.interval([6.0, 190.0])
    assert np.isnan(low[0])
    assert 0 < low[1] < 190 < high[1]


def test_where_nearly_all_spend_nothing_the_bound_is_the_expectation_and_holds_more_than_stated() -> None:
    found = fit_intervals(*_spend(5000, seed=1, silent=(0.97, 0.95)))
    y, expected = _spend(5000, seed=2, silent=(0.97, 0.95))
    low, high = found.interval(expected)
    assert np.all(np.isnan(low))
    assert np.array_equal(high, expected)
    assert interval_metrics(y, expected, low, high)["coverage"] > 0.9


def test_the_ends_are_crepes_own_for_a_row_of_the_same_bin() -> None:
    from crepes import ConformalPredictiveSystem

    y, expected = _spend(3000, seed=1, silent=(0.02, 0.01))
    found = fit_intervals(y, expected, bins=1)
    system = ConformalPredictiveSystem().fit(y - expected, sigmas=expected)
    low, high = system.predict_int(np.array([100.0]), sigmas=np.array([100.0]), confidence=0.8)[0]
    assert [float(end[0]) for end in found.interval([100.0])] == pytest.approx([low, high], rel=1e-9)


def test_small_calibration_sets_have_fewer_bins_and_tiny_ones_are_refused() -> None:
    assert len(fit_intervals(*_spend(5 * MIN_ROWS_PER_BIN, seed=1)).upper) == 5
    assert len(fit_intervals(*_spend(2 * MIN_ROWS_PER_BIN + 20, seed=1)).upper) == 2
    assert len(fit_intervals(*_spend(12, seed=1)).upper) == 1
    with pytest.raises(InputError, match="5 rows for intervals of 80% coverage"):
        fit_intervals(*_spend(5, seed=1))


def test_tied_expectations_share_a_bin() -> None:
    y, expected = _spend(1000, seed=1)
    assert len(fit_intervals(y, np.full(1000, 50.0)).upper) == 1
    mostly = np.where(np.arange(1000) < 700, 5.0, expected + 10)
    found = fit_intervals(y, mostly)
    groups = np.bincount(np.searchsorted(found.edges, mostly, side="right"))
    assert groups.min() >= MIN_ROWS_PER_BIN
    assert groups[0] >= 700


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-20, 1000), st.floats(0, 500)), min_size=12, max_size=200),
    st.lists(st.floats(0, 1e6), min_size=1, max_size=20),
    st.sampled_from([0.6, 0.8]),
)
def test_low_expected_and_high_are_always_in_order(
    rows: list[tuple[float, float]], expected: list[float], coverage: float
) -> None:
    found = fit_intervals(*np.array(rows).T, coverage=coverage)
    low, high = found.interval(expected)
    assert np.all(np.isnan(low) | ((low >= 0) & (low <= expected)))
    assert np.all(high >= expected)
    assert np.all(np.isfinite(high))


def test_json_gives_the_very_same_intervals_back() -> None:
    found = fit_intervals(*_spend(2000, seed=1))
    assert None in found.lower
    assert read_intervals(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found


def test_the_shape_of_the_expectation_is_kept() -> None:
    found = Intervals(0.8, (10.0,), (None, 0.5), (3.0, 2.0))
    assert [end.shape for end in found.interval(50.0)] == [(), ()]
    assert found.interval(50.0) == (25.0, 100.0)
    low, high = found.interval([[0.0, 10.0]])
    assert np.isnan(low[0, 0])
    assert (low[0, 1], high[0, 1]) == (5.0, 20.0)


@pytest.mark.parametrize("written", [{}, {"kind": "relative", "coverage": 0.8, "edges": 3, "lower": [], "upper": []}])
def test_an_object_that_is_no_table_of_intervals_is_refused(written: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="is not a table of intervals"):
        read_intervals(written)


def test_edges_without_their_bins_are_refused() -> None:
    with pytest.raises(ValueError, match="1 edges make 2 bins"):
        Intervals(0.8, (10.0,), (None,), (3.0,))
    with pytest.raises(ValueError, match="growing"):
        Intervals(0.8, (10.0, 5.0), (None, None, None), (3.0, 3.0, 3.0))
