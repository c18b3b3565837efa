"""Keys and the audit log as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.markup import escape
from rich.table import Table

from features.schema import to_text
from serving.audit import Entry
from serving.clock import now
from serving.keys import Key


def keys_table(found: Iterable[Key]) -> Table:
    """A line for each key."""
    table = Table(header_style="bold")
    for name in ("key", "for", "may", "made", "ends", "state"):
        table.add_column(name, overflow="fold")
    for key in found:
        ends = "never" if key.expires_at is None else to_text(key.expires_at)
        state = "revoked" if key.revoked_at is not None else "valid" if key.valid(now()) else "expired"
        table.add_row(key.id, escape(key.name), ", ".join(key.scopes), to_text(key.created_at), ends, state)
    return table


def audit_table(entries: Iterable[Entry]) -> Table:
    """A line for each request."""
    table = Table(header_style="bold")
    for name in ("at", "who", "did", "customer", "status"):
        table.add_column(name, overflow="fold")
    for entry in entries:
        did = f"{entry.method} {entry.route}"
        table.add_row(
            to_text(entry.at), entry.who, escape(did), escape(entry.customer_id or ""), str(entry.status or "")
        )
    return table
