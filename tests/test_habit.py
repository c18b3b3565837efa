from datetime import timedelta

from spec import SHOP, approx, utc
from spec import vector as told

from features.families import habit


def vector(table, journey=SHOP, **keys):
    return told(table, habit.features(journey), journey, **keys)


def test_shares_of_the_week_and_of_the_day():
    # The cutoff is a Sunday at noon.
    assert vector("""
        day    | event
        -8.75  | purchase
        -4.25  | visit
        -3.75  | visit
        -1     | ticket
        -0.125 | email
    """) == approx(weekend_share=0.25, evening_share=0.5, morning_share=0.25, last_weekday=5)


def test_evening_begins_at_18_and_morning_lasts_from_6_until_12():
    def share(hour, microseconds=""):
        return vector(f"day | event\n{(hour - 36) / 24:.10f}{microseconds} | visit")

    assert share(18) == approx(evening_share=1, morning_share=0)
    assert share(18, "-1us") == approx(evening_share=0)
    assert share(6) == approx(morning_share=1)
    assert share(6, "-1us") == approx(morning_share=0)
    assert share(12) == approx(morning_share=0)
    assert share(12, "-1us") == approx(morning_share=1)


def test_weekdays_before_1970_and_after_2038():
    for now in (utc(1969, 12, 31, 12), utc(1900, 3, 1, 12), utc(2038, 1, 20, 12), utc(2400, 2, 29)):
        yesterday = now - timedelta(days=1)
        assert vector("day | event\n-1 | visit", now=now) == approx(
            last_weekday=yesterday.weekday(), weekend_share=float(yesterday.weekday() >= 5)
        )


def test_a_saturday_ends_at_midnight_before_monday():
    midnight = utc(2024, 7, 1)  # Monday
    assert vector("day | event\n-0-1us | visit", now=midnight) == approx(last_weekday=6, weekend_share=1)
    assert vector("day | event\n-1 | visit", now=utc(2024, 7, 2)) == approx(last_weekday=0, weekend_share=0)


def test_an_empty_past_has_no_habits():
    assert vector("day | event\n-1 | email") == approx(
        weekend_share=None, evening_share=None, morning_share=None, last_weekday=None
    )
