"""What is acknowledged survives kill -9; what cannot be written is told; what is malformed is refused.

`make harden` does the same many times over: `pytest tests/test_hardening.py --kills 50 --bodies 10000`.
"""

import json
import random
import re
import threading
import time
from collections import Counter
from contextlib import closing, contextmanager
from pathlib import Path
from shutil import copyfile

import pytest
from killed import CUSTOMERS
from killing import Killing
from renewing import begun, renewed, shop_of, tracking_of
from servers import untrained
from shop import DEFINITION, read_shop, write_log
from sqlalchemy import event, func, select, text
from starlette.testclient import TestClient
from stores import VERSIONS, answer_of, execute, ids, write
from test_migrations import make_first

from features.journey import Campaign, RiskBands
from features.schema import DAY
from serving import changes, clock, runs
from serving.alone import BusyError
from serving.app import create_app
from serving.clock import now
from serving.database import StoreError
from serving.filters import Filters
from serving.judging import judge_all
from serving.leases import Lease
from serving.planning import Cut
from serving.proposals import Proposal, create
from serving.realised import reports
from serving.sending import send
from serving.state import Settings
from serving.store import Options, Store
from serving.tables import SCHEMA, expectations, outcomes, scores, stored_answers
from serving.tables import events as stored_events
from serving.tables import runs as stored_runs

# kill -9


def test_of_a_run_that_is_killed_nothing_is_seen_and_no_acknowledged_run_is_lost(url, moments):
    with closing(Killing("score")) as killing, closing(Store(url)) as store:
        newest = acknowledged = 0
        for number, seconds in enumerate(moments(1.5)):
            told = killing.once(url, seconds, of_first=number % 2 == 0)
            acknowledged += len(told)
            newest = max([newest, *(int(line.split()[1]) for line in told)])
            run = store.latest_run("shop")
            assert (run.id if run else 0) >= newest
            if run is not None:
                newest = run.id
                check_whole(store, run)
        assert acknowledged > number // 2  # one for each kill that waited for it, or the test has seen nothing
        write(store, answer_of("after"))
        assert ids(store.at_risk("shop")) == ["after"]


def check_whole(store: Store, run) -> None:
    with store.transaction() as connection:
        for table in (scores, stored_answers):
            counted = select(func.count()).select_from(table).where(table.c.run_id == run.id)
            assert connection.execute(counted).scalar_one() == run.customers == CUSTOMERS
        followed = changes.page(connection, "shop", limit=10**6)
        told = [change.run_id for change in followed.items]
        whole = connection.execute(select(stored_runs.c.id).where(stored_runs.c.customers > 0)).scalars().all()
    # Every visible run but the very first changed everyone; no change is of a run that is not visible.
    assert run.id == 1 or set(told) <= {*whole, *told[: len(told) - CUSTOMERS]}
    assert len(told) % CUSTOMERS == 0


def test_no_acknowledged_event_is_lost_and_no_request_is_stored_in_part(url, moments):
    with closing(Killing("ingest")) as killing, closing(Store(url)) as store:
        store.latest_run("shop")
        acknowledged: set[str] = set()
        for number, seconds in enumerate(moments(0.5)):
            told = killing.once(url, seconds, of_first=number % 2 == 0)
            acknowledged |= {one for line in told for one in line.split()}
        with store.transaction() as connection:
            kept = set(connection.execute(select(stored_events.c.event_id)).scalars())
        assert acknowledged
        assert acknowledged <= kept
        assert set(Counter(one.rpartition("-")[0] for one in kept).values()) == {3}


def test_an_upgrade_that_is_killed_is_done_again(url, moments):
    with closing(Killing("migrate")) as killing:
        found = Counter[str]()
        for number, seconds in enumerate(moments(0.2)):
            make_empty(url)
            make_first(url)
            told = killing.once(url, seconds, of_first=number % 4 == 3)
            version = execute(url, text("SELECT version_num FROM schema_version")).scalar()
            assert version in ((SCHEMA,) if told else ("0001", SCHEMA))
            found[version] += 1
            with closing(Store(url)) as store:
                assert ids(store.at_risk("shop")) == ["b", "a"]
            assert execute(url, text("SELECT version_num FROM schema_version")).scalar() == SCHEMA
        if number >= 9:  # both were seen: upgrades that were cut off, and such as were done
            assert len(found) == 2, found


CHURN = "tasks:\n  churn: {no: purchase, within: 28d}\n"
OTHERS = "  next_stage: {in: 28d}\n  cltv: {sum: purchase, within: 56d}\n"


def shop_in(folder: Path, database: Path, tasks: str) -> str:
    """The URL of an empty store beside the shop's files and an empty tracking store."""
    folder.mkdir()
    write_log(folder / "events.csv")
    (folder / "shop.yml").write_text(re.sub(r"^tasks:\n(  .*\n)+", tasks, DEFINITION, flags=re.MULTILINE))
    copyfile(database, folder / "mlflow.db")
    return f"sqlite:///{folder}/scores.db"


def contact_half(shop: str) -> None:
    """Send a list of the newest run the day after it, a fifth of it held out."""
    with closing(Store(shop)) as store:
        at = store.latest_run("shop").cutoff + DAY
        proposal = Proposal("autumn", Filters(), Campaign(), Cut(capacity=100), holdout=0.2, seed=1)
        send(store, "shop", create(store, "shop", proposal, at).id, at, "mail", at)


def test_outcomes_retraining_and_scores_that_are_killed_lose_nothing_and_count_nothing_twice(tmp_path, blank, moments):
    """Three kills to a shop of whose first month a list was sent: from a month's first step, and in its training.

    While it trains, others ask for the same.
    """
    found = moments(4.0)
    with closing(Killing("renew")) as killing:
        for first in range(0, len(found), 3):
            shop = shop_in(tmp_path / str(first), blank, CHURN if len(found) == 1 else CHURN + OTHERS)
            begun(shop)
            contact_half(shop)
            for number, seconds in enumerate(found[first : first + 3], first):
                process = killing.begin(shop)
                killing.wait_for("judging")
                if number % 2:
                    killing.wait_for("training")
                    with pytest.raises(BusyError, match="is under way elsewhere"):
                        renewed(shop, lambda _: None)
                time.sleep(seconds)
                killing.end(process)
            renewed(shop, lambda _: None)
            with closing(Store(shop)) as store:
                check_renewed(shop, store)


def check_renewed(url: str, store: Store) -> None:
    tracking, (journey, log) = tracking_of(url), shop_of(url, store)
    run = store.latest_run("shop")
    for task, version in run.versions.items():  # the newest scores are the champions', and those can be loaded
        champion = tracking.version("shop", task, "champion")
        assert int(champion.version) == version
        assert tracking.model(champion).task == task
    with store.transaction() as connection:
        told = reports(connection, "shop")
        followed = dict(connection.execute(select(outcomes.c.run_id, outcomes.c.customers)).all())
        kept = select(expectations.c.run_id, func.count()).group_by(expectations.c.run_id)
        assert dict(connection.execute(kept).all()) == followed
    assert max(one["tasks"]["churn"]["judged"]["listed"] for one in told) > 0  # the list was judged, too
    # What is stored is what anybody finds who judges everything anew, each run once.
    anew = judge_all(store, journey, log, None, lambda _: None, run.cutoff).reports
    assert [one["run_id"] for one in reversed(told)] == [one["run_id"] for one in anew]
    for stored, found in zip(reversed(told), anew, strict=True):
        assert stored["tasks"] == found["tasks"]
    # And beside the training every number stands once.
    experiment = tracking.client.get_experiment_by_name("shop").experiment_id
    every = tracking.client.search_runs([experiment], max_results=1000)
    assert {one.info.status for one in every} <= {"FINISHED", "KILLED", "FAILED"}
    assert tracking.open_stories("shop") == []
    for one in every:
        for name in one.data.metrics:
            if name.startswith("realised/") and "all_runs" not in name:
                steps = [found.step for found in tracking.client.get_metric_history(one.info.run_id, name)]
                assert len(steps) == len(set(steps)), name


def make_empty(url: str) -> None:
    if url.startswith("sqlite"):
        for file in Path(url.removeprefix("sqlite:///")).parent.glob("scores.db*"):
            file.unlink()
    else:
        execute(url, text("DROP SCHEMA public CASCADE"))
        execute(url, text("CREATE SCHEMA public"))


# what a power cut may take


def test_databases_answer_only_when_the_disk_has_it(store, url):
    with store.transaction() as connection:
        if url.startswith("sqlite"):
            assert connection.execute(text("PRAGMA synchronous")).scalar() == 2  # FULL
            assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        else:
            assert connection.execute(text("SHOW synchronous_commit")).scalar() == "on"
            assert connection.execute(text("SHOW fsync")).scalar() == "on"


def test_a_run_is_shown_by_a_transaction_that_waits_for_the_disk(store, url, monkeypatch):
    if url.startswith("postgresql"):
        execute(url, text("ALTER DATABASE scores SET synchronous_commit TO off"))
    said = []
    record = changes.record
    setting = "PRAGMA synchronous" if url.startswith("sqlite") else "SHOW synchronous_commit"

    def recorded(connection, run_id):
        said.append(str(connection.exec_driver_sql(setting).scalar()))
        record(connection, run_id)

    monkeypatch.setattr(changes, "record", recorded)
    for _ in range(2):
        write(store, answer_of("a"))
    assert said == ["2" if url.startswith("sqlite") else "on"]


# a disk that is full, a database that is read-only


@contextmanager
def answering(url: str):
    app = create_app(Settings("shop", url, score=("true",)), load_scorer=list, list_models=list)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def told_of_every_connection(store: Store, statement: str) -> None:
    """From now on, each connection begins with this."""
    event.listen(store._engine, "connect", lambda connection, _: connection.execute(statement))
    store.close()


def test_a_full_disk_is_told_and_the_run_before_stays(tmp_path):
    with closing(Store(f"sqlite:///{tmp_path}/scores.db")) as store:
        write(store, answer_of("a"))
        pages = execute(f"sqlite:///{tmp_path}/scores.db", text("PRAGMA page_count")).scalar()
        told_of_every_connection(store, f"PRAGMA max_page_count = {pages + 20}")
        with pytest.raises(StoreError, match="disk is full"):
            write(store, *(answer_of(f"c{number}") for number in range(3000)))
        assert ids(store.at_risk("shop")) == ["a"]


def test_a_read_only_database_is_told_and_can_be_read(url):
    with closing(Store(url)) as store:
        write(store, answer_of("a"))
        if url.startswith("sqlite"):
            told_of_every_connection(store, "PRAGMA query_only = ON")
        else:
            execute(url, text("ALTER DATABASE scores SET default_transaction_read_only = on"))
            store.close()
        with pytest.raises(StoreError, match=r"readonly database|read-only transaction"):
            write(store, answer_of("b"))
        assert ids(store.at_risk("shop")) == ["a"]
    if not url.startswith("sqlite"):
        with answering(url) as client:
            response = client.post("/v1/runs")
            assert (response.status_code, response.json()["code"]) == (503, "store_unavailable")
            assert client.get("/v1/runs").status_code == 200


# a clock that goes backwards, two servers on one store


def test_a_clock_that_goes_backwards_keeps_runs_and_changes_in_order(store, monkeypatch):
    def scored(at: int, probability: float) -> int:
        answers = [answer_of("a", probability=probability)]
        return store.write_run("shop", 10 * DAY, at, VERSIONS, answers, options=Options(RiskBands()))

    today = now()
    for module in ("store", "runs", "changes", "leases"):
        monkeypatch.setattr(f"serving.{module}.now", lambda: today - 3 * DAY, raising=False)
    first = scored(today, 0.1)
    second = scored(today - 2 * DAY, 0.9)
    assert (store.latest_run("shop").id, second > first) == (second, True)
    with store.transaction() as connection:
        (change,) = changes.page(connection, "shop", limit=10).items
        assert change.changed_at > today
        assert [run.id for run in runs.newest(connection, "shop", 2)] == [second, first]
    assert Lease(store, "work").hold()
    assert clock.now() >= today


def test_two_servers_on_one_store_answer_alike(url):
    with answering(url) as one, answering(url) as two, closing(Store(url)) as store:
        write(store, answer_of("a", probability=0.9))
        asked = {one.post("/v1/runs").json()["run"], two.post("/v1/runs").json()["run"]}
        assert len(asked) == 1
        assert one.get("/v1/customers/a").json() == two.get("/v1/customers/a").json()
        write(store, answer_of("a", probability=0.1))
        assert two.get("/v1/customers/a").json()["churn"]["probability"] == 0.1


def test_stores_made_at_the_same_time_are_one(url):
    stores = [Store(url) for _ in range(4)]
    threads = [threading.Thread(target=write, args=[store, answer_of("a")]) for store in stores[:1]]
    threads += [threading.Thread(target=store.latest_run, args=["shop"]) for store in stores[1:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {ids(store.at_risk("shop"))[0] for store in stores} == {"a"}
    for store in stores:
        store.close()


# malformed bodies

BODIES = {
    "/v1/predictions": {"customers": [{"customer_id": "n", "events": [{"time": "2024-06-01", "event": "purchase"}]}]},
    "/v1/events": {"customer_id": "n", "time": "2024-06-01", "event": "purchase", "event_id": "e"},
    "/v1/webhooks": {"url": "https://10.0.0.1/", "types": ["run.completed"], "risks": ["high"]},
    "/v1/campaigns": {"name": "autumn", "budget": 10.5, "holdout": 0.1},
}
ODD = [
    b"", b"null", b"[]", b"0", b'"x"', b"{", b"[" * 50_000, b'{"a":' * 50_000, b"NaN", b"-Infinity", b"1e999",
    b"9" * 5000, b"\xff\xfe{}", b"\x00", '{"customers": []}'.encode("utf-16"), b"{}" * 2, b'{"a": 1, "a": 2}',
]  # fmt: skip


def broken(good: bytes, chance: random.Random) -> bytes:
    """A body with some of its bytes replaced, repeated or cut off."""
    found = bytearray(good)
    for _ in range(chance.randint(1, 4)):
        place, length = chance.randrange(len(found) + 1), chance.randrange(6)
        kind = chance.randrange(5)
        if kind == 0:
            found[place : place + length] = chance.randbytes(chance.randrange(6))
        elif kind == 1:
            found[place:] = b""
        elif kind == 2:
            found[place:place] = chance.choice([b"null", b"1e400", b"{}", b"[[", b'"', b"\\ud800", b"-0", b"true"])
        elif kind == 3:
            found[place:place] = found[: chance.randrange(len(found) + 1)]
        else:
            found[place : place + 1] = chance.choice([b":", b",", b"}", b"]", b"9" * 30])
    return bytes(found)


def test_malformed_bodies_are_answered_with_4xx(tmp_path, pytestconfig):
    journey, _ = read_shop(tmp_path)
    chance = random.Random(11)  # noqa: S311
    settings = Settings("shop", f"sqlite:///{tmp_path}/scores.db", definition=journey)
    app = create_app(settings, load_scorer=untrained, list_models=list)
    headers = {"Content-Type": "application/json"}
    with TestClient(app, raise_server_exceptions=False) as client:
        for path, body in BODIES.items():
            good = json.dumps(body).encode()
            random_ones = [broken(good, chance) for _ in range(pytestconfig.getoption("--bodies") // len(BODIES))]
            for sent in [*ODD, *random_ones]:
                status = client.post(path, content=sent, headers=headers).status_code
                assert status < 500 or status == 503, (path, sent[:300], status)
            assert client.post(path, content=b" " * 10_000_001, headers=headers).status_code == 413
