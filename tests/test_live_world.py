"""The simulated business lived month by month."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from features.simulator.gain import true_gains
from features.simulator.live import Luck, World


def world(days: int = 84, seed: int = 3) -> World:
    found = World(300, 400, seed)
    for _ in range(days // 28):
        found.advance(28)
    return found


def test_counts_follow_their_distributions_and_each_customer_keeps_their_luck():
    means = np.repeat([0.2, 1.5], 20_000)
    counts = Luck(1, 1).poisson(means)
    assert counts[:20_000].mean() == pytest.approx(0.2, abs=0.015)
    assert counts[20_000:].var() == pytest.approx(1.5, abs=0.08)
    other = means.copy()
    other[0] = 30.0
    assert (Luck(1, 1).poisson(other)[1:] == counts[1:]).all()
    assert Luck(1, 1).binomial(np.full(20_000, 3), np.full(20_000, 0.25)).mean() == pytest.approx(0.75, abs=0.03)


def test_what_was_told_of_a_month_stays_told():
    going_on = world(56)
    before = going_on.log()
    going_on.advance(28)
    after = going_on.log()
    end = before["time"].max()
    told = after.filter((pl.col("time") <= end) & (pl.coalesce("known_at", "time") <= before.select(
        pl.coalesce("known_at", "time").max()).item()))  # fmt: skip
    assert told.rows() == before.rows()
    assert len(after) > len(before)


def test_worlds_differ_by_their_contacts_alone():
    one, other = world(), world()
    assert one.log().equals(other.log())
    taken = other.contact(other.names[:150])
    one.advance(56)
    other.advance(56)
    assert 20 < taken.sum() < 100
    assert (one.worth[150:] == other.worth[150:]).all()
    assert (one.worth[:150] != other.worth[:150]).any()


def test_who_takes_the_offer_stays_more_often_and_who_is_gone_stays_gone():
    kept, lost = [], []
    for seed in range(3):
        one, other = world(seed=seed), world(seed=seed)
        gone, worth = ~other._state.alive & (other.worth > 0), other.worth.copy()
        taken = other.contact(other.names)
        assert not (taken & ~other._state.alive).any()
        one.advance(56)
        other.advance(56)
        assert gone.sum() > 5
        assert not other._state.alive[gone].any()
        assert (other.worth[gone] == worth[gone]).all()  # nor do they buy any more
        kept.append(other._state.alive[taken].mean())
        lost.append(one._state.alive[taken].mean())
    assert np.mean(kept) > np.mean(lost) + 0.03


def test_the_true_gain_is_what_contacts_change_in_the_mean():
    expected, found = [], []
    for seed in range(4):
        one, other = world(seed=seed), world(seed=seed)
        expected.append(true_gains(one, 84).sum())
        one.contact(one.names)
        one.advance(84)
        other.advance(84)
        found.append((one.worth - other.worth).sum())
        assert (true_gains(other, 1)[~other.state.alive] == 0).all()
    assert np.mean(found) == pytest.approx(np.mean(expected), rel=0.25)
    assert min(expected) > 0
