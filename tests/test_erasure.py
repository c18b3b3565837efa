"""A customer erased: gone from every table, kept out of files and events, and not brought back by a run."""

from __future__ import annotations

import json
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from threading import Event
from urllib.parse import quote

import orjson
import polars as pl
import pytest
from servers import serving
from spec import SHOP
from sqlalchemy import func, insert, select, text
from stores import answer_of, execute, ids, write
from test_stored_histories import came_in

from features import parts
from features.definition import read as read_journey
from features.erased import Erased, hash_of
from features.errors import ErasedError, InputError
from features.journey import Campaign
from features.log import read
from features.schema import CUSTOMER, DAY, EVENT, KNOWN_AT, TIME
from serving import audit, campaigns, documented, events, expectations, histories, tables, worklist
from serving.access_tables import erasures
from serving.audit import Entry
from serving.clock import now
from serving.documented import Document
from serving.erasure import allow, erase, holders
from serving.filters import Filters
from serving.kept_out import alone, barred, kept_out
from serving.planning import Cut
from serving.proposals import Proposal, create
from serving.store import Options, Store
from serving.suppression import Moment
from serving.tables import metadata, served_vectors

HARD_IDS = ["a/b", "'\"; DROP TABLE runs", "näme 😀", " ", "NA", "x" * 1000]
COSTS = Campaign(contact_cost=1.0, incentive_cost=5.0, accept_rate=0.2)


def event(customer, time=DAY):
    return {"customer_id": customer, "time": "2024-06-01T10:00:00Z", "event": "purchase", "value": float(time)}


def fill(store, *customers):
    """Something of each customer in every table."""
    write(store, *(answer_of(one, 100.0, 0.5) for one in customers))
    write(store, *(answer_of(one, 100.0, 0.5) for one in customers))
    times = [DAY] * len(customers)
    rows = {CUSTOMER: customers, TIME: times, EVENT: ["purchase"] * len(times), KNOWN_AT: times}
    histories.write(store, "shop", DAY, pl.DataFrame(rows).with_row_index("position").sort(CUSTOMER))
    create(store, "shop", Proposal("all", Filters(), COSTS, Cut(None, len(customers)), 0.0, 1), now())
    tell(store, customers)
    for one in customers:
        create(store, "shop", Proposal("one", Filters(customer=one), COSTS, Cut(None, 1), 0.0, 1), now())
        came = came_in(one, 1, f"event-{one}"[:500])
        with store.transaction(writes=True) as connection:
            events.add(connection, [came])
        worklist.change(store, "shop", one, {"status": "contacted"}, Moment(now(), 28.0))
    with store.transaction(writes=True) as connection:
        audit.write(
            connection, [Entry(now(), "k", "GET", "/v1/customers/{customer_id}", "shop", one, 200) for one in customers]
        )
        vector = {"journey": "shop", "cutoff": 0, "served_at": 0, "definitions": "", "vector": b""}
        connection.execute(insert(served_vectors), [vector | {CUSTOMER: one} for one in customers])


def tell(store, customers):
    """Changes, messages and a report that name each customer."""
    run, of = store.latest_run("shop"), {"journey": "shop", "run_id": 1, "changed_at": 0}
    webhook = {"journey": "shop", "url": "https://a.example", "description": "", "types": [], "secret": ""}
    webhook |= {"created_at": 0, "change_id": 0, "scored_at": 0, "failures": 0}
    message = {"journey": "shop", "message_id": "m", "type": "t", "state": "waiting", "attempts": 0, "created_at": 0}
    findings = [{"found": f"customer {one!r}", "customer": one} for one in customers]
    report = [Document("data", {"report": {"findings": findings}})]
    with store.transaction(writes=True) as connection:
        hook = connection.execute(insert(tables.webhooks).values(webhook)).inserted_primary_key[0]
        for one in customers:
            body = {"body": orjson.dumps({"id": one}).decode(), "webhook_id": hook}
            connection.execute(insert(tables.changes).values(of | {CUSTOMER: one}))
            connection.execute(insert(tables.deliveries).values(message | body | {CUSTOMER: one}))
        documented.write_new(connection, "shop", run.id, report)
        rows = [expectations.row_of(answer_of(one), None) for one in customers]
        expectations.write(connection, run.id, rows, SHOP, dict.fromkeys(run.versions, run.cutoff))


def told_of(url, customer):
    """The tables with any text, JSON or bytes, deflated or not, that hold a customer's id."""
    found = set()
    for table in metadata.sorted_tables:
        for row in execute(url, select(table)).all():
            if any(customer in plain(value) for value in row):
                found.add(table.name)
    return found


def plain(value):
    if isinstance(value, (bytes, memoryview)):
        with suppress(zlib.error):
            return zlib.decompress(value).decode()
        return bytes(value).decode("latin-1")
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value)


def rows_of(url, customer):
    """How many rows of each table tell of a customer."""
    counts = {t.name: select(func.count()).select_from(t).where(t.c[CUSTOMER] == customer) for t in holders()}
    return {name: count for name, asked in counts.items() if (count := execute(url, asked).scalar())}


@pytest.fixture
def client(url):
    with serving(url) as client:
        yield client


# gone


def test_nothing_of_an_erased_customer_is_left_in_any_table(store, url):
    fill(store, *HARD_IDS, "other")
    before = rows_of(url, "other")
    assert set(before) == {table.name for table in holders()}
    assert {*before, "campaigns", "run_documents"} <= told_of(url, "näme 😀")
    for customer in HARD_IDS:
        receipt = erase(store, "shop", customer)
        assert receipt.rows == before
        assert rows_of(url, customer) == {}
    assert (told_of(url, "näme 😀"), told_of(url, "DROP TABLE")) == (set(), set())
    assert rows_of(url, "other") == before
    assert ids(store.at_risk("shop")) == []  # the other was contacted
    assert len(audit.newest(store, "shop", 100)) == len(HARD_IDS) + 1


def test_every_table_of_customers_knows_whose_they_are():
    """A table that is added is erased too, as long as it says how: a guard for those who add one."""
    for table in holders():
        assert {"journey", "run_id", "campaign_id"} & {column.name for column in table.c}, table.name
    for table in metadata.sorted_tables:
        assert {c.name for c in table.c if "customer" in c.name} <= {CUSTOMER, "customers"}


def test_no_byte_of_an_erased_customer_is_left_in_the_files_of_sqlite(tmp_path):
    path, others = tmp_path / "scores.db", [f"other-{number}" for number in range(300)]
    with closing(Store(f"sqlite:///{path}")) as store:
        for run in range(3):  # older runs and histories lie in pages that were freed
            write(store, *map(answer_of, ("erased-one", *others)))
            told = {TIME: [1] * 301, EVENT: [f"p{run}"] * 301, KNOWN_AT: [1] * 301, "position": [0] * 301}
            rows = pl.DataFrame({CUSTOMER: ["erased-one", *others], **told, "note": ["of-them"] * 301})
            histories.write(store, "shop", DAY, rows)
        with store.transaction(writes=True) as connection:
            events.add(connection, [came_in(name, 1, f"e-{name}") for name in ("erased-one", "other-1")])
        files = [path, path.with_name("scores.db-wal")]
        assert any(b"erased-one" in file.read_bytes() for file in files)
        erase(store, "shop", "erased-one")
        assert [b"erased-one" in file.read_bytes() for file in files] == [False, False]
        assert files[1].stat().st_size == 0
        assert b"other-1" in path.read_bytes()


def test_erasing_does_not_wait_long_for_those_who_read(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("serving.database._SWEEPS", 10)
    with closing(Store(f"sqlite:///{tmp_path / 'scores.db'}")) as store:
        write(store, answer_of("a"))
        with store.transaction() as reading:
            assert reading.execute(select(func.count()).select_from(erasures)).scalar() == 0
            erase(store, "shop", "a")
        assert "could not be emptied" in caplog.text
        assert store.sweep()


def test_a_receipt_holds_a_hash_and_no_id(store, url):
    write(store, answer_of("h1043"))
    receipt = erase(store, "shop", "h1043")
    (kept,) = execute(url, select(erasures)).all()
    assert (kept.id, bytes(kept.hash).hex(), kept.counts) == (receipt.id, receipt.customer, receipt.rows)
    assert "h1043" not in f"{receipt}{kept}"
    assert receipt.customer != erase(store, "shop", "h1044").customer == erase(store, "shop", "h1044").customer


def test_another_journey_keeps_its_customer_of_the_same_id(store, url):
    for journey in ("shop", "other"):
        write(store, answer_of("a"), journey=journey)
    erase(store, "shop", "a")
    assert (store.answer("shop", "a"), store.answer("other", "a").customer_id) == (None, "a")
    with store.transaction() as connection:
        assert kept_out(connection, "other") is None


def test_a_campaign_says_how_many_of_its_members_are_gone(store):
    write(store, *(answer_of(name, 100.0, 0.5) for name in "abc"))
    made = create(store, "shop", Proposal("all", Filters(), COSTS, Cut(None, 3), 0.0, 1), now())
    erase(store, "shop", "b")
    found = campaigns.read(store, "shop", made.id)
    assert (found.plan.contacts, found.erased) == (3, 1)
    left = campaigns.page(store, "shop", made.id, arm=None, limit=10)
    assert [(one.customer_id, one.place) for one in left.items] == [("a", 1), ("c", 3)]


def test_reports_on_the_data_forget_whom_they_name(store):
    finding = {"level": "warning", "place": "customer_id", "found": "customer 'a' has 90% of all events"}
    report = {"events": 1, "report": {"findings": [finding, finding | {"found": "customer 'aa' too"}]}}
    documents = Options(documents=lambda: [Document("data", report)])
    run_id = store.write_run("shop", 1, 1, {}, [answer_of("a"), answer_of("b")], options=documents)
    erase(store, "shop", "a")
    with store.transaction() as connection:
        told = documented.read(connection, run_id, "data")
    assert [one["found"] for one in told["report"]["findings"]] == [
        "customer (erased) has 90% of all events",
        "customer 'aa' too",
    ]


def test_a_run_that_began_before_names_nobody_who_was_erased_since(store):
    def documents():
        named = [{"found": f"customer {name!r} has 90% of all events", "customer": name} for name in ("a'1", "b")]
        erase(store, "shop", "a'1")
        return [Document("data", {"report": {"findings": named}})]

    run_id = store.write_run("shop", 1, 1, {}, [answer_of("b")], options=Options(documents=documents))
    with store.transaction() as connection:
        told = documented.read(connection, run_id, "data")["report"]["findings"]
    assert told[0] == {"found": "customer (erased) has 90% of all events"}
    assert told[1] == {"found": "customer 'b' has 90% of all events", "customer": "b"}


def test_a_campaign_forgets_the_id_that_its_list_was_asked_for_by(store):
    write(store, *(answer_of(name, 100.0, 0.5) for name in ("aa", "aab")))

    def made(asked):
        proposal = Proposal(asked, Filters(risk="high", customer=asked), COSTS, Cut(None, 1), 0.0, 1)
        return create(store, "shop", proposal, now()).id

    campaign, other = made("aa"), made("a")
    erase(store, "shop", "aa")
    told = [campaigns.read(store, "shop", one).filters for one in (campaign, other, made("aa"))]
    assert [one["customer"] for one in told] == ["(erased)", "a", "(erased)"]
    assert told[0]["risk"] == "high"


def test_what_cannot_be_an_id_is_refused(store):
    for wrong in ("", "a\x00b", "\udcff"):
        with pytest.raises(InputError, match="an id without NUL"):
            erase(store, "shop", wrong)


# kept out


def test_nothing_new_of_an_erased_customer_comes_in_unless_allowed_again(client, url):
    for customer in HARD_IDS:
        gone = client.delete(f"/v1/customers/{quote(customer, safe='')}")
        assert gone.status_code == 200, gone.text
        assert gone.json()["rows"] == {}
    told = client.post("/v1/events", json={"events": [*map(event, HARD_IDS), event("other")]}).json()
    assert (told["accepted"], told["rejected"]) == (1, len(HARD_IDS))
    assert {one["problem"]["code"] for one in told["results"][:-1]} == {"erased"}
    alone = client.post("/v1/events", json=event("NA"))
    assert (alone.status_code, alone.json()["code"]) == (409, "erased")
    assert "NA" not in alone.json()["detail"]
    with closing(Store(url)) as store:
        assert (allow(store, "shop", "NA"), allow(store, "shop", "NA"), allow(store, "shop", "other")) == (
            True,
            False,
            False,
        )
    assert client.post("/v1/events", json=event("NA")).json()["accepted"] == 1


def test_a_request_that_is_sent_again_does_not_say_that_an_erased_customers_event_is_there(client):
    body, headers = {"events": [event("a"), event("b")]}, {"Idempotency-Key": "k"}
    assert client.post("/v1/events", json=body, headers=headers).json()["accepted"] == 2
    client.delete("/v1/customers/a")
    again = client.post("/v1/events", json=body, headers=headers)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert [one["status"] for one in again.json()["results"]] == ["rejected", "accepted"]
    assert again.json()["results"][0]["problem"]["code"] == "erased"


def test_the_work_on_an_erased_customer_is_over(store):
    erase(store, "shop", "a")
    with pytest.raises(ErasedError, match="was erased") as told:
        worklist.change(store, "shop", "a", {"opted_out": True}, Moment(now(), 28.0))
    assert "'a'" not in str(told.value)


def test_the_audit_log_forgets_with_whom(client, url):
    client.delete("/v1/customers/h1043")
    client.get("/v1/customers/h1043")
    client.__exit__(None, None, None)
    with closing(Store(url)) as store:
        found = audit.newest(store, "shop", 10)
        assert [(entry.method, entry.customer_id) for entry in found] == [("GET", None), ("DELETE", None)]
    client.__enter__()


def test_a_run_that_began_before_does_not_bring_the_customer_back(store, url):
    write(store, answer_of("a"), answer_of("b"))

    def answers():
        yield from (answer_of(f"c{number:04}") for number in range(2500))
        erase(store, "shop", "a")
        erase(store, "shop", "c0001")
        yield from map(answer_of, "ab")

    store.write_run("shop", 0, 0, {}, answers())
    assert [store.answer("shop", name) is None for name in ("a", "b", "c0001", "c0002")] == [True, False, True, False]
    assert (rows_of(url, "a"), rows_of(url, "c0001")) == ({}, {})
    assert store.latest_run("shop").customers == 2501


def test_a_run_does_not_end_while_a_customer_is_erased(store, url):
    ready, go = Event(), Event()

    def documents():
        ready.set()
        assert go.wait(30)
        return ()

    def waits(connection):
        asked = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        return url.startswith("sqlite") or connection.execute(asked).scalar() > 0

    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(store.write_run, "shop", 0, 0, {}, [answer_of("a")], None, Options(documents=documents))
        assert ready.wait(30)
        with store.transaction(writes=True) as connection:
            alone(connection)
            go.set()
            while not (run.done() or waits(connection)):
                pass
            assert store.latest_run("shop") is None
        assert run.result() == store.latest_run("shop").id


def test_only_the_hashes_that_are_asked_for_are_read(store, url, monkeypatch):
    monkeypatch.setattr("serving.kept_out._AT_ONCE", 2)
    for name in ("a", "b", "c", "d"):
        erase(store, "shop", name)
    allow(store, "shop", "d")
    with store.transaction() as connection:
        monkeypatch.setattr("serving.kept_out.kept_out", None)
        assert barred(connection, "shop", ["x", "a", "y", "c", "d"]) == {"a", "c"}
        assert barred(connection, "other", ["a"]) == set()


def test_neither_histories_nor_vectors_come_back(store, url):
    erase(store, "shop", "a")
    rows = {CUSTOMER: ["a", "b"], TIME: [1, 1], EVENT: ["p", "p"], KNOWN_AT: [1, 1], "position": [0, 0]}
    histories.write(store, "shop", DAY, pl.DataFrame(rows))
    assert [histories.history(store, "shop", name).height for name in "ab"] == [0, 1]


# the business's own files


@pytest.fixture
def journey(tmp_path):
    rows = [f"{name},2024-0{month}-01,purchase,5" for name in ("a", "NA", "007", "b") for month in (1, 2)]
    (tmp_path / "events.csv").write_text("customer_id,time,event,value\n" + "\n".join(rows))
    (tmp_path / "people.csv").write_text("customer_id,age\na,30\nNA,40\n007,50\nb,60\n")
    (tmp_path / "shop.yml").write_text(
        "journey: shop\ncurrency: EUR\nevents: [{file: events.csv}]\ntasks: {churn: {no: purchase, within: 7d}}\n"
        "profile: {file: people.csv, features: {age: {static: true}}}\n"
    )
    return read_journey(tmp_path / "shop.yml")


def test_an_erased_customer_is_left_out_of_files_and_profile(store, journey):
    for name in ("NA", "007"):
        erase(store, "shop", name)
    with store.transaction() as connection:
        gone = kept_out(connection, "shop")
    _, log = read(*journey, threads=1, erased=gone)
    assert log.events[CUSTOMER].unique().sort().to_list() == ["a", "b"]
    assert log.profile[CUSTOMER].to_list() == ["a", "b"]
    assert log.left_out == {"customers who were erased": 4}


def test_and_of_a_log_in_parts(store, journey, tmp_path):
    erase(store, "shop", "a")
    with store.transaction() as connection:
        gone = kept_out(connection, "shop")
    definition, paths = parts.split(*journey, tmp_path, 1, erased=gone)
    assert set(parts.read_part(definition, paths[0])[CUSTOMER]) == {"NA", "007", "b"}


def test_who_has_no_secret_cannot_tell_who_it_was():
    erased = Erased(b"one", frozenset([hash_of(b"one", "a")]))
    assert [erased.bars(name) for name in ("a", "A", "b")] == [True, False, False]
    assert not Erased(b"two", erased.hashes).bars("a")
    rows = pl.DataFrame({CUSTOMER: ["a", None, "b"]})
    assert erased.left(rows)[CUSTOMER].to_list() == [None, "b"]
