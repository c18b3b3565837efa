"""Messages to webhooks: made once, signed, tried again, and given up where all can see it."""

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address
from itertools import pairwise

import pytest
from receiver import OWN, receiver
from sqlalchemy import delete, update
from standardwebhooks import Webhook as Verifier
from stores import VERSIONS, answer_of

from features.errors import InputError
from features.journey import RiskBands
from features.schema import DAY
from serving import changes, messages, outbound, outbox, webhooks
from serving import deliverer as delivering
from serving.clock import now
from serving.database import StoreError
from serving.deliverer import ATTEMPTS, Deliverer
from serving.outbound import Rules, Sent, checked, post
from serving.store import Options, Store
from serving.tables import deliveries
from serving.tables import webhooks as stored_webhooks
from serving.webhooks import Wanted, Webhook


@pytest.fixture
def hook():
    with receiver() as held:
        yield held


@pytest.fixture(autouse=True)
def whole_turns(monkeypatch):
    """A turn lasts until all is sent, on slow machines too."""
    monkeypatch.setattr(delivering, "_TURN_SECONDS", 30.0)


@pytest.fixture
def deliverer(store):
    found = Deliverer(store, "shop", OWN)
    yield found
    found.close()


def register(store: Store, url: str, types=(messages.RISK_CHANGED,), risks=None) -> Webhook:
    with store.transaction(writes=True) as connection:
        return webhooks.register(connection, "shop", Wanted(url, "", [*types], risks))


def scored(store: Store, **probabilities: float) -> int:
    answers = [answer_of(name, probability=given) for name, given in probabilities.items()]
    return store.write_run("shop", 10 * DAY, now(), VERSIONS, answers, options=Options(RiskBands()))


def log(store: Store, webhook: Webhook, **wanted):
    with store.transaction() as connection:
        return webhooks.log(connection, webhook.id, **wanted)


def at_once(store: Store) -> None:
    """Let what waits for its time be due, and who failed be tried."""
    with store.transaction(writes=True) as connection:
        connection.execute(update(deliveries).where(deliveries.c.next_at.is_not(None)).values(next_at=0))
        connection.execute(update(stored_webhooks).values(paused_until=None))


# what is sent


def test_each_change_is_sent_signed_and_once(store, deliverer, hook):
    scored(store, a=0.1, b=0.9)
    webhook = register(store, hook.url)
    run_id = scored(store, a=0.9, b=0.1)
    while deliverer.turn():
        pass
    assert not deliverer.turn()
    told = hook.verified(webhook.secret)
    assert [message["type"] for message in told] == ["customer.risk_changed"] * 2
    assert [(one["data"]["customer_id"], one["data"]["risk_before"], one["data"]["risk"]) for one in told] == [
        ("a", "low", "high"),
        ("b", "high", "low"),
    ]
    assert {one["data"]["run"] for one in told} == {run_id}
    assert [delivery.state for delivery in log(store, webhook)] == ["delivered"] * 2


def test_a_webhook_hears_nothing_of_what_was_before_it(store, deliverer, hook):
    scored(store, a=0.1)
    scored(store, a=0.9)
    register(store, hook.url, [messages.RISK_CHANGED, messages.RUN_COMPLETED])
    assert not deliverer.turn()
    assert hook.got == []


def test_a_webhook_gets_the_types_and_bands_it_asked_for(store, deliverer, hook):
    scored(store, a=0.1, b=0.9)
    high = register(store, hook.url, risks=["high"])
    runs = register(store, hook.url, [messages.RUN_COMPLETED])
    run_id = scored(store, a=0.9, b=0.1)
    deliverer.turn()
    assert [delivery.customer_id for delivery in log(store, high)] == ["a"]
    assert [delivery.type for delivery in log(store, runs)] == ["run.completed"]
    assert sorted(hook.data("run")) == [run_id, run_id]


def test_a_signature_is_checked_by_the_library_of_the_receiver():
    secret, at = messages.new_secret(), datetime.now(UTC)
    text = messages.body("test", now(), {"name": "näme 😀"})
    signed = messages.headers(secret, "msg_1", text, at)
    assert Verifier(secret).verify(text, signed)["data"] == {"name": "näme 😀"}
    for forged in (text.replace("😀", "😁"), text + " "):
        with pytest.raises(Exception, match="No matching signature"):
            Verifier(secret).verify(forged, signed)


def test_a_webhook_that_is_away_holds_a_bounded_part_of_the_changes(store, deliverer, hook, monkeypatch):
    monkeypatch.setattr("serving.outbox.WAITING", 5)
    monkeypatch.setattr("serving.outbox.AT_ONCE", 4)
    names = [f"c{number:02}" for number in range(30)]
    scored(store, **dict.fromkeys(names, 0.1))
    webhook = register(store, hook.url)
    scored(store, **dict.fromkeys(names, 0.9))
    hook.answers = [500] * 3
    for _ in range(3):
        deliverer.turn()
    assert len(log(store, webhook)) == 8
    for _ in range(12):
        at_once(store)
        deliverer.turn()
    assert sorted(set(hook.data("customer_id"))) == names
    assert {delivery.state for delivery in log(store, webhook)} == {"delivered"}


@pytest.mark.parametrize("gone", [stored_webhooks, deliveries])
def test_what_is_erased_while_messages_are_sent_is_not_sent_any_more(store, deliverer, hook, gone, monkeypatch):
    scored(store, a=0.1, b=0.1)
    webhook = register(store, hook.url)
    scored(store, a=0.9, b=0.9)
    send = deliverer._sent

    def and_erase(*of):
        sent = send(*of)
        with store.transaction(writes=True) as connection:
            connection.execute(delete(gone))
        return sent

    monkeypatch.setattr(deliverer, "_sent", and_erase)
    monkeypatch.setattr(delivering, "_TURN_SECONDS", 15.0)
    deliverer.turn()
    assert len(hook.got) == 1
    assert log(store, webhook) == []


# what fails


def test_a_message_that_failed_is_tried_again_under_the_same_id(store, deliverer, hook):
    scored(store, a=0.1)
    webhook = register(store, hook.url)
    scored(store, a=0.9)
    hook.answers = [503, 500]
    deliverer.turn()
    (first,) = log(store, webhook)
    assert (first.state, first.attempts, first.http_status, first.error) == ("waiting", 1, 503, "answered 503")
    assert 3 < (first.next_at - first.tried_at) / 1e6 < 7
    assert not deliverer.turn()  # its time has not come
    for _ in range(2):
        at_once(store)
        deliverer.turn()
    (last,) = log(store, webhook)
    assert (last.state, last.attempts, last.error) == ("delivered", 3, None)
    assert len(hook.ids) == 3
    assert len(set(hook.ids)) == 1


def test_attempts_lie_ever_further_apart_until_a_message_is_dead_and_it_can_be_sent_again(store, deliverer, hook):
    scored(store, a=0.1)
    webhook = register(store, hook.url)
    scored(store, a=0.9)
    hook.answers = [500] * ATTEMPTS
    waits = []
    for _ in range(ATTEMPTS):
        at_once(store)
        deliverer.turn()
        (delivery,) = log(store, webhook)
        waits.append((delivery.next_at - delivery.tried_at) / 1e6 if delivery.next_at else None)
    assert waits[-1] is None
    assert all(2 * earlier < later for earlier, later in pairwise(waits[:7]))
    assert 24 * 3600 < sum(waits[:-1]) < 48 * 3600
    assert [one.state for one in log(store, webhook, state="dead")] == ["dead"]
    with store.transaction(writes=True) as connection:
        assert webhooks.resend(connection, webhook.id) == 1
    deliverer.turn()
    assert log(store, webhook)[0].state == "delivered"


def test_what_waited_for_long_behind_messages_that_fail_is_dead_with_them(store, deliverer, hook, monkeypatch):
    monkeypatch.setattr(delivering, "_TURN_SECONDS", 15.0)
    scored(store, **dict.fromkeys("abc", 0.1))
    webhook = register(store, hook.url)
    scored(store, **dict.fromkeys("abc", 0.9))
    hook.answers = [500] * 2
    deliverer.turn()
    newest = log(store, webhook)[0]
    with store.transaction(writes=True) as connection:
        older = update(deliveries).where(deliveries.c.id != newest.id)
        connection.execute(older.values(created_at=now() - outbox.GIVEN_UP - 1))
        connection.execute(update(stored_webhooks).values(failures=ATTEMPTS - 1))
    at_once(store)
    deliverer.turn()
    found = log(store, webhook)
    assert [(one.state, one.attempts, one.next_at is None) for one in found] == [
        ("waiting", 0, False),
        ("dead", 0, True),
        ("dead", 2, True),
    ]
    assert [one.error for one in found[1:]] == [
        "not tried: the messages before it failed for a day and a half",
        "answered 500",
    ]
    with store.transaction(writes=True) as connection:
        assert webhooks.resend(connection, webhook.id) == 2
    hook.answers = [500]
    deliverer.turn()
    assert {one.state for one in log(store, webhook)} == {"waiting"}


def test_changes_that_were_forgotten_before_they_were_sent_are_told_in_the_log(
    store, deliverer, hook, caplog, monkeypatch
):
    monkeypatch.setattr(delivering, "_TURN_SECONDS", 15.0)
    scored(store, a=0.1)
    webhook = register(store, hook.url)
    scored(store, a=0.9)
    with store.transaction(writes=True) as connection:
        changes.prune(connection, "shop", now() + DAY)
    scored(store, a=0.1)
    deliverer.turn()
    assert hook.data("risk") == ["low"]
    assert [one.getMessage() for one in caplog.records if "forgotten" in one.getMessage()] == [
        f"webhook {webhook.id} missed changes up to {webhook.change_id + 1}, which were forgotten before they were sent"
    ]


def test_a_webhook_that_fails_is_left_alone_and_the_others_are_not(store, deliverer, hook):
    scored(store, **dict.fromkeys("abc", 0.1))
    with receiver() as other:
        failing, well = register(store, hook.url), register(store, other.url)
        scored(store, **dict.fromkeys("abc", 0.9))
        hook.answers = [500]
        deliverer.turn()
        assert (len(hook.got), len(other.got)) == (1, 3)
        with store.transaction() as connection:
            assert [webhooks.of_id(connection, "shop", one.id).failures for one in (failing, well)] == [1, 0]
        at_once(store)
        deliverer.turn()
        assert len(hook.got) == 4
        with store.transaction() as connection:
            assert webhooks.of_id(connection, "shop", failing.id).failures == 0


def test_a_server_that_dies_between_sending_and_keeping_sends_the_same_message_again(
    store, deliverer, hook, monkeypatch
):
    scored(store, a=0.1)
    register(store, hook.url)
    scored(store, a=0.9)

    def die(*_: object) -> None:
        raise StoreError("store", "is away")

    with monkeypatch.context() as patch:
        patch.setattr(delivering.webhooks, "told", die)
        deliverer.turn()
    deliverer.turn()
    assert len(hook.ids) == 2
    assert len(set(hook.ids)) == 1


def test_redirects_are_not_followed(hook):
    hook.answers = [302]
    sent = post(hook.url, b"{}", {}, OWN)
    assert (sent.status, sent.received, len(hook.got)) == (302, False, 1)


def test_a_receiver_that_trickles_is_cut_off(hook):
    hook.slow = 0.05
    sent = post(hook.url, b"{}", {}, OWN, seconds=0.5)
    assert (sent.status, sent.error) == (None, "no answer within 0.5 s")
    assert sent.milliseconds < 2000


def test_a_receiver_that_is_away_is_told_as_such():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = probe.getsockname()[1]
    sent = post(f"http://127.0.0.1:{free}/", b"{}", {}, OWN)
    assert sent.status is None
    assert "refused" in sent.error


# where messages may go


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "64:ff9b::7f00:1", "2002:7f00:1::1", "64:ff9b:1::7f00:1", "fec0::1", "::127.0.0.1", "::ffff:0:127.0.0.1",
        "3fff::1", "5f00::1", "2001:db8::1", "2001::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public_are_refused_in_every_spelling(address):
    assert not Rules().allows(ip_address(address))
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(InputError, match=r"not public|cannot be resolved"):
        checked(f"https://{host}/hook", Rules())


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"]
)
def test_public_addresses_are_allowed(address):
    assert Rules().allows(ip_address(address))


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f.1", "[::ffff:7f00:1]"])
def test_a_name_of_the_machine_itself_is_refused_as_what_it_leads_to(host):
    with pytest.raises(InputError, match=r"not public|cannot be resolved"):
        checked(f"https://{host}/", Rules())


def test_a_network_can_be_allowed():
    rules = Rules(networks=("10.1.0.0/16",))
    assert rules.allows(ip_address("10.1.2.3"))
    assert not rules.allows(ip_address("10.2.0.1"))


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/", "ftp://example.com/", "https://", "https:///path", "//example.com", "example.com",
        "https://user:secret@example.com/", "https://example.com:99999/", "https://exa mple.com/",
        "https://example.com/\r\nX: y", "https://[::1", "https://éxample.com/", "file:///etc/passwd",
    ],
)  # fmt: skip
def test_a_url_of_another_form_is_refused(url):
    with pytest.raises(InputError, match="url: "):
        checked(url, Rules())


def test_the_connection_goes_to_the_address_that_was_checked(hook, monkeypatch):
    """A name that leads elsewhere the second time it is asked for (DNS rebinding) leads nowhere."""
    asked = []
    real = socket.getaddrinfo

    def changing(host, *args, **kwargs):
        asked.append(host)
        if host == "hooks.example" and asked.count(host) > 1:
            return real("127.0.0.2", *args, **kwargs)
        return real("127.0.0.1" if host == "hooks.example" else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", changing)
    port = hook.url.partition("127.0.0.1:")[2]
    sent = post(f"http://hooks.example:{port}", b"{}", {}, OWN)
    assert sent.received
    assert asked.count("hooks.example") == 1
    assert hook.got[0][0]["host"] == f"hooks.example:{port.partition('/')[0]}"


def test_an_address_that_turned_private_since_it_was_registered_gets_nothing(store, hook):
    scored(store, a=0.1)
    webhook = register(store, hook.url)
    scored(store, a=0.9)
    with closing(Deliverer(store, "shop", Rules(http=True))) as strict:
        strict.turn()
    assert hook.got == []
    assert "not public" in log(store, webhook)[0].error


def test_a_certificate_must_be_that_of_the_host(tmp_path, monkeypatch, hook):
    https = hook.url.replace("http://", "https://")
    sent = post(https, b"{}", {}, OWN)  # it speaks no TLS at all
    assert (sent.status, hook.got) == (None, [])
    assert sent.error


# one at a time


def test_of_two_deliverers_one_delivers_until_it_gives_up(store, hook):
    scored(store, **dict.fromkeys("ab", 0.1))
    register(store, hook.url)
    with closing(Deliverer(store, "shop", OWN)) as one, closing(Deliverer(store, "shop", OWN)) as two:
        scored(store, **dict.fromkeys("ab", 0.9))
        assert one.turn()
        scored(store, **dict.fromkeys("ab", 0.1))
        assert not two.turn()
        assert len(hook.got) == 2
        one.close()
        assert two.turn()
    assert len(hook.got) == 4


def test_what_two_make_deliveries_of_at_once_is_told_once(store):
    """As two servers would, each of which believes for a moment that it is the one that delivers."""
    names = [f"c{number:02}" for number in range(20)]
    scored(store, **dict.fromkeys(names, 0.1))
    webhook = register(store, "https://example.com/", [messages.RISK_CHANGED, messages.RUN_COMPLETED])
    scored(store, **dict.fromkeys(names, 0.9))

    def fill(_: int) -> int:
        with store.transaction(writes=True) as connection:
            return outbox.fill(connection, "shop")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fill, range(8)))
    told = log(store, webhook, limit=100)
    assert sorted(one.customer_id for one in told if one.change_id) == names
    assert [one.run_id is not None for one in told if not one.change_id] == [True]


def test_a_change_that_was_told_is_not_told_again_whatever_a_webhook_says_of_it(store):
    scored(store, a=0.1)
    webhook = register(store, "https://example.com/", [messages.RISK_CHANGED, messages.RUN_COMPLETED])
    scored(store, a=0.9)
    for _ in range(2):
        with store.transaction(writes=True) as connection:
            outbox.fill(connection, "shop")
            back = {"change_id": webhook.change_id, "scored_at": webhook.scored_at}
            connection.execute(update(stored_webhooks).values(back))
    assert len(log(store, webhook)) == 2


def test_changes_that_appear_while_deliveries_are_made_are_told_once(store, monkeypatch):
    """PostgreSQL shows what others commit from one statement to the next."""
    scored(store, a=0.1, b=0.1)
    webhook = register(store, "https://example.com/")
    scored(store, a=0.9, b=0.1)
    newest = changes.last_id

    def and_then_another(connection, journey):
        found = newest(connection, journey)
        if connection.dialect.name == "postgresql":
            monkeypatch.setattr(changes, "last_id", newest)
            scored(store, a=0.9, b=0.9)
        return found

    monkeypatch.setattr(changes, "last_id", and_then_another)
    for _ in range(3):
        with store.transaction(writes=True) as connection:
            outbox.fill(connection, "shop")
    assert [one.customer_id for one in log(store, webhook)] == (["a"] if store_is_sqlite(store) else ["b", "a"])


def store_is_sqlite(store: Store) -> bool:
    with store.transaction() as connection:
        return connection.dialect.name == "sqlite"


def test_a_slow_webhook_holds_up_nobody_else(store, deliverer, hook, monkeypatch):
    monkeypatch.setattr(delivering, "_TURN_SECONDS", 0.1)
    scored(store, **dict.fromkeys("abc", 0.1))
    with receiver() as other:
        register(store, hook.url)
        well = register(store, other.url)
        hook.gate.clear()
        for probability, count in ((0.9, 3), (0.1, 6)):
            scored(store, **dict.fromkeys("abc", probability))
            while len(log(store, well, state="delivered")) < count:
                deliverer.turn()
        assert (len(hook.got), len(other.got)) == (1, 6)
        hook.gate.set()
        while len(hook.ids) < 6:
            deliverer.turn()
    assert len(set(hook.ids)) == 6


def test_a_fault_of_ones_own_counts_as_an_attempt_that_failed(store, deliverer, hook, monkeypatch):
    scored(store, a=0.1)
    webhook = register(store, hook.url)
    scored(store, a=0.9)
    with monkeypatch.context() as patch:
        patch.setattr(messages, "headers", lambda *_: 1 / 0)
        deliverer.turn()
    (delivery,) = log(store, webhook)
    assert (delivery.attempts, delivery.error) == (1, "a fault of the server that sends: see its log")


def test_what_waits_for_an_instant_that_a_clock_set_back_puts_years_ahead_is_sent_now(store, deliverer, hook):
    scored(store, a=0.1)
    register(store, hook.url)
    scored(store, a=0.9)
    hook.answers = [500]
    deliverer.turn()
    with store.transaction(writes=True) as connection:
        connection.execute(update(deliveries).values(next_at=now() + 365 * DAY))
        connection.execute(update(stored_webhooks).values(paused_until=now() + 365 * DAY))
    deliverer.turn()
    assert len(hook.got) == 2


def test_the_longest_waits_are_known_to_whoever_looks_what_is_due():
    assert delivering._LONGEST * 1.2 * 1e6 <= outbox.LONGEST_WAIT
    assert delivering._LONGEST_PAUSE * 1.2 * 1e6 <= outbox.LONGEST_PAUSE


def test_an_attempt_that_failed_takes_back_nothing_that_was_done_meanwhile(store, hook):
    scored(store, a=0.1)
    webhook = register(store, hook.url)
    scored(store, a=0.9)
    with closing(Deliverer(store, "shop", OWN)) as one:
        one.turn()
    (delivered,) = log(store, webhook)
    seen = replace(delivered, state="waiting", attempts=0)
    with store.transaction(writes=True) as connection:
        webhooks.told(connection, seen, Sent(500, "answered 500", 1), {"attempts": 1, "next_at": now()})
    assert log(store, webhook) == [delivered]


def test_deliveries_that_are_long_over_are_forgotten(store, deliverer, hook):
    scored(store, a=0.1)
    webhook = register(store, hook.url)
    scored(store, a=0.9)
    deliverer.turn()
    deliverer.tidy()
    assert len(log(store, webhook)) == 1
    with store.transaction(writes=True) as connection:
        connection.execute(update(deliveries).values(created_at=now() - webhooks.KEPT - DAY))
    deliverer.tidy()
    assert len(log(store, webhook)) == 1  # it waited long, and was tried just now
    with store.transaction(writes=True) as connection:
        connection.execute(update(deliveries).values(tried_at=now() - webhooks.KEPT - DAY))
    assert deliverer.tidy()
    assert not deliverer.tidy()
    assert log(store, webhook) == []


def test_there_is_a_bound_to_the_webhooks_of_a_journey(store, monkeypatch):
    monkeypatch.setattr(webhooks, "MOST", 1)
    register(store, "https://example.com/")
    with pytest.raises(InputError, match="1 are registered"):
        register(store, "https://example.com/")


def test_outbound_requests_have_an_end():
    assert outbound.SECONDS <= 30
