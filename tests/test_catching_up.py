"""Runs that stood before it was kept what they expect are followed up from their answers."""

from __future__ import annotations

import zlib
from contextlib import closing

import pytest
from sqlalchemy import delete, insert, select, text, update
from stores import answer_of, execute
from test_migrations import make
from test_realised import BEFORE, EIGHT, SHOP, expect, log, told

from features.schema import DAY
from serving.answers import to_json
from serving.catching_up import follow_stored
from serving.store import Store
from serving.tables import expectations, outcomes, run_documents, runs, stored_answers

SINCE = {"churn": 0, "next_stage": 0, "cltv": 0}


def known(task: str, _version: int) -> int:
    return SINCE[task]


def kept(store: Store) -> list[list[tuple]]:
    """Everything that is followed up."""
    with store.transaction() as connection:
        return [sorted(map(repr, connection.execute(select(table)))) for table in (outcomes, expectations)]


def forgotten(store: Store) -> list[list[tuple]]:
    """What was followed up until now; the store is as one that never kept it."""
    found = kept(store)
    with store.transaction(writes=True) as connection:
        for table in (expectations, outcomes):
            connection.execute(delete(table))
    return found


def test_a_run_of_an_earlier_version_is_judged_by_its_answers(url):
    make(url, "0009")
    answers = [answer_of(name, probability=chance, expected=None) for name, chance in (("a", 0.5), ("b", 0.1))]
    rows = [{"run_id": 1, "customer_id": one.customer_id, "answer": zlib.compress(to_json(one))} for one in answers]
    execute(url, insert(stored_answers).values(rows))
    execute(url, text("UPDATE scores SET segments = '{\"age\": \"65+\"}' WHERE customer_id = 'a'"))
    execute(url, update(runs).values(cutoff=10 * DAY))
    execute(url, insert(run_documents).values(run_id=1, kind="realised", grouping="", name="", document=b"x"))
    with closing(Store(url)) as store:
        assert follow_stored(store, SHOP, known) == [1]
        assert follow_stored(store, SHOP, known) == []
        [report] = told(store, log(("a", 5, "buy"), ("b", 5, "buy"), ("b", 12, "buy")))
        with store.transaction() as connection:
            held = connection.execute(select(expectations.c.customer_id, expectations.c.segments)).all()
    assert (report["run_id"], report["tasks"]["churn"]["version"]) == (1, 1)
    assert sorted(held) == [("a", {"age": "65+"}), ("b", None)]
    assert execute(url, select(run_documents)).all() == []


def test_the_same_runs_and_customers_are_followed_up_as_of_new_ones(store, monkeypatch):
    monkeypatch.setattr("serving.expectations.SAMPLE", 5)  # of eight
    monkeypatch.setattr("serving.catching_up._IDS_AT_ONCE", 3)
    monkeypatch.setattr("serving.catching_up._ANSWERS_AT_ONCE", 2)
    made = [expect(store, EIGHT, cutoff * DAY, **other) for cutoff, other in ((10, {}), (11, {"cltv": 1}), (17, {}))]
    before = forgotten(store)
    assert 0 < len(before[1]) < len(made) * len(EIGHT)
    assert follow_stored(store, SHOP, known) == made
    assert kept(store) == before


class Killed(Store):
    """A store whose user is killed as they begin one of the next transactions; 0: nobody is."""

    left = 0

    def transaction(self, **options):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt
        return super().transaction(**options)


def test_whoever_is_killed_on_the_way_goes_on_with_the_rest(tmp_path):
    with closing(Killed(f"sqlite:///{tmp_path}/scores.db")) as store:
        for cutoff in (10, 17, 24):
            expect(store, EIGHT, cutoff * DAY)
        before = forgotten(store)
        for after in range(1, 17):  # transactions: one for all runs, five for each
            store.left = after
            with pytest.raises(KeyboardInterrupt):
                follow_stored(store, SHOP, known)
            followed, customers = kept(store)
            assert len(customers) == 8 * len(followed) == 8 * (max(0, after - 2) // 5)
            assert len(follow_stored(store, SHOP, known)) == 3 - len(followed)
            assert forgotten(store) == before


def test_a_task_whose_model_nobody_knows_any_more_is_left_out_and_one_that_is_away_is_waited_for(tmp_path):
    def away(task: str, version: int) -> int:
        raise LookupError("no route to the registry")

    with closing(Store(f"sqlite:///{tmp_path}/scores.db")) as store:
        run = expect(store, EIGHT, cltv=1)
        forgotten(store)
        assert follow_stored(store, SHOP, away) == []
        assert follow_stored(store, SHOP, lambda task, _: None) == []
        assert follow_stored(store, SHOP, lambda task, _: 0 if task == "churn" else None) == [run]
        [report] = told(store, log(*BEFORE))
    assert list(report["tasks"]) == ["churn"]
