"""The list, the worklist and campaigns over HTTP, on both databases."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import numpy as np
import polars as pl
import pytest
from servers import serving, untrained
from starlette.testclient import TestClient
from stores import answer_of, write

from features.journey import Campaign
from serving.app import create_app
from serving.events import stored
from serving.segments import Segments
from serving.state import Settings
from serving.store import Store

COSTS = Campaign(contact_cost=1.0, incentive_cost=5.0, accept_rate=0.2, rest_days=14.0)


@pytest.fixture
def client(url):
    """A server on a store with 120 customers; lists need no model."""
    rng = np.random.default_rng(1)
    found = zip(rng.gamma(2, 25, 120).tolist(), rng.uniform(0.05, 0.95, 120).tolist(), strict=True)
    ages = pl.DataFrame({"customer_id": [f"c{n:03}" for n in range(120)], "age": ["19-24", "65+"] * 60})
    store = Store(url)
    answers = [answer_of(f"c{n:03}", loss, p) for n, (loss, p) in enumerate(found)]
    write(store, *answers, answer_of("a/b"), answer_of("näme 😀"), segments=Segments(["age"], ages))
    store.close()
    with serving(url, campaign=COSTS, definition=None) as client:
        yield client


def problem(response, status, code):
    assert response.headers["content-type"] == "application/problem+json", response.text
    told = response.json()
    assert (response.status_code, told["status"], told["code"]) == (status, status, code), told
    return told


def listed(client, **query):
    response = client.get("/v1/at-risk", params={"limit": 1000} | query)
    assert response.status_code == 200, response.text
    return response.json()["items"]


def names(items) -> list[str]:
    return [item["customer_id"] for item in items]


def ago(**length) -> str:
    return (datetime.now(UTC) - timedelta(**length)).isoformat()


# the list


def test_the_list_is_ranked_by_profit_with_the_journeys_costs(client):
    items = listed(client, sort="profit")
    profits = [item["contact_profit"] for item in items]
    assert profits == sorted(profits, reverse=True)
    for item in items:
        assert (item["contact_cost"], item["incentive_cost"], item["accept_rate"]) == (1.0, 5.0, 0.2)
        p, stake = item["churn_probability"], item["at_stake"]
        assert item["contact_profit"] == pytest.approx(p * 0.2 * (stake - 5) - (1 - p) * 5 - 1, abs=1e-9)
    assert names(items) != names(listed(client))


def test_a_request_brings_costs_of_its_own(client):
    item = listed(client, sort="profit", contact_cost=3, incentive_cost=0, accept_rate=0.5)[0]
    assert item["contact_profit"] == pytest.approx(0.5 * item["expected_loss"] - 3)
    assert names(listed(client, sort="profit", incentive_cost=0)) == names(listed(client))


@pytest.mark.parametrize("sort", ["expected_loss", "profit", "churn_probability"])
@pytest.mark.parametrize("begins", ["c0", "c01", "c011", "a/", "n%"])
def test_a_list_is_narrowed_to_ids_that_begin_so(client, begins, sort):
    everyone = names(listed(client, sort=sort))
    wanted = [name for name in everyone if name.startswith(begins)]
    assert names(listed(client, sort=sort, customer=begins)) == wanted
    first = client.get("/v1/at-risk", params={"sort": sort, "customer": begins, "limit": 4}).json()
    if first["next_cursor"]:
        second = listed(client, sort=sort, customer=begins, cursor=first["next_cursor"])
        assert names(first["items"]) + names(second) == wanted


def test_pages_by_profit_follow_one_another(client):
    query, pages = {"sort": "profit", "incentive_cost": 40, "limit": 50}, []
    response = client.get("/v1/at-risk", params=query)
    while True:
        pages += names(response.json()["items"])
        if "link" not in response.headers:
            break
        response = client.get(response.headers["link"].partition("<")[2].partition(">")[0])
    assert pages == names(listed(client, sort="profit", incentive_cost=40))
    assert len(set(pages)) == len(pages) == 122


@pytest.mark.parametrize("other", [{"sort": "profit"}, {"risk": "low"}, {"contact_cost": 2}, {"include": "suppressed"}])
def test_a_cursor_of_another_list_is_refused(client, other):
    cursor = client.get("/v1/at-risk", params={"limit": 5}).json()["next_cursor"]
    told = problem(client.get("/v1/at-risk", params={"limit": 5, "cursor": cursor} | other), 422, "invalid_input")
    assert "another sort, other costs or other filters" in told["detail"]


def test_filters_are_taken_from_the_query(client):
    assert len(listed(client, segment="age:65+")) == 60
    assert len(listed(client, segment=["age:65+", "age:19-24"])) == 0
    assert len(listed(client, reason="OVERDUE")) == 122
    assert len(listed(client, changed_since="previous")) == 0
    assert len(listed(client, changed_since="2024-06-01T00:00:00+02:00")) == 0
    assert len(listed(client, status="open")) == 122
    assert len(listed(client, status="won")) == 0


BAD_QUERIES = {
    "sort": "beauty",
    "reason": "LAZY",
    "segment": "age",
    "status": "busy",
    "changed_since": "yesterday",
    "include": "everyone",
    "contact_cost": "-1",
    "incentive_cost": "1e300",
    "accept_rate": "0",
    "rest_days": "nan",
    "format": "doc",
}


@pytest.mark.parametrize(("name", "value"), BAD_QUERIES.items())
def test_a_query_that_cannot_be_used_is_named(client, name, value):
    told = problem(client.get("/v1/at-risk", params={name: value}), 422, "invalid_request")
    assert told["faults"][0]["place"].startswith(name)


def test_a_segment_that_was_never_stored_is_told_with_those_that_were(client):
    told = problem(client.get("/v1/at-risk", params={"segment": "shoe:44"}), 422, "invalid_input")
    assert (told["given"], told["accepted"]) == ("shoe", "age")


@pytest.mark.parametrize(("form", "kind"), [("csv", "text/csv"), ("jsonl", "application/x-ndjson")])
def test_the_list_is_a_file_when_asked(client, form, kind):
    response = client.get("/v1/at-risk", params={"format": form, "sort": "profit", "limit": 3})
    assert response.headers["content-type"].startswith(kind)
    text = io.StringIO(response.content.decode("utf-8-sig"))
    rows = list(csv.DictReader(text)) if form == "csv" else [json.loads(line) for line in text]
    assert names(rows) == names(listed(client, sort="profit", limit=3))
    assert float(rows[0]["contact_profit"]) == listed(client, sort="profit")[0]["contact_profit"]


# the worklist


def patch(client, customer_id="c001", **said):
    return client.patch(f"/v1/worklist/{quote(customer_id, safe='')}", json=said)


@pytest.mark.parametrize("customer_id", ["c001", "a/b", "näme 😀"])
def test_an_entry_is_changed_and_read(client, customer_id):
    told = patch(client, customer_id, status="assigned", assignee="Ann", note="=kind")
    assert told.status_code == 200, told.text
    assert told.json() | {"changed_at": ""} == {
        "customer_id": customer_id,
        "status": "assigned",
        "assignee": "Ann",
        "note": "=kind",
        "snoozed_until": None,
        "opted_out": False,
        "contacted_at": None,
        "held_out_until": None,
        "changed_at": "",
        "suppressed": None,
    }
    assert client.get(f"/v1/worklist/{quote(customer_id, safe='')}").json() == told.json()
    assert names(listed(client, status="assigned")) == [customer_id]


def test_a_contact_rests_as_long_as_the_journey_says(client, url):
    assert (
        patch(client, status="contacted", channel="phone", contacted_at=ago(days=13)).json()["suppressed"]
        == "contacted"
    )
    assert "c001" not in names(listed(client))
    assert "c001" in names(listed(client, rest_days=12))
    assert "c001" in names(listed(client, include="suppressed"))
    store = Store(url)
    assert stored(store, "shop").select("customer_id", "event", "channel").rows() == [("c001", "contacted", "phone")]
    store.close()


def test_a_snooze_is_left_out_until_asked_for(client):
    patch(client, snoozed_until=ago(days=-2))
    assert "c001" not in names(listed(client))
    assert names(listed(client, status="snoozed")) == ["c001"]
    assert listed(client, include=["suppressed", "snoozed"], status="snoozed")[0]["snoozed_until"]


def test_an_opt_out_is_taken_of_anyone_and_anything_else_is_not(client):
    assert patch(client, "stranger", opted_out=True).json()["suppressed"] == "opted_out"
    problem(patch(client, "nobody", status="won"), 404, "unknown_customer")
    problem(client.get("/v1/worklist/nobody"), 404, "unknown_customer")
    problem(client.get("/v1/worklist/%00"), 404, "unknown_customer")


def test_a_contact_of_someone_who_opted_out_needs_an_override(client):
    patch(client, opted_out=True)
    told = problem(patch(client, status="contacted"), 409, "suppressed")
    assert "opted out and must not be contacted" in told["detail"]
    assert patch(client, status="contacted", override=True).json()["status"] == "contacted"


def test_a_status_lists_those_who_were_contacted(client):
    for customer_id, status in (("c001", "contacted"), ("c002", "won"), ("c003", "lost"), ("c004", "lost")):
        patch(client, customer_id, status="contacted")
        patch(client, customer_id, status=status)
        assert customer_id in names(listed(client, status=status))
        assert customer_id not in names(listed(client))
    patch(client, "c004", opted_out=True)
    assert names(listed(client, status="lost")) == ["c003"]


BAD_CHANGES = {
    "nothing": {},
    "an unknown name": {"colour": "red"},
    "an unknown status": {"status": "busy"},
    "no status": {"status": None},
    "an opt-out in words": {"opted_out": "yes"},
    "a note with NUL": {"note": "a\x00"},
    "a note too long": {"note": "x" * 1001},
    "a time that is none": {"snoozed_until": "later"},
    "a list": {"assignee": ["Ann"]},
}


@pytest.mark.parametrize("said", BAD_CHANGES.values(), ids=BAD_CHANGES)
def test_a_change_that_cannot_be_used_is_refused(client, said):
    problem(patch(client, **said), 422, "invalid_request")


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"note": NaN}', b'{"note": "a", "note": "b"}'])
def test_a_body_that_is_no_json_is_refused(client, body):
    headers = {"Content-Type": "application/json"}
    problem(client.patch("/v1/worklist/c001", content=body, headers=headers), 400, "malformed_body")
    problem(client.post("/v1/campaigns", content=body, headers=headers), 400, "malformed_body")
    problem(
        client.patch("/v1/worklist/c001", content=b"{}", headers={"Content-Type": "text/plain"}),
        415,
        "wrong_media_type",
    )


def test_what_is_half_said_is_refused(client):
    assert problem(patch(client, status="snoozed"), 422, "invalid_input")["detail"].startswith("snoozed_until")


def test_an_instant_beyond_the_calendar_is_refused(client):
    problem(patch(client, snoozed_until=1e30), 422, "invalid_request")
    assert patch(client, snoozed_until="9999-12-31T23:59:59Z").json()["snoozed_until"] == "9999-12-31T23:59:59Z"


# campaigns


def make(client, **said):
    return client.post("/v1/campaigns", json={"name": "autumn", "seed": 4} | said)


def test_a_campaign_is_made_and_read(client):
    response = make(client, costs={"contact_cost": 0.5}, filters={"segment": ["age:65+"]}, holdout=0.25)
    assert response.status_code == 201, response.text
    made = response.json()
    assert client.get(response.headers["location"]).json() == made
    assert client.get("/v1/campaigns").json() == {"journey": "shop", "campaigns": [made]}
    assert (made["run"], made["currency"], made["horizon_days"], made["rest_days"]) == (1, "EUR", 28.0, 14.0)
    assert (made["contact_cost"], made["incentive_cost"], made["filters"]) == (0.5, 5.0, {"segments": [["age", "65+"]]})
    plan = made["plan"]
    assert plan["listed"] == 60
    assert plan["best"]["length"] == plan["length"] == plan["contacts"] + plan["held_out"]
    assert max(point["expected_profit"] for point in plan["curve"]) == plan["best"]["expected_profit"]
    assert plan["power"]["words"].startswith("cannot tell")


def test_members_are_paged_over_http(client):
    before = names(listed(client, sort="profit"))
    made = make(client, capacity=30).json()
    first = client.get(f"/v1/campaigns/{made['id']}/members", params={"limit": 20}).json()
    second = client.get(
        f"/v1/campaigns/{made['id']}/members", params={"limit": 20, "cursor": first["next_cursor"]}
    ).json()
    items = first["items"] + second["items"]
    assert [item["place"] for item in items] == list(range(1, made["plan"]["length"] + 1))
    assert names(items) == before[: len(items)]
    arm = client.get(f"/v1/campaigns/{made['id']}/members", params={"arm": "contact", "limit": 1000}).json()["items"]
    assert len(arm) == 30
    assert {item["arm"] for item in arm} == {"contact"}


def test_whom_to_contact_is_a_file(client):
    made = make(client, capacity=30).json()
    place = f"/v1/campaigns/{made['id']}/members"
    arm = names(client.get(place, params={"arm": "contact"}).json()["items"])
    patch(client, arm[0], opted_out=True)
    response = client.get(place, params={"format": "csv"})
    assert response.headers["content-type"].startswith("text/csv")
    assert names(csv.DictReader(io.StringIO(response.text.lstrip("\ufeff")))) == arm[1:]
    problem(client.get(place, params={"format": "csv", "arm": "holdout"}), 422, "invalid_request")
    problem(client.get(place, params={"format": "doc"}), 422, "invalid_request")


def test_a_campaign_is_sent_once_and_its_outcome_waits(client, url):
    made = make(client).json()
    place = f"/v1/campaigns/{made['id']}"
    told = client.get(f"{place}/outcome").json()
    assert (told["state"], told["verdict"], told["outcome"]) == ("not_sent", "cannot tell", None)
    sent = client.post(f"{place}/contacts", json={"channel": "email"}).json()
    assert client.post(f"{place}/contacts", json={}).json() == sent
    assert sent["contacted"] == made["plan"]["contacts"]
    told = client.get(f"{place}/outcome").json()
    assert (told["state"], told["verdict"], round(told["days_left"])) == ("running", "cannot tell", 28)
    assert "28.0 days of its horizon are still to come" in told["why"]
    store = Store(url)
    assert stored(store, "shop").height == made["plan"]["contacts"]
    store.close()


def test_an_outcome_is_over_when_its_horizon_is(client):
    place = f"/v1/campaigns/{make(client).json()['id']}"
    back = {"time": "2020-01-01T00:00:00Z"}
    told = problem(client.post(f"{place}/contacts", json=back), 422, "invalid_input")
    assert "when the campaign was made" in told["accepted"]
    assert client.post(f"{place}/contacts", json=back | {"rehearsal": True}).json()["rehearsal"]
    told = client.get(f"{place}/outcome").json()
    assert (told["state"], told["days_left"]) == ("over", 0.0)
    assert "run journeycast outcome shop 1" in told["why"]


BAD_CAMPAIGNS = {
    "no name": {"name": ""},
    "two cuts": {"budget": 5.0, "capacity": 5},
    "no budget at all": {"budget": 0},
    "a capacity in words": {"capacity": "many"},
    "everyone held out": {"holdout": 1.0},
    "a seed below zero": {"seed": -1},
    "an unknown filter": {"filters": {"colour": "red"}},
    "an unknown cost": {"costs": {"stamp": 1.0}},
    "a cost below zero": {"costs": {"contact_cost": -1.0}},
    "a segment without a value": {"filters": {"segment": ["age"]}},
    "suppressed customers": {"filters": {"include": ["suppressed"]}},
}


@pytest.mark.parametrize("said", BAD_CAMPAIGNS.values(), ids=BAD_CAMPAIGNS)
def test_a_campaign_that_cannot_be_made_is_refused(client, said):
    problem(make(client, **said), 422, "invalid_request")


def test_a_campaign_that_never_pays_says_what_to_look_at(client):
    told = problem(make(client, costs={"contact_cost": 1e6}), 422, "invalid_input")
    assert "none of 122 contacts is expected to pay" in told["detail"]
    assert client.get("/v1/campaigns").json()["campaigns"] == []


@pytest.mark.parametrize("path", ["", "/members", "/outcome"])
def test_an_unknown_campaign_is_told(client, path):
    problem(client.get(f"/v1/campaigns/77{path}"), 404, "unknown_campaign")
    problem(client.get(f"/v1/campaigns/0{path}"), 422, "invalid_request")
    problem(client.post("/v1/campaigns/77/contacts", json={}), 404, "unknown_campaign")


def test_sending_in_the_future_is_refused(client):
    place = f"/v1/campaigns/{make(client).json()['id']}"
    problem(client.post(f"{place}/contacts", json={"time": ago(days=-1)}), 422, "invalid_input")


def test_before_the_first_run_lists_and_campaigns_say_what_to_run(tmp_path):
    app = create_app(Settings("shop", f"sqlite:///{tmp_path}/s.db"), load_scorer=untrained, list_models=list)
    with TestClient(app, raise_server_exceptions=False) as client:
        for response in (make(client), client.get("/v1/worklist/a"), client.get("/v1/at-risk")):
            assert problem(response, 503, "no_scores")["do"] == "run journeycast score shop"
        assert client.get("/v1/campaigns").json()["campaigns"] == []
