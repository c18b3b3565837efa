"""Database addresses as they may be shown: in messages, logs and models."""

from __future__ import annotations

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError


def shown(address: str | URL) -> str:
    """The address without its password and without its query, which may hold one too."""
    try:
        return make_url(address).set(query={}).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        return str(address).rpartition("@")[2].partition("?")[0]


def masked(text: str, address: URL) -> str:
    """A driver's message without the address's password, wherever the address carries it."""
    secrets = [value for name, value in address.query.items() if "pass" in name.lower()]
    for secret in [address.password, *secrets]:
        for part in secret if isinstance(secret, tuple) else [secret]:
            text = text.replace(str(part), "***") if part else text
    return text
