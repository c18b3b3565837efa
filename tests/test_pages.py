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
from hypothesis import given
from hypothesis import strategies as st
from servers import untrained
from shown import HOSTILE, fill
from starlette.datastructures import QueryParams
from starlette.testclient import TestClient
from stores import execute

from features.journey import Campaign
from serving import audit, keys, tables, uploads
from serving.app import create_app
from serving.pages import download, lists, words
from serving.pages import journey as journey_page
from serving.rates import Rates
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


ODD = "minimum_cltv=101.23456789&contact_cost=1234567.891&accept_rate=0.000001234567&sort=profit"


def test_no_number_of_a_list_is_rounded_on_its_way_from_page_to_page(client):
    first = client.get(f"/?{ODD}&limit=25").text
    for pattern in (r'href="([^"]+)" rel="next"', r'href="(/at-risk.csv[^"]+)"', r'name="back" value="([^"]+)"'):
        link = unescape(re.search(pattern, first)[1])
        assert set(ODD.split("&")) <= set(link.partition("?")[2].split("&"))
        assert client.get(link).status_code == 200
    assert 'name="minimum_cltv" inputmode="decimal" value="101.23456789"' in first
    assert 'value="1234567.891"' in client.get("/campaigns/new?contact_cost=1234567.891").text


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(1e-6, 1))
def test_a_list_is_the_same_when_its_address_is_read_again(value, rate):
    asked = lists.read({"minimum_cltv": [repr(value)], "accept_rate": [repr(rate)], "risk": ["high"]})
    link = lists.address("/", lists.told(asked))
    assert lists.read(lists.given(QueryParams(link.partition("?")[2]))) == asked
    assert "e" not in lists.told(asked)["minimum_cltv"][0]


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
            float(a.replace("−", "-").replace("+", "").replace(",", "").removesuffix(" %").removesuffix(" points"))
            for a in re.findall(r'how-much">([^<]+)<', body)
        ]
        assert sum(amounts[:-1]) == pytest.approx(amounts[-1], abs=1e-6)
        assert len(amounts) > 2


def test_what_open_runs_may_be_expected_to_reach_is_told_over_http_and_on_the_page(journey_and_url):
    entry = dict.fromkeys(("grade", "grade_words", "decision_words", "warnings"))
    entry |= {"task": "churn", "aliases": [], "registered_at": 0, "rules": {}, "realised": {}}
    versions = [entry | {"version": 3, "metrics": {"roc_auc": 0.8125}}, entry | {"version": 2, "metrics": {}}]
    app = create_app(Settings("shop", journey_and_url[1]), load_scorer=untrained, list_models=lambda: versions)
    with TestClient(app) as client:
        newest, before = client.get("/v1/models").json()["models"]
        page = client.get("/models").text
    assert before["expected"] is None
    expected = newest["expected"]
    assert (expected["run"], expected["customers"]) == (2, 121)
    assert expected["cutoff"] < expected["open_until"]
    assert "calibrated" in expected["conditions"]
    auc = expected["metrics"]["roc_auc"]
    assert auc["low"] < auc["value"] < auc["high"]
    assert unescape(expected["conditions"]) in unescape(page)
    assert f'open until <time datetime="{expected["open_until"]}">' in page
    assert f"{auc['low']:.3f} to {auc['high']:.3f}" in page
    assert "0.812" in page  # as in training


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


def cells(text) -> list[list[str]]:
    """The lines of the list as they are read on the page: id, numbers, reasons and day."""
    found = []
    for line in re.findall(r"<tr>(.*?)</tr>", text.split('<table class="rows')[1].split("<tbody>")[1], re.DOTALL):
        reasons = re.findall(r"<li>([^<]+)</li>", line)
        numbers = re.findall(r'class="n [^>]+>([^<]+)<', line)
        interval = re.search(r'class="interval">([^<]+)</span></td>\s*<td class="n loss', line)[1].split(" to ")
        last = re.search(r'class="last"[^>]*><time datetime="([^"]+)"', line)[1]
        found.append([*rows(line), *numbers, *interval, *map(unescape, reasons), last])
    return found


def as_read(line) -> list[str]:
    """A line of a file as the page would tell it."""
    numbers = [words.money(float(line[name]), "") for name in ("cltv_expected", "expected_loss", "contact_profit")]
    interval = [words.money(float(line[name]), "", 0) for name in ("cltv_low", "cltv_high")]
    last = str(line["last_activity"]).replace(" ", "T").removesuffix("Z") + "Z"
    return [line["customer_id"], *numbers, *interval, line["reason"], line["second_reason"], last]


def test_the_files_hold_every_cell_that_is_shown(client):
    shown = cells(client.get("/?risk=high&sort=profit&limit=200").text)
    assert len(shown) > 30
    response = client.get("/at-risk.csv?risk=high&sort=profit")
    assert 'filename="at-risk-shop-run-2.csv"' in response.headers["content-disposition"]
    lines = list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"))))
    assert [as_read(line) for line in lines] == shown
    book = openpyxl.load_workbook(io.BytesIO(client.get("/at-risk.xlsx?risk=high&sort=profit").content))
    names, *body = book.worksheets[0].iter_rows(values_only=True)
    assert [as_read(dict(zip(names, line, strict=True))) for line in body] == shown


def test_a_sheet_too_long_is_refused_in_words_and_csv_is_never_cut(client, monkeypatch):
    monkeypatch.setattr(download, "MOST_ROWS", 30)
    monkeypatch.setattr(download, "_AT_ONCE", 7)
    response = client.get("/at-risk.xlsx")
    assert response.status_code == 422
    assert "take it as CSV" in response.text
    assert len(client.get("/at-risk.csv").content.decode().splitlines()) == 122
    assert client.get("/at-risk.xlsx?customer=c01").status_code == 200


# said in words


def test_a_cookie_that_says_nothing_readable_is_not_heard(client):
    for said in ("bnVsbA==", "MQ==", "WzFd", "e30=", "%%%", "W1sxXV0="):
        client.cookies.set("journeycast_said", said)
        assert client.get("/data").status_code == 200, said


def test_a_share_moves_by_points(client):
    text = client.get("/customers/c005").text
    amounts = re.findall(r'how-much">([^<]+)<', text.split('id="task-churn"')[1].split('id="task-cltv"')[0])
    assert amounts[0].endswith(" %")
    assert amounts[-1].endswith(" %")
    assert {amount.split(" ")[1] for amount in amounts[1:-1]} == {"points"}


def test_every_segment_of_a_link_is_kept_when_the_form_is_applied(client):
    text = client.get("/?segment=age:young&segment=age:old").text
    form = text.split('<form action="/"')[1].split("</form>")[0]
    assert '<option value="age:young" selected>' in form
    assert form.count(" selected>young") == 1
    assert 'type="hidden" name="segment" value="age:old"' in form
    assert " selected>old" not in form


def test_one_is_told_as_one():
    assert (words.counted(1, "event"), words.counted(1200, "event")) == ("1 event", "1,200 events")


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
    asked = {"action": "suppress", "everyone": "yes", "back": "/?risk=high&limit=25"}
    many = len(client.get("/v1/at-risk?risk=high&limit=1000").json()["items"])
    response = post(client, "/work", **asked, sure=str(many))
    high = client.get("/v1/at-risk?risk=high&include=suppressed&limit=1000").json()["items"]
    assert f"{len(high)} customers suppressed" in response.text
    assert {item["suppressed"] for item in high} == {"opted_out"}
    assert client.get("/v1/at-risk?risk=high").json()["items"] == []


@pytest.mark.parametrize("sure", [{}, {"sure": "1"}], ids=["not asked yet", "the list has changed"])
def test_a_whole_list_is_asked_for_once_more_with_its_number_before_anything_changes(client, sure):
    asked = {"action": "assign", "assignee": "Ada <b>", "everyone": "yes", "back": "/?risk=high&limit=25"}
    before = client.get("/v1/at-risk?risk=high&limit=1000").json()["items"]
    response = post(client, "/work", **asked, **sure)
    assert f"{len(before)} customers assigned?" in response.text
    assert "Ada &lt;b&gt;" in response.text
    assert ("changed meanwhile" in response.text) == bool(sure)
    assert client.get("/v1/at-risk?risk=high&limit=1000").json()["items"] == before


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
    for sent in ({}, {"form_token": "made up"}):
        response = client.post("/work", data={**sent, "action": "suppress", "customer": "c003"})
        assert response.status_code == 403
    other = TestClient(client.app)
    response = client.post("/work", data={"form_token": token(other), "action": "suppress", "customer": "c003"})
    assert response.status_code == 403
    assert not status(client, "c003")["opted_out"]


@pytest.mark.parametrize(("charset", "token"), [("punycode", b"\xff"), ("unicode_escape", b"\\ud800")])
def test_a_form_that_is_no_text_is_told_so(client, charset, token):
    client.get("/")
    body = b'--x\r\nContent-Disposition: form-data; name="form_token"\r\n\r\n' + token + b"\r\n--x--\r\n"
    kind = f"multipart/form-data; boundary=x; charset={charset}"
    assert client.post("/work", content=body, headers={"Content-Type": kind}).status_code == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://testserver", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=["another", "hidden", "cross-site", "a neighbour"],
)
def test_a_form_from_another_site_does_nothing(client, headers):
    data = {"form_token": token(client), "action": "suppress", "customer": "c003"}
    for path in ("/work", "/sign-in"):
        assert client.post(path, data=data, headers=headers).status_code == 403
    own = {"Origin": "http://testserver", "Sec-Fetch-Site": "same-origin"}
    assert client.post("/work", data=data | {"action": "reopen"}, headers=own).status_code == 200
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


def test_a_plan_sent_twice_is_one_campaign_and_one_of_an_older_run_is_none(client):
    planned = client.get("/campaigns/new?risk=high&name=Twice").text.split('action="/campaigns"')[1]
    fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', planned))
    addresses = {str(client.post("/campaigns", data=fields).url) for _ in range(2)}
    assert len(addresses) == len(client.get("/v1/campaigns").json()["campaigns"]) == 1
    older = client.post("/campaigns", data=fields | {"run": "1"})
    assert (older.status_code, "scored anew" in older.text, "look again" in older.text.lower()) == (422, True, True)
    assert client.post("/campaigns", data=fields | {"run": ""}).status_code == 422
    assert len(client.get("/v1/campaigns").json()["campaigns"]) == 1


def test_nothing_is_rolled_back_before_someone_is_sure(client):
    back = {"form_token": token(client)}
    answers = [client.post("/models/churn/rollback", data=back | more).text for more in ({}, {"sure": "yes"})]
    assert ["tick Sure" in text for text in answers] == [True, False]
    assert "cannot be steered" in answers[1]


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


def test_what_only_one_of_two_groups_did_is_none_of_the_others():
    def did(event, share, to):
        stages = [{"stage": "active"}]
        point = {"stage": "active", "event": event, "channel": "web", "share": share, "count": 5}
        move = {"from": "active", "to": to, "way": "on", "count": 3, "share": 1.0, "median_days": 2.0}
        return {"stages": stages, "touchpoints": [point], "transitions": [move]}

    mine, other = did("visit", 0.25, "lapsed"), did("ticket", 0.75, "lost")
    (stage, points), *_ = journey_page._touchpoints(mine, other)
    assert stage == "active"
    assert [(one["event"], one["share"], one["other"]) for one in points] == [("ticket", 0.0, 0.75), ("visit", 0.25, 0)]
    moves = journey_page._moves(mine, other)
    shares = {move["to"]: (move["share"], beside["share"]) for move, beside in moves}
    assert shares == {"lapsed": (1.0, 0.0), "lost": (0.0, 1.0)}


def test_a_line_keeps_the_distance_of_its_points_and_leaves_out_what_is_only_expected():
    trend = [{"cutoff": f"2024-01-{day:02}T00:00:00Z", "value": value} for day, value in ((1, 1.0), (2, 2.0), (5, 3.0))]
    kpi = {"name": "cltv", "value": 9.0, "trend": [*trend, {"cutoff": "2024-02-01T00:00:00Z", "value": 9.0}]}
    assert journey_page._kpi(kpi, None, "2024-02-01T00:00:00Z")["spark"] == "M0.0 26.0 L25.0 14.0 L100.0 2.0"


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
    assert "1 row with no readable time is left out" in shown.text
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


def test_a_file_waits_for_its_own_session_in_a_folder_of_the_servers_alone(client):
    folder = client.app.state.journeycast.uploads
    shown = upload(client)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len(list(folder.iterdir())) == 1
    other = TestClient(client.app)
    assert "Nothing was stored" in confirm(other, shown).text
    assert stored_events(client) == []
    uploads.tidy(folder, 3600.0)
    assert len(list(folder.iterdir())) == 1
    uploads.tidy(folder, 0.0)
    assert "upload it again" in confirm(client, shown).text.lower()
    assert list(folder.iterdir()) == []


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


@pytest.mark.parametrize("scope", [None, "read"])
def test_what_somebody_without_the_right_sends_is_not_read(keyed, scope):
    client, made, _ = keyed
    if scope:
        sign_in(client, made, scope)
    kind, app, asked = {"Content-Type": "multipart/form-data; boundary=x"}, client.app, []

    async def watched(scope, receive, send):
        async def receiving():
            asked.append(1)
            return await receive()

        await app(scope, receiving if scope["type"] == "http" else receive, send)

    other = TestClient(watched, follow_redirects=False, cookies=dict(client.cookies))
    response = other.post("/data/preview", content=b"--x", headers=kind)
    assert response.status_code == (403 if scope else 303)
    assert asked == []


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
    copied = dict(client.cookies)
    assert client.post("/sign-out", data={"form_token": held}).headers["location"] == "/sign-in"
    assert client.get("/").status_code == 303
    copy = TestClient(client.app, follow_redirects=False, cookies=copied)
    assert copy.get("/").status_code == 303
    assert copy.post("/work", data={"form_token": held, "action": "assign"}).headers["location"].startswith("/sign-in")
    sign_in(client, made, "admin")
    assert client.get("/").status_code == 200

    def elsewhere():
        """Another server of the same store."""
        app = application(client.app.state.journeycast.definition, str(store._engine.url))
        return TestClient(app, follow_redirects=False, cookies=dict(client.cookies)).get("/").status_code

    assert elsewhere() == 200
    keys.revoke(store, made["admin"][0].id)
    assert elsewhere() == 303


def test_pages_spend_the_rate_of_their_key(keyed):
    client, made, _ = keyed
    sign_in(client, made, "read")
    client.app.state.journeycast.rates = Rates(0.1)
    assert [client.get("/campaigns").status_code for _ in range(2)] == [200, 429]
    assert client.get("/campaigns").headers["retry-after"]


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
