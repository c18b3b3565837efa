"""Changes, webhooks and runs over HTTP; how the server is watched; and what it does beside requests."""

import asyncio
import csv
import io
import json
import logging
import sys
import threading
import time
import warnings
import zlib
from contextlib import closing, contextmanager

import polars as pl
import pytest
from receiver import OWN, receiver
from sqlalchemy import event, text
from starlette.testclient import TestClient
from stores import VERSIONS, answer_of, execute

from features.errors import InputError
from features.journey import RiskBands
from features.schema import DAY
from serving import runs
from serving.app import create_app
from serving.background import Background, Work, end
from serving.clock import now
from serving.database import StoreError
from serving.logs import accepted_id, install, request_id
from serving.metrics import Metrics
from serving.observed import Observed
from serving.rescorer import Rescorer
from serving.state import Settings
from serving.store import Options, Store
from serving.webhooks import MOST


class Answering:
    """Stands where a scorer would; a run's routes never ask it for an answer."""

    def __init__(self, versions):
        self.versions = versions


@contextmanager
def serving(url, load=lambda: Answering({"churn": 1}), champions=dict, **settings):
    app = create_app(
        Settings("shop", url, outbound=OWN, **settings), load_scorer=load, list_models=list, champions=champions
    )
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def client(url):
    with serving(url) as client:
        yield client


@pytest.fixture
def local(tmp_path):
    """The address of a store for what has nothing to do with the database."""
    return f"sqlite:///{tmp_path}/scores.db"


def scored(store: Store, **probabilities: float) -> int:
    answers = [answer_of(name, probability=given) for name, given in probabilities.items()]
    return store.write_run("shop", 10 * DAY, now(), VERSIONS, answers, options=Options(RiskBands()))


def wait_for(condition, seconds: float = 20.0):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.05)
    return found


def code(response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


# changes


def test_a_crm_follows_changes_by_its_cursor(client, store):
    scored(store, a=0.1, b=0.9)
    begun = client.get("/v1/changes").json()
    assert (begun["items"], begun["more"]) == ([], False)
    run_id = scored(store, a=0.9, b=0.1)
    first = client.get("/v1/changes", params={"cursor": begun["next_cursor"], "limit": 1}).json()
    second = client.get("/v1/changes", params={"cursor": first["next_cursor"]}).json()
    assert [first["more"], second["more"]] == [True, False]
    told = [
        (one["run"], one["customer_id"], one["risk_before"], one["risk"]) for one in first["items"] + second["items"]
    ]
    assert told == [(run_id, "a", "low", "high"), (run_id, "b", "high", "low")]
    assert client.get("/v1/changes", params={"cursor": second["next_cursor"]}).json()["items"] == []
    high = client.get("/v1/changes", params={"risk": "high", "since": "2024-01-01"}).json()["items"]
    assert [one["customer_id"] for one in high] == ["a"]


def test_a_request_for_changes_that_cannot_be_used_is_refused(local):
    with serving(local) as client:
        for query in ("cursor=!", "limit=0", "risk=huge", "since=soon", "colour=red"):
            assert client.get(f"/v1/changes?{query}").status_code == 422


# runs


def test_a_run_is_downloaded_whole_in_every_form(client, store):
    names = [f"c{number}" for number in range(20)]
    run_id = scored(store, **dict.fromkeys(names, 0.3))
    path = f"/v1/runs/{run_id}/scores"
    lines = client.get(path)
    assert lines.headers["content-type"] == "application/x-ndjson"
    assert f'filename="shop-{run_id}.jsonl"' in lines.headers["content-disposition"]
    assert sorted(json.loads(line)["customer_id"] for line in lines.text.splitlines()) == sorted(names)
    rows = csv.DictReader(io.StringIO(client.get(path, params={"format": "csv"}).content.decode("utf-8-sig")))
    assert sorted(row["customer_id"] for row in rows) == sorted(names)
    frame = pl.read_parquet(io.BytesIO(client.get(path, params={"format": "parquet"}).content))
    assert sorted(frame["customer_id"]) == sorted(names)
    with client.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as deflated:
        sent = b"".join(deflated.iter_raw())
    assert deflated.headers["content-encoding"] == "gzip"
    assert zlib.decompress(sent, zlib.MAX_WBITS | 16) == lines.content
    with client.stream("GET", path, headers={"Accept-Encoding": "gzip;q=0, br"}) as plain:
        assert "content-encoding" not in plain.headers


def test_runs_are_listed_with_how_far_they_are(client, store):
    run_id = scored(store, a=0.3)
    (run,) = client.get("/v1/runs").json()["runs"]
    assert (run["run"], run["status"], run["customers"], run["versions"]) == (run_id, "complete", 1, VERSIONS)
    assert run["finished_at"] >= run["scored_at"]
    assert client.get(f"/v1/runs/{run_id}").json() == run
    assert code(client.get("/v1/runs/77")) == (404, "unknown_run")
    assert code(client.get("/v1/runs/77/scores")) == (404, "unknown_run")
    assert client.get("/v1/runs/x").status_code == 422


def test_a_server_that_cannot_score_says_so(local):
    with serving(local) as client:
        assert code(client.post("/v1/runs")) == (503, "not_scoring")


# A command that scores: it writes the run it is told to, as `journeycast score --run` does.
SCORING = """
import sys
import warnings
sys.path[:0] = {path!r}
from stores import VERSIONS, answer_of
from serving.runs import Asked
from serving.store import Options, Store
fence, run_id = int(sys.argv[-3]), int(sys.argv[-1])
Store({url!r}).write_run("shop", 0, 0, VERSIONS, [answer_of("a")], options=Options(asked=Asked(run_id, fence)))
"""


def scoring(url: str) -> tuple[str, ...]:
    return sys.executable, "-c", SCORING.format(path=sys.path, url=url)


BROKEN = (sys.executable, "-c", "import sys; sys.exit('event log: is gone')")
IDLE = (sys.executable, "-c", "")


@pytest.fixture
def here(local):
    with closing(Store(local)) as store:
        yield store


def test_a_run_is_asked_for_followed_and_read(url):
    with serving(url, score=scoring(url)) as client:
        asked = client.post("/v1/runs")
        where = asked.headers["location"]
        assert (asked.status_code, where) == (202, f"/v1/runs/{asked.json()['run']}")
        assert asked.json()["status"] == "waiting"
        assert client.get(f"{where}/scores").status_code in (200, 409)
        wait_for(lambda: client.get(where).json()["status"] == "complete", 60)
        assert client.get(f"{where}/scores").json()["customer_id"] == "a"


def test_a_run_that_fails_says_why_and_the_schedule_waits_before_the_next(here):
    rescorer = Rescorer(here, "shop", BROKEN, 1.0, lambda: True)

    def latest():
        rescorer.step()
        with here.transaction() as connection:
            return [run for run in runs.newest(connection, "shop", 5) if run.failed]

    (failed,) = wait_for(latest, 60)
    assert failed.failed == "event log: is gone"
    rescorer.step()
    assert len(latest()) == 1
    rescorer.close()


def test_the_schedule_scores_when_the_newest_run_is_old_enough_and_models_are_loaded(here, local):
    def asked() -> int:
        return execute(local, text("SELECT count(*) FROM runs WHERE asked_at IS NOT NULL")).scalar()

    scored(here, a=0.1)
    ready = {"models": False}
    rescorer = Rescorer(here, "shop", IDLE, 3600.0, lambda: ready["models"])
    rescorer.step()
    assert asked() == 0
    execute(local, text("UPDATE runs SET scored_at = scored_at - 3600000001"))
    rescorer.step()
    assert asked() == 0
    ready["models"] = True
    rescorer.step()
    assert asked() == 1
    rescorer.close()


# webhooks


def test_a_webhook_is_registered_tried_followed_and_deleted(url, store):
    scored(store, a=0.1)
    with receiver() as hook, serving(url) as client:
        made = client.post("/v1/webhooks", json={"url": hook.url, "types": ["customer.risk_changed", "run.completed"]})
        assert made.status_code == 201
        where, secret = made.headers["location"], made.json()["secret"]
        assert secret not in client.get("/v1/webhooks").text + client.get(where).text
        tried = client.post(f"{where}/test").json()
        assert (tried["state"], tried["http_status"], tried["attempts"]) == ("delivered", 200, 1)
        scored(store, a=0.9)
        wait_for(lambda: len(hook.got) == 3)
        told = hook.verified(secret)
        assert {message["type"] for message in told} == {"test", "customer.risk_changed", "run.completed"}
        wait_for(lambda: client.get("/v1/webhooks").json()["delivered"] == 3)
        log = client.get(f"{where}/deliveries?state=delivered&limit=2").json()
        rest = client.get(f"{where}/deliveries", params={"before": log["next_before"]}).json()
        assert len(log["items"]) + len(rest["items"]) == 3
        one = log["items"][0]["id"]
        assert client.post(f"{where}/deliveries/{one}/resend").json()["state"] == "waiting"
        wait_for(lambda: len(hook.got) == 4)
        hook.answers = [404]
        failed = client.post(f"{where}/test").json()
        assert (failed["state"], failed["error"]) == ("dead", "answered 404")
        assert client.get(f"{where}/deliveries?state=dead").json()["items"][0]["id"] == failed["id"]
        assert client.post(f"{where}/resend").json() == {"messages": 1}
        assert client.delete(where).status_code == 204
        assert code(client.get(where)) == (404, "unknown_webhook")
        assert client.get("/v1/webhooks").json()["webhooks"] == []


BAD_WEBHOOKS = {
    "no url": {},
    "a private address": {"url": "https://10.0.0.1/"},
    "no address": {"url": "https://no.such.host.invalid/"},
    "no type": {"url": "http://127.0.0.1/", "types": []},
    "an unknown type": {"url": "http://127.0.0.1/", "types": ["everything"]},
    "an unknown band": {"url": "http://127.0.0.1/", "risks": ["huge"]},
    "another name": {"url": "http://127.0.0.1/", "secret": "mine"},
    "a file": {"url": "file:///etc/passwd"},
}


def test_a_webhook_that_cannot_be_used_is_refused(local):
    with serving(local) as client:
        for name, body in BAD_WEBHOOKS.items():
            assert client.post("/v1/webhooks", json=body).status_code == 422, name
        assert client.get("/v1/webhooks").json()["webhooks"] == []


def test_a_webhook_that_is_not_there_is_told(local):
    with serving(local) as client:
        for path in ("", "/deliveries", "/deliveries/1/resend", "/test", "/resend"):
            method = "GET" if path in ("", "/deliveries") else "POST"
            assert code(client.request(method, f"/v1/webhooks/7{path}")) == (404, "unknown_webhook")


def test_there_is_room_for_many_webhooks():
    assert MOST >= 20


# new champions


def test_a_new_champion_answers_without_a_restart_and_without_one_failed_request(local):
    registry, loading = {"churn": 1}, threading.Event()

    def load():
        if registry["churn"] > 1:
            loading.set()
            time.sleep(0.3)  # as long as a load takes, the one before answers
        return Answering(dict(registry))

    with serving(local, load, lambda: dict(registry), watch_seconds=0.05) as client:
        wait_for(lambda: client.get("/readyz").status_code == 200)
        answers, stop = [], threading.Event()

        def ask() -> None:
            while not stop.is_set():
                answers.append(client.get("/readyz"))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        registry["churn"] = 2
        wait_for(lambda: answers and answers[-1].json()["versions"] == {"churn": 2})
        stop.set()
        for thread in threads:
            thread.join()
        assert loading.is_set()
        assert {answer.status_code for answer in answers} == {200}
        assert "journeycast_champion_swaps_total 2.0" in client.get("/metrics").text


def test_a_champion_that_cannot_be_loaded_leaves_the_one_before(local):
    registry, tries = {"churn": 1}, []

    def load():
        if registry["churn"] == 2:
            tries.append(1)
            raise InputError("champions", "trained by other features")
        return Answering(dict(registry))

    with serving(local, load, lambda: dict(registry), watch_seconds=0.02) as client:
        wait_for(lambda: client.get("/readyz").status_code == 200)
        registry["churn"] = 2
        wait_for(lambda: tries)
        assert client.get("/readyz").json()["versions"] == {"churn": 1}
        registry["churn"] = 3
        wait_for(lambda: client.get("/readyz").json()["versions"] == {"churn": 3})


def test_a_registry_that_goes_away_leaves_the_models(local):
    def champions():
        raise ConnectionError("away")

    with serving(local, champions=champions, watch_seconds=0.02) as client:
        wait_for(lambda: client.get("/readyz").status_code == 200)
        time.sleep(0.2)
        assert client.get("/readyz").status_code == 200


# watching the server


def sample(client, name: str) -> float:
    return next(
        float(line.rpartition(" ")[2]) for line in client.get("/metrics").text.splitlines() if line.startswith(name)
    )


def test_prometheus_reads_latencies_by_route_and_the_age_of_the_scores(client, store):
    scored(store, a=0.1)
    for name in ("a", "b", "c/d"):
        client.get(f"/v1/customers/{name}")
    client.get("/nowhere/1")
    told = client.get("/metrics")
    assert told.headers["content-type"].startswith("text/plain; version=0.0.4")
    route = 'journeycast_request_seconds_count{method="GET",route="/v1/customers/{customer_id:path}",status='
    assert sample(client, f'{route}"200"') == 1
    assert sample(client, f'{route}"404"') == 2
    assert sample(client, 'journeycast_request_seconds_count{method="GET",route="unknown",status="404"') == 1
    assert "c/d" not in told.text
    assert 0 <= sample(client, "journeycast_scores_age_seconds") < 60
    assert sample(client, "journeycast_run_customers") == 1
    assert sample(client, 'journeycast_webhook_deliveries{state="waiting"}') == 0
    assert sample(client, "journeycast_store_up") == 1
    wait_for(lambda: 'journeycast_model_version{task="churn"} 1.0' in client.get("/metrics").text)


def test_messages_are_not_counted_at_every_look(local):
    with serving(local) as client:
        client.get("/metrics")
        engine, counted = client.app.state.journeycast.store._engine, []
        event.listen(engine, "before_cursor_execute", lambda *told: counted.append("FROM deliveries" in told[2]))
        for _ in range(3):
            assert sample(client, 'journeycast_webhook_deliveries{state="dead"}') == 0
    assert not any(counted)


def test_a_store_that_is_away_is_a_metric_and_no_error(tmp_path):
    (tmp_path / "scores.db").write_text("no database " * 100)
    with serving(f"sqlite:///{tmp_path}/scores.db") as client:
        assert sample(client, "journeycast_store_up") == 0


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("abc-123_X.9:z", True),
        (None, False),
        ("", False),
        ("a b", False),
        ('a"b', False),
        ("x" * 129, False),
        ("é", False),
    ],
)
def test_a_request_id_is_kept_where_it_is_harmless(given, kept):
    assert (accepted_id(given) == given) is kept
    assert len(accepted_id(None)) == 32


def test_every_answer_carries_the_id_of_its_request(local):
    with serving(local) as client:
        assert client.get("/healthz", headers={"X-Request-ID": "crm-7"}).headers["x-request-id"] == "crm-7"
        assert len(client.get("/nowhere").headers["x-request-id"]) == 32


def test_a_log_line_is_one_json_object_that_names_its_request(capsys):
    before = logging.getLogger().handlers[:], logging.getLogger().level
    try:
        install("json")
        token = request_id.set("r1")
        try:
            raise ValueError("two\nlines")
        except ValueError:
            logging.getLogger("serving.x").exception("broke %s", "here", extra={"route": "/v1/x", "status": 500})
        request_id.reset(token)
        told = json.loads(capsys.readouterr().err)
        assert (told["level"], told["message"], told["request_id"], told["status"]) == (
            "error",
            "broke here",
            "r1",
            500,
        )
        assert "ValueError: two" in told["error"]
        logging.getLogger("serving.x").error("half a character: \ud800")
        assert json.loads(capsys.readouterr().err)["message"].endswith("\ud800")
        install("text")
        logging.getLogger("serving.x").warning("plain")
        assert capsys.readouterr().err.endswith("WARNING plain\n")
    finally:
        logging.captureWarnings(False)
        root = logging.getLogger()
        root.handlers[:], root.level = before


def test_what_a_library_warns_of_is_a_line_of_the_log(capsys):
    before = logging.getLogger().handlers[:], logging.getLogger().level
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            install("json")
            warnings.warn("ends soon", UserWarning, stacklevel=1)
        told = json.loads(capsys.readouterr().err)
        assert (told["level"], told["logger"]) == ("warning", "py.warnings")
        assert "UserWarning: ends soon" in told["message"]
    finally:
        logging.captureWarnings(False)
        root = logging.getLogger()
        root.handlers[:], root.level = before


def test_requests_are_logged_by_route_without_ids_of_customers(local, here, caplog):
    scored(here, a=0.1)
    with caplog.at_level("INFO", logger="serving.requests"), serving(local) as client:
        client.get("/v1/customers/secret-name", headers={"X-Request-ID": "r9"})
        client.get("/healthz")
    (line,) = [record for record in caplog.records if record.name == "serving.requests"]
    assert (line.route, line.status, line.method) == ("/v1/customers/{customer_id:path}", 404, "GET")
    assert "secret-name" not in line.getMessage()


# works beside requests


def test_a_work_that_fails_is_tried_again_and_an_outage_is_told_once(caplog):
    tried = []

    def step() -> bool:
        tried.append(1)
        if len(tried) < 4:
            raise StoreError("store", "is away")
        if len(tried) == 4:
            raise KeyError("a bug")
        return False

    closed = []
    background = Background([Work("testing", step, 0.01, lambda: closed.append(1))])
    background.start()
    wait_for(lambda: len(tried) > 6)
    background.stop()
    assert closed == [1]
    mine = [record.message for record in caplog.records if record.message.startswith("testing")]
    assert mine == [
        "testing waits: is away",
        "testing failed and is tried again",
    ]


def test_a_work_that_hangs_keeps_no_server_from_ending(caplog):
    over, closed = threading.Event(), []

    def hang() -> bool:
        return over.wait(60)

    def fail() -> None:
        raise StoreError("store", "is away")

    works = [Work("one", hang, 1.0), Work("two", bool, 1.0, fail), Work("three", bool, 1.0, lambda: closed.append(1))]
    background = Background(works)
    background.start()
    background.stop(0.1)
    end({"four": lambda: over.wait(60) and None}, 0.1)
    over.set()
    assert closed == [1]
    assert [record.message for record in caplog.records] == [
        "one did not end within 0.1 s and is left",
        "two ended, but is away",
        "four did not end within 0.1 s and is left",
    ]


def test_a_request_that_the_end_of_the_server_cuts_off_is_answered_with_503():
    told = []

    async def wait(scope, receive, send) -> None:
        await asyncio.sleep(60)

    async def send(message) -> None:
        told.append(message)

    async def cut_off() -> None:
        scope = {"type": "http", "method": "GET", "path": "/v1/runs", "headers": []}
        request = asyncio.ensure_future(Observed(wait, Metrics(None, None))(scope, None, send))
        await asyncio.sleep(0)
        request.cancel()
        await request

    asyncio.run(cut_off())
    assert [message.get("status") for message in told] == [503, None]
    assert json.loads(told[1]["body"])["code"] == "server_ends"


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_store_that_comes_back_is_used_again_by_itself(store, url):
    scored(store, a=0.1)
    admin = url.replace("/scores?", "/postgres?")
    with serving(url) as client:
        wait_for(lambda: client.get("/readyz").status_code == 200)
        away = replace_connections(admin, allow=False)
        assert away > 0
        assert code(client.get("/v1/customers/a")) == (503, "store_unavailable")
        assert code(client.get("/readyz")) == (503, "store_unavailable")
        assert client.get("/healthz").status_code == 200
        replace_connections(admin, allow=True)
        wait_for(lambda: client.get("/v1/customers/a").status_code == 200)
        assert client.get("/readyz").status_code == 200


def replace_connections(admin: str, *, allow: bool) -> int:
    """Close the database to everyone, or open it again; how many connections were cut."""
    import psycopg

    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE scores ALLOW_CONNECTIONS {'true' if allow else 'false'}")
        cut = connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = 'scores'"
        ).fetchone()
    return cut[0]
