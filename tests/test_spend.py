from spec import SHOP, approx
from spec import vector as told

from features.families import spend


def vector(table, journey=SHOP, **keys):
    return told(table, spend.features(journey), journey, **keys)


def test_spend_counts_only_the_window():
    assert vector("""
        day | event    | value
        -60 | purchase | 99
        -40 | purchase | 10
         -3 | purchase |  5
         -2 | visit    |  7
    """) == approx(spend_7d=5, spend_28d=5, spend_56d=15)


def test_a_refund_lowers_the_spend():
    assert vector("""
        day | event    | value
        -6  | purchase | 20
        -5  | purchase | -5
    """) == approx(spend_7d=15, order_value_7d=7.5, refunds_count=1, refunds_share=0.25)


def test_refunds_count_whatever_the_event_is_called():
    assert vector("""
        day | event    | value
        -90 | purchase | 30
        -80 | visit    |
        -70 | refund   | -10
        -3  | ticket   | -5
    """) == approx(refunds_count=2, refunds_share=0.5, spend_7d=0)


def test_money_went_back_and_none_came_in():
    assert vector("day | event | value\n-3 | refund | -10") == approx(refunds_count=1, refunds_share=None)


def test_order_value_is_the_mean_of_the_orders_with_a_value():
    assert vector("""
        day | event    | value
        -40 | purchase | 50
        -20 | purchase | 10
        -10 | purchase |
         -1 | purchase | 20
    """) == approx(order_value_7d=20, order_value_28d=15, order_value_56d=80 / 3)


def test_the_usual_the_largest_and_the_newest_order():
    assert vector("""
        day | event    | value
        -40 | purchase | 50
        -20 | purchase | 10
         -1 | purchase | 20
    """) == approx(order_value_median=20, order_value_max=50, order_value_std=1300**0.5 / 3**0.5, last_order_value=20)


def test_of_two_orders_at_one_instant_the_one_that_arrived_last_is_the_newest():
    assert vector("""
        day | event    | value
        -1  | purchase | 50
        -1  | purchase | 10
    """) == approx(last_order_value=10)


def test_an_order_without_a_value_may_be_the_newest():
    assert vector("day | event | value\n-2 | purchase | 9\n-1 | purchase |") == approx(last_order_value=None)


def test_one_order_does_not_vary():
    assert vector("day | event | value\n-2 | purchase | 9") == approx(order_value_std=None, order_value_median=9)


def test_spend_per_day_counts_from_the_first_purchase_and_at_least_one_day():
    assert vector("day | event | value\n-99 | visit |\n-10 | purchase | 30\n-4 | purchase | 10") == approx(
        spend_per_day=4
    )
    assert vector("day | event | value\n-0.5 | purchase | 30") == approx(spend_per_day=30)


def test_the_trend_is_the_share_of_the_later_half():
    assert vector("""
        day     | event    | value
        -56-1us | purchase | 99
        -56     | purchase | 10
        -28     | purchase | 30
    """) == approx(spend_trend_28d=0.75)
    assert vector("day | event | value\n-60 | purchase | 10") == approx(spend_trend_28d=None)


def test_an_empty_past_spent_nothing_and_has_no_order_value():
    assert vector("day | event | value\n0 | purchase | 10") == approx(
        spend_7d=0,
        spend_56d=0,
        spend_per_day=0,
        refunds_count=0,
        refunds_share=None,
        order_value_7d=None,
        order_value_max=None,
        last_order_value=None,
    )


def test_an_order_known_too_late_was_not_spent_yet():
    assert vector("day | event | value | known_at\n-3 | purchase | 10 | 0\n-3 | purchase | 4 | -1") == approx(
        spend_7d=4, last_order_value=4
    )
