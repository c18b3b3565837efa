"""Batch scoring: everyone in one run, or no run at all."""

from __future__ import annotations

import pytest

from features.errors import InputError
from features.parts import by_part
from serving.batch import score, score_parts
from serving.store import Store


@pytest.fixture
def store(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'scores.db'}")
    yield store
    store.close()


def run(business, champions, store, report=lambda done, of: None):
    return score(business.journey, business.log, champions.scorer, store, report)


def test_every_customer_of_the_log_is_scored_as_the_scorer_answers(business, champions, store, answers, monkeypatch):
    monkeypatch.setattr("serving.batch.CUSTOMERS_AT_ONCE", 500)
    reported = []
    scored = run(business, champions, store, lambda done, of: reported.append((done, of)))
    assert scored.customers == len(answers) == store.latest_run("simulated").customers
    assert scored.versions == {"churn": 1, "next_stage": 1, "cltv": 1}
    assert reported[-1] == (len(answers), len(answers))
    for wanted in answers[::100]:
        found = store.answer("simulated", wanted.customer_id)
        assert found.model_copy(update={"scored_at": ""}) == wanted.model_copy(update={"scored_at": ""})


def test_a_run_that_fails_on_the_way_leaves_the_one_before(business, champions, store, monkeypatch):
    monkeypatch.setattr("serving.batch.CUSTOMERS_AT_ONCE", 500)
    before = run(business, champions, store)

    def stopped(done, of):
        if done == of:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(business, champions, store, stopped)
    assert store.latest_run("simulated").id == before.run_id
    assert len(store.at_risk("simulated", limit=5).items) == 5


def test_a_first_run_that_fails_leaves_nothing(business, champions, store, monkeypatch):
    def stopped(done, of):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(business, champions, store, stopped)
    assert store.latest_run("simulated") is None


def test_nobody_to_score_is_refused(business, champions, store):
    early = business.journey.model_copy(update={"observed_until": business.journey.observed_until.replace(year=2000)})
    with pytest.raises(InputError, match="no customer was scored"):
        score(early, business.log, champions.scorer, store, lambda done, of: None)


def test_a_log_in_parts_is_scored_as_the_whole(business, champions, store, answers):
    parts = by_part(business.log.events, 3)
    reported = []
    scored = score_parts(
        business.journey, parts, len(answers), None, champions.scorer, store, lambda done, of: reported.append(done)
    )
    assert scored.customers == reported[-1] == len(answers)
    for wanted in answers[::100]:
        found = store.answer("simulated", wanted.customer_id)
        assert found.model_copy(update={"scored_at": ""}) == wanted.model_copy(update={"scored_at": ""})
