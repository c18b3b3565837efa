import asyncio
import csv
import io
import json
import re
from contextlib import ExitStack

import numpy as np
import polars as pl
import pytest
from servers import untrained as no_model
from shop import read_shop, train_scorer
from starlette.testclient import TestClient

from features.catalogue import columns
from features.errors import InputError
from features.schema import CUSTOMER, CUTOFF, POSITION, TIME, to_text
from serving.answers import Answer, AtRiskCustomer, to_json
from serving.app import create_app
from serving.exports import to_csv
from serving.state import Settings
from serving.store import Store

PURCHASE = {"time": "2024-06-01T10:00:00Z", "event": "purchase", "value": 20.0}
VERSIONS = [{"task": "churn", "version": 1, "aliases": ["champion"], "grade": "A", "metrics": {"auc": float("nan")}}]


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    journey, log = read_shop(tmp_path_factory.mktemp("shop"))
    return journey, log, train_scorer(journey, log)


@pytest.fixture(scope="session")
def scored(shop, tmp_path_factory):
    journey, log, scorer = shop
    ids = log.events[CUSTOMER].unique().sort()
    cutoffs = pl.DataFrame({CUSTOMER: ids}).with_columns(pl.lit(journey.observed_until_microseconds).alias(CUTOFF))
    answers = scorer.predict(log.events, cutoffs)
    odd = [answers[0].model_copy(update={"customer_id": name}) for name in ODD_IDS]
    url = f"sqlite:///{tmp_path_factory.mktemp('store')}/scores.db"
    store = Store(url)
    store.write_run("shop", journey.observed_until_microseconds, 0, scorer.versions, [*answers, *odd])
    store.close()
    return url, {answer.customer_id: answer for answer in [*answers, *odd]}


@pytest.fixture(scope="session")
def start():
    """Start an application; all are stopped at the end."""
    with ExitStack() as running:

        def start(url, load_scorer, *, list_models=lambda: VERSIONS, body_limit=10_000_000) -> TestClient:
            settings = Settings("shop", url, body_limit)
            app = create_app(settings, load_scorer=load_scorer, list_models=list_models)
            return running.enter_context(TestClient(app, raise_server_exceptions=False))

        yield start


@pytest.fixture(scope="session")
def client(shop, scored, start):
    return start(scored[0], lambda: shop[2])


@pytest.fixture(scope="session")
def untrained(start, tmp_path_factory):
    return start(f"sqlite:///{tmp_path_factory.mktemp('empty')}/scores.db", no_model)


ODD_IDS = ["a/b", "a//b/", "100%", "q?x=1#y", "'\"; DROP TABLE runs", "=cmd|' /C calc'!A0", "näme 😀", " ", "x" * 1000]


def problem(response, status, code):
    assert response.headers["content-type"] == "application/problem+json", response.text
    told = response.json()
    assert (response.status_code, told["status"], told["code"]) == (status, status, code), told
    assert told["type"] == f"urn:journeycast:problem:{code}"
    return told


def predict(client, *customers, **query):
    return client.post("/v1/predictions", json={"customers": list(customers)}, params=query)


def customer(*events, **fields):
    return {"customer_id": "new", "events": list(events) or [PURCHASE], **fields}


def history(events, customer_id):
    """A customer's events as a shop would send them."""
    rows = events.filter(pl.col(CUSTOMER) == customer_id).sort(POSITION).iter_rows(named=True)
    names = ("event", "value", "channel", "rating")
    return [{"time": to_text(row[TIME]), **{name: row[name] for name in names}} for row in rows]


def flat(value, place=""):
    """Every number of an answer by its place; what is no number becomes part of the place."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if parts is None:
        number = isinstance(value, float | int) and not isinstance(value, bool)
        return {place: value} if number else {f"{place}={value}": 0}
    return {inner: found for name, part in parts for inner, found in flat(part, f"{place}.{name}").items()}


# customers


def test_a_customer_has_the_stored_answer(client, scored):
    answer = next(answer for answer in scored[1].values() if answer.churn.eligible)
    response = client.get(f"/v1/customers/{answer.customer_id}")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert Answer.model_validate(response.json()) == answer


def test_the_reasons_of_an_answer_add_up_to_its_prediction(client, scored):
    answer = next(answer for answer in scored[1].values() if answer.churn.eligible)
    churn = client.get(f"/v1/customers/{answer.customer_id}").json()["churn"]
    total = churn["base"] + sum(reason["effect"] for reason in churn["reasons"]) + churn["other_effects"]
    assert total == pytest.approx(churn["probability"], abs=1e-6)


@pytest.mark.parametrize("customer_id", ODD_IDS)
def test_an_id_may_hold_any_character(client, customer_id):
    from urllib.parse import quote

    response = client.get(f"/v1/customers/{quote(customer_id, safe='')}")
    assert response.json()["customer_id"] == customer_id


@pytest.mark.parametrize("customer_id", ["nobody", "a%2Fc", "%00", "%FF", "%F0%9F%98%80", "c001%27--"])
def test_an_unknown_customer_is_told_with_the_id(client, customer_id):
    from urllib.parse import unquote

    told = problem(client.get(f"/v1/customers/{customer_id}"), 404, "unknown_customer")
    assert told["given"] == unquote(customer_id)
    assert "journeycast score shop" in told["do"]


def test_before_the_first_model_a_customer_route_says_what_to_run(untrained):
    told = problem(untrained.get("/v1/customers/c001"), 503, "no_model")
    assert told["do"] == "run journeycast train shop"
    problem(predict(untrained, customer()), 503, "no_model")
    problem(untrained.get("/v1/features"), 503, "no_model")


def test_before_the_first_run_a_customer_route_says_what_to_run(shop, start, tmp_path):
    client = start(f"sqlite:///{tmp_path}/scores.db", lambda: shop[2])
    for path in ("/v1/customers/c001", "/v1/at-risk"):
        assert problem(client.get(path), 503, "no_scores")["do"] == "run journeycast score shop"
    assert client.get("/readyz").json()["run"] is None


# predictions


def test_raw_events_get_the_answer_the_batch_gave(client, shop, scored):
    answer = next(answer for answer in scored[1].values() if answer.churn.eligible)
    sent = {"customer_id": answer.customer_id, "events": history(shop[1].events, answer.customer_id)}
    got = predict(client, sent | {"cutoff": answer.cutoff}).json()["answers"][0]
    stored = json.loads(to_json(answer))
    assert flat(got | {"scored_at": stored["scored_at"]}) == pytest.approx(flat(stored), rel=1e-9)


def test_answers_come_in_the_order_of_the_request(client):
    ids = [f"n{number}" for number in np.random.default_rng(1).permutation(1000)[:50]]
    told = predict(client, *(customer() | {"customer_id": name} for name in ids)).json()
    assert [answer["customer_id"] for answer in told["answers"]] == ids


def test_the_cutoff_is_the_moment_after_the_newest_event_was_known(client):
    late = PURCHASE | {"time": "2024-05-01T10:00:00Z", "known_at": "2024-07-01T00:00:00Z"}
    assert predict(client, customer(PURCHASE)).json()["answers"][0]["cutoff"] == "2024-06-01T10:00:00.000001Z"
    assert predict(client, customer(PURCHASE, late)).json()["answers"][0]["cutoff"] == "2024-07-01T00:00:00.000001Z"


def test_a_given_cutoff_hides_what_came_later(client):
    later = PURCHASE | {"time": "2024-06-02T10:00:00Z", "value": 900.0}
    one, two = (customer(*events, cutoff="2024-06-02T00:00:00Z") for events in ([PURCHASE], [PURCHASE, later]))
    first, second = (predict(client, sent).json()["answers"][0] for sent in (one, two))
    assert first | {"scored_at": ""} == second | {"scored_at": ""}


def test_without_reasons_the_numbers_stay(client):
    explained, plain = (predict(client, customer(), reasons=wanted).json()["answers"][0] for wanted in (True, False))
    assert explained["cltv"]["reasons"] != plain["cltv"]["reasons"] == []
    assert explained["cltv"]["expected"] == plain["cltv"]["expected"]


def test_a_dry_run_says_how_each_event_was_understood(client):
    event = {"time": "2024-06-01T12:00:00+02:00", "event": "ticket", "rating": 2, "colour": "red"}
    told = predict(client, customer(event), dry_run=True).json()
    read = told["understood"][0]["events"][0]
    assert (read["time"], read["event"], read["value"], read["rating"]) == ("2024-06-01T10:00:00Z", "ticket", None, 2.0)
    assert told["understood"][0]["cutoff"] == "2024-06-01T10:00:00.000001Z"
    assert "colour" in told["warnings"][0]
    assert "answers" not in told


def test_an_event_type_unseen_in_training_is_a_warning(client):
    answer = predict(client, customer(PURCHASE, PURCHASE | {"event": 'a"[:,{ñ'})).json()["answers"][0]
    assert answer["warnings"] == ["event type 'a\"[:,{ñ' was not seen in training"]


BAD_EVENTS = {
    "no time": ({"event": "purchase"}, "time"),
    "no event": ({"time": "2024-06-01"}, "event"),
    "a time that is none": (PURCHASE | {"time": "yesterday"}, "time"),
    "a time of another kind": (PURCHASE | {"time": True}, "time"),
    "a known_at that is none": (PURCHASE | {"known_at": "soon"}, "known_at"),
    "a value in words": (PURCHASE | {"value": "20"}, "value"),
    "an empty type": (PURCHASE | {"event": ""}, "event"),
    "a type with NUL": (PURCHASE | {"event": "a\x00b"}, "event"),
    "a type too long": (PURCHASE | {"event": "x" * 1001}, "event"),
    "a property that is a list": (PURCHASE | {"rating": [1]}, "rating"),
}


@pytest.mark.parametrize(("event", "place"), BAD_EVENTS.values(), ids=BAD_EVENTS)
def test_an_event_that_cannot_be_used_is_named(client, event, place):
    told = problem(predict(client, customer(PURCHASE, event)), 422, "invalid_request")
    assert told["faults"][0]["place"].startswith(f"customers[0].events[1].{place}")


BAD_REQUESTS = {
    "no customers": {"customers": []},
    "customers of another kind": {"customers": {}},
    "no object": [],
    "a number": 7,
    "nothing": None,
    "another name": {"clients": []},
    "no id": {"customers": [{"events": [PURCHASE]}]},
    "an empty id": {"customers": [customer() | {"customer_id": ""}]},
    "an id that is a number": {"customers": [customer() | {"customer_id": 7}]},
    "no events": {"customers": [{"customer_id": "new", "events": []}]},
    "one customer twice": {"customers": [customer(), customer()]},
    "too many customers": {"customers": [customer() | {"customer_id": str(n)} for n in range(1001)]},
    "too many events": {"customers": [customer(*[PURCHASE] * 1001)]},
    "a cutoff that is none": {"customers": [customer(cutoff="now")]},
}


@pytest.mark.parametrize("body", BAD_REQUESTS.values(), ids=BAD_REQUESTS)
def test_a_request_that_cannot_be_used_is_refused(client, body):
    headers = {"Content-Type": "application/json"}
    response = client.post("/v1/predictions", content=json.dumps(body), headers=headers)
    assert problem(response, 422, "invalid_request")["faults"]


def test_the_end_of_time_is_no_cutoff(client):
    sent = customer(PURCHASE | {"time": "9999-12-31T23:59:59.999999Z"})
    told = problem(predict(client, sent), 422, "invalid_input")
    assert told["detail"].startswith("customers[0].cutoff")


def test_as_much_as_is_allowed_is_answered(client):
    assert predict(client, customer(*[PURCHASE] * 1000)).status_code == 200
    few = [customer() | {"customer_id": str(n)} for n in range(1000)]
    assert len(predict(client, *few, reasons=False).json()["answers"]) == 1000


BAD_BODIES = {
    "empty": b"",
    "cut off": b'{"customers": [{"customer_id": "a", ',
    "no UTF-8": b'{"customers": "\xff\xfe"}',
    "UTF-16": '{"customers": []}'.encode("utf-16"),
    "NaN": b'{"customers": NaN}',
    "infinity": b'{"customers": -Infinity}',
    "a number without end": b'{"customers": 1e999}',
    "more digits than are read": b'{"customers": ' + b"9" * 5000 + b"}",
    "a name twice": b'{"customers": [], "customers": []}',
    "nested deeply": b"[" * 100_000 + b"]" * 100_000,
    "objects nested deeply": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a comment": b'{"customers": [] /* none */}',
    "XML": b"<customers/>",
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES)
def test_a_body_that_is_not_json_is_refused(client, body):
    response = client.post("/v1/predictions", content=body, headers={"Content-Type": "application/json"})
    problem(response, 422 if body == b"" else 400, "invalid_request" if body == b"" else "malformed_body")


@pytest.mark.parametrize("number", ["1e308", "-1e308", "1" + "0" * 400, "1e-400"])
def test_a_huge_or_tiny_number_never_breaks_the_server(client, number):
    body = json.dumps({"customers": [customer(PURCHASE | {"value": 0.125})]}).replace("0.125", number)
    response = client.post("/v1/predictions", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in (200, 422)
    assert "NaN" not in response.text


def test_a_lone_surrogate_is_refused(client):
    body = '{"customers": [{"customer_id": "\\ud800", "events": [{"time": "2024-06-01", "event": "purchase"}]}]}'
    response = client.post("/v1/predictions", content=body, headers={"Content-Type": "application/json"})
    problem(response, 422, "invalid_request")


def test_broken_bodies_of_all_kinds_are_answered_with_4xx(client):
    good = json.dumps({"customers": [customer()]}).encode()
    chance = np.random.default_rng(7)
    for _ in range(300):
        broken = bytearray(good)
        for _ in range(chance.integers(1, 5)):
            place = chance.integers(len(broken))
            broken[place : place + chance.integers(4)] = chance.bytes(chance.integers(4))
        sent = client.post("/v1/predictions", content=bytes(broken), headers={"Content-Type": "application/json"})
        assert sent.status_code in (200, 400, 422), bytes(broken)


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_not_declared_as_json_is_refused(client, media_type):
    response = client.post("/v1/predictions", content=b"{}", headers={"Content-Type": media_type})
    assert "Content-Type: application/json" in problem(response, 415, "wrong_media_type")["do"]


def test_a_body_too_large_is_refused_before_it_is_read(shop, scored, start):
    small = start(scored[0], lambda: shop[2], body_limit=1000)
    headers = {"Content-Type": "application/json"}
    problem(small.post("/v1/predictions", content=b" " * 1001, headers=headers), 413, "body_too_large")
    pieces = (b" " * 400 for _ in range(5))
    problem(small.post("/v1/predictions", content=pieces, headers=headers), 413, "body_too_large")
    assert predict(small, customer()).status_code == 200


# at-risk


def test_the_list_goes_by_expected_loss(client, scored):
    told = client.get("/v1/at-risk", params={"limit": 1000}).json()
    losses = [item["expected_loss"] for item in told["items"]]
    eligible = [answer for answer in scored[1].values() if answer.churn.eligible]
    assert len(losses) == len(eligible) > 10
    assert losses == sorted(losses, reverse=True)
    assert told["items"][0]["expected_loss"] == max(answer.expected_loss for answer in eligible)
    assert (told["customers"], told["next_cursor"]) == (len(scored[1]), None)


def test_pages_follow_one_another(client):
    whole = client.get("/v1/at-risk", params={"limit": 30}).json()["items"]
    first = client.get("/v1/at-risk", params={"limit": 10})
    second = client.get("/v1/at-risk", params={"limit": 10, "cursor": first.json()["next_cursor"]})
    third = client.get(second.headers["link"].partition("<")[2].partition(">")[0])
    assert first.json()["items"] + second.json()["items"] + third.json()["items"] == whole


def test_filters_narrow_the_list(client):
    whole = client.get("/v1/at-risk", params={"limit": 1000}).json()["items"]
    query = {"risk": "low", "stage": "active", "minimum_cltv": 80.0, "limit": 1000}
    wanted = [
        item for item in whole if item["risk"] == "low" and item["stage"] == "active" and item["cltv_expected"] >= 80.0
    ]
    assert client.get("/v1/at-risk", params=query).json()["items"] == wanted != []


@pytest.mark.parametrize(
    ("query", "accept"), [({"format": "csv"}, "*/*"), ({}, "text/csv"), ({}, "text/csv;q=0.9, */*")]
)
def test_the_list_is_csv_when_asked(client, query, accept):
    response = client.get("/v1/at-risk", params=query | {"limit": 3}, headers={"Accept": accept})
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(response.text)))
    items = client.get("/v1/at-risk", params={"limit": 3}).json()["items"]
    assert [float(row["expected_loss"]) for row in rows] == [item["expected_loss"] for item in items]
    assert 'rel="next"' in response.headers["link"]


@pytest.mark.parametrize("accept", ["application/json", "*/*", "text/html", "application/json, text/csv", ""])
def test_the_list_is_json_otherwise(client, accept):
    response = client.get("/v1/at-risk", headers={"Accept": accept})
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize("start_of_text", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_a_cell_that_a_spreadsheet_would_run_is_neutralised(start_of_text):
    line = AtRiskCustomer(
        customer_id=f"{start_of_text}1+1",
        stage="a,b",
        risk="high",
        churn_probability=0.5,
        churn_percentile=None,
        cltv_expected=-12.5,
        at_stake=-1e-7,
        expected_loss=None,
        currency="EUR",
        reason_code=None,
        reason='say "no"',
    )
    (row,) = csv.DictReader(io.StringIO(to_csv([line]), newline=""))
    assert (row["customer_id"], row["cltv_expected"]) == (f"'{start_of_text}1+1", "-12.5")
    assert (row["stage"], row["reason"], row["expected_loss"]) == ("a,b", 'say "no"', "")


BAD_QUERIES = {
    "risk": "enormous",
    "minimum_cltv": "nan",
    "limit": "0",
    "format": "xml",
    "cursor": "!",
    "stage": "asleep",
    "stag": "active",
}


@pytest.mark.parametrize(("name", "value"), BAD_QUERIES.items())
def test_a_filter_that_cannot_be_used_is_named(client, name, value):
    response = client.get("/v1/at-risk", params={name: value})
    assert response.status_code == 422
    told = problem(response, 422, response.json()["code"])
    assert told["detail"].startswith(name)


@pytest.mark.parametrize("query", ["limit=1001", "limit=ten", "minimum_cltv=inf", "stage=%00", "cursor=" + "A" * 9000])
def test_a_query_out_of_bounds_is_refused(client, query):
    problem(client.get(f"/v1/at-risk?{query}"), 422, "invalid_request")


def test_a_misspelt_stage_is_told_with_the_stages_there_are(client):
    told = problem(client.get("/v1/at-risk?stage=asleep"), 422, "invalid_input")
    assert (told["given"], told["accepted"]) == ("asleep", "prospect, active, lapsed")


def test_a_list_whose_run_is_gone_says_how_to_begin_again(shop, scored, start, tmp_path):
    url = f"sqlite:///{tmp_path}/scores.db"
    client, store = start(url, lambda: shop[2]), Store(url, keep=1)
    answers = [answer for answer in scored[1].values() if answer.churn.eligible]
    store.write_run("shop", 0, 0, {}, answers)
    cursor = client.get("/v1/at-risk?limit=1").json()["next_cursor"]
    store.write_run("shop", 0, 0, {}, answers)
    store.close()
    told = problem(client.get("/v1/at-risk", params={"cursor": cursor}), 410, "run_gone")
    assert "leave the cursor out" in told["do"]


# features, models, operations


def test_the_catalogue_tells_every_feature(client, shop):
    told = client.get("/v1/features").json()["features"]
    assert [feature["name"] for feature in told] == [column.name for column in columns(shop[0])]
    assert all(feature["description"] and feature["unit"] and feature["reason"] for feature in told)
    assert "money" not in {feature["unit"] for feature in told}


def test_the_models_are_told_without_nan(client):
    told = client.get("/v1/models").json()
    assert told["serving"] == {"churn": 1, "next_stage": 1, "cltv": 1}
    nothing = dict.fromkeys(("grade_words", "decision", "decision_words", "warnings", "expected")) | {"realised": {}}
    assert told["models"][0] == nothing | VERSIONS[0] | {"metrics": {"auc": None}}


def test_a_card_is_json_or_markdown_as_asked_and_its_plots_are_pictures(scored, shop):
    text = b"# shop.churn\n\n![predicted and true](calibration.png)"
    logged = {"model_card.json": b'{"name": "shop.churn"}', "model_card.md": text, "calibration.png": b"PNG"}

    def read_file(task, version, name):
        return logged.get(name) if (task, version) == ("churn", 1) else None

    app = create_app(
        Settings("shop", scored[0]), load_scorer=lambda: shop[2], list_models=lambda: VERSIONS, read_file=read_file
    )
    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.get("/v1/models/churn/1/card").json() == {"name": "shop.churn"}
        for told in (
            client.get("/v1/models/churn/1/card?format=markdown"),
            client.get("/v1/models/churn/1/card", headers={"Accept": "text/markdown"}),
        ):
            assert told.headers["Content-Type"] == "text/markdown; charset=utf-8"
            link = re.search(r"!\[predicted and true\]\((.+)\)", told.text)[1]
            picture = client.get(told.url.join(link))  # where a reader of the answer looks for it
            assert (picture.content, picture.headers["Content-Type"]) == (b"PNG", "image/png")
        problem(client.get("/v1/models/churn/1/plots/tuning.png"), 404, "unknown_model")
        problem(client.get("/v1/models/churn/2/card"), 404, "unknown_model")
        problem(client.get("/v1/models/churn/1/plots/about.png"), 422, "invalid_request")


def test_a_server_without_models_lives_but_is_not_ready(untrained):
    assert untrained.get("/healthz").json() == {"status": "alive"}
    problem(untrained.get("/readyz"), 503, "no_model")


def test_a_server_with_models_and_store_is_ready(client):
    told = client.get("/readyz").json()
    assert (told["status"], told["journey"], told["run"]) == ("ready", "shop", 1)


def test_a_server_whose_store_is_away_is_not_ready(shop, start, tmp_path):
    (tmp_path / "scores.db").write_text("no database " * 100)
    client = start(f"sqlite:///{tmp_path}/scores.db", lambda: shop[2])
    for path in ("/readyz", "/v1/customers/c001", "/v1/at-risk"):
        problem(client.get(path), 503, "store_unavailable")
    assert client.get("/healthz").status_code == 200
    problem(predict(client, customer()), 503, "store_unavailable")  # whether it needs a key stands in the store


def test_a_registry_that_is_away_is_told_without_its_secrets(start, tmp_path):
    def load():
        raise ConnectionError("http://user:hunter2@registry")

    client = start(f"sqlite:///{tmp_path}/scores.db", load, list_models=load)
    for path in ("/readyz", "/v1/models"):
        told = client.get(path)
        problem(told, 503, "models_unavailable")
        assert "hunter2" not in told.text


def test_a_registry_that_refuses_says_why(start, tmp_path):
    def load():
        raise InputError("shop", "the model was trained by other features", "", "train again")

    client = start(f"sqlite:///{tmp_path}/scores.db", load)
    assert "other features" in problem(client.get("/readyz"), 503, "models_unavailable")["detail"]


def test_a_bug_says_nothing_of_the_inside_and_names_the_request(shop, scored, start, caplog):
    class Broken:
        journey = shop[0]

        def __getattr__(self, name):
            raise RuntimeError("secret of the inside")

    given = {"customers": [customer()]}
    response = start(scored[0], Broken).post("/v1/predictions", json=given, headers={"X-Request-ID": "r7"})
    problem(response, 500, "internal_error")
    assert "secret" not in response.text
    assert response.headers["x-request-id"] == "r7"
    assert response.headers["x-content-type-options"] == "nosniff"
    (record,) = [one for one in caplog.records if one.exc_info and one.name == "serving.requests"]
    assert str(record.exc_info[1]) == "secret of the inside"


@pytest.mark.parametrize("path", ["/v2/customers/c001", "/v1", "/v1/at-risk/", "/docs/static/no.js", "/.env"])
def test_an_unknown_route_is_a_problem_document(client, path):
    problem(client.get(path), 404, "unknown_route")


@pytest.mark.parametrize(
    ("method", "path", "allow"), [("DELETE", "/v1/at-risk", "GET"), ("GET", "/v1/predictions", "POST")]
)
def test_a_wrong_method_is_told_with_the_right_one(client, method, path, allow):
    response = client.request(method, path)
    problem(response, 405, "wrong_method")
    assert response.headers["allow"] == allow


def test_the_documentation_needs_no_other_host(client):
    response = client.get("/docs")
    assert "http://" not in response.text
    assert "https://" not in response.text
    for path in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        assert f"/docs/static/{path}" in response.text
        assert client.get(f"/docs/static/{path}").status_code == 200


CAMPAIGN_PARTS = ("members", "contacts", "outcome")


def test_the_api_is_documented_in_openapi(client):
    told = client.get("/openapi.json").json()
    routes = {
        "/v1/customers/{customer_id}",
        "/v1/predictions",
        "/v1/at-risk",
        "/v1/features",
        "/v1/models",
        "/v1/events",
        "/v1/journey",
    }
    routes |= {f"/v1/models/{{task}}/{{version}}/{part}" for part in ("card", "plots/{plot}.png")}
    one = "/v1/campaigns/{campaign_id}"
    work = {"/v1/worklist/{customer_id}", "/v1/campaigns", one, *(f"{one}/{part}" for part in CAMPAIGN_PARTS)}
    hooks = "/v1/webhooks/{webhook_id}"
    out = {"/v1/changes", "/v1/runs", "/v1/runs/{run_id}", "/v1/runs/{run_id}/scores", "/v1/webhooks", hooks}
    out |= {f"{hooks}/{part}" for part in ("test", "resend", "deliveries", "deliveries/{delivery_id}/resend")}
    assert routes | work | out | {"/healthz", "/readyz", "/metrics"} == set(told["paths"])
    problems = told["paths"]["/v1/predictions"]["post"]["responses"]
    assert set(problems) == {"200", "400", "401", "403", "413", "415", "422", "429", "503"}
    assert set(problems["422"]["content"]) == {"application/problem+json"}
    assert {"Answer", "Problem", "Fault", "AtRiskCustomer", "Event", "EventList"} <= set(told["components"]["schemas"])
    assert "HTTPValidationError" not in json.dumps(told)


def test_answers_match_their_documented_schema_names(client):
    schema = client.get("/openapi.json").json()["components"]["schemas"]["Answer"]
    told = predict(client, customer()).json()["answers"][0]
    assert set(told) == set(schema["properties"])


def test_many_requests_at_once_are_all_answered(client):
    async def ask() -> list[int]:
        return await asyncio.gather(
            *(asyncio.to_thread(lambda: client.get("/v1/at-risk").status_code) for _ in range(40))
        )

    assert asyncio.run(ask()) == [200] * 40
