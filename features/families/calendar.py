"""Calendar: the time of the year, by what the customer did in it before.

The month or weekday of the cutoff itself is no feature. It is the same for all customers of a cutoff,
the cutoffs that are scored lie after all that was learned from, and in a log of one or two years it
names the training cutoffs rather than a season. What the customer did at this time of an earlier year
differs among customers and can be learned; it is null until their history is long enough. A year is
365 days, a quarter a fourth of the Gregorian mean year from 1 January on (right to a day).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import narwhals as nw

from features.aggregates import Value, age_of_first, combine, count, cutoff, ratio, total
from features.families.tables import conversions
from features.families.words import second, spell
from features.feature import Feature
from features.instants import Window, days, microseconds
from features.journey import Journey, duration_text
from features.numbers import only_where
from features.schema import TIME, VALUE

YEAR = timedelta(days=365)
_SUN = microseconds(timedelta(days=365, hours=5, minutes=49, seconds=12))  # 365.2425 days
_QUARTERS = range(4)


def features(journey: Journey) -> tuple[Feature, ...]:
    """Purchases and spend of the weeks that came a year ago, and of the present ones against those of a year ago."""
    return (*_year_ago(journey), _anniversary(journey), _share_of_quarter(journey))


def _year_ago(journey: Journey) -> tuple[Feature, ...]:
    window = min(second(journey), YEAR)
    text, ahead = duration_text(window), Window(window, before=YEAR - window)
    now, then = count(window=Window(window)), count(window=Window(window, before=YEAR))

    def season(name: str, description: str, unit: str, value: Value, says: str) -> Feature:
        return Feature(f"{name}_{text}", description, unit, "SEASON", value, of=conversions(journey), says=says)

    return (
        season(
            "purchases_year_ago",
            f"purchases in the {spell(window)} that followed this date a year ago",
            "number",
            _since_purchase(YEAR, count(window=ahead)),
            f"{{value}} purchases in the {spell(window)} after this date a year ago",
        ),
        season(
            "spend_year_ago",
            f"money spent in the {spell(window)} that followed this date a year ago",
            "money",
            _since_purchase(YEAR, total(VALUE, window=ahead)),
            f"spent {{value}} in the {spell(window)} after this date a year ago",
        ),
        season(
            "purchases_year_over_year",
            f"purchases in the last {spell(window)} against the same {spell(window)} a year before",
            "ratio",
            _since_purchase(YEAR + window, ratio(now, then)),
            f"{{value}} times the purchases of the same {spell(window)} a year before",
        ),
    )


def _anniversary(journey: Journey) -> Feature:
    year = microseconds(YEAR)
    return Feature(
        "anniversary_days",
        "days until the next anniversary of the first purchase, from the first one on",
        "days",
        "SEASON",
        # In the first year it would tell the tenure once more. Whole numbers: Polars takes the remainder of
        # a float another way for many rows than for one, and Spark another way than both.
        _since_purchase(YEAR, combine(lambda known: days(year - known.cast(nw.Int64) % year), age_of_first())),
        of=conversions(journey),
        says="{value} until the anniversary of the first purchase",
    )


def _share_of_quarter(journey: Journey) -> Feature:
    parts = [count(_quarter(nw.col(TIME)) == number, Window(YEAR)) for number in _QUARTERS]
    return Feature(
        "quarter_purchase_share",
        "share of the purchases of the last 365 days that fell in the present quarter of the year",
        "share",
        "SEASON",
        _since_purchase(YEAR, ratio(combine(_present, cutoff(), *parts), count(window=Window(YEAR)))),
        of=conversions(journey),
        says="{value} of the last year's purchases fell in this quarter of the year",
    )


def _since_purchase(length: timedelta, value: Value) -> Value:
    """The value of customers whose first purchase is at least so long ago; null for others."""
    least = microseconds(length)
    return combine(lambda known, column: only_where(known >= least, column), age_of_first(), value)


def _quarter(instant: Any) -> Any:
    """The quarter of the year, from 0."""
    return instant % _SUN * 4 // _SUN


def _present(instant: Any, *quarters: Any) -> Any:
    """The value of the quarter in which the cutoff lies."""
    present, found = _quarter(instant.cast(nw.Int64)), quarters[0]
    for number, value in enumerate(quarters[1:], start=1):
        found = only_where(present == number, value, found)
    return found
