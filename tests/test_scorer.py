"""The scorer: the same answer for one customer and for all, additive, and blind to the future."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from trained import Champions

from features.errors import InputError
from features.labels import TASKS
from features.schema import CUSTOMER, CUTOFF, DAY, KNOWN_AT, TIME
from serving.scorer import Scorer, Served
from training.money import at_stake, expected_loss

STAMP = datetime(2025, 1, 1, tzinfo=UTC)
PREDICTED = {"churn": "probability", "cltv": "expected"}


@pytest.fixture(scope="module")
def scorer(champions: Champions) -> Scorer:
    return champions.scorer


def prediction(task, answer):
    """The number that base and reasons add up to."""
    if task == "next_stage":
        return answer.next_stage.probabilities[answer.next_stage.stage]
    return getattr(getattr(answer, task), PREDICTED[task])


def numbers(part, place=""):
    """Every number of an answer by its place, and every text."""
    if isinstance(part, dict):
        return {k: v for key, inner in part.items() for k, v in numbers(inner, f"{place}.{key}").items()}
    if isinstance(part, list):
        return {k: v for i, inner in enumerate(part) for k, v in numbers(inner, f"{place}.{i}").items()}
    return {place: part}


def assert_same(one, other):
    ours, theirs = (numbers(answer.model_dump()) for answer in (one, other))
    assert ours.keys() == theirs.keys()
    for place, value in ours.items():
        if isinstance(value, float):
            assert value == pytest.approx(theirs[place], rel=1e-9, abs=1e-9), place
        else:
            assert value == theirs[place], place


def some_of(everyone, count=12):
    return everyone.gather_every(len(everyone) // count)


# Additive


@pytest.mark.parametrize("task", TASKS)
def test_base_and_reasons_add_up_to_the_prediction_for_every_customer(task, answers):
    asked = [answer for answer in answers if getattr(answer, task).eligible]
    assert len(asked) > 300
    for answer in asked:
        part = getattr(answer, task)
        total = part.base + sum(reason.effect for reason in part.reasons) + part.other_effects
        assert total == pytest.approx(prediction(task, answer), abs=1e-6), answer.customer_id


@pytest.mark.parametrize("task", TASKS)
def test_a_reason_points_where_its_effect_goes(task, answers):
    reasons = [reason for answer in answers for reason in getattr(answer, task).reasons]
    assert {reason.direction for reason in reasons} == {"raises", "lowers"}
    assert all((reason.effect > 0) == (reason.direction == "raises") for reason in reasons)


def test_a_value_is_told_beside_the_customers_own_usual_one(answers):
    told = [r for answer in answers for task in TASKS for r in getattr(answer, task).reasons if r.usual is not None]
    assert {reason.code for reason in told} >= {"INACTIVE", "OVERDUE"}
    assert all("; usual " in reason.text for reason in told if reason.value is not None)


def test_a_reason_about_something_that_never_happened_says_so(answers):
    told = [r for answer in answers for task in TASKS for r in getattr(answer, task).reasons if r.value is None]
    assert told
    assert all(reason.text.endswith(": unknown, no such events on record, or too few") for reason in told)


def test_fresh_trouble_raises_churn_and_its_absence_lowers_it(business, answers):
    end, friction = business.journey.observed_until_microseconds, business.journey.friction
    troubled = set(
        business.log.events.filter(pl.col("event").is_in(friction), pl.col(TIME) >= end - 21 * DAY)[CUSTOMER]
    )
    effects = {True: [], False: []}
    for answer in answers:
        if answer.churn.eligible:
            told = sum(reason.effect for reason in answer.churn.reasons if reason.code == "FRICTION")
            effects[answer.customer_id in troubled].append(told)
    assert min(len(found) for found in effects.values()) > 50
    assert np.mean(effects[True]) > 0 > np.mean(effects[False])


# One and all


def test_one_customer_from_their_own_events_gets_the_answer_of_the_batch(business, scorer, everyone):
    some = some_of(everyone)
    together = scorer.predict(business.log.events, some, scored_at=STAMP)
    for row, answer in enumerate(together):
        asked = some.slice(row, 1)
        own = business.log.events.filter(pl.col(CUSTOMER) == asked[CUSTOMER].item())
        assert_same(scorer.predict(own, asked, scored_at=STAMP)[0], answer)


def test_answers_come_in_the_order_asked_and_in_chunks_as_at_once(business, scorer, everyone, monkeypatch):
    some = some_of(everyone).reverse()
    at_once = scorer.predict(business.log.events, some, scored_at=STAMP)
    assert [answer.customer_id for answer in at_once] == some[CUSTOMER].to_list()
    monkeypatch.setattr("serving.scorer.ROWS_AT_ONCE", 5)
    for one, other in zip(scorer.predict(business.log.events, some, scored_at=STAMP), at_once, strict=True):
        assert_same(one, other)


def test_without_reasons_the_numbers_are_the_same(business, scorer, everyone):
    some = some_of(everyone)
    bare = scorer.predict(business.log.events, some, reasons=False, scored_at=STAMP)
    for one, other in zip(bare, scorer.predict(business.log.events, some, scored_at=STAMP), strict=True):
        for task in TASKS:
            if getattr(other, task).eligible:
                assert prediction(task, one) == prediction(task, other)
            assert (getattr(one, task).reasons, getattr(one, task).base) == ([], None)


def test_one_customer_at_two_cutoffs_has_two_answers(business, scorer, everyone):
    end = business.journey.observed_until_microseconds
    customer = everyone[CUSTOMER].item(0)
    asked = pl.DataFrame({CUSTOMER: [customer] * 2, CUTOFF: [end - 28 * DAY, end]})
    both = scorer.predict(business.log.events, asked, scored_at=STAMP)
    assert both[0].cutoff < both[1].cutoff
    assert_same(both[0], scorer.predict(business.log.events, asked.head(1), scored_at=STAMP)[0])


# The future


def test_what_happens_or_is_known_from_the_cutoff_on_changes_nothing(business, scorer, everyone):
    end = business.journey.observed_until_microseconds - 56 * DAY
    asked = some_of(everyone).with_columns(pl.lit(end, dtype=pl.Int64).alias(CUTOFF))
    before = business.log.events.filter((pl.col(TIME) < end) & (pl.col(KNOWN_AT) < end))
    assert len(before) < len(business.log.events)
    for one, other in zip(
        scorer.predict(business.log.events, asked, scored_at=STAMP),
        scorer.predict(before, asked, scored_at=STAMP),
        strict=True,
    ):
        assert_same(one, other)


# Odd customers


def test_an_event_type_nobody_knows_is_a_warning(business, scorer, everyone):
    asked = everyone.head(2)
    own = business.log.events.filter(pl.col(CUSTOMER).is_in(asked[CUSTOMER].implode()))
    odd = own.head(1).with_columns(pl.lit("teleported").alias("event"))
    late = odd.with_columns(pl.lit(asked[CUTOFF].item(0)).alias(TIME), pl.lit("too late").alias("event"))
    first, second = scorer.predict(pl.concat([own, odd, late]), asked)
    assert first.warnings == ["event type 'teleported' was not seen in training"]
    assert second.warnings == []
    assert first.next_stage.eligible


def test_a_customer_without_a_known_event_gets_no_numbers_and_a_reason(business, scorer, everyone):
    asked = pl.DataFrame({CUSTOMER: ["nobody"], CUTOFF: everyone[CUTOFF].head(1)})
    (answer,) = scorer.predict(business.log.events, asked)
    assert answer.stage is None
    assert (answer.at_stake, answer.expected_loss) == (None, None)
    assert answer.warnings == ["no event of this customer was known before the cutoff"]
    for task in TASKS:
        part = getattr(answer, task)
        assert not part.eligible
        assert part.ineligible_reason == "no event of this customer was known before the cutoff"
        assert (part.base, part.reasons) == (None, [])
    assert (answer.churn.probability, answer.next_stage.stage, answer.cltv.expected) == (None, None, None)


def test_whom_the_churn_rule_leaves_out_gets_a_reason_and_the_other_tasks(business, answers):
    end = business.journey.observed_until_microseconds
    recent = business.log.events.filter((pl.col("event") == "purchase") & (pl.col(TIME) >= end - 56 * DAY))
    eligible = set(recent.filter(pl.col(KNOWN_AT) < end)[CUSTOMER])
    for answer in answers:
        assert answer.churn.eligible == (answer.customer_id in eligible)
        if not answer.churn.eligible:
            assert answer.churn.ineligible_reason == "the journey's rule for this task does not hold at the cutoff"
            assert answer.at_stake is None
        assert answer.next_stage.eligible


# The numbers


def test_probabilities_bands_and_intervals_agree_with_one_another(business, answers):
    for answer in answers:
        churn, ahead, value = answer.churn, answer.next_stage, answer.cltv
        if churn.eligible:
            assert 0 < churn.probability < 1
            assert 0 <= churn.percentile <= 100
            assert churn.risk == business.journey.risk_bands.band(churn.probability)
        assert sum(ahead.probabilities.values()) == pytest.approx(1, abs=1e-9)
        assert ahead.stage == max(ahead.probabilities, key=ahead.probabilities.get) == next(iter(ahead.probabilities))
        assert (value.low or 0) <= value.expected <= value.high
        assert (value.coverage, value.currency) == (0.8, "USD")


def test_a_higher_probability_never_has_a_lower_percentile(answers):
    asked = sorted((a.churn.probability, a.churn.percentile) for a in answers if a.churn.eligible)
    ranks = [rank for _, rank in asked]
    assert ranks == sorted(ranks)
    assert 25 < np.median(ranks) < 75


def test_money_is_that_of_the_formulas(answers, trained):
    share = trained["cltv"].model.about["churned_value_share"]
    asked = [answer for answer in answers if answer.churn.eligible and answer.cltv.eligible]
    for answer in asked:
        stake = float(at_stake(answer.cltv.expected, answer.churn.probability, share))
        assert answer.at_stake == pytest.approx(stake)
        assert answer.expected_loss == pytest.approx(float(expected_loss(answer.churn.probability, stake)))


# Champions that do not fit


def served(trained, **changes):
    models = {task: one.model for task, one in trained.items()}
    for task, about in changes.items():
        models[task] = replace(models[task], about=models[task].about | about)
    return {task: Served(model, 1) for task, model in models.items()}


def test_a_model_of_other_feature_definitions_is_refused(trained):
    with pytest.raises(InputError, match="champions cltv: trained with other feature definitions"):
        Scorer(served(trained, cltv={"features": "0" * 64}))


def test_champions_of_two_definitions_are_refused(trained):
    other = trained["churn"].model.about["journey"] | {"currency": "EUR"}
    with pytest.raises(InputError, match="next_stage was trained with another journey definition than churn"):
        Scorer(served(trained, next_stage={"journey": other}))


def test_champions_of_different_days_answer_together(trained):
    earlier = trained["churn"].model.about["journey"] | {"observed_until": "2020-01-01T00:00:00Z"}
    scorer = Scorer(served(trained, churn={"journey": earlier}))
    assert scorer.journey.observed_until.year == 2024
    assert scorer.versions == {"churn": 1, "next_stage": 1, "cltv": 1}


def test_one_champion_alone_answers_alone(business, trained, everyone):
    scorer = Scorer({"churn": Served(trained["churn"].model, 4)})
    (answer,) = scorer.predict(business.log.events, everyone.head(1))
    assert (answer.next_stage, answer.cltv, answer.at_stake) == (None, None, None)
    assert answer.churn.model_version == 4
