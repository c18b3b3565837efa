"""Events in over HTTP: acknowledged means durable, and the customer's next answer reflects them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from urllib.parse import quote

import polars as pl
import pytest
from sqlalchemy import select, text
from starlette.testclient import TestClient
from stores import execute

from features.canonical import ordered, shaped
from features.errors import NoModelError
from features.schema import CUSTOMER, CUTOFF, DAY, EVENT_ID, KNOWN_AT, TIME, to_text
from serving import batch, documented, events
from serving.app import create_app
from serving.beginning import begin
from serving.clock import now
from serving.histories import history
from serving.intake import Intake
from serving.state import Settings
from serving.store import Store
from serving.tables import events as stored_events

JOURNEY = "simulated"
ANY = [chr(0x20000 + 7919 * n % 42_000) for n in range(2_000)]  # four bytes each, which do not compress
VARIED = "".join(ANY[:256])
HARD_IDS = ["a/b", "a//b/", "'\"; DROP TABLE events", "näme 😀", " ", "NA", "x" * 1000, VARIED]


@pytest.fixture(scope="module")
def few(business):
    """The log of a few customers, whose scoring takes no time."""
    chosen = business.log.events[CUSTOMER].unique(maintain_order=True)[:5]
    return replace(business.log, events=business.log.events.filter(pl.col(CUSTOMER).is_in(chosen.implode())))


@pytest.fixture
def scored(url, business, champions, few):
    """A store in which the few have answers, and the end of their log."""
    with closing(Store(url)) as store:
        begun = begin(store, JOURNEY, end(business))
        batch.score(business.journey, few, champions.scorer, store, lambda done, of: None, begun)
    return url


@contextmanager
def serving(url, business, load):
    app = create_app(Settings(JOURNEY, url, definition=business.journey), load_scorer=load, list_models=list)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def client(scored, business, champions):
    with serving(scored, business, lambda: champions.scorer) as client:
        yield client


@pytest.fixture
def empty(url, business):
    """A server without models or scores."""
    with serving(url, business, no_model) as client:
        yield client


def no_model():
    raise NoModelError(JOURNEY, "no champion", "", "run journeycast train simulated")


def purchase(customer, at, **fields):
    return {"customer_id": customer, "time": to_text(at), "event": "purchase", "value": 40.0, **fields}


def send(client, *sent, key=None):
    headers = {"Idempotency-Key": key} if key else {}
    return client.post("/v1/events", json={"events": list(sent)}, headers=headers)


def statuses(response):
    assert response.status_code == 200, response.text
    return [one["status"] for one in response.json()["results"]]


def answer(client, customer):
    response = client.get(f"/v1/customers/{quote(customer, safe='')}")
    assert response.status_code == 200, response.text
    return response.json()


def known(url, *columns):
    names = [stored_events.c[name] for name in columns]
    return [tuple(row) for row in execute(url, select(*names).order_by(stored_events.c.id)).all()]


def end(business):
    return business.journey.observed_until_microseconds


def with_stored(few, store, business):
    """The log with what came in."""
    rows = pl.concat([few.events.drop("position"), events.stored(store, JOURNEY)], how="diagonal_relaxed")
    return replace(few, events=ordered(shaped(rows, business.journey)))


def first(few, number=0):
    return few.events[CUSTOMER].unique(maintain_order=True)[number]


# the customer's next answer


def test_the_next_answer_is_that_of_the_log_with_the_event(client, scored, business, champions, few):
    customer, at = first(few), end(business) + 3 * DAY
    before = answer(client, customer)
    assert before["cutoff"] == to_text(end(business))
    assert statuses(send(client, purchase(customer, at, event_id="new"))) == ["accepted"]
    told = answer(client, customer)
    with closing(Store(scored)) as store:
        log = with_stored(few, store, business).events
    asked = pl.DataFrame({CUSTOMER: [customer], CUTOFF: [at + 1]})
    (wanted,) = champions.scorer.predict(log, asked)
    assert told["cutoff"] == to_text(at + 1)
    assert told["churn"]["probability"] == pytest.approx(wanted.churn.probability, rel=1e-9)
    assert told["cltv"]["expected"] == pytest.approx(wanted.cltv.expected, rel=1e-9)
    assert (told["churn"], told["cltv"]) != (before["churn"], before["cltv"])
    assert answer(client, customer) == told


def test_whoever_nothing_came_in_of_keeps_the_stored_answer(client, business, few):
    other = answer(client, first(few, 1))
    send(client, purchase(first(few), end(business) + DAY))
    assert answer(client, first(few, 1)) == other


def test_an_answer_is_that_of_the_journeys_present_not_of_the_customers(client, business, few):
    send(client, purchase(first(few), end(business) + DAY), purchase(first(few, 1), end(business) + 5 * DAY))
    assert answer(client, first(few))["cutoff"] == to_text(end(business) + 5 * DAY + 1)
    send(client, purchase(first(few, 1), end(business) + 6 * DAY))  # nothing new of the first
    assert answer(client, first(few))["cutoff"] == to_text(end(business) + 6 * DAY + 1)


def test_a_customer_nobody_scored_has_an_answer_too_whatever_the_id(client, business):
    sent = [purchase(customer, end(business) + 7) for customer in HARD_IDS]
    assert statuses(send(client, *sent)) == ["accepted"] * len(sent)
    for customer in HARD_IDS:
        told = answer(client, customer)
        assert (told["customer_id"], told["cutoff"]) == (customer, to_text(end(business) + 8))


def test_before_the_first_run_events_alone_are_answered(url, business, champions):
    with serving(url, business, lambda: champions.scorer) as client:
        send(client, purchase("new", 5 * DAY), purchase("new", 2 * DAY))
        assert answer(client, "new")["cutoff"] == to_text(5 * DAY + 1)


def test_without_models_the_stored_answer_says_what_it_does_not_know(scored, business, few):
    with serving(scored, business, no_model) as client:
        before = answer(client, first(few))
        send(client, purchase(first(few), end(business) + DAY), purchase("new", end(business) + DAY))
        told = answer(client, first(few))
        assert "events came in since" in told["warnings"][-1]
        assert told | {"warnings": before["warnings"]} == before
        assert client.get("/v1/customers/new").status_code == 503


def test_a_run_that_knows_the_events_gives_the_answer_again(client, scored, business, champions, few):
    customer, at = first(few), end(business) - DAY
    send(client, purchase(customer, at, event_id="late", known_at=to_text(at)))
    anew = answer(client, customer)
    with closing(Store(scored)) as store:
        begun = begin(store, JOURNEY, end(business))
        log = with_stored(few, store, business)
        batch.score(business.journey, log, champions.scorer, store, lambda done, of: None, begun)
        assert store.answer(JOURNEY, customer).churn.probability == anew["churn"]["probability"]
        assert history(store, JOURNEY, customer)[EVENT_ID].to_list().count("late") == 1
    assert answer(client, customer)["scored_at"] == answer(client, first(few, 1))["scored_at"]


def test_a_run_goes_on_to_the_moment_after_the_newest_event_that_came_in(client, scored, business, champions, few):
    customer, at = first(few), end(business) + 3 * DAY
    send(client, purchase(customer, at, event_id="new"))
    anew = answer(client, customer)
    with closing(Store(scored)) as store:
        begun = begin(store, JOURNEY, end(business))
        log = with_stored(few, store, business)
        run = batch.score(business.journey, log, champions.scorer, store, lambda done, of: None, begun)
        assert run.cutoff == at + 1
        assert store.latest_run(JOURNEY).complete_until == end(business)
        stored = store.answer(JOURNEY, customer)
        assert stored.churn.probability == pytest.approx(anew["churn"]["probability"], rel=1e-9)
        assert stored.cltv.expected == pytest.approx(anew["cltv"]["expected"], rel=1e-9)
        with store.transaction() as connection:
            told = documented.read(connection, run.run_id, "data")
    assert answer(client, first(few, 1))["cutoff"] == to_text(at + 1)
    assert told["report"]["events"] == few.events.height
    assert client.get("/v1/journey").json()["cutoff"] == to_text(end(business))
    listed = client.get("/v1/at-risk").json()
    assert listed["cutoff"] == to_text(at + 1)


def test_an_event_that_comes_in_after_a_run_was_begun_is_known_from_its_cutoff_on(
    client, scored, business, champions, few
):
    customer = first(few)
    send(client, purchase(customer, end(business) + DAY))
    with closing(Store(scored)) as store:
        begun = begin(store, JOURNEY, end(business))
        send(client, purchase(customer, end(business) + DAY - 7, event_id="meanwhile"))
        assert known(scored, KNOWN_AT)[-1] == (begun.cutoff,)
        batch.score(business.journey, few, champions.scorer, store, lambda done, of: None, begun)
    assert answer(client, customer)["cutoff"] == to_text(begun.cutoff + 1)


def test_an_event_that_was_known_before_it_happened_counts_once_it_has(client, scored, business, champions, few):
    customer, at = first(few), end(business) + DAY
    send(client, purchase(customer, at, known_at=to_text(end(business) - DAY)))
    with closing(Store(scored)) as store:
        begun = begin(store, JOURNEY, end(business))
        batch.score(business.journey, few, champions.scorer, store, lambda done, of: None, begun)
    before = answer(client, customer)
    send(client, purchase(first(few, 1), at + DAY))
    told = answer(client, customer)
    assert (before["cutoff"], told["cutoff"]) == (to_text(end(business)), to_text(at + DAY + 1))
    assert told["last_activity"] == to_text(at)


def test_a_contact_by_the_wall_clock_leaves_an_answer_of_the_past_as_it_was(client, few):
    before = answer(client, first(few))
    changed = client.patch(f"/v1/worklist/{first(few)}", json={"status": "contacted"})
    assert changed.status_code == 200
    assert answer(client, first(few)) == before


# known_at


def test_an_event_later_than_the_present_is_known_at_its_time_and_a_late_one_from_now_on(client, scored, business, few):
    here, customer = end(business), first(few)
    before = answer(client, customer)
    send(client, purchase(customer, here - 9 * DAY, event_id="late"))
    send(client, purchase(customer, here + DAY, event_id="next"), purchase(customer, here, event_id="between"))
    send(client, purchase(customer, here + 1, event_id="late again"))
    assert dict(known(scored, EVENT_ID, KNOWN_AT)) == {
        "late": here,
        "next": here + DAY,
        "between": here + 1,
        "late again": here + DAY + 1,
    }
    assert before["cutoff"] == to_text(here)


def test_a_vector_of_the_past_never_sees_what_came_late(client, scored, business, champions, few):
    customer = first(few)
    before = answer(client, customer)
    send(client, *(purchase(customer, end(business) - days * DAY) for days in (1, 2, 3)))
    with closing(Store(scored)) as store:
        log = ordered(shaped(history(store, JOURNEY, customer), business.journey))
    asked = pl.DataFrame({CUSTOMER: [customer], CUTOFF: [end(business)]})
    (again,) = champions.scorer.predict(log, asked)
    assert again.churn.model_dump(exclude={"reasons"}) == pytest.approx(
        {name: before["churn"].get(name) for name in again.churn.model_dump(exclude={"reasons"})}
    )


def test_a_known_at_that_is_sent_stays(client, scored, business, few):
    here = end(business)
    send(client, purchase(first(few), here - 9 * DAY, known_at=to_text(here - 8 * DAY)))
    assert known(scored, TIME, KNOWN_AT) == [(here - 9 * DAY, here - 8 * DAY)]


def test_a_history_is_replayed_by_the_clock_of_the_business(empty, url):
    for day in (3, 4, 2, 9):
        assert statuses(send(empty, purchase("a", day * DAY))) == ["accepted"]
    assert [at for (at,) in known(url, KNOWN_AT)] == [3 * DAY, 4 * DAY, 4 * DAY + 1, 9 * DAY]


def test_what_lies_ahead_of_all_clocks_is_rejected(empty, url):
    ahead = now() + 3 * DAY
    response = send(empty, purchase("a", ahead), purchase("a", ahead, known_at=to_text(DAY)), purchase("a", DAY))
    assert statuses(response) == ["rejected", "rejected", "accepted"]
    problem = response.json()["results"][0]["problem"]
    assert (problem["status"], problem["code"]) == (422, "invalid_input")
    assert problem["detail"].startswith("events[0].time: more than a day after now")
    alone = empty.post("/v1/events", json=purchase("a", ahead))
    assert (alone.status_code, alone.json()["detail"].partition(":")[0]) == (422, "time")


# one by one


def test_each_event_has_its_own_result_and_only_what_is_wrong_fails(empty, url):
    good = purchase("a", DAY, event_id="one")
    response = send(empty, good, {"time": "2024-01-01"}, 7, good, good | {"time": "soon"})
    assert statuses(response) == ["accepted", "rejected", "rejected", "duplicate", "rejected"]
    told = response.json()
    assert (told["accepted"], told["duplicates"], told["rejected"]) == (1, 1, 3)
    assert [one["event_id"] for one in told["results"]] == ["one", None, None, "one", None]
    assert told["results"][4]["problem"]["faults"][0]["place"] == "events[4].time"
    assert known(url, EVENT_ID) == [("one",)]


def test_one_event_needs_no_list_and_its_fault_is_the_answers(empty):
    assert empty.post("/v1/events", json=purchase("a", DAY)).json()["accepted"] == 1
    response = empty.post("/v1/events", json={"customer_id": "a", "event": "purchase"})
    assert (response.status_code, response.headers["content-type"]) == (422, "application/problem+json")
    assert response.json()["faults"][0]["place"] == "time"


def test_an_event_without_an_id_gets_one_from_what_it_says(empty, url):
    sent = purchase("a", DAY, rating=4.0)
    one, again = send(empty, sent), send(empty, sent | {"time": "1970-01-02T01:00:00+01:00", "unused": None})
    assert (statuses(one), statuses(again)) == (["accepted"], ["duplicate"])
    assert one.json()["results"][0]["event_id"] == again.json()["results"][0]["event_id"]
    assert statuses(send(empty, sent | {"value": 40.01}, sent | {"customer_id": "b"})) == ["accepted"] * 2


def test_what_is_neither_canonical_nor_declared_is_told(empty):
    warnings = send(empty, purchase("a", DAY, colour="red")).json()["warnings"]
    assert warnings == ["'colour' is neither a canonical column nor a declared property, and is not used"]


def test_ids_come_back_as_they_were_sent(empty, url):
    sent = [purchase(customer, DAY, event_id=customer, channel="NA") for customer in HARD_IDS]
    assert statuses(send(empty, *sent)) == ["accepted"] * len(sent)
    assert known(url, CUSTOMER, EVENT_ID, "channel") == [(customer, customer, "NA") for customer in HARD_IDS]


BAD = {
    "nothing": ({"events": []}, 422),
    "too many": ({"events": [{}] * 1001}, 422),
    "more beside": ({"events": [{}], "journey": "x"}, 422),
    "a list": ([purchase("a", DAY)], 422),
    "a number": (7, 422),
    "a NUL": (purchase("a\x00", DAY), 422),
    "no text": (b"\xff", 400),
    "cut off": (b'{"events": [', 400),
}


@pytest.mark.parametrize(("body", "status"), BAD.values(), ids=BAD)
def test_a_body_that_cannot_be_used_is_refused_whole(empty, url, body, status):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = empty.post("/v1/events", content=content, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")


# idempotency


def test_a_key_is_answered_as_it_was_and_nothing_happens_twice(empty, url):
    sent = [purchase("a", DAY), purchase("b", now() + 9 * DAY), {"event": 7}]
    one, two = send(empty, *sent, key="k1"), send(empty, *sent, key="k1")
    assert one.json() == two.json()
    assert statuses(two) == ["accepted", "rejected", "rejected"]
    assert (one.headers.get("Idempotent-Replayed"), two.headers["Idempotent-Replayed"]) == (None, "true")
    assert len(known(url, EVENT_ID)) == 1


def test_a_key_of_another_body_is_refused_and_does_nothing(empty, url):
    send(empty, purchase("a", DAY), key="k1")
    response = send(empty, purchase("a", 2 * DAY), key="k1")
    assert (response.status_code, response.json()["code"]) == (422, "key_reused")
    assert len(known(url, EVENT_ID)) == 1


def test_a_key_is_forgotten_after_a_day(empty, url, monkeypatch):
    send(empty, purchase("a", DAY), key="k1")
    later = now() + DAY + 1
    monkeypatch.setattr("serving.intake.now", lambda: later)
    assert statuses(send(empty, purchase("a", 2 * DAY), key="k1")) == ["accepted"]


def test_a_key_sent_by_many_at_once_acts_once(empty, url):
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: send(empty, purchase("a", DAY), key="k1"), range(24)))
    assert {tuple(statuses(one)) for one in found} == {("accepted",)}
    assert sum("Idempotent-Replayed" in one.headers for one in found) == 23


# durable


def test_many_at_once_share_transactions_and_each_has_its_own_answer(empty, url):
    def one(number):
        return statuses(send(empty, purchase("a", DAY, event_id=str(number % 50)), purchase("b", number)))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(one, range(100)))
    assert sorted(pair[0] for pair in found) == ["accepted"] * 50 + ["duplicate"] * 50
    assert {pair[1] for pair in found} == {"accepted"}
    assert len(known(url, EVENT_ID)) == 150


def test_what_is_acknowledged_is_on_the_disk(store, url, monkeypatch):
    """A kill does not show a missing fsync: the database says whether it waits for the disk."""
    if url.startswith("postgresql"):
        execute(url, text("ALTER DATABASE scores SET synchronous_commit TO off"))
    said = []
    setting = "PRAGMA synchronous" if url.startswith("sqlite") else "SHOW synchronous_commit"

    def add(connection, rows):
        said.append(str(connection.exec_driver_sql(setting).scalar()))
        return events.Added(set())

    monkeypatch.setattr("serving.events.add", add)
    intake = Intake(store, JOURNEY)
    assert intake.submit([row("a")]).result().outcomes == "d"
    intake.close()
    assert said == ["2" if url.startswith("sqlite") else "on"]


def test_one_request_that_breaks_a_batch_does_not_break_the_others(store, url, monkeypatch):
    add = events.add

    def breaking(connection, rows):
        if any(one[CUSTOMER] == "broken" for one in rows):
            raise RuntimeError("no such thing")
        return add(connection, rows)

    monkeypatch.setattr("serving.events.add", breaking)
    intake = Intake(store, JOURNEY)
    with closing(intake):
        found = [intake.submit([row(name)]) for name in ("a", "broken", "b")]
    assert [found[0].result().outcomes, found[2].result().outcomes] == ["a", "a"]
    with pytest.raises(RuntimeError, match="no such thing"):
        found[1].result()
    assert known(url, CUSTOMER) == [("a",), ("b",)]


def row(customer, journey=JOURNEY):
    fields = {"journey": journey, CUSTOMER: customer, TIME: DAY, "event": "purchase", "value": None, "channel": None}
    return fields | {KNOWN_AT: None, EVENT_ID: customer, "properties": None, "received_at": 0}


def test_a_request_that_nobody_waits_for_any_longer_is_not_written_and_breaks_nothing(store, url):
    with closing(Intake(store, JOURNEY)) as intake:
        with store.transaction(writes=True) as connection:
            events.in_order(connection, JOURNEY)
            first = intake.submit([row("first")])  # waits for this transaction
            while not first.running():
                pass
            given_up, last = intake.submit([row("given up")]), intake.submit([row("last")])
            assert given_up.cancel()
        assert [first.result().outcomes, last.result().outcomes] == ["a", "a"]
    assert known(url, CUSTOMER) == [("first",), ("last",)]


def test_closing_writes_what_waits(store, url):
    intake = Intake(store, JOURNEY)
    waiting = [intake.submit([row(str(number))]) for number in range(200)]
    intake.close()
    assert all(one.done() for one in waiting)
    assert len(known(url, EVENT_ID)) == 200


def test_a_store_that_is_away_acknowledges_nothing(tmp_path, business):
    (tmp_path / "scores.db").write_text("no database " * 100)
    with serving(f"sqlite:///{tmp_path}/scores.db", business, no_model) as client:
        response = send(client, purchase("a", DAY))
    assert (response.status_code, response.json()["code"]) == (503, "store_unavailable")
