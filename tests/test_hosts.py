"""Without keys, a server answers its own machine alone, by whatever way a request comes."""

from __future__ import annotations

from contextlib import closing

import pytest
from servers import serving

from serving import keys
from serving.hosts import name_of
from serving.store import Store

NAMES = ("localhost", "127.0.0.1", "::1")


@pytest.fixture
def client(tmp_path):
    url = f"sqlite:///{tmp_path}/scores.db"
    with closing(Store(url)) as store, store.transaction(writes=True):
        pass  # the tables stand
    with serving(url, "http://localhost:8000", hosts=NAMES) as found:
        found.url = url
        yield found


@pytest.mark.parametrize("host", ["localhost:8000", "LOCALHOST", "127.0.0.1:8000", "[::1]:8000", "[::1]"])
def test_this_machine_is_answered(client, host):
    assert client.get("/v1/models", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example:8000"},
        {"Host": "localhost.evil.example"},
        {"Host": ""},
        {"X-Forwarded-For": "203.0.113.7"},
        {"Forwarded": "for=203.0.113.7"},
    ],
)
@pytest.mark.parametrize("path", ["/v1/models", "/", "/v1/customers/a"])
def test_others_are_not_although_they_reach_it(client, headers, path):
    answer = client.get(path, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (421, "foreign_host")


@pytest.mark.parametrize(
    ("origin", "status"),
    [("https://evil.example", 421), ("null", 421), ("http://localhost:8000", 503), ("http://[::1]:3000", 503)],
)
def test_what_a_page_of_elsewhere_sends_is_not_taken(client, origin, status):
    assert client.post("/v1/runs", headers={"Origin": origin}).status_code == status  # 503: it does not score


def test_with_a_key_any_name_serves(client):
    with closing(Store(client.url)) as store:
        _, secret = keys.create(store, "crm", ["read"])
    told = {"Host": "scores.example.com", "X-Forwarded-For": "203.0.113.7", "Authorization": f"Bearer {secret}"}
    assert client.get("/v1/models", headers=told).status_code == 200


def test_whether_it_lives_is_told_to_anyone(client):
    assert client.get("/healthz", headers={"Host": "balancer"}).status_code == 200


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("a:1", "a"),
        ("A", "a"),
        ("[::1]:8", "::1"),
        ("::1", "::1"),
        ("a.b:80", "a.b"),
        ("", ""),
        ("localhost:x@evil", "localhost"),
    ],
)
def test_a_host_without_its_port(host, name):
    assert name_of(host) == name
