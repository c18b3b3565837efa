import itertools
from datetime import timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from features.errors import InputError
from features.schema import DAY
from training.blocks import Blocks, grown_again, split

HORIZON = timedelta(days=28)


def days(*numbers):
    return tuple(number * DAY for number in numbers)


def test_a_long_history_gives_four_blocks_a_horizon_apart():
    assert split(days(*range(0, 400, 28)), HORIZON, held_out=1) == Blocks(
        trees=days(*range(0, 253, 28)),
        stop=days(280, 308),
        calibrate=days(336, 364),
        test=days(392),
        shared=False,
    )


def test_cutoffs_more_often_than_the_horizon_leave_some_out():
    found = split(days(*range(0, 211, 14)), HORIZON, held_out=2)
    assert found == Blocks(
        trees=days(*range(0, 85, 14)),
        stop=days(112, 126),
        calibrate=days(154, 168),
        test=days(196, 210),
        shared=False,
    )


def test_a_short_history_shares_the_middle_over_customers():
    found = split(days(0, 28, 56, 84, 112), HORIZON, held_out=1)
    assert found == Blocks(days(0, 28), days(56, 84), days(56, 84), days(112), shared=True)


def test_the_shortest_history_has_one_cutoff_in_each_block():
    assert split(days(0, 28, 56), HORIZON, held_out=1) == Blocks(days(0), days(28), days(28), days(56), shared=True)


def test_trees_are_grown_again_on_all_that_was_known_when_the_calibrator_s_rows_began():
    cutoffs = days(*range(0, 211, 14))
    found = grown_again(cutoffs, split(cutoffs, HORIZON, held_out=2), HORIZON)
    assert found == days(*range(0, 127, 14))


def test_of_shared_blocks_trees_are_grown_again_on_all_that_was_known_at_the_test():
    cutoffs = days(0, 28, 56, 84, 112)
    assert grown_again(cutoffs, split(cutoffs, HORIZON, held_out=1), HORIZON) == days(0, 28, 56, 84)


@pytest.mark.parametrize(
    ("cutoffs", "held_out"),
    [((), 1), ((0,), 1), ((0, 28), 1), ((0, 14, 28, 42), 1), ((0, 28, 56), 2), ((0, 28, 56), 9), ((0, 27, 56), 1)],
)
def test_too_few_cutoffs_are_refused_with_a_way_out(cutoffs, held_out):
    with pytest.raises(InputError, match=rf"{len(cutoffs)} mature cutoffs are too few for time blocks 28d apart"):
        split(days(*cutoffs), HORIZON, held_out)


@given(
    start=st.integers(-40_000, 40_000),
    every=st.integers(1, 40),
    number=st.integers(1, 60),
    horizon=st.integers(1, 90),
    held_out=st.integers(1, 4),
)
def test_no_block_begins_before_the_horizon_of_the_one_before_is_over(start, every, number, horizon, held_out):
    cutoffs = days(*range(start, start + every * number, every))
    try:
        found = split(cutoffs, timedelta(days=horizon), held_out)
    except InputError:
        room = -(-horizon // every)  # cutoffs from one to the first a horizon later
        assert number < 2 * room + held_out + 1
        return
    blocks = [found.trees, found.calibrate, found.test]
    if not found.shared:
        blocks.insert(1, found.stop)
    assert all(blocks)
    for earlier, later in itertools.pairwise(blocks):
        assert max(earlier) + horizon * DAY <= min(later)
    assert found.test == cutoffs[-held_out:]
    assert found.shared == (found.stop == found.calibrate)
    assert {cutoff for block in blocks for cutoff in block} <= set(cutoffs)


@given(st.lists(st.integers(0, 400), min_size=1, max_size=30, unique=True), st.integers(1, 60), st.integers(1, 3))
def test_uneven_cutoffs_keep_the_distance_too(numbers, horizon, held_out):
    cutoffs = days(*sorted(numbers))
    try:
        found = split(cutoffs, timedelta(days=horizon), held_out)
    except InputError:
        assume(False)
    ordered = [found.trees, found.stop, found.calibrate, found.test]
    for earlier, later in itertools.pairwise(ordered):
        if earlier != later:
            assert earlier[-1] + horizon * DAY <= later[0]
