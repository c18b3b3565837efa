import json
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, insert, select, text, update
from stores import OVERDUE, VERSIONS, answer_of, execute, ids, write

from features.errors import InputError
from features.schema import DAY
from serving import cursors, retention, worklist
from serving.answers import Answer, to_json
from serving.bulk import put
from serving.clock import now
from serving.cursors import Cursor
from serving.database import StoreError
from serving.erasure import erase
from serving.filters import Filters, Wanted
from serving.runs import UnknownRunError, ask, newest, read
from serving.store import NoScoresError, RunGoneError, Store
from serving.suppression import Moment
from serving.tables import runs, scores, stored_answers


def test_an_answer_comes_back_as_it_was_written(store):
    answer = answer_of("h1")
    write(store, answer, answer_of("h2"))
    assert store.answer("shop", "h1") == answer


def test_a_run_knows_its_models_its_cutoff_and_its_customers(store):
    run_id = write(store, answer_of("h1"), answer_of("h2"))
    run = store.latest_run("shop")
    assert (run.id, run.cutoff, run.scored_at, run.versions) == (run_id, 10 * DAY, 11 * DAY, VERSIONS)
    assert (run.customers, run.currency) == (2, "EUR")


def test_a_customer_that_was_not_scored_has_no_answer(store):
    write(store, answer_of("h1"))
    assert store.answer("shop", "h2") is None
    assert store.answer("shop", "h1\x00") is None
    assert store.answer("other", "h1") is None


@pytest.mark.parametrize("customer_id", ["", "a/b/../c", "'; DROP TABLE runs; --", 'a"b', "näme 😀", " ", "x" * 1000])
def test_ids_may_hold_any_character(store, customer_id):
    write(store, answer_of(customer_id))
    assert store.answer("shop", customer_id).customer_id == customer_id
    assert ids(store.at_risk("shop")) == [customer_id]


def test_the_newest_run_replaces_the_one_before(store):
    write(store, answer_of("h1", loss=1.0), answer_of("gone"))
    write(store, answer_of("h1", loss=2.0))
    assert store.answer("shop", "h1").expected_loss == 2.0
    assert store.answer("shop", "gone") is None


def test_journeys_do_not_meet(store):
    write(store, answer_of("h1", loss=1.0))
    write(store, answer_of("h1", loss=2.0), journey="other")
    assert store.answer("shop", "h1").expected_loss == 1.0


def test_a_run_that_fails_leaves_the_one_before(store):
    write(store, answer_of("h1", loss=1.0))

    def failing() -> Iterator[Answer]:
        yield from (answer_of(f"h{number}", loss=2.0) for number in range(3000))
        raise ValueError("the model broke")

    with pytest.raises(ValueError, match="the model broke"):
        store.write_run("shop", 0, 0, VERSIONS, failing())
    assert store.answer("shop", "h1").expected_loss == 1.0
    assert ids(store.at_risk("shop")) == ["h1"]


def test_readers_see_the_run_before_until_the_new_one_is_whole(store):
    write(store, answer_of("h1", loss=1.0))
    seen = []

    def answers() -> Iterator[Answer]:
        yield from (answer_of(f"h{number}", loss=2.0) for number in range(3000))
        seen.extend((store.answer("shop", "h1").expected_loss, ids(store.at_risk("shop"))))

    store.write_run("shop", 0, 0, VERSIONS, answers())
    assert seen == [1.0, ["h1"]]
    assert store.answer("shop", "h1").expected_loss == 2.0


def test_work_goes_on_while_a_run_is_written(store):
    write(store, answer_of("h1", loss=1.0))

    def answers() -> Iterator[Answer]:
        yield from (answer_of(f"h{number}", loss=2.0) for number in range(3000))
        worklist.change(store, "shop", "h1", worklist.Change(opted_out=True), Moment(0, 28.0))

    store.write_run("shop", 0, 0, VERSIONS, answers())
    assert "h1" not in ids(store.at_risk("shop", limit=5000))
    assert len(ids(store.at_risk("shop", limit=5000))) == 2999


def test_what_a_killed_process_left_of_a_run_is_never_seen_and_goes_with_the_next(store):
    with store.transaction(writes=True) as connection:
        connection.execute(
            insert(runs).values(journey="shop", cutoff=0, scored_at=0, versions=VERSIONS, customers=0, currency=None)
        )
    assert store.latest_run("shop") is None
    write(store, answer_of("h1"))
    with store.transaction() as connection:
        assert connection.execute(select(runs.c.customers)).scalars().all() == [1]


def test_no_answer_at_all_is_an_error_and_no_run(store):
    with pytest.raises(InputError, match="no customer was scored"):
        write(store)
    assert store.latest_run("shop") is None


def test_two_answers_of_one_customer_are_refused(store):
    with pytest.raises(InputError, match="two answers of one customer"):
        write(store, answer_of("h1"), answer_of("h1"))
    assert store.latest_run("shop") is None


def test_only_the_newest_runs_are_kept(url):
    with closing(Store(url, keep=2)) as store:
        for loss in (1.0, 2.0, 3.0):
            write(store, answer_of("h1", loss=loss))
        write(store, answer_of("h1"), journey="other")
    sizes = [select(func.count()).select_from(table) for table in (runs, scores, stored_answers)]
    assert [execute(url, size).scalar() for size in sizes] == [3, 3, 3]


def test_keeping_no_run_is_refused(url):
    with pytest.raises(InputError, match="0 runs to keep"):
        Store(url, keep=0)


def test_the_list_goes_by_expected_loss_then_id_and_the_unknown_come_last(store):
    write(
        store,
        answer_of("unknown_low", loss=None, probability=0.1),
        answer_of("b", loss=5.0),
        answer_of("unknown_high", loss=None, probability=0.9),
        answer_of("a", loss=5.0),
        answer_of("negative", loss=-3.0),
        answer_of("top", loss=7.5),
        answer_of("lapsed", loss=None, probability=None),
    )
    assert ids(store.at_risk("shop")) == ["top", "a", "b", "negative", "unknown_high", "unknown_low"]


def test_a_journey_without_cltv_is_listed_by_churn_probability(store):
    answers = [answer_of(name, loss=None, probability=p) for name, p in (("a", 0.2), ("b", 0.8), ("c", 0.8))]
    write(store, *(answer.model_copy(update={"cltv": None}) for answer in answers))
    page = store.at_risk("shop")
    assert ids(page) == ["b", "c", "a"]
    assert page.items[0].currency is None


def test_a_line_tells_the_reason_that_raises_churn_most(store):
    write(store, answer_of("h1", loss=7.0, probability=0.6, stage="lapsing"))
    line = store.at_risk("shop").items[0]
    assert (line.stage, line.risk, line.churn_probability, line.churn_percentile) == ("lapsing", "high", 0.6, 97)
    assert (line.cltv_expected, line.expected_loss, line.currency) == (100.0, 7.0, "EUR")
    assert (line.reason_code, line.reason) == ("OVERDUE", OVERDUE.text)


def test_filters_hold_together(store):
    write(
        store,
        answer_of("yes", risk="high", stage="active", expected=50.0),
        answer_of("cheap", risk="high", stage="active", expected=49.9),
        answer_of("unvalued", risk="high", stage="active", expected=None),
        answer_of("elsewhere", risk="high", stage="lapsed", expected=80.0),
        answer_of("safe", risk="low", stage="active", expected=80.0),
    )
    assert ids(store.at_risk("shop", Wanted(Filters(risk="high", stage="active", minimum_cltv=50.0)))) == ["yes"]
    assert ids(store.at_risk("shop", Wanted(Filters(risk="medium")))) == []


losses = st.one_of(st.none(), st.sampled_from([0.0, 1.0, -1.0]), st.floats(-1e9, 1e9))


@settings(max_examples=25)
@given(
    st.lists(st.tuples(losses, st.sampled_from([0.2, 0.5, 0.9])), min_size=1, max_size=25),
    st.integers(1, 7),
)
def test_pages_put_together_are_the_list(tmp_path_factory, found, limit):
    with closing(Store(f"sqlite:///{tmp_path_factory.mktemp('pages')}/scores.db")) as store:
        write(store, *(answer_of(f"c{n:02}", loss, p) for n, (loss, p) in enumerate(found)))
        whole, pages, after = ids(store.at_risk("shop", limit=100)), [], None
        while True:
            page = store.at_risk("shop", limit=limit, after=after)
            pages += ids(page)
            after = page.next_cursor
            if after is None:
                break
    keys = {f"c{n:02}": (loss is None, -(loss or 0.0), -p, f"c{n:02}") for n, (loss, p) in enumerate(found)}
    assert pages == whole == sorted(keys, key=keys.__getitem__)


def test_a_list_begun_on_one_run_ends_on_it(store):
    first = write(store, answer_of("a", 3.0), answer_of("b", 2.0), answer_of("c", 1.0))
    page = store.at_risk("shop", limit=1)
    write(store, answer_of("z", 9.0))
    page = store.at_risk("shop", limit=5, after=page.next_cursor)
    assert (ids(page), page.run.id, page.next_cursor) == (["b", "c"], first, None)


def test_a_run_that_waits_to_be_written_is_not_forgotten_however_long(store, url):
    with store.transaction(writes=True) as connection:
        waiting, failed = (ask(connection, journey)[0] for journey in ("shop", "other"))
        long_ago = now() - 3 * DAY
        connection.execute(update(runs).values(asked_at=long_ago, scored_at=long_ago))
        connection.execute(update(runs).where(runs.c.id == failed).values(journey="shop", failed="why"))
    written = write(store, answer_of("a"))
    assert execute(url, select(runs.c.id).order_by(runs.c.id)).scalars().all() == [waiting, written]


def test_old_runs_go_in_parts_when_the_new_one_is_shown_and_one_cut_off_by_the_next(url, monkeypatch, caplog):
    monkeypatch.setattr(retention, "_PART", 2)
    parts, delete_part = [], retention._delete_part

    def first_alone(transaction, table, run_id):
        parts.append(run_id)
        if len(parts) == 2:
            raise StoreError("store", "is away")
        return delete_part(transaction, table, run_id)

    monkeypatch.setattr(retention, "_delete_part", first_alone)
    with closing(Store(url, keep=1)) as store:
        old = write(store, *(answer_of(f"c{number}", float(number)) for number in range(5)))
        cursor, run = store.at_risk("shop", limit=1).next_cursor, store.latest_run("shop")
        new = write(store, answer_of("a"))
        assert "deleted after the next run: is away" in caplog.text
        assert left(url) == {(old, "c2"), (old, "c3"), (old, "c4"), (new, "a")}
        with pytest.raises(RunGoneError):
            store.at_risk("shop", after=cursor)
        with pytest.raises(RunGoneError):
            list(store.answers("shop", run))
        with store.transaction() as connection:
            assert [found.id for found in newest(connection, "shop", 10)] == [new]
            with pytest.raises(UnknownRunError):
                read(connection, "shop", old)
        erase(store, "shop", "c3")
        assert left(url) == {(old, "c2"), (old, "c4"), (new, "a")}
        last = write(store, answer_of("a"))
        assert (left(url), parts[2:]) == ({(last, "a")}, [old, old, old, new, new])
        assert execute(url, select(runs.c.id)).scalars().all() == [last]


def left(url):
    return set(map(tuple, execute(url, select(scores.c.run_id, scores.c.customer_id)).all()))


def test_a_list_whose_run_was_deleted_says_how_to_begin_again(url):
    with closing(Store(url, keep=1)) as store:
        write(store, answer_of("a", 3.0), answer_of("b", 2.0))
        cursor = store.at_risk("shop", limit=1).next_cursor
        write(store, answer_of("a"))
        with pytest.raises(RunGoneError, match="no longer stored"):
            store.at_risk("shop", after=cursor)


def test_a_cursor_of_another_journey_finds_no_run(store):
    write(store, answer_of("a", 3.0), answer_of("b", 2.0))
    cursor = store.at_risk("shop", limit=1).next_cursor
    with pytest.raises(RunGoneError, match="no longer stored"):
        store.at_risk("other", after=cursor)


def test_a_list_before_the_first_run_says_what_to_run(store):
    with pytest.raises(NoScoresError, match="journeycast score shop"):
        store.at_risk("shop")


@given(
    st.builds(
        Cursor,
        st.integers(1, 2**31 - 1),
        st.integers(0, 2**52),
        st.text(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.floats(0, 1),
        st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
    )
)
def test_a_cursor_is_read_as_it_was_written(cursor):
    assert cursors.decode(cursors.encode(cursor)) == cursor


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"[]", b"{}", b"[1,2,3,4]", b"\xff", b'[1,2,"",0.0,0.5]', b'["1",2,"",0.0,0.5,"a"]'),
        *(b'[1,-2,"",0,0.5,"a"]', b'[-1,2,"",0,0.5,"a"]'),
        *(b'[1,2,"",true,0.5,"a"]', b'[99999999999,2,"",0,0.5,"a"]', b'[1,2,"",0.0,0.5,"\\u0000"]'),
    ],
)
def test_what_is_no_cursor_is_refused(content):
    from base64 import urlsafe_b64encode

    with pytest.raises(InputError, match="is not a cursor"):
        cursors.decode(urlsafe_b64encode(content).decode())


@pytest.mark.parametrize("given", ["x", "!!!", "é", "a b", "=" * 5])
def test_text_that_was_never_a_cursor_is_refused(given):
    with pytest.raises(InputError, match="is not a cursor"):
        cursors.decode(given)


def test_a_task_that_does_not_ask_about_the_customer_says_why_in_place_of_its_numbers():
    told = json.loads(to_json(answer_of("h1", loss=None, probability=None)))
    assert told["churn"] == {
        "eligible": False,
        "ineligible_reason": "no purchase in 56 days",
        "horizon_days": 28.0,
        "reasons": [],
        "grade": "A",
        "model_version": 3,
    }
    assert "ineligible_reason" not in told["cltv"]


def test_an_answer_read_from_its_json_is_the_answer():
    for answer in (answer_of("h1"), answer_of("h1", None, None, expected=None)):
        assert Answer.model_validate_json(to_json(answer)) == answer


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_json_cannot_hold_is_no_answer(number):
    with pytest.raises(ValueError, match="finite number"):
        answer_of("h1", loss=number)


def test_two_stores_may_make_the_tables_at_once(url):
    stores, failures = [Store(url) for _ in range(4)], []

    def use(store: Store) -> None:
        try:
            store.latest_run("shop")
        except InputError as error:
            failures.append(error)

    threads = [threading.Thread(target=use, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    assert failures == []


def test_a_store_of_a_newer_version_is_refused(url, store):
    store.latest_run("shop")
    execute(url, text("UPDATE schema_version SET version_num = '9999'"))
    with closing(Store(url)) as other, pytest.raises(StoreError, match="of version 9999"):
        other.latest_run("shop")


def test_a_database_of_something_else_is_refused(url):
    execute(url, text("CREATE TABLE experiments (id INTEGER)"))
    with closing(Store(url)) as store, pytest.raises(StoreError, match="other tables \\(experiments\\)"):
        store.latest_run("shop")


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "scores.db").write_text("customer_id,score\n" * 100)
    with closing(Store(f"sqlite:///{tmp_path}/scores.db")) as store, pytest.raises(StoreError, match="not a database"):
        store.latest_run("shop")


def test_a_server_that_is_away_is_named_without_its_password():
    address = "postgresql://journeycast:hunter2@127.0.0.1:1/scores"
    with closing(Store(address)) as store, pytest.raises(StoreError, match=r"127\.0\.0\.1") as told:
        store.latest_run("shop")
    assert "hunter2" not in str(told.value)


@pytest.mark.parametrize("given", ["scores.db", "sqlite://", "sqlite:///:memory:", "mysql://h/d", "nonsense://h", ""])
def test_an_address_no_store_can_live_at_is_refused(given):
    with pytest.raises(InputError, match="is not the address of a store"):
        Store(given)


def test_a_store_comes_back_with_its_database(tmp_path):
    with closing(Store(f"sqlite:///{tmp_path}/scores.db")) as store:
        write(store, answer_of("h1"))
        store.close()
        for file in tmp_path.glob("scores.db*"):
            file.unlink()
        with pytest.raises(StoreError, match="no such table"):
            store.latest_run("shop")
        assert store.latest_run("shop") is None


def test_sqlite_survives_a_power_cut(tmp_path):
    with closing(Store(f"sqlite:///{tmp_path}/scores.db")) as store, store.transaction() as connection:
        kept = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("synchronous", "journal_mode", "foreign_keys")
        }
    assert kept == {"synchronous": 2, "journal_mode": "wal", "foreign_keys": 1}


REFUSED = [
    ({"customer_id": "\ud800"}, "scores: customer_id", "half of a surrogate pair"),
    ({"risk_since": 2**70}, "scores: risk_since of 'a'", "a whole number of 64 bits"),
    ({"customer_id": "a\x00b"}, "scores: customer_id", "without the character NUL"),
    ({"reason": "a\x00b"}, "scores: reason of 'a'", "without the character NUL"),
    ({"churn_percentile": 2**40}, "scores: churn_percentile of 'a'", "a whole number of 32 bits"),
]


def test_values_that_the_database_refuses_are_told_in_words(store, url):
    write(store, answer_of("z"))
    row = {"run_id": 1, "customer_id": "a", "churn_eligible": True}
    for values, place, accepted in REFUSED[:2] if url.startswith("sqlite") else REFUSED:  # SQLite takes the others
        with (
            pytest.raises(InputError, match=f"{place}.*\n.*{accepted}") as caught,
            store.transaction(writes=True) as connection,
        ):
            put(connection, scores, [{**row, **values}])
        assert not isinstance(caught.value, StoreError)
    assert ids(store.at_risk("shop")) == ["z"]
