"""Requests to addresses that others chose: sent to public networks only, to the very address that was checked."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPException
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from threading import Timer
from typing import NamedTuple, TypeAlias
from urllib.parse import SplitResult, urlsplit

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from features.errors import InputError

Address: TypeAlias = IPv4Address | IPv6Address
SECONDS = 15.0  # for the whole of a request, however slowly it is answered
_NAT64 = IPv6Network("64:ff9b::/96")


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
            one.is_global and not one.is_multicast for one in _meant(address)
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


def checked(url: str, rules: Rules) -> list[Address]:
    """The addresses behind a URL, all of which requests may go to.

    Raises
    ------
    RefusedAddressError
        Where the URL is none that requests may go to, or its host cannot be resolved.
    """
    parts = _parts(url, rules)
    host = str(parts.hostname)
    try:
        found = socket.getaddrinfo(host, _port(parts), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise _refused(f"{host} cannot be resolved", "a host with a public address", "check its name") from None
    addresses = list(dict.fromkeys(ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))
    for address in addresses:
        if not rules.allows(address):
            told = f"{host} is at {address}, which is not public"
            raise _refused(
                told, "a public address", "or allow its network when the server is started: --webhook-network"
            )
    return addresses


def post(url: str, body: bytes, headers: Mapping[str, str], rules: Rules, seconds: float = SECONDS) -> Sent:
    """Post a body; redirects are not followed, and nothing of the answer but its status is read."""
    begun = time.monotonic()
    try:
        addresses = checked(url, rules)
        status, error = _posted(url, addresses[0], body, headers, seconds), None
    except InputError as refused:
        status, error = None, f"{refused.place}: {refused.found}"
    except (OSError, HTTPError, HTTPException, ValueError) as failed:
        late = time.monotonic() - begun >= seconds
        status, error = None, f"no answer within {seconds:g} s" if late else _told(failed)
    return Sent(status, error, round(1000 * (time.monotonic() - begun)))


def _posted(url: str, address: Address, body: bytes, headers: Mapping[str, str], seconds: float) -> int:
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    with closing(_connection(parts, address, seconds)) as connection:
        # A timeout of the socket begins anew with every byte: a server that trickles would hold us for ever.
        watch = Timer(seconds, _cut, [connection])
        watch.start()
        try:
            connection.request(
                "POST", target, body, {"Host": parts.netloc, "Connection": "close", **headers}, preload_content=False
            )
            return int(connection.getresponse().status)
        finally:
            watch.cancel()


def _connection(parts: SplitResult, address: Address, seconds: float) -> HTTPConnection:
    """A connection to this address and no other; its certificate must be that of the URL's host."""
    if parts.scheme == "http":
        return HTTPConnection(str(address), _port(parts), timeout=seconds)
    context = ssl.create_default_context()
    return HTTPSConnection(
        str(address), _port(parts), timeout=seconds, ssl_context=context, server_hostname=parts.hostname
    )


def _cut(connection: HTTPConnection) -> None:
    with suppress(OSError, AttributeError):
        connection.sock.shutdown(socket.SHUT_RDWR)


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
    """The address, and the IPv4 address it leads to where it only wraps one."""
    if isinstance(address, IPv4Address):
        return [address]
    wrapped = address.ipv4_mapped or address.sixtofour
    if address in _NAT64:
        wrapped = IPv4Address(int(address) & 0xFFFFFFFF)
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    return [address] if wrapped is None else [address, wrapped]


def _refused(found: str, accepted: str, do: str) -> RefusedAddressError:
    return RefusedAddressError("url", found, accepted, do)


def _told(error: Exception) -> str:
    """What went wrong, in a line without our own addresses of objects."""
    text = str(error).rpartition(": ")[2] or type(error).__name__
    return text[:300]
