"""Keys of the API: made, checked, ended; what each may do; how much; and who did what."""

from __future__ import annotations

import asyncio
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from servers import serving
from sqlalchemy import select
from stores import answer_of, execute, write

from features.errors import InputError
from features.schema import DAY
from serving import audit, keys
from serving.access import NO_ROUTE, needed
from serving.access_tables import keys as stored_keys
from serving.audit import Audit, Entry
from serving.clock import now
from serving.database import StoreError
from serving.keys import Key, Keys
from serving.rates import Rates
from serving.store import Store

EVENT = {"customer_id": "a/b", "time": "2024-06-01T10:00:00Z", "event": "purchase"}


@pytest.fixture
def scored(url):
    with closing(Store(url)) as store:
        write(store, answer_of("a/b"))
    return url


def secret_for(url, *scopes, **fields):
    with closing(Store(url)) as store:
        return keys.create(store, "test", scopes, **fields)[1]


def bearer(secret):
    return {"Authorization": f"Bearer {secret}"}


def problem(response, status, code):
    assert response.headers["content-type"] == "application/problem+json", response.text
    assert (response.status_code, response.json()["code"]) == (status, code), response.text


# keys


def test_a_key_is_known_by_its_secret_which_is_stored_nowhere(store, url):
    key, secret = keys.create(store, "crm", ["ingest", "read"])
    assert Keys(store).check(secret) == key
    assert (key.name, key.scopes) == ("crm", ("read", "ingest"))
    assert len(secret.split("_", 2)[2]) == 43  # 256 bits
    (row,) = execute(url, select(stored_keys)).all()
    assert len(bytes(row.digest)) == 32
    assert secret not in str(row)


def test_what_is_not_the_secret_opens_nothing(store):
    _, secret = keys.create(store, "crm", ["read"])
    _, other = keys.create(store, "other", ["read"])
    mixed = "_".join([*secret.split("_", 2)[:2], other.split("_", 2)[2]])
    for wrong in ("", "jc", "jc__", secret[:-1], secret + "A", secret.upper(), mixed, "é" * 9, "\ud800"):
        assert Keys(store).check(wrong) is None


def test_a_key_ends_when_it_expires_or_is_revoked(store, monkeypatch):
    one, first = keys.create(store, "one", ["read"], now() + DAY)
    two, second = keys.create(store, "two", ["admin"])
    assert keys.revoke(store, two.id).revoked_at is not None
    held = Keys(store)
    assert (held.check(first), held.check(second)) == (one, None)
    later = now() + 2 * DAY
    monkeypatch.setattr("serving.keys.now", lambda: later)
    assert held.check(first) is None
    keys.revoke(store, one.id)
    assert held.required
    assert Keys(store).required  # keys that ended shut the door as valid ones do


def test_a_key_is_replaced_without_an_outage(store):
    old, first = keys.create(store, "crm", ["read"])
    new, second = keys.create(store, "crm", ["read"])
    assert (Keys(store).check(first), Keys(store).check(second)) == (old, new)
    revoked = keys.revoke(store, old.id)
    assert keys.revoke(store, old.id) == revoked
    assert (Keys(store).check(first), Keys(store).check(second)) == (None, new)
    assert [key.id for key in keys.listed(store)] == [old.id, new.id]


def test_keys_that_cannot_be_are_refused(store):
    for scopes in ([], ["write"], ["read", "all"]):
        with pytest.raises(InputError, match="read, ingest, admin"):
            keys.create(store, "crm", scopes)
    with pytest.raises(InputError, match="has passed already"):
        keys.create(store, "crm", ["read"], 5)
    with pytest.raises(InputError, match="no key 'nobody'"):
        keys.revoke(store, "nobody")


def test_keys_hold_for_a_while_where_the_store_goes_away(tmp_path, monkeypatch):
    with closing(Store(f"sqlite:///{tmp_path}/scores.db")) as store:
        _, secret = keys.create(store, "crm", ["read"])
        held = Keys(store)
        assert held.check(secret)
        for file in tmp_path.glob("scores.db*"):
            file.unlink()
        (tmp_path / "scores.db").write_text("no database " * 100)
        store.close()
        monkeypatch.setattr("serving.keys._FRESH_SECONDS", 0.0)
        assert held.check(secret)
        monkeypatch.setattr("serving.keys._STALE_SECONDS", 0.0)
        with pytest.raises(StoreError, match="not a database"):
            held.check(secret)


ASKED = [
    ("GET", "/v1/customers/a", "read"),
    ("HEAD", "/v1/at-risk", "read"),
    ("POST", "/v1/predictions", "read"),
    ("POST", "/v1/events", "ingest"),
    ("PATCH", "/v1/worklist/a", "ingest"),
    ("POST", "/v1/campaigns", "ingest"),
    ("DELETE", "/v1/customers/a", "admin"),
    ("GET", "/v1/webhooks", "admin"),
]


@pytest.mark.parametrize(("method", "path", "scope"), ASKED)
def test_what_a_request_needs(method, path, scope):
    assert needed(method, path) == scope
    for scopes in keys.SCOPES:
        key = Key("1", "test", (scopes,), 0, None, None)
        assert key.may(scope) == (scopes in (scope, "admin"))


# over HTTP


def test_without_keys_this_machine_is_answered(scored):
    with serving(scored) as client:
        assert client.get("/v1/customers/a%2Fb").status_code == 200
        assert client.get("/v1/customers/a%2Fb", headers=bearer("nonsense")).status_code == 200


def test_without_keys_nobody_else_is_answered(scored):
    with serving(scored, loopback=False) as client:
        response = client.get("/v1/customers/a%2Fb")
        problem(response, 401, "no_key")
        assert response.headers["www-authenticate"] == 'Bearer realm="journeycast"'
        for path in ("/healthz", "/docs", "/openapi.json", "/docs/static/swagger-ui.css"):
            assert client.get(path).status_code == 200


def test_with_keys_each_may_do_what_its_scopes_say(scored):
    read, ingest, admin = (secret_for(scored, scope) for scope in keys.SCOPES)
    with serving(scored) as client:
        for secret, wanted in ((read, (200, 403)), (ingest, (403, 200)), (admin, (200, 200))):
            got = client.get("/v1/customers/a%2Fb", headers=bearer(secret))
            sent = client.post("/v1/events", json=EVENT, headers=bearer(secret))
            assert (got.status_code, sent.status_code) == wanted
        response = client.post("/v1/events", json=EVENT, headers=bearer(read))
        problem(response, 403, "not_allowed")
        assert 'error="insufficient_scope", scope="ingest"' in response.headers["www-authenticate"]
        problem(client.get("/v1/at-risk"), 401, "no_key")
        response = client.get("/v1/at-risk", headers=bearer(read + "x"))
        problem(response, 401, "no_key")
        assert 'error="invalid_token"' in response.headers["www-authenticate"]
        for odd in ("Basic dXNlcjpwYXNz", "Bearer", "Bearer ", read):
            problem(client.get("/v1/at-risk", headers={"Authorization": odd}), 401, "no_key")


def test_a_key_that_is_made_or_ended_counts_within_seconds_without_a_restart(scored, monkeypatch):
    monkeypatch.setattr("serving.keys._FRESH_SECONDS", 0.0)
    with serving(scored) as client, closing(Store(scored)) as store:
        assert client.get("/v1/at-risk").status_code == 200
        key, secret = keys.create(store, "crm", ["read"])
        assert client.get("/v1/at-risk").status_code == 401
        assert client.get("/v1/at-risk", headers=bearer(secret)).status_code == 200
        keys.create(store, "other", ["read"])
        keys.revoke(store, key.id)
        assert client.get("/v1/at-risk", headers=bearer(secret)).status_code == 401


def test_the_last_key_revoked_opens_nothing(scored):
    with closing(Store(scored)) as store:
        key, secret = keys.create(store, "crm", ["read"])
        keys.revoke(store, key.id)
    with serving(scored) as client:
        for headers in ({}, bearer(secret)):
            problem(client.get("/v1/at-risk", headers=headers), 401, "no_key")
        assert client.get("/", headers={"Accept": "text/html"}).url.path == "/sign-in"


def test_keys_are_never_looked_up_by_the_loop_that_answers(scored, monkeypatch):
    looked, read = [], keys._read

    def noted(store):
        looked.append(asyncio._get_running_loop())
        return read(store)

    monkeypatch.setattr(keys, "_FRESH_SECONDS", 0.0)
    monkeypatch.setattr(keys, "_read", noted)
    secret = secret_for(scored, "read")
    with serving(scored) as client:
        assert client.get("/v1/at-risk", headers=bearer(secret)).status_code == 200
        assert client.get("/v1/at-risk").status_code == 401
    assert len(looked) >= 2
    assert set(looked) == {None}


def test_a_body_without_a_key_is_not_read(scored):
    secret_for(scored, "read")
    with serving(scored, body_limit=100) as client:
        problem(client.post("/v1/events", content=b"x" * 1000), 401, "no_key")


def test_two_clients_may_choose_one_idempotency_key(scored):
    one, two = secret_for(scored, "ingest"), secret_for(scored, "ingest")
    with serving(scored) as client:
        for secret, event in ((one, EVENT), (two, EVENT | {"event_id": "other"})):
            headers = bearer(secret) | {"Idempotency-Key": "1"}
            assert client.post("/v1/events", json=event, headers=headers).json()["accepted"] == 1


def test_a_key_that_asks_too_often_is_told_to_wait(scored):
    secret, other = secret_for(scored, "read"), secret_for(scored, "read")
    with serving(scored, rate=0.2) as client:
        found = [client.get("/v1/at-risk", headers=bearer(secret)) for _ in range(3)]
        assert [one.status_code for one in found] == [200, 200, 429]
        assert found[0].headers["ratelimit-policy"] == '"key";q=2;w=10'
        assert found[0].headers["ratelimit"] == '"key";r=1;t=0'
        problem(found[2], 429, "too_many_requests")
        assert 1 <= int(found[2].headers["retry-after"]) <= 5
        assert client.get("/v1/at-risk", headers=bearer(other)).status_code == 200


def test_what_a_key_may_not_do_counts_too(scored):
    secret = secret_for(scored, "read")
    with serving(scored, rate=0.2) as client:
        found = [client.post("/v1/events", json=EVENT, headers=bearer(secret)) for _ in range(3)]
        assert [one.status_code for one in found] == [403, 403, 429]
        assert found[0].headers["ratelimit"] == '"key";r=1;t=0'
        assert found[0].headers["www-authenticate"].endswith('scope="ingest"')


@given(st.floats(0.1, 1000), st.lists(st.floats(0, 30), max_size=60))
def test_no_more_go_through_than_the_rate_allows(rate, pauses):
    moment, passed = 0.0, 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("serving.rates.time.monotonic", lambda: moment)
        bucket = Rates(rate)
        for pause in pauses:
            moment += pause
            passed += bucket.take("k").allowed
    assert passed <= max(1.0, 10 * rate) + rate * moment + 1e-6
    assert passed == len(pauses) or passed >= min(1.0, rate)


def test_every_answer_says_what_a_browser_may_do_with_it(scored):
    with serving(scored) as client:
        for path in ("/v1/customers/a%2Fb", "/v1/nothing", "/docs", "/openapi.json"):
            headers = client.get(path).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers.get("cache-control") == ("no-store" if path.startswith("/v1") else None)
        assert "script-src 'self' 'sha256-" in client.get("/docs").headers["content-security-policy"]
        assert client.get("/v1/at-risk").headers["content-security-policy"].startswith("default-src 'none';")


def test_openapi_tells_of_keys_and_scopes(scored):
    with serving(scored) as client:
        told = client.get("/openapi.json").json()
    assert told["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    events = told["paths"]["/v1/events"]["post"]
    assert (events["security"], {"401", "403", "429"} <= events["responses"].keys()) == ([{"key": []}], True)
    assert "Needs the scope `ingest`." in events["description"]
    assert told["paths"]["/healthz"]["get"]["security"] == []


# who did what


def test_the_audit_log_says_who_did_what_with_whom(scored):
    secret = secret_for(scored, "read", "ingest")
    with serving(scored) as client:
        client.get("/v1/customers/a%2Fb", headers=bearer(secret))
        client.post("/v1/events", json=EVENT, headers=bearer(secret))
        client.delete("/v1/customers/a%2Fb", headers=bearer(secret))
        client.get("/v1/customers/nobody", headers=bearer(secret))
        client.get("/v1/customers/nobody")
        client.get("/healthz")
    with closing(Store(scored)) as store:
        found = audit.newest(store, "shop", 10)
        (key,) = keys.listed(store)
        assert audit.newest(store, "shop", 10, who="other") == []
        assert len(audit.newest(store, "shop", 10, customer_id="a/b")) == 1
        assert audit.newest(store, "other", 10) == audit.newest(store, "shop", 10, since=now() + DAY) == []
    one = "/v1/customers/{customer_id}"
    assert [entry[1:4] + entry[5:] for entry in reversed(found)] == [
        (key.id, "GET", one, "a/b", 200),
        (key.id, "POST", "/v1/events", None, 200),
        (key.id, "DELETE", "/v1/customers", None, 403),
        (key.id, "GET", one, None, 404),
    ]


def test_what_nobody_serves_is_in_the_audit_log_without_its_path(scored):
    with serving(scored) as client:
        for path in ("/v1/h1043", "/v1/a%00b", "/v1/customers/a%00b", "/v1/customers", "/v1/customersh1043"):
            client.get(path)
        client.delete("/v1/customers/a%00b")
    with closing(Store(scored)) as store:
        found = [(entry.route, entry.customer_id) for entry in reversed(audit.newest(store, "shop", 10))]
    one = "/v1/customers/{customer_id}"
    nobody = (NO_ROUTE, None)
    assert found == [nobody, nobody, (one, None), ("/v1/customers", None), nobody, (one, None)]


def test_an_entry_that_cannot_be_written_takes_no_other_with_it(store):
    log = Audit(store)
    route = "/v1/\ud800"  # no database takes it
    for who, path in (("a", "/v1/at-risk"), ("b", route), ("c", "/v1/at-risk")):
        log.add(Entry(now(), who, "GET", path, "shop", None, 200))
    log.close()
    assert [entry.who for entry in audit.newest(store, "shop", 10)] == ["c", "a"]


def test_without_keys_the_audit_log_says_that_it_was_this_machine(scored):
    with serving(scored) as client:
        client.get("/v1/customers/a%2Fb")
    with closing(Store(scored)) as store:
        assert [entry.who for entry in audit.newest(store, "shop", 10)] == ["loopback"]


def test_entries_wait_for_a_store_that_is_away(tmp_path, monkeypatch):
    monkeypatch.setattr("serving.audit._EVERY_SECONDS", 60.0)
    file = tmp_path / "scores.db"
    file.write_text("no database " * 100)
    with closing(Store(f"sqlite:///{file}")) as store:
        log = Audit(store)
        log.add(Entry(now(), "k", "GET", "/v1/at-risk", "shop", None, 200))
        log.flush()
        store.close()
        file.unlink()
        log.close()
        assert len(audit.newest(store, "shop", 10)) == 1


def test_what_is_no_journeys_own_is_listed_with_every_journey(store):
    made = Entry(now(), audit.COMMAND_LINE, "RUN", "keys create k", audit.EVERY_JOURNEY, None, 0)
    with store.transaction(writes=True) as connection:
        audit.write(connection, [made, made._replace(journey="other")])
    assert audit.newest(store, "shop", 10) == [made]


def test_old_entries_go(store):
    old = Entry(now() - 500 * DAY, "k", "GET", "/v1/at-risk", "shop", None, 200)
    log = Audit(store)
    for entry in (old, old._replace(at=now())):
        log.add(entry)
    log.close()
    assert len(audit.newest(store, "shop", 10)) == 1
