from spec import SHOP, approx, utc
from spec import vector as told

from features.families import cadence


def vector(table, journey=SHOP, **keys):
    return told(table, cadence.features(journey), journey, **keys)


def test_gaps_lie_between_purchase_days():
    assert vector("""
        day | event
        -30 | purchase
        -20 | purchase
        -19 | visit
        -16 | purchase
         -4 | purchase
    """) == approx(
        purchase_gap_days_mean=26 / 3,
        purchase_gap_days_median=10,
        purchase_gap_days_max=12,
        purchase_gap_days_last=12,
        purchase_gap_days_std=(52 / 3) ** 0.5,
        purchase_regularity=(52 / 3) ** 0.5 / (26 / 3),
    )


def test_several_purchases_of_a_day_are_one():
    assert vector("""
        day   | event
        -10.2 | purchase
        -10   | purchase
        -10   | purchase
        -3.1  | purchase
    """) == approx(purchase_gap_days_mean=7, purchase_gap_days_last=7, purchase_gap_days_std=None)


def test_the_present_gap_against_the_usual_and_the_longest():
    assert vector("""
        day | event
        -27 | purchase
        -23 | purchase
        -15 | purchase
         -9 | purchase
    """) == approx(purchase_overdue=1.5, purchase_past_longest=9 / 8)


def test_one_purchase_has_no_rhythm():
    assert vector("day | event\n-9 | purchase") == approx(
        purchase_gap_days_mean=None, purchase_overdue=None, purchase_past_longest=None, purchase_regularity=None
    )


def test_purchase_days_are_told_per_28_days():
    assert vector("day | event\n-56 | purchase\n-50 | purchase\n-50 | purchase") == approx(purchase_days=1)
    assert vector("day | event\n-9 | purchase\n-2 | purchase") == approx(purchase_days=2)
    assert vector("day | event\n-9 | visit") == approx(purchase_days=None)


def test_the_gap_between_active_days_leaves_out_what_the_business_sent():
    assert vector("""
        day  | event
        -9   | visit
        -8.9 | visit
        -8   | email
        -5   | ticket
        -3   | visit
        -2.5 | purchase
    """) == approx(active_gap_days_median=2)


def test_gaps_across_a_leap_day_and_across_1970():
    table = "day | event\n-31 | purchase\n-1 | purchase"
    for now in (utc(2024, 3, 2), utc(1970, 1, 15), utc(1904, 3, 2), utc(2040, 3, 2)):
        assert vector(table, now=now) == approx(purchase_gap_days_last=30)


def test_a_purchase_known_too_late_makes_no_gap():
    assert vector("day | event | known_at\n-9 | purchase |\n-5 | purchase | 0\n-2 | purchase |") == approx(
        purchase_gap_days_last=7, active_gap_days_median=7
    )
