"""Events that are wrong, or that come at a bad moment: they harm nobody but themselves."""

from __future__ import annotations

import json
from contextlib import closing
from urllib.parse import quote

import pytest
from servers import serving
from spec import SHOP
from sqlalchemy import select, text
from stores import answer_of, execute
from test_events_http import ANY, VARIED, purchase, statuses
from test_events_http import row as row_of

from features.schema import CUSTOMER, DAY, EVENT_ID, KNOWN_AT, MINUTE, TIME
from serving import events
from serving.beginning import begin
from serving.clock import now
from serving.database import StoreError
from serving.intake import Intake
from serving.present import present
from serving.replies import Keyed
from serving.store import Options
from serving.tables import events as stored_events

JOURNEY = "shop"
HOUR = DAY // 24
NOTED = SHOP.model_copy(update={"properties": {"note": "category"}})


@pytest.fixture
def empty(url):
    """A server without models or scores."""
    with serving(url, definition=NOTED) as client:
        yield client


def post(client, content):
    return client.post("/v1/events", content=json.dumps(content), headers={"Content-Type": "application/json"})


def send(client, *sent):
    return post(client, {"events": sent})


def row(customer):
    return row_of(customer, JOURNEY)


def known(url, *columns):
    names = [stored_events.c[name] for name in columns]
    return [tuple(row) for row in execute(url, select(*names).order_by(stored_events.c.id)).all()]


@pytest.mark.parametrize(
    "fields",
    [
        {"note": "\ud800"},
        {"note": "a\x00b"},
        {"note": "x" * 1001},
        {"\ud800": 1},
        {"a\x00": 1},
        {"channel": "\ud800"},
        {"event_id": VARIED + "a"},
        {"customer_id": VARIED + "a"},
    ],
)
def test_what_no_store_holds_is_rejected_alone(empty, url, fields):
    bad = purchase("a", DAY) | fields
    response = send(empty, bad, purchase("b", DAY))
    assert statuses(response) == ["rejected", "accepted"]
    assert response.json()["results"][0]["problem"]["status"] == 422
    assert known(url, CUSTOMER) == [("b",)]
    assert post(empty, bad).status_code == 422


def test_an_id_that_no_index_takes_is_not_worked_on(empty):
    long = quote("".join(ANY))
    assert empty.patch(f"/v1/worklist/{long}", json={"opted_out": True}).status_code == 422
    assert empty.patch(f"/v1/worklist/{quote(VARIED)}", json={"opted_out": True}).status_code == 200


def test_half_a_character_in_the_store_breaks_no_log(store, url):
    with store.transaction(writes=True) as connection:
        events.add(connection, [row("a") | {"properties": {"note": "\ud800"}, KNOWN_AT: 0}, row("b") | {KNOWN_AT: 0}])
    assert events.stored(store, JOURNEY)["note"].to_list() == ["?", None]


def test_what_the_store_does_not_take_is_rejected_and_the_rest_of_all_requests_is_written(store, url):
    long = "".join(ANY) if url.startswith("postgresql") else "\ud800"
    with closing(Intake(store, JOURNEY)) as intake:
        with store.transaction(writes=True) as connection:
            events.in_order(connection, JOURNEY)
            first = intake.submit([row("first")])  # waits for this transaction
            while not first.running():
                pass
            found = [intake.submit([row("a"), row(long), row("b")]), intake.submit([row("c")])]
        assert [one.result().outcomes for one in (first, *found)] == ["a", "ara", "a"]
    assert known(url, CUSTOMER) == [("first",), ("a",), ("b",), ("c",)]


BROKEN = {  # a fault of the store's own that one event alone meets
    "postgresql": """
        CREATE FUNCTION full() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = '53100'; END $$;
        CREATE TRIGGER t BEFORE INSERT ON events FOR EACH ROW WHEN (NEW.customer_id = 'b') EXECUTE FUNCTION full()""",
    "sqlite": """
        CREATE TRIGGER t BEFORE INSERT ON events WHEN NEW.customer_id = 'b' BEGIN SELECT json(NEW.customer_id); END""",
}
MENDED = {"postgresql": "DROP TRIGGER t ON events", "sqlite": "DROP TRIGGER t"}


def keyed_twice(store, url, rows, mended):
    """What becomes of a request that meets a fault, and under the same key once the fault is mended."""
    key = Keyed("someone", "key", b"body")
    with closing(Intake(store, JOURNEY)) as intake:
        with pytest.raises(StoreError, match="score store"):
            intake.submit(rows, key).result()
        execute(url, text(mended))
        return intake.submit(rows, key).result()


def test_a_fault_of_the_store_is_neither_told_as_one_of_the_event_nor_remembered(store, url):
    kind = url.partition(":")[0]
    assert store.latest_run(JOURNEY) is None
    execute(url, text(BROKEN[kind]))
    long = "".join(ANY) if kind == "postgresql" else "\ud800"
    assert keyed_twice(store, url, [row("a"), row(long), row("b")], MENDED[kind]) == ("ara", False)


def test_a_table_that_is_missing_is_a_store_that_cannot_be_used(store, url):
    assert store.latest_run(JOURNEY) is None
    execute(url, text("ALTER TABLE events RENAME TO kept"))
    assert keyed_twice(store, url, [row("a")], "ALTER TABLE kept RENAME TO events") == ("a", False)


# the clock


@pytest.mark.parametrize("name", ["time", "known_at"])
def test_a_date_that_stands_for_unknown_is_rejected(empty, name):
    bad = purchase("a", DAY) | {name: "0001-01-01T00:00:00Z"}
    response = send(empty, bad, purchase("a", DAY))
    assert statuses(response) == ["rejected", "accepted"]
    assert response.json()["results"][0]["problem"]["detail"].startswith(f"events[0].{name}: before the year 1900")


def test_events_do_not_push_the_limit_ahead_of_them(empty, url):
    ahead = now() + 23 * HOUR
    sent = [purchase("a", ahead + days * DAY) for days in range(4)]
    assert [statuses(send(empty, one))[0] for one in sent] == ["accepted", *["rejected"] * 3]
    assert known(url, TIME) == [(ahead,)]


def test_the_limit_goes_with_the_runs(empty, store):
    ahead = now() + 30 * DAY
    store.write_run("shop", ahead, now(), {}, [answer_of("a")])
    assert statuses(send(empty, purchase("a", ahead + HOUR), purchase("a", ahead + 2 * DAY))) == [
        "accepted",
        "rejected",
    ]


def test_nor_do_they_by_the_runs_that_they_move(empty, store):
    """Event, run, event, run: each run goes on to the moment after the newest event."""
    ahead = now() + 23 * HOUR
    for days, status in enumerate(["accepted", "rejected", "rejected"]):
        assert statuses(send(empty, purchase("a", ahead + days * DAY))) == [status]
        begun = begin(store, "shop", 9 * DAY)
        store.write_run("shop", begun.cutoff, now(), {}, [answer_of("a")], options=Options(begun=begun))
        run = store.latest_run("shop")
        assert run.cutoff <= now() + MINUTE
        assert run.complete_until == 9 * DAY


def test_a_clock_that_is_ahead_moves_nobody_elses_present(empty, store, url):
    ahead = now() + 2 * HOUR
    told = send(empty, purchase("a", ahead)).json()["warnings"]
    assert [one for one in told if "clock" in one] == [
        "1 event lies ahead of the server's clock, and counts once that has come: is the zone right?"
    ]
    for at in (DAY, 2 * DAY):
        before = now()
        assert not any("clock" in one for one in send(empty, purchase("b", at)).json()["warnings"])
        assert before <= known(url, KNOWN_AT)[-1][0] <= now() + MINUTE
    with store.transaction() as connection:
        assert known(url, KNOWN_AT)[-1][0] < present(connection, "shop") <= now() + MINUTE < ahead


def test_what_comes_in_while_a_run_is_written_is_known_from_its_cutoff_on(store, url):
    outcomes = []

    def answers():
        with closing(Intake(store, JOURNEY)) as intake:
            outcomes.append(intake.submit([row("late")]).result().outcomes)
        yield answer_of("a")

    store.write_run("shop", 10 * DAY, 11 * DAY, {}, answers())
    assert outcomes == ["a"]
    assert known(url, TIME, KNOWN_AT) == [(DAY, 10 * DAY)]


def test_events_of_a_file_do_not_make_each_other_late_but_runs_do(store, url):
    def sent(*days):
        rows = [row("a") | {TIME: day * DAY, EVENT_ID: f"{day}"} for day in days]
        with closing(Intake(store, JOURNEY)) as intake:
            for one in rows:
                assert intake.submit([one], of_file=True).result().outcomes == "a"

    sent(9, 3)
    begun = begin(store, JOURNEY, 6 * DAY)
    sent(4, 11)
    assert begun.cutoff == 9 * DAY + 1
    assert known(url, TIME, KNOWN_AT) == [
        (9 * DAY, 9 * DAY),
        (3 * DAY, 3 * DAY),
        (4 * DAY, begun.cutoff),
        (11 * DAY, 11 * DAY),
    ]


# what waits


def test_a_request_beyond_the_bytes_that_may_wait_is_told_to_come_again(store, monkeypatch):
    monkeypatch.setattr("serving.intake.WAITING_BYTES", 100)
    with closing(Intake(store, JOURNEY)) as intake:
        with store.transaction(writes=True) as connection:
            events.in_order(connection, JOURNEY)
            large = intake.submit([row("large")], size=1_000)  # alone, it may
            with pytest.raises(StoreError, match="wait to be written"):
                intake.submit([row("more")], size=1)
        assert large.result().outcomes == "a"
        assert intake.submit([row("more")], size=100).result().outcomes == "a"


def test_of_an_unknown_type_there_is_the_warning_that_predictions_give(empty):
    told = send(empty, purchase("a", DAY, event="purchased"), purchase("a", DAY)).json()
    assert told["warnings"] == ["event type 'purchased' was not seen in training"]


# whose


def test_an_id_of_another_customers_event_is_refused(empty, url):
    first = purchase("a", DAY, event_id="1")
    assert statuses(send(empty, first, purchase("b", DAY, event_id="1"), first)) == [
        "accepted",
        "rejected",
        "duplicate",
    ]
    response = send(empty, first, purchase("b", DAY, event_id="1"), purchase("b", DAY, event_id="2"))
    assert statuses(response) == ["duplicate", "rejected", "accepted"]
    problem = response.json()["results"][1]["problem"]
    assert (problem["status"], problem["code"]) == (409, "event_id_taken")
    assert post(empty, purchase("b", DAY, event_id="1")).status_code == 409
    assert known(url, CUSTOMER, EVENT_ID) == [("a", "1"), ("b", "2")]
