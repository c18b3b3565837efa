"""Connections to PostgreSQL that do not wait for ever: a network that swallows packets is told, not sat out."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any, TypeVar

import psycopg

_Found = TypeVar("_Found")

# Seconds of silence until whoever waits is told: while a connection is made or looked at, in a transaction, and
# in one that may be long.
SETUP, USUAL, LONG = 5.0, 30.0, 900.0
# The address of a store may say otherwise of each of these.
_CLIENT = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
# What the server is asked for, so that nothing goes on there for a client that is gone.
_SERVER = {
    "statement_timeout": "25s",  # a statement that is slow is told before a network that is silent
    "idle_in_transaction_session_timeout": "15min",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}


class Patient(psycopg.Connection[Any]):
    """A connection on which each call ends or fails within `patience` seconds of silence."""

    patience = SETUP

    def wait(self, gen: Generator[Any, Any, _Found], *args: Any, **named: Any) -> _Found:
        """Consume a generator of the driver's, as the driver does, but not beyond patience."""
        return super().wait(self._heard(gen), *args, **named)

    def _heard(self, gen: Generator[Any, Any, _Found]) -> Generator[Any, Any, _Found]:
        heard = time.monotonic()
        try:
            wanted = next(gen)
            while True:
                ready = yield wanted  # nothing, every tenth of a second in which nothing comes
                if ready:
                    heard = time.monotonic()
                elif time.monotonic() - heard > self.patience:
                    self.pgconn.finish()
                    raise psycopg.OperationalError(f"no answer for {self.patience:g} seconds")
                wanted = gen.send(ready)
        except StopIteration as ended:
            return ended.value  # type: ignore[no-any-return]


def connection(arguments: list[Any], named: dict[str, Any]) -> Patient:
    """A new connection, to what SQLAlchemy's dialect says."""
    made = Patient.connect(*arguments, **{**_CLIENT, **named})
    made.autocommit = True
    made.execute("; ".join(f"SET {name} = '{value}'" for name, value in _SERVER.items()).encode())
    made.autocommit = False
    return made
