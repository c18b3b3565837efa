"""Requests to receivers that answer slowly, wrongly or not at all: each is over in time, told in plain words."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

import pytest
from receiver import OWN

from features.errors import InputError
from serving.outbound import checked, post

Act = Callable[[socket.socket, Event], None]


@contextmanager
def listening(act: Act) -> Iterator[int]:
    """The port of a server that does this to each connection, with an event that says that the test is over."""
    over = Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)

        def accept() -> None:
            while not over.is_set():
                with suppress(OSError):
                    connection, _ = server.accept()
                    with connection, suppress(OSError):
                        connection.settimeout(5)
                        act(connection, over)

        thread = Thread(target=accept)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            over.set()
            thread.join()


def trickle(*parts: bytes) -> Act:
    """Sends the parts, then the last one again and again, a bit at a time."""

    def act(connection: socket.socket, over: Event) -> None:
        connection.recv(65536)
        for part in parts:
            connection.sendall(part)
        while not over.wait(0.02):
            connection.sendall(parts[-1])

    return act


def saying(*parts: bytes) -> Act:
    """Sends the parts and hangs up."""

    def act(connection: socket.socket, over: Event) -> None:
        connection.recv(65536)
        for part in parts:
            connection.sendall(part)

    return act


def silent(connection: socket.socket, over: Event) -> None:
    over.wait(30)


LATE = "no answer within 0.4 s"
CUT = "the connection was cut off before the answer was whole"
NO_HTTP = "what it answered is not HTTP"
NO_TLS = "no TLS connection could be made with it"


@pytest.mark.parametrize(
    ("scheme", "act", "told"),
    [
        pytest.param("http", silent, LATE, id="never answers"),
        pytest.param("http", trickle(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), LATE, id="trickles its head"),
        pytest.param("http", trickle(b"HTTP/1.1 100 Continue\r\n\r\n"), LATE, id="says continue for ever"),
        pytest.param("http", saying(), CUT, id="hangs up"),
        pytest.param("http", saying(b"HTTP/1.1 200 OK\r\nX-Lo"), CUT, id="hangs up within its head"),
        pytest.param("http", saying(b"220 mail.example ESMTP\r\n\r\n"), NO_HTTP, id="speaks something else"),
        pytest.param("http", saying(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 99_999), NO_HTTP, id="has a head without end"),
        pytest.param("https", silent, LATE, id="never shakes hands"),
        pytest.param("https", trickle(b"\x16\x03\x03\x3f\xff", b"\x02"), LATE, id="trickles its handshake"),
        pytest.param("https", saying(b"\x16\x03\x03\x3f\xff\x02"), NO_TLS, id="hangs up within the handshake"),
        pytest.param("https", saying(b"HTTP/1.1 400 Bad Request\r\n\r\n"), NO_TLS, id="speaks no TLS"),
    ],
)
def test_an_attempt_ends_in_time_with_a_plain_word(scheme, act, told):
    with listening(act) as port:
        sent = post(f"{scheme}://127.0.0.1:{port}/hook", b"{}", {}, OWN, seconds=0.4)
    assert (sent.status, sent.error) == (None, told)
    assert sent.milliseconds < 3000


def test_a_body_without_end_is_not_read():
    with listening(trickle(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 1000)) as port:
        assert post(f"http://127.0.0.1:{port}/hook", b"{}", {}, OWN).received


def test_a_name_that_is_looked_up_for_too_long_is_told_as_one_that_leads_nowhere(monkeypatch):
    over = Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: over.wait(30) and [])
    begun = time.monotonic()
    with pytest.raises(InputError, match="cannot be resolved"):
        checked("http://hooks.example/", OWN, 0.1)
    over.set()
    assert time.monotonic() - begun < 10


def test_of_several_addresses_the_one_that_answers_is_used(monkeypatch):
    real = socket.getaddrinfo

    def both(host, port, *args, **kwargs):
        hosts = ("127.0.0.2", "127.0.0.1") if host == "hooks.example" else (host,)
        return [found for one in hosts for found in real(one, port, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    with listening(saying(b"HTTP/1.1 204 No Content\r\n\r\n")) as port:
        assert post(f"http://hooks.example:{port}/hook", b"{}", {}, OWN).status == 204
