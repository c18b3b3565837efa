"""Lists by the best simple rules, beside which the models' lists stand."""

from __future__ import annotations

import numpy as np
import polars as pl

from features.schema import CONTACTED, CUSTOMER, DAY, EVENT, KNOWN_AT, TIME
from serving.cut import held_out
from serving.rule_list import WORTH, askable, rule_list
from tests.trained import Business
from training.hindsight import rule_answers


def test_the_three_lists_name_the_risky_the_valuable_and_the_risky_among_the_valuable(business: Business) -> None:
    journey, log = business.journey, business.log
    asked = askable(journey, log)
    value = dict(zip(asked[CUSTOMER], rule_answers(journey, log, "cltv", asked), strict=True))
    bound = np.quantile(list(value.values()), 1 - WORTH)
    loss, worth, most = (rule_list(journey, log, 15, by) for by in ("loss", "worth", "value"))
    assert [value[name] for name in most] == sorted(value.values(), reverse=True)[:15]
    assert min(value[name] for name in worth) >= bound
    assert len(set(loss)) == len(set(worth)) == 15
    assert sum(value[name] for name in loss) < sum(value[name] for name in most)


def test_whoever_was_contacted_lately_or_is_held_out_is_not_asked(business: Business) -> None:
    journey, log = business.journey, business.log
    first = askable(journey, log)[CUSTOMER].to_list()
    now = journey.observed_until_microseconds
    contact = log.events.filter(pl.col(CUSTOMER) == first[0]).tail(1)
    contact = contact.with_columns(pl.lit(CONTACTED).cast(contact.schema[EVENT]).alias(EVENT))
    contact = contact.with_columns(pl.lit(now - DAY).alias(TIME), pl.lit(now - DAY).alias(KNOWN_AT))
    after = type(log)(pl.concat([log.events, contact]), log.profile)
    assert askable(journey, after)[CUSTOMER].to_list() == first[1:]
    held = held_out(first, 1, 0.3)
    assert askable(journey, log, 0.3)[CUSTOMER].to_list() == [n for n, out in zip(first, held, strict=True) if not out]
