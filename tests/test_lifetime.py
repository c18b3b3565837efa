from spec import SHOP, approx
from spec import vector as told

from features.families import lifetime


def vector(table, journey=SHOP, **keys):
    return told(table, lifetime.features(journey), journey, **keys)


def test_frequency_counts_purchase_days_after_the_first():
    assert vector("""
        day   | event
        -30   | purchase
        -30.2 | purchase
        -20   | purchase
        -12   | visit
        -6    | purchase
    """) == approx(repeat_purchase_days=2, repeat_span_days=24.2)


def test_one_purchase_is_no_repeat():
    assert vector("day | event\n-9 | purchase") == approx(repeat_purchase_days=0, repeat_span_days=0)


def test_who_never_bought_has_neither():
    assert vector("day | event\n-9 | visit") == approx(repeat_purchase_days=None, repeat_span_days=None)


def test_a_purchase_known_too_late_is_no_repeat():
    assert vector("day | event | known_at\n-9 | purchase |\n-2 | purchase | 0") == approx(
        repeat_purchase_days=0, repeat_span_days=0
    )
