from spec import SHOP, approx, changed
from spec import vector as told

from features.families import activity


def vector(table, journey=SHOP, **keys):
    return told(table, activity.features(journey), journey, **keys)


def test_a_window_includes_its_first_instant_and_not_the_cutoff():
    assert vector("""
        day    | event
        -28-1us| visit
        -28    | visit
        -7-1us | visit
        -7     | visit
        0      | visit
    """) == approx(visit_7d=1, visit_28d=3, visit_56d=4, purchase_7d=0, purchase_28d=0, purchase_56d=0)


def test_events_known_too_late_are_not_counted():
    assert vector("""
        day | event    | known_at
        -3  | purchase |
        -2  | purchase | 0
        -1  | purchase | +4
    """) == approx(purchase_7d=1, purchase_28d=1, purchase_56d=1)


def test_the_trend_compares_the_window_with_the_one_before():
    assert vector("""
        day     | event
        -56-1us | visit
        -56     | visit
        -28-1us | visit
        -28     | visit
        -1      | purchase
    """) == approx(visit_trend_28d=1 / 3, purchase_trend_28d=1)


def test_the_trend_of_nothing_is_unknown():
    assert vector("day | event\n-57 | visit") == approx(visit_trend_28d=None)


def test_active_days_count_each_day_once_and_leave_out_what_the_business_sent():
    assert vector("""
        day  | event
        -9   | ticket
        -2.2 | visit
        -2.1 | purchase
        -2.1 | purchase
        -1   | email
        -0.1 | visit
    """) == approx(active_days_7d=2, active_days_28d=3, active_days_56d=3)


def test_a_day_that_the_window_cuts_in_two_counts_if_its_later_half_holds_an_event():
    assert vector("day | event\n-7.1 | visit\n-6.9 | visit") == approx(active_days_7d=1)
    assert vector("day | event\n-7.2 | visit\n-7.1 | visit") == approx(active_days_7d=0)


def test_an_empty_past_counts_zero():
    assert vector("day | event\n+1 | visit") == approx(
        purchase_7d=0, visit_56d=0, active_days_7d=0, active_days_56d=0, visit_trend_28d=None
    )


def test_friction_and_business_events_have_no_counts_here():
    names = set(vector("day | event\n-1 | visit"))
    assert not {name for name in names if name.startswith(("ticket", "refund", "email", "flyer"))}


def test_a_single_window_is_its_own_trend():
    journey = changed(windows=["6h"])
    assert vector("day | event\n-0.1 | visit\n-0.3 | visit", journey) == approx(visit_6h=1, visit_trend_6h=0.5)


def test_coupons_are_counted_as_any_other_type():
    assert vector("day | event\n-40 | coupon\n-20 | coupon\n-3 | coupon\n-2 | coupon") == approx(
        coupon_7d=2, coupon_28d=3, coupon_56d=4, coupon_trend_28d=0.75
    )
