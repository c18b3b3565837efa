"""The pages over HTTP: what they show, what they do, and what they refuse."""

from __future__ import annotations

import csv
import io
import re
from html import unescape
from shutil import copyfile
from urllib.parse import quote

import openpyxl
import polars as pl
import pytest
from shown import HOSTILE, fill
from starlette.testclient import TestClient
from stores import execute
from test_http_lists import untrained

from features.journey import Campaign
from serving import audit, keys, tables
from serving.app import create_app
from serving.state import Settings
from serving.store import Store

COSTS = Campaign(contact_cost=1.0, incentive_cost=5.0, accept_rate=0.3, rest_days=14.0)


@pytest.fixture(scope="module")
def journey_and_url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shown")
    url = f"sqlite:///{folder}/scores.db"
    return fill(url, folder), url


def application(journey, url):
    settings = Settings("shop", url, campaign=COSTS, definition=journey)
    return create_app(settings, load_scorer=untrained, list_models=list)


@pytest.fixture
def client(journey_and_url):
    with TestClient(application(*journey_and_url), raise_server_exceptions=False) as client:
        yield client
    for table in (tables.worklist, tables.events, tables.members, tables.campaigns):
        execute(journey_and_url[1], table.delete())


def token(client) -> str:
    return re.search(r'name="form_token" value="([^"]+)"', client.get("/").text)[1]


def post(client, path, **fields):
    return client.post(path, data={"form_token": token(client), **fields})


def rows(text) -> list[str]:
    """The ids on a page of the list, in order."""
    return [unescape(name) for name in re.findall(r'class="who"><a href="[^"]+">([^<]+)</a>', text)]


# what is shown


@pytest.mark.parametrize(
    "path", ["/", "/journey", "/models", "/data", "/campaigns", "/campaigns/new", "/customers/c005"]
)
def test_every_page_answers_with_a_policy_that_runs_no_script_of_its_own(client, path):
    response = client.get(path)
    assert response.status_code == 200, response.text
    policy = dict(part.strip().split(" ", 1) for part in response.headers["content-security-policy"].split(";"))
    assert policy["script-src"] == "'self'"
    assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
    scripts = re.findall(r"<script([^>]*)>", response.text)
    assert all('src="/assets/' in one or 'type="application/json"' in one for one in scripts)
    assert not re.search(r"\son\w+=|javascript:|https?://(?!testserver)", response.text)


def test_the_figure_script_loads_only_where_there_are_figures(client):
    with_figures = {
        path
        for path in ("/", "/campaigns", "/journey", "/customers/c005", "/data")
        if "plotly" in client.get(path).text
    }
    assert with_figures == {"/journey", "/customers/c005", "/data"}


@pytest.mark.parametrize("path", ["/", "/journey", "/data", f"/customers/{HOSTILE.replace('/', '%2F')}"])
def test_hostile_names_are_text_on_every_page_figures_included(client, path):
    text = client.get(path).text
    assert HOSTILE not in text
    assert "&lt;script&gt;alert(1)" in text or "\\u003cscript\\u003ealert(1)" in text or "lt;script" in text


def test_the_page_lists_what_the_route_lists(client):
    query = {"risk": "high", "sort": "profit", "limit": 25, "minimum_cltv": 150}
    items = client.get("/v1/at-risk", params=query).json()["items"]
    assert rows(client.get("/", params=query).text) == [item["customer_id"] for item in items]


def test_empty_fields_of_a_form_leave_the_address(client):
    response = client.get("/?risk=high&stage=&minimum_cltv=", follow_redirects=False)
    assert (response.status_code, response.headers["location"]) == (303, "/?risk=high")


def test_pages_follow_one_another_to_the_end(client):
    seen, address = [], "/?limit=25"
    while address:
        text = client.get(address).text
        seen += rows(text)
        found = re.search(r'href="([^"]+)" rel="next"', text)
        address = unescape(found[1]) if found else None
    assert len(seen) == len(set(seen)) == 121


def test_a_wrong_filter_is_told_in_words(client):
    response = client.get("/?risk=terrible")
    assert response.status_code == 422
    assert "risk" in response.text
    assert "terrible" in response.text


def test_the_list_is_searched_by_the_beginning_of_an_id(client):
    assert rows(client.get("/?customer=c01").text) == [f"c01{n}" for n in range(10)]
    assert client.get("/customers?id=c011", follow_redirects=False).headers["location"] == "/customers/c011"
    assert client.get("/customers?id=c01", follow_redirects=False).headers["location"] == "/?customer=c01"


def test_the_same_filter_serves_the_route(client):
    items = client.get("/v1/at-risk?customer=c01").json()["items"]
    assert [item["customer_id"] for item in items] == [f"c01{n}" for n in range(10)]


def test_someone_unknown_is_told_so_on_a_page(client):
    response = client.get("/customers/nobody")
    assert response.status_code == 404
    assert "nobody" in response.text
    assert "text/html" in response.headers["content-type"]


def test_a_browser_gets_a_page_where_there_is_nothing_and_a_program_a_problem(client):
    browser = client.get("/nothing", headers={"Accept": "text/html"})
    assert (browser.status_code, browser.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert client.get("/nothing").headers["content-type"] == "application/problem+json"


def test_the_reasons_of_a_customer_add_up_as_they_are_written(client):
    text = client.get("/customers/c005").text
    for body in re.findall(r'<table class="tight sum">.*?<tbody>(.*?)</tbody>', text, re.DOTALL):
        amounts = [
            float(a.replace("−", "-").replace("+", "").replace(",", "").removesuffix(" %"))
            for a in re.findall(r'how-much">([^<]+)<', body)
        ]
        assert sum(amounts[:-1]) == pytest.approx(amounts[-1], abs=1e-6)
        assert len(amounts) > 2


def test_an_empty_store_says_what_to_do(tmp_path, journey_and_url):
    app = application(journey_and_url[0], f"sqlite:///{tmp_path}/new.db")
    with TestClient(app) as client:
        for path in ("/", "/journey", "/campaigns/new"):
            response = client.get(path)
            assert response.status_code == 200
            assert "journeycast score shop" in response.text
        assert "No model yet" in client.get("/models").text
        assert "Nothing was scored yet" in client.get("/data").text
        assert "No campaign yet" in client.get("/campaigns").text


def test_assets_are_kept_for_a_year_under_addresses_that_name_their_content(client):
    address = re.search(r'href="(/assets/[^"]+\.css)"', client.get("/").text)[1]
    response = client.get(address)
    assert response.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert client.get(address.replace("/assets/", "/assets/0")).status_code == 404
    assert client.get("/assets/0/../pages.py").status_code == 404


# files


def test_the_file_holds_the_list_as_shown(client):
    shown = rows(client.get("/?risk=high&sort=profit&limit=200").text)
    response = client.get("/at-risk.csv?risk=high&sort=profit")
    assert 'filename="at-risk-shop-run-2.csv"' in response.headers["content-disposition"]
    lines = list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"))))
    assert [line["customer_id"] for line in lines] == shown
    book = openpyxl.load_workbook(io.BytesIO(client.get("/at-risk.xlsx?risk=high&sort=profit").content))
    ids = [row[0].value for row in book.worksheets[0].iter_rows(min_row=2)]
    assert [one for one in ids if one in shown] == shown


# work


def status(client, customer) -> dict:
    return client.get(f"/v1/worklist/{customer}").json()


def test_customers_are_assigned_and_the_list_says_so(client):
    response = post(client, "/work", action="assign", assignee="Ada", customer=["c003", "c004"], back="/?risk=high")
    assert "2 customers assigned" in response.text
    assert str(response.url).endswith("/?risk=high")
    assert (status(client, "c003")["status"], status(client, "c003")["assignee"]) == ("assigned", "Ada")


def test_a_contact_with_its_outcome_is_an_event_and_an_outcome(client):
    post(client, "/work", action="contacted", channel="phone", outcome="won", customer="c003", back="/")
    told = status(client, "c003")
    assert (told["status"], told["suppressed"]) == ("won", "contacted")
    found = execute(str(client.app.state.journeycast.store._engine.url), tables.events.select()).all()
    assert [(row.customer_id, row.event, row.channel) for row in found] == [("c003", "contacted", "phone")]


def test_everyone_who_matches_is_changed_by_the_filter_not_by_ids(client):
    response = post(client, "/work", action="suppress", everyone="yes", back="/?risk=high&limit=25")
    high = client.get("/v1/at-risk?risk=high&include=suppressed&limit=1000").json()["items"]
    assert f"{len(high)} customers suppressed" in response.text
    assert {item["suppressed"] for item in high} == {"opted_out"}
    assert client.get("/v1/at-risk?risk=high").json()["items"] == []


def test_who_opted_out_is_not_contacted_and_counted(client):
    post(client, "/work", action="suppress", customer="c003", back="/")
    response = post(client, "/work", action="contacted", customer=["c003", "c004"], back="/")
    assert "1 customer marked as contacted. 1 opted out" in response.text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"action": "assign", "assignee": "Ada"}, "nobody is selected"),
        ({"action": "assign", "customer": "c003"}, "nobody is assigned"),
        ({"action": "snooze", "until": "2001-01-01", "customer": "c003"}, "a day that is not over"),
        ({"action": "dance", "customer": "c003"}, "press one of the buttons"),
    ],
    ids=["nobody", "no assignee", "the past", "no action"],
)
def test_what_cannot_be_done_is_told_where_it_was_asked_for(client, fields, said):
    response = post(client, "/work", back="/", **fields)
    assert said in response.text.lower()


@pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_a_form_leads_nowhere_else(client, back):
    response = client.post(
        "/work",
        data={"form_token": token(client), "action": "reopen", "customer": "c003", "back": back},
        follow_redirects=False,
    )
    assert response.headers["location"] == "/"


def test_a_form_without_this_sessions_token_does_nothing(client):
    client.get("/")
    for given in ({}, {"form_token": "made up"}):
        response = client.post("/work", data={**given, "action": "suppress", "customer": "c003"})
        assert response.status_code == 403
    other = TestClient(client.app)
    response = client.post("/work", data={"form_token": token(other), "action": "suppress", "customer": "c003"})
    assert response.status_code == 403
    assert not status(client, "c003")["opted_out"]


def test_a_form_from_another_site_does_nothing(client):
    data = {"form_token": token(client), "action": "suppress", "customer": "c003"}
    response = client.post("/work", data=data, headers={"Origin": "https://evil.example"})
    assert response.status_code == 403
    assert not status(client, "c003")["opted_out"]


# campaigns


def test_a_campaign_is_made_as_it_was_planned(client):
    planned = client.get("/campaigns/new?risk=high&name=Spring&incentive_cost=2")
    assert "best length" in planned.text
    fields = dict(
        re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', planned.text.split('action="/campaigns"')[1])
    )
    made = client.post("/campaigns", data=fields)
    assert made.status_code == 200
    told = client.get("/v1/campaigns").json()["campaigns"][0]
    assert (told["name"], told["filters"], told["incentive_cost"]) == ("Spring", {"risk": "high"}, 2.0)
    assert f"{told['plan']['contacts']} to contact" in made.text
    assert str(told["plan"]["contacts"]) in planned.text
    contacts = client.get(f"/campaigns/{told['id']}/contacts.csv").content.decode("utf-8-sig")
    assert len(contacts.splitlines()) == told["plan"]["contacts"] + 1
    sent = post(client, f"/campaigns/{told['id']}/sent", channel="email")
    assert "contacts are in the event log" in sent.text
    assert client.get("/v1/campaigns").json()["campaigns"][0]["sent_at"] is not None


def test_costs_at_which_nobody_pays_are_told(client):
    text = client.get("/campaigns/new?contact_cost=100000").text
    assert "expected to pay" in text


# the journey


def test_the_route_and_the_page_tell_the_same_journey(client):
    told = client.get("/v1/journey").json()
    assert told["map"]["customers"] > 90
    assert {"age:young", "age:old", "outcome:churned", "outcome:stayed"} <= set(told["groups"])
    page = client.get("/journey").text
    for stage in told["map"]["stages"]:
        assert f"{stage['customers']:,}" in page


def test_two_groups_are_compared(client):
    told = client.get("/v1/journey?group=outcome:churned&compare=outcome:stayed").json()
    assert told["map"]["group"] == "outcome:churned"
    assert told["map"]["customers"] + told["compare"]["customers"] <= 121
    text = client.get("/journey?group=outcome:churned&compare=outcome:stayed").text
    assert "outcome stayed" in text
    assert "against" in text


def test_a_group_that_is_none_is_refused_with_those_there_are(client):
    response = client.get("/v1/journey?group=age:12")
    assert response.status_code == 422
    assert "age:young" in response.json()["accepted"]


# uploads

EVENTS = """customer_id,time,event,value
c003,2024-12-28T10:00:00Z,purchase,12.5
c004,2024-12-29,ticket,
c005,soon,purchase,1
"""


def upload(client, body=EVENTS, name="more.csv"):
    content = body if isinstance(body, bytes) else body.encode()
    return client.post("/data/preview", data={"form_token": token(client)}, files={"file": (name, content)})


def stored_events(client) -> list[tuple]:
    found = execute(str(client.app.state.journeycast.store._engine.url), tables.events.select()).all()
    return sorted((row.customer_id, row.event, row.value) for row in found)


def confirm(client, shown):
    name = re.search(r'name="token" value="([^"]+)"', shown.text)[1]
    return post(client, "/data/store", token=name)


def test_a_file_is_shown_as_understood_and_stored_once_confirmed(client):
    shown = upload(client)
    assert "1 rows with no readable time are left out" in shown.text
    assert "28 Dec 2024, 10:00 UTC" in shown.text
    assert stored_events(client) == []
    done = confirm(client, shown)
    assert "2 events are stored" in done.text
    assert stored_events(client) == [("c003", "purchase", 12.5), ("c004", "ticket", None)]
    assert "2 were there already" in confirm(client, upload(client)).text
    assert len(stored_events(client)) == 2


def test_a_parquet_file_is_read_too(client, tmp_path):
    pl.read_csv(io.StringIO(EVENTS)).head(2).write_parquet(tmp_path / "more.parquet")
    shown = upload(client, (tmp_path / "more.parquet").read_bytes(), "more.parquet")
    assert "Store these 2 events" in shown.text


@pytest.mark.parametrize(
    ("body", "name", "said"),
    [
        ("customer_id,time\nc1,2024-01-01\n", "a.csv", "no column"),
        (b"\x00\x01PAR1", "a.parquet", "cannot be read"),
        ("x", "a.exe", "is no kind of file"),
        ("customer_id,time,event\n", "a.csv", "no usable event"),
    ],
    ids=["a column missing", "not Parquet", "another kind", "empty"],
)
def test_a_file_that_cannot_be_used_says_why(client, body, name, said):
    response = upload(client, body, name)
    assert "Nothing was stored" in response.text
    assert said in response.text


def test_a_name_that_nobody_was_given_stores_nothing(client):
    for name in ("0" * 32, "../../etc/passwd"):
        assert "Nothing was stored" in post(client, "/data/store", token=name).text


# who may do what


@pytest.fixture
def keyed(tmp_path, journey_and_url):
    """A server with keys on a copy of the store, and the secrets of its keys by scope."""
    copyfile(journey_and_url[1].removeprefix("sqlite:///"), tmp_path / "scores.db")
    url = f"sqlite:///{tmp_path}/scores.db"
    store = Store(url)
    made = {scope: keys.create(store, f"the {scope} key", [scope]) for scope in ("read", "ingest", "admin")}
    made["both"] = keys.create(store, "reads and works", ["read", "ingest"])
    yield TestClient(application(journey_and_url[0], url), follow_redirects=False), made, store
    store.close()


def sign_in(client, made, scope):
    return client.post("/sign-in", data={"key": made[scope][1], "back": "/?risk=high"})


@pytest.mark.parametrize("path", ["/", "/journey", "/models", "/data", "/campaigns", "/customers/c003", "/at-risk.csv"])
def test_without_a_session_a_page_asks_for_a_key(keyed, path):
    client, _, _ = keyed
    response = client.get(path)
    assert (response.status_code, response.headers["location"]) == (303, f"/sign-in?back={quote(path, safe='')}")
    assert (
        client.post("/work", data={"action": "suppress", "customer": "c003"}).headers["location"] == "/sign-in?back=%2F"
    )


def test_a_key_opens_a_session_that_no_script_and_no_other_site_can_use(keyed):
    client, made, _ = keyed
    response = sign_in(client, made, "read")
    assert (response.status_code, response.headers["location"]) == (303, "/?risk=high")
    cookie = response.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "secure" not in cookie
    assert made["read"][1] not in cookie
    assert client.get("/").status_code == 200
    over_tls = TestClient(client.app, base_url="https://testserver", follow_redirects=False)
    assert "secure" in sign_in(over_tls, made, "read").headers["set-cookie"].lower()


@pytest.mark.parametrize("key", ["", "jc_none_such", "wrong"])
def test_what_is_no_key_opens_nothing(keyed, key):
    client, _, _ = keyed
    response = client.post("/sign-in", data={"key": key})
    assert response.status_code == 403
    assert "No key of this server" in response.text
    assert "set-cookie" not in response.headers


def test_a_cookie_that_was_made_up_opens_nothing(keyed):
    client, made, _ = keyed
    told = sign_in(client, made, "read").headers["set-cookie"].split("=", 1)[1].split(";")[0]
    packed, signature = told.split(".")
    for forged in (f"{packed}.{signature[:-2]}AA", f"{packed[:-4]}AAAA.{signature}", packed, "."):
        other = TestClient(client.app, follow_redirects=False, cookies={"journeycast_session": forged})
        assert other.get("/").status_code == 303


def test_who_may_read_sees_no_buttons_and_does_nothing(keyed):
    client, made, _ = keyed
    sign_in(client, made, "read")
    page = client.get("/").text
    assert 'name="action"' not in page
    held = re.search(r'name="form_token" value="([^"]+)"', page)[1]
    for path in (
        "/work",
        "/campaigns",
        "/campaigns/1/sent",
        "/data/store",
        "/models/churn/1/promote",
        "/models/churn/rollback",
    ):
        response = client.post(path, data={"form_token": held, "action": "suppress", "customer": "c003", "name": "x"})
        assert response.status_code == 403, path
        assert "this needs a key that may" in response.text


def test_who_may_read_and_ingest_works_the_list_but_steers_no_model(keyed):
    client, made, _ = keyed
    assert sign_in(client, made, "ingest").status_code == 403  # it may not read
    assert sign_in(client, made, "both").status_code == 303
    held = re.search(r'name="form_token" value="([^"]+)"', client.get("/").text)[1]
    work = client.post("/work", data={"form_token": held, "action": "assign", "assignee": "Ada", "customer": "c003"})
    assert work.status_code == 303
    assert "1 customer assigned" in client.get("/").text
    assert client.post("/models/churn/1/promote", data={"form_token": held}).status_code == 403


def test_a_session_ends_with_its_key_and_with_signing_out(keyed):
    client, made, store = keyed
    sign_in(client, made, "admin")
    held = re.search(r'name="form_token" value="([^"]+)"', client.get("/").text)[1]
    assert client.post("/sign-out", data={"form_token": held}).headers["location"] == "/sign-in"
    assert client.get("/").status_code == 303
    sign_in(client, made, "admin")
    assert client.get("/").status_code == 200

    def elsewhere():
        """Another server of the same store."""
        app = application(client.app.state.journeycast.definition, str(store._engine.url))
        return TestClient(app, follow_redirects=False, cookies=dict(client.cookies)).get("/").status_code

    assert elsewhere() == 200
    keys.revoke(store, made["admin"][0].id)
    assert elsewhere() == 303


def test_pages_are_in_the_audit_log(keyed):
    client, made, store = keyed
    sign_in(client, made, "admin")
    client.get("/customers/c003")
    client.app.state.journeycast.audit.close()
    found = audit.newest(store, "shop", 10, customer_id="c003", who=made["admin"][0].id)
    assert [(one.who, one.method, one.route, one.status) for one in found] == [
        (made["admin"][0].id, "GET", "/customers/{customer_id}", 200)
    ]


def test_the_routes_ask_for_the_key_itself(keyed):
    client, made, _ = keyed
    sign_in(client, made, "admin")
    assert client.get("/v1/at-risk").status_code == 401
