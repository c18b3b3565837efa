"""Events that are wrong, or that come at a bad moment: they harm nobody but themselves."""

from __future__ import annotations

import json
from contextlib import closing
from urllib.parse import quote

import pytest
from spec import SHOP
from sqlalchemy import select
from starlette.testclient import TestClient
from stores import execute
from test_events_http import ANY, VARIED, purchase, statuses
from test_events_http import row as row_of

from features.errors import NoModelError
from features.schema import CUSTOMER, DAY, KNOWN_AT
from serving import events
from serving.app import create_app
from serving.intake import Intake
from serving.state import Settings
from serving.tables import events as stored_events

JOURNEY = "shop"
NOTED = SHOP.model_copy(update={"properties": {"note": "category"}})


@pytest.fixture
def empty(url):
    """A server without models or scores."""

    def load():
        raise NoModelError("shop", "no champion", "", "run journeycast train shop")

    app = create_app(Settings("shop", url, definition=NOTED), load_scorer=load, list_models=list)
    with TestClient(app, raise_server_exceptions=False) as client:
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
