import pytest
from spec import SHOP, approx, changed
from spec import vector as told

from features.families import friction


def vector(table, journey=SHOP, **keys):
    return told(table, friction.features(journey), journey, **keys)


def test_troubles_are_counted_per_window_and_type():
    assert vector("""
        day     | event
        -56-1us | ticket
        -56     | ticket
        -20     | refund
        -7      | ticket
        -1      | visit
    """) == approx(friction_7d=1, friction_28d=2, friction_56d=3, ticket_56d=2, refund_56d=1)


def test_days_since_the_last_trouble_of_any_kind_and_of_each():
    assert vector("day | event\n-9 | refund\n-4 | ticket") == approx(
        friction_recency_days=4, ticket_recency_days=4, refund_recency_days=9
    )


def test_troubles_are_told_per_purchase():
    assert vector("day | event\n-9 | purchase\n-8 | purchase\n-4 | ticket") == approx(friction_per_purchase=0.5)
    assert vector("day | event\n-4 | ticket") == approx(friction_per_purchase=None)
    assert vector("day | event\n-4 | purchase") == approx(friction_per_purchase=0)


def test_an_empty_past_had_no_trouble():
    assert vector("day | event\n0 | ticket") == approx(
        friction_7d=0, friction_56d=0, ticket_56d=0, friction_recency_days=None, ticket_recency_days=None
    )


def test_trouble_the_business_did_not_know_of_is_not_counted():
    assert vector("day | event | known_at\n-3 | ticket | 0\n-2 | ticket | -1") == approx(friction_7d=1)


def test_a_journey_without_friction_has_no_such_features():
    assert friction.features(changed(friction=[], abandoned=None)) == ()


def test_a_visit_without_a_purchase_within_a_day_was_left_behind():
    assert vector("""
        day      | event
        -40      | visit
        -20      | visit
        -19-1us  | purchase
        -10      | visit
        -9       | purchase
        -5       | visit
        -4.5     | purchase
        -4.4     | visit
    """) == approx(abandoned_7d=1, abandoned_28d=2, abandoned_56d=3, abandoned_share=3 / 5, abandoned_recency_days=3.4)


def test_one_purchase_finishes_every_visit_of_the_day_before():
    assert vector("day | event\n-9 | visit\n-8.8 | visit\n-8.5 | purchase\n-8.4 | visit") == approx(
        abandoned_share=1 / 3
    )


def test_of_one_instant_the_purchase_that_arrived_after_the_visit_finishes_it():
    assert vector("day | event\n-9 | visit\n-9 | purchase") == approx(abandoned_share=0)
    assert vector("day | event\n-9 | purchase\n-9 | visit") == approx(abandoned_share=1)


def test_what_was_left_behind_is_known_when_the_time_is_over():
    assert vector("day | event\n-1 | visit") == approx(
        abandoned_7d=0, abandoned_share=None, abandoned_recency_days=None
    )
    assert vector("day | event\n-1-1us | visit") == approx(abandoned_7d=1, abandoned_share=1)


def test_a_purchase_known_too_late_finished_nothing():
    assert vector("day | event | known_at\n-5 | visit |\n-4.9 | purchase | 0") == approx(abandoned_7d=1)


def test_what_is_left_behind_and_what_finishes_it_are_two_types():
    with pytest.raises(ValueError, match="started and finished are both 'visit'"):
        changed(abandoned={"started": "visit", "finished": "visit"})
