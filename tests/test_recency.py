from spec import SHOP, approx, log, utc
from spec import vector as told

from features.families import recency
from features.schema import to_datetime


def vector(table, journey=SHOP, **keys):
    return told(table, recency.features(journey), journey, **keys)


def test_recency_counts_from_the_newest_event_of_each_kind():
    assert vector("""
        day  | event
        -40  | visit
        -12  | purchase
         -2.5| visit
    """) == approx(recency_days=2.5, tenure_days=40, purchase_recency_days=12, visit_recency_days=2.5)


def test_what_the_business_sends_is_no_sign_of_life_but_makes_the_customer_known():
    assert vector("""
        day | event
        -50 | email
         -9 | visit
         -1 | flyer
    """) == approx(recency_days=9, tenure_days=50)


def test_a_customer_who_was_only_written_to_has_shown_no_sign_of_life():
    assert vector("day | event\n-3 | email") == approx(recency_days=None, tenure_days=3, visit_recency_days=None)


def test_the_first_purchase_counts_from_the_first_contact():
    assert vector("""
        day | event
        -30 | email
        -20 | purchase
         -5 | purchase
    """) == approx(purchase_tenure_days=20, first_conversion_days=10)


def test_nobody_has_bought_yet():
    assert vector("day | event\n-3 | visit") == approx(
        purchase_tenure_days=None, first_conversion_days=None, purchase_recency_days=None
    )


def test_the_microsecond_before_the_cutoff_is_seen_and_the_cutoff_is_not():
    assert vector("day | event\n-8 | visit\n-0-1us | visit") == approx(recency_days=1 / 86_400_000_000)
    assert vector("day | event\n-8 | visit\n0 | visit\n+2 | visit") == approx(recency_days=8)


def test_an_event_counts_only_once_the_business_knows_of_it():
    table = """
        day | event | known_at
        -8  | visit |
        -2  | visit | {}
    """
    assert vector(table.format("0")) == approx(recency_days=8)
    assert vector(table.format("0-1us")) == approx(recency_days=2)


def test_an_empty_past_is_unknown():
    wanted = dict.fromkeys(
        ("recency_days", "tenure_days", "purchase_recency_days", "visit_recency_days", "first_conversion_days")
    )
    assert vector("day | event\n+1 | visit") == approx(**wanted)


def test_before_1970_and_after_2038_days_are_days():
    table = "day | event\n-400.25 | visit\n-0.75 | visit"
    for year in (1899, 1969, 1970, 2039, 2250):
        assert vector(table, now=utc(year, 1, 2)) == approx(recency_days=0.75, tenure_days=400.25)


def test_february_has_its_leap_day():
    assert vector("day | event\n-2 | visit", now=utc(2024, 3, 1)) == approx(recency_days=2)
    (event,) = log("day | event\n-1 | visit", now=utc(2024, 3, 1))["time"]
    assert to_datetime(event) == utc(2024, 2, 29)


def test_days_since_the_last_coupon():
    assert vector("day | event\n-9 | coupon\n-3 | visit") == approx(coupon_recency_days=9)
