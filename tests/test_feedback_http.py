"""What customers say, sent over the same routes, stands in their features and reasons at once."""

from __future__ import annotations

import pytest
from test_events_http import answer, client, end, few, scored, send, statuses  # noqa: F401 -- fixtures

from features.schema import DAY, to_text

SAID = {  # what a customer answers when asked, without a ticket; and trouble, of which nobody asked
    "FEEDBACK": [("rating", {"rating": 1}), ("nps", {"nps": 0}), ("review", {"rating": 1})],
    "FRICTION": [("ticket", {"topic": "damaged"}), ("complaint", {}), ("payment_failed", {})],
}


@pytest.fixture
def url(tmp_path):
    """One database is enough here: which one stores events makes no difference to reasons."""
    return f"sqlite:///{tmp_path}/scores.db"


@pytest.fixture(autouse=True)
def every_reason(monkeypatch):
    """All reasons are told: which of them are the strongest is a matter of the trees."""
    monkeypatch.setattr("serving.reasons.SHOWN", 99)
    monkeypatch.setattr("serving.reasons._LEAST", 0.0)


def event(at, name, **fields):
    return {"customer_id": "new", "time": to_text(at), "event": name, **fields}


def bought(until):
    """Purchases, and a visit that is the newest event whatever else the customer says."""
    bought = [event(until - n * 9 * DAY, "purchase", value=40.0, channel="web") for n in range(1, 8)]
    return [*bought, event(until, "visit", channel="web")]


def said(code, until):
    """All of it before the newest event, and known as it was said: the instant of the answer stays."""
    at = until - DAY // 4
    return [event(at, name, known_at=to_text(at), **fields) for name, fields in SAID[code]]


def told(answer, code):
    """The value that each task's reason of this code stands on, and what it moves."""
    tasks = {task: answer[task]["reasons"] for task in ("churn", "next_stage", "cltv")}
    return {task: (one["value"], one["effect"]) for task, all_ in tasks.items() for one in all_ if one["code"] == code}


def differ_by(code, quiet, heard):
    """Of the same customer at the same instant every reason of this code is another one: nothing else was said."""
    assert heard["cutoff"] == quiet["cutoff"]
    before, after = told(quiet, code), told(heard, code)
    assert {value for value, _ in before.values()} <= {None, 0.0}  # nothing known, or none of them
    assert set(after) == {"churn", "next_stage", "cltv"}
    assert None not in {value for value, _ in after.values()}
    assert all(before.get(task, (None, 0.0))[1] != after[task][1] for task in after)
    assert heard["cltv"]["expected"] != quiet["cltv"]["expected"]


@pytest.mark.parametrize("code", SAID)
def test_what_a_customer_says_shows_in_the_next_answer(client, business, code):  # noqa: F811
    at = end(business) + DAY
    assert set(statuses(send(client, *bought(at)))) == {"accepted"}
    quiet = answer(client, "new")
    assert set(statuses(send(client, *said(code, at)))) == {"accepted"}
    differ_by(code, quiet, answer(client, "new"))


@pytest.mark.parametrize("code", SAID)
def test_a_prediction_sees_what_is_said_in_its_own_request(client, business, code):  # noqa: F811
    at = end(business)
    found = []
    for events in (bought(at), [*bought(at), *said(code, at)]):
        response = client.post("/v1/predictions", json={"customers": [{"customer_id": "new", "events": events}]})
        assert response.status_code == 200, response.text
        found.append(response.json()["answers"][0])
    differ_by(code, *found)
