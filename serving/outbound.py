"""Requests to addresses that others chose: sent to public networks only, to the very address that was checked."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from queue import Empty, Queue
from threading import Thread
from typing import NamedTuple, TypeAlias
from urllib.parse import SplitResult, urlsplit

import h11

from features.errors import InputError

Address: TypeAlias = IPv4Address | IPv6Address
SECONDS = 15.0  # for the whole of a request, however slowly it is answered
_READ = 4096  # bytes at a time
_NAT64 = IPv6Network("64:ff9b::/96")
# All of IPv6 that is given out to be reached; what else Python takes to be global depends on its release.
_UNICAST = IPv6Network("2000::/3")
_NOT_PUBLIC = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))


@dataclass(frozen=True, slots=True)
class Rules:
    """Where requests may go besides public addresses over https.

    `networks` are those that may be reached although they are not public (`10.1.0.0/16`), `http` whether
    requests may go unencrypted.
    """

    networks: tuple[str, ...] = ()
    http: bool = False

    def checked(self) -> Rules:
        """The same rules, if its networks are ones.

        Raises
        ------
        InputError
            Where one is not.
        """
        for network in self.networks:
            try:
                ip_network(network)
            except ValueError as error:
                accepted = "a network such as 10.1.0.0/16"
                raise InputError("--webhook-network", f"{network!r}: {error}", accepted) from None
        return self

    def allows(self, address: Address) -> bool:
        """Whether a request may go to an address."""
        return any(address in ip_network(network) for network in self.networks) or all(
            one.is_global and not one.is_multicast and _given_out(one) for one in _meant(address)
        )


class Sent(NamedTuple):
    """What became of a request: the status that came back, or why none came; and how long it took."""

    status: int | None
    error: str | None
    milliseconds: int

    @property
    def received(self) -> bool:
        """Whether it was answered with 2xx."""
        return self.status is not None and 200 <= self.status < 300


class RefusedAddressError(InputError):
    """Requests must not go to this address."""


def checked(url: str, rules: Rules, seconds: float = SECONDS) -> list[Address]:
    """The addresses behind a URL, all of which requests may go to.

    Raises
    ------
    RefusedAddressError
        Where the URL is none that requests may go to, or its host cannot be resolved within `seconds`.
    """
    parts = _parts(url, rules)
    host = str(parts.hostname)
    addresses = _resolved(host, _port(parts), seconds)
    for address in addresses:
        if not rules.allows(address):
            told = f"{host} is at {address}, which is not public"
            raise _refused(
                told, "a public address", "or allow its network when the server is started: --webhook-network"
            )
    return addresses


def post(url: str, body: bytes, headers: Mapping[str, str], rules: Rules, seconds: float = SECONDS) -> Sent:
    """Post a body; redirects are not followed, and nothing of the answer but its head is read.

    `seconds` are those of the whole: name, connection, TLS and answer.
    """
    begun = time.monotonic()
    until = begun + seconds
    try:
        addresses = checked(url, rules, seconds)
        status, error = _posted(url, addresses, (body, headers), until), None
    except InputError as refused:
        status, error = None, f"{refused.place}: {refused.found}"
    except (OSError, h11.ProtocolError, ValueError) as failed:
        late = isinstance(failed, TimeoutError) or time.monotonic() >= until
        status, error = None, f"no answer within {seconds:g} s" if late else _told(failed)
    return Sent(status, error, round(1000 * (time.monotonic() - begun)))


def _resolved(host: str, port: int, seconds: float) -> list[Address]:
    """The addresses of a host; the operating system's resolver knows no end of its own that could be told to it."""
    found: Queue[list[Address] | None] = Queue()

    def look_up() -> None:
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.put(list(dict.fromkeys(ip_address(str(entry[4][0]).partition("%")[0]) for entry in entries)))
        except (OSError, ValueError):
            found.put(None)

    Thread(target=look_up, name=f"name of {host}", daemon=True).start()
    with suppress(Empty):
        if addresses := found.get(timeout=seconds):
            return addresses
    raise _refused(f"{host} cannot be resolved", "a host with a public address", "check its name")


def _posted(url: str, addresses: list[Address], message: tuple[bytes, Mapping[str, str]], until: float) -> int:
    parts = urlsplit(url)
    body, headers = message
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    told = {"Host": parts.netloc, "Content-Length": str(len(body)), "Connection": "close", **headers}
    protocol = h11.Connection(h11.CLIENT)
    request = h11.Request(method="POST", target=target, headers=list(told.items()))
    sent = [protocol.send(part) or b"" for part in (request, h11.Data(data=body), h11.EndOfMessage())]
    with closing(_connected(addresses, _port(parts), until)) as plain, closing(_secured(plain, parts, until)) as wire:
        wire.settimeout(_left(until))
        wire.sendall(b"".join(sent))
        return _status(wire, protocol, until)


def _status(wire: socket.socket, protocol: h11.Connection, until: float) -> int:
    """The status of an answer whose head came whole; h11 bounds how long a head may be."""
    while True:
        event = protocol.next_event()
        if isinstance(event, h11.Response):
            return event.status_code
        if event is h11.NEED_DATA:
            wire.settimeout(_left(until))
            received = wire.recv(_READ)
            if not received:
                raise ConnectionResetError
            protocol.receive_data(received)


def _connected(addresses: list[Address], port: int, until: float) -> socket.socket:
    """A connection to the first of these addresses that takes one, and to no other."""
    for others, address in zip(reversed(range(len(addresses))), addresses, strict=True):
        try:
            return socket.create_connection((str(address), port), timeout=_left(until) / (others + 1))
        except OSError:
            if not others:
                raise
    raise OSError("no address")


def _secured(plain: socket.socket, parts: SplitResult, until: float) -> socket.socket:
    """The connection, with TLS for https; the certificate must be that of the URL's host."""
    if parts.scheme == "http":
        return plain
    plain.settimeout(_left(until))  # for the whole handshake, however slowly its bytes come
    return _tls().wrap_socket(plain, server_hostname=parts.hostname)


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _left(until: float) -> float:
    """Seconds until then.

    Raises
    ------
    TimeoutError
        Where it has passed.
    """
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _parts(url: str, rules: Rules) -> SplitResult:
    schemes = ("https", "http") if rules.http else ("https",)
    accepted = f"{' or '.join(schemes)}://HOST/PATH without a user's name"
    try:
        parts = urlsplit(url)
        _port(parts)
    except ValueError:
        raise _refused(f"{url[:200]!r} is no URL", accepted, "correct it") from None
    if parts.scheme not in schemes or not parts.hostname or "@" in parts.netloc:
        raise _refused(f"{url[:200]!r} is not one that messages go to", accepted, "correct it")
    if any(not "!" <= character <= "~" for character in url):
        raise _refused(f"{url[:200]!r} has characters that a URL may not have", accepted, "encode them")
    return parts


def _port(parts: SplitResult) -> int:
    return parts.port or (80 if parts.scheme == "http" else 443)


def _meant(address: Address) -> list[Address]:
    """The address, or the IPv4 address it leads to where it only wraps one."""
    if isinstance(address, IPv4Address):
        return [address]
    if address in _NAT64:
        return [IPv4Address(int(address) & 0xFFFFFFFF)]
    return [address.ipv4_mapped or address]


def _given_out(address: Address) -> bool:
    """Whether an address is of a network that anybody may be reached in."""
    if isinstance(address, IPv4Address):
        return True
    return address in _UNICAST and not any(address in network for network in _NOT_PUBLIC)


def _refused(found: str, accepted: str, do: str) -> RefusedAddressError:
    return RefusedAddressError("url", found, accepted, do)


def _told(error: Exception) -> str:
    """What went wrong, in words for people."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"[:300]
    if isinstance(error, ssl.SSLError):
        return "no TLS connection could be made with it"
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused"
    if isinstance(error, ConnectionError):
        return "the connection was cut off before the answer was whole"
    if isinstance(error, h11.ProtocolError):
        return "what it answered is not HTTP"
    return str(getattr(error, "strerror", None) or error)[:300]
