"""Changes of risk band: what other systems follow."""

import threading
from contextlib import closing

import pytest
from sqlalchemy import select
from stores import VERSIONS, answer_of, ids, write

from features.errors import InputError
from features.journey import RiskBands
from features.schema import DAY
from serving import changes, runs
from serving.changes import ChangesGoneError
from serving.clock import now
from serving.cursors import Mark, decode_mark
from serving.rows import CHUNK
from serving.runs import Asked
from serving.store import Options, Store
from serving.tables import stored_answers

BANDS = RiskBands(medium=0.2, high=0.5)
TODAY = now()


def scored(store: Store, scored_at: int = TODAY, journey: str = "shop", **probabilities: float | None) -> int:
    answers = [answer_of(name, probability=given) for name, given in probabilities.items()]
    return store.write_run(journey, 10 * DAY, scored_at, VERSIONS, answers, options=Options(BANDS))


def read(store: Store, after: str | None = None, limit: int = 100, journey: str = "shop", **wanted):
    with store.transaction() as connection:
        mark = decode_mark(after) if after else None
        return changes.page(connection, journey, limit=limit, after=mark, **wanted)


def told(page) -> list[tuple]:
    return [(change.customer_id, change.risk_before, change.risk) for change in page.items]


def test_the_first_run_changes_nothing_and_the_next_tells_who_moved(store):
    scored(store, a=0.1, b=0.9, c=0.3)
    assert told(read(store)) == []
    run_id = scored(store, a=0.6, b=0.9, c=0.1)
    page = read(store)
    assert told(page) == [("a", "low", "high"), ("c", "medium", "low")]
    first = page.items[0]
    assert (first.run_id, first.churn_probability, first.currency) == (run_id, 0.6, "EUR")
    assert (first.reason_code, first.stage) == ("OVERDUE", "active")


def test_a_customer_on_the_edge_does_not_flap(store):
    for probability in (0.49, 0.51, 0.49, 0.51, 0.54):
        scored(store, a=probability)
    assert told(read(store)) == []
    scored(store, a=0.56)
    scored(store, a=0.46)
    scored(store, a=0.44)
    assert told(read(store)) == [("a", "medium", "high"), ("a", "high", "medium")]


def test_lists_and_answers_show_the_band_that_is_kept(store):
    scored(store, a=0.49)
    scored(store, a=0.51)
    assert store.answer("shop", "a").churn.risk == store.at_risk("shop").items[0].risk == "medium"


def test_a_customer_who_is_new_and_one_that_churn_no_longer_asks_about_have_changed(store):
    scored(store, a=0.1, gone=0.9, never=None)
    scored(store, a=None, new=0.9, never=None, unasked=None)
    assert told(read(store)) == [("a", "low", None), ("new", None, "high")]


def test_each_change_is_read_exactly_once_whatever_is_scored_and_forgotten_meanwhile(url):
    with closing(Store(url, keep=1)) as store:
        seen, cursor = [], read(store).cursor
        for number in range(6):
            probabilities = {name: 0.9 if (number + place) % 2 else 0.1 for place, name in enumerate("abcde")}
            scored(store, **probabilities)
            scored(store, journey="other", **probabilities)
            page = read(store, cursor, limit=3)
            seen += [(change.run_id, *one) for change, one in zip(page.items, told(page), strict=True)]
            cursor = page.cursor
        while page.more:
            page = read(store, cursor, limit=3)
            seen += [(change.run_id, *one) for change, one in zip(page.items, told(page), strict=True)]
            cursor = page.cursor
        assert len(seen) == len(set(seen)) == 25
        assert seen == [(c.run_id, *one) for c, one in zip(read(store).items, told(read(store)), strict=True)]
        assert told(read(store, cursor)) == []


def test_filters_let_the_cursor_move_on(store):
    scored(store, a=0.1, b=0.9)
    scored(store, a=0.9, b=0.1)
    page = read(store, risks=["medium"])
    assert (told(page), page.more) == ([], False)
    assert told(read(store, page.cursor)) == []
    assert told(read(store, risks=["high"])) == [("a", "low", "high")]


def test_changes_can_be_read_from_an_instant_on(store):
    for days, probability in ((2, 0.1), (1, 0.9), (0, 0.1)):
        scored(store, TODAY - days * DAY, a=probability)
    assert told(read(store, since=TODAY)) == [("a", "high", "low")]


def test_a_reader_who_comes_too_late_is_told_that_changes_are_gone(url):
    with closing(Store(url, keep_changes=5 * DAY)) as store:
        at = now()
        scored(store, at - 20 * DAY, a=0.1)
        early = read(store).cursor
        scored(store, at - 10 * DAY, a=0.9)
        late = read(store).cursor
        scored(store, at, a=0.1)
        with pytest.raises(ChangesGoneError, match="no longer stored"):
            read(store, early)
        assert told(read(store, late)) == told(read(store)) == [("a", "high", "low")]


@pytest.mark.parametrize("mark", [Mark("other", 0).text(), "!", Mark("shop", -1).text(), Mark("shop", 2**63).text()])
def test_a_cursor_of_something_else_is_refused(store, mark):
    with pytest.raises(InputError, match="cursor"):
        read(store, mark)


def test_of_two_runs_at_once_the_second_to_end_comes_to_nothing(store):
    scored(store, a=0.1)

    def answers():
        yield answer_of("a", probability=0.9)
        scored(store, a=0.9)

    with pytest.raises(InputError, match="another run was finished meanwhile"):
        store.write_run("shop", 0, 0, VERSIONS, answers(), options=Options(BANDS))
    assert told(read(store)) == [("a", "low", "high")]


def test_runs_of_two_journeys_end_side_by_side_and_no_reader_misses_a_change(store):
    for journey in ("one", "two"):
        scored(store, journey=journey, a=0.1)

    def flip(journey: str) -> None:
        for number in range(6):
            scored(store, journey=journey, a=0.1 if number % 2 else 0.9)

    threads = [threading.Thread(target=flip, args=[journey]) for journey in ("one", "two")]
    seen: dict[str, list] = {"one": [], "two": []}
    cursors: dict[str, str | None] = {"one": None, "two": None}
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) or any(len(found) < 6 for found in seen.values()):
        for journey, found in seen.items():
            page = read(store, cursors[journey], journey=journey)
            found.extend(told(page))
            cursors[journey] = page.cursor
    expected = [("a", "low", "high"), ("a", "high", "low")] * 3
    assert seen == {"one": expected, "two": expected}


# runs that were asked for


def ask(store: Store) -> tuple[int, bool]:
    with store.transaction(writes=True) as connection:
        return runs.ask(connection, "shop")


def status(store: Store, run_id: int) -> str:
    with store.transaction() as connection:
        return runs.status(runs.read(connection, "shop", run_id))


def test_a_run_that_was_asked_for_is_seen_once_it_is_whole(store):
    run_id, new = ask(store)
    assert (new, status(store, run_id), store.latest_run("shop")) == (True, "waiting", None)
    assert ask(store) == (run_id, False)
    seen = []

    def answers():
        yield answer_of("a")
        seen.append(status(store, run_id))

    assert store.write_run("shop", 10 * DAY, 0, VERSIONS, answers(), options=Options(asked=Asked(run_id))) == run_id
    assert (seen, status(store, run_id), ids(store.at_risk("shop"))) == (["running"], "complete", ["a"])
    assert ask(store)[1]


def test_a_run_that_was_asked_for_and_fails_stays_with_the_reason_and_without_scores(store):
    run_id, _ = ask(store)

    def answers():
        yield from (answer_of(str(number)) for number in range(CHUNK + 1))
        raise InputError("event log", "is gone")

    with pytest.raises(InputError, match="is gone"):
        store.write_run("shop", 0, 0, VERSIONS, answers(), options=Options(asked=Asked(run_id)))
    with store.transaction() as connection:
        run = runs.read(connection, "shop", run_id)
        assert connection.execute(select(stored_answers.c.customer_id)).all() == []
    assert (runs.status(run), run.failed) == ("failed", "event log: is gone")
    with pytest.raises(InputError, match="asked for and is not written yet"):
        store.write_run("shop", 0, 0, VERSIONS, [answer_of("a")], options=Options(asked=Asked(run_id)))


def test_a_run_of_another_journey_is_unknown(store):
    run_id = write(store, answer_of("a"), journey="other")
    with pytest.raises(InputError, match="the id of a stored run of shop"):
        status(store, run_id)
