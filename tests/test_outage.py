"""A store behind a network that swallows packets: requests are told soon and at once, and all is well by itself."""

import threading
import time
from contextlib import closing
from types import SimpleNamespace

import pytest
from proxy import proxied
from servers import serving
from sqlalchemy import text
from stores import VERSIONS, answer_of, write

from serving import patience
from serving.database import AwayError, StoreError
from serving.outage import Outage
from serving.store import Store


@pytest.fixture
def hasty(monkeypatch):
    for name in ("SETUP", "USUAL"):
        monkeypatch.setattr(f"serving.patience.{name}", 0.5)
    monkeypatch.setattr("serving.patience.Patient.patience", 0.5)
    monkeypatch.setattr("serving.outage._REST_SECONDS", 0.2)


def ask_together(client, count: int) -> list[tuple[int, str]]:
    found = []

    def ask() -> None:
        response = client.get("/v1/customers/a")
        found.append((response.status_code, response.json().get("code", "")))

    threads = [threading.Thread(target=ask) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_network_that_swallows_packets_holds_no_request(store, url):
    write(store, answer_of("a"))
    with proxied(url) as (proxy, address), serving(address) as client:
        assert client.get("/v1/customers/a").status_code == 200
        proxy.stop()
        assert set(ask_together(client, 60)) == {(503, "store_unavailable")}
        tried = proxy.opened
        assert set(ask_together(client, 60)) == {(503, "store_unavailable")}
        assert proxy.opened - tried < 5  # of 60 requests: whoever tries, tries for all
        assert client.get("/v1/customers/a").headers["retry-after"] == "5"
        assert client.get("/healthz").status_code == 200
        assert "journeycast_store_up 0.0" in client.get("/metrics").text
        proxy.go_on()
        until = time.monotonic() + 60
        while client.get("/v1/customers/a").status_code != 200:
            assert time.monotonic() < until
            time.sleep(0.1)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_bulk_write_into_silence_is_told(store, url, monkeypatch):
    monkeypatch.setattr("serving.patience.LONG", 0.5)
    store.latest_run("shop")
    with proxied(url) as (proxy, address), closing(Store(address)) as far:
        far.latest_run("shop")

        def answers():
            yield from (answer_of(f"c{number}") for number in range(3000))
            proxy.stop()
            yield answer_of("last")

        with pytest.raises(AwayError):
            far.write_run("shop", 1, 2, VERSIONS, answers())
        proxy.go_on()
    assert store.latest_run("shop") is None


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_the_address_says_how_long_a_connection_is_waited_for(url):
    with proxied(url) as (proxy, address):
        proxy.stop()
        with closing(Store(f"{address}?connect_timeout=2")) as far, pytest.raises(AwayError, match="timeout"):
            far.latest_run("shop")


def test_while_something_is_away_one_asks_and_the_others_are_told(monkeypatch):
    clock = SimpleNamespace(seconds=0.0)
    monkeypatch.setattr("serving.outage.time", SimpleNamespace(monotonic=lambda: clock.seconds))
    outage, away = Outage(), StoreError("store", "away")
    outage.check()
    outage.begin(away)
    with pytest.raises(StoreError, match="away"):
        outage.check()
    clock.seconds = 2.0
    outage.check()  # this thread tries
    outage.check()
    told = []

    def ask() -> None:
        with pytest.raises(StoreError, match="away"):
            outage.check()
        told.append(1)

    other = threading.Thread(target=ask)
    other.start()
    other.join()
    assert told == [1]
    outage.begin(away)  # what it was told itself is no news
    outage.check()
    outage.end()
    outage.check()


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_a_statement_that_is_slow_is_cancelled_and_is_no_outage(url, monkeypatch):
    monkeypatch.setitem(patience._SERVER, "statement_timeout", "200ms")
    slow = text("SELECT pg_sleep(1)")
    with closing(Store(url, hurried=True)) as store:
        with pytest.raises(StoreError, match="statement timeout") as caught, store.transaction() as connection:
            connection.execute(slow)
        assert not isinstance(caught.value, AwayError)
        assert store.latest_run("shop") is None
        with store.transaction(long=True) as connection:
            connection.execute(slow)
