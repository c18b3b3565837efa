from spec import SHOP, approx, at, changed, frame, pairs, utc
from spec import vector as told

from features.engine import build
from features.families import calendar
from features.schema import CUSTOMER, EVENT, KNOWN_AT, TIME


def vector(table, journey=SHOP, **keys):
    return told(table, calendar.features(journey), journey, **keys)


def test_the_weeks_that_followed_this_date_a_year_ago():
    assert vector("""
        day      | event    | value
        -400     | purchase | 5
        -365-1us | purchase | 10
        -365     | purchase | 20
        -340     | purchase | 30
        -337-1us | visit    |
        -337     | purchase | 40
    """) == approx(purchases_year_ago_28d=2, spend_year_ago_28d=50)


def test_the_last_weeks_against_the_same_weeks_a_year_before():
    assert vector("""
        day      | event
        -393-1us | purchase
        -393     | purchase
        -370     | purchase
        -20      | purchase
    """) == approx(purchases_year_over_year_28d=0.5)


def test_who_bought_first_less_than_a_year_ago_has_no_year_before():
    assert vector("day | event\n-400 | visit\n-364 | purchase\n-3 | purchase") == approx(
        purchases_year_ago_28d=None,
        spend_year_ago_28d=None,
        purchases_year_over_year_28d=None,
        quarter_purchase_share=None,
    )
    assert vector("day | event\n-370 | purchase") == approx(purchases_year_ago_28d=0, purchases_year_over_year_28d=None)


def test_days_to_the_anniversary_of_the_first_purchase():
    assert vector("day | event\n-500 | visit\n-380 | purchase\n-2 | purchase") == approx(anniversary_days=350)
    assert vector("day | event\n-364 | purchase") == approx(anniversary_days=None)
    assert vector("day | event\n-365 | purchase") == approx(anniversary_days=365)
    assert vector("day | event\n-3 | visit") == approx(anniversary_days=None)


def test_the_share_of_the_last_year_that_fell_in_this_quarter():
    table = """
        day      | event
        -500     | purchase
        -365-1us | purchase
        -340     | purchase
        -200     | purchase
        -60      | purchase
        -10      | purchase
    """
    assert vector(table) == approx(quarter_purchase_share=0.5)  # of 25 July, 13 December, 1 May and 20 June
    assert vector(table, now=utc(2024, 7, 3, 12)) == approx(quarter_purchase_share=0.25)
    assert vector(table, now=utc(1964, 6, 30, 12)) == approx(quarter_purchase_share=0.5)


def test_a_purchase_known_too_late_is_in_no_season():
    assert vector("day | event | known_at\n-400 | purchase |\n-350 | purchase | 0") == approx(purchases_year_ago_28d=0)


def test_a_window_longer_than_a_year_is_cut_to_one():
    longer = changed(windows=["28d", "730d"])
    assert vector("day | event\n-1000 | purchase\n-200 | purchase\n-1 | purchase", longer) == approx(
        purchases_year_ago_365d=2, purchases_year_over_year_365d=None
    )


def test_a_year_to_the_microsecond_is_the_same_for_one_and_for_many():
    first = [feature for feature in calendar.features(SHOP) if feature.name == "anniversary_days"]
    for customers in (1, 3, 64):
        names = [f"c{number:02}" for number in range(customers)]
        events = frame({CUSTOMER: who, TIME: at(-365), KNOWN_AT: at(-365), EVENT: "purchase"} for who in names)
        assert build(events, pairs(names, [at()]), first)["anniversary_days"].to_list() == [365.0] * customers
