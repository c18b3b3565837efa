"""What customers say, sent over the same routes, stands in their features and reasons at once."""

from __future__ import annotations

import pytest
from test_events_http import answer, client, end, few, first, scored, send, statuses  # noqa: F401 -- fixtures

from features.schema import DAY, to_text


@pytest.fixture
def url(tmp_path):
    """One database is enough here: which one stores events makes no difference to reasons."""
    return f"sqlite:///{tmp_path}/scores.db"


def event(customer, at, name, **fields):
    return {"customer_id": customer, "time": to_text(at), "event": name, **fields}


def reasons(told) -> dict[str, str]:
    return {
        one["code"]: one["text"] for task in ("churn", "next_stage", "cltv") for one in told[task].get("reasons", [])
    }


def test_tickets_and_a_bad_review_show_in_the_next_answer(client, business, few):  # noqa: F811
    customer, at = first(few), end(business) + DAY
    before = answer(client, customer)
    sent = [event(customer, at + n * DAY // 8, "ticket", topic="damaged", channel="phone") for n in range(4)]
    sent += [
        event(customer, at + DAY // 2, "rating", rating=1),
        event(customer, at + DAY // 2, "nps", nps=0),
        event(customer, at + DAY // 2, "review", rating=1),
    ]
    assert statuses(send(client, *sent)) == ["accepted"] * 7
    after = answer(client, customer)
    assert after["cutoff"] > before["cutoff"]
    told = reasons(after)
    assert {"FRICTION", "FEEDBACK"} & set(told)
    assert told != reasons(before)


def test_a_prediction_sees_the_feedback_of_its_own_request(client, business, few):  # noqa: F811
    """The same history twice, once with what the customer said: the answers differ by that alone."""
    at = end(business)
    bought = [event("new", at - n * 9 * DAY, "purchase", value=40.0, channel="web") for n in range(1, 8)]
    said = [event("new", at - DAY, "ticket", topic="damaged"), event("new", at - DAY // 2, "complaint")]
    said += [event("new", at - DAY // 4, "payment_failed"), event("new", at - DAY // 4, "nps", nps=0)]
    found = []
    for events in (bought, [*bought, *said]):
        response = client.post("/v1/predictions", json={"customers": [{"customer_id": "new", "events": events}]})
        assert response.status_code == 200, response.text
        found.append(response.json()["answers"][0])
    quiet, heard = found
    assert "FRICTION" in reasons(heard)
    assert heard["churn"]["probability"] != quiet["churn"]["probability"]
