"""Sends the messages that wait, one turn of all webhooks after the other."""

from __future__ import annotations

import logging
import random
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import update

from serving import messages, outbox, webhooks
from serving.clock import now
from serving.leases import Lease
from serving.outbound import Rules, Sent, post
from serving.store import Store
from serving.tables import webhooks as stored_webhooks
from serving.webhooks import Delivery, Webhook

ATTEMPTS = 10  # then a message is dead: after a day and a half
AT_ONCE = 8  # webhooks that are sent to side by side
TURN, TURN_SECONDS = 50, 5.0  # messages to one webhook before it is the others' turn
_FIRST, _FACTOR, _LONGEST = 5.0, 4.0, 12 * 3600.0  # seconds between the attempts at one message
_PAUSE, _LONGEST_PAUSE = 2.0, 300.0  # seconds a webhook is left alone after failures
_SECOND = 1_000_000
_log = logging.getLogger(__name__)


class Deliverer:
    """Delivers a journey's messages at least once; of several on one store, one does.

    Parameters
    ----------
    rules
        Where messages may go.
    """

    def __init__(self, store: Store, journey: str, rules: Rules) -> None:
        self._store, self._journey, self._rules = store, journey, rules
        self._lease = Lease(store, f"webhooks of {journey}")
        self._chance = random.Random()  # noqa: S311 -- spreads attempts over time, keeps no secret

    def turn(self) -> bool:
        """Make and send what is due; whether there may be more at once.

        Raises
        ------
        StoreError
            Where the store cannot be used. Messages sent meanwhile are sent again: receivers know them by their id.
        """
        with self._store.transaction() as connection:
            known = webhooks.of_journey(connection, self._journey)
        if not known or not self._lease.hold():
            return False
        with self._store.transaction(writes=True) as connection:
            filled = outbox.fill(connection, self._journey)
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook") as pool:
            sent = sum(pool.map(self._to, known))
        return bool(filled or sent)

    def tidy(self) -> bool:
        """Forget what is long over; there is no more of it then."""
        with self._store.transaction(writes=True, long=True) as connection:
            webhooks.prune(connection, self._journey)
        return False

    def close(self) -> None:
        """Let another server deliver."""
        self._lease.release()

    def _to(self, webhook: Webhook) -> int:
        """Send to one webhook until it fails or its turn is over; how many were sent."""
        with self._store.transaction() as connection:
            waiting = outbox.due(connection, webhook, TURN)
        until, done, failures = time.monotonic() + TURN_SECONDS, 0, webhook.failures
        for delivery in waiting:
            if time.monotonic() > until:
                break
            sent = send(webhook, delivery, self._rules)
            self._keep(webhook, delivery, sent, failures)
            if not sent.received:
                break
            done, failures = done + 1, 0
        return done

    def _keep(self, webhook: Webhook, delivery: Delivery, sent: Sent, failures: int) -> None:
        attempts = delivery.attempts + 1
        state: dict[str, Any]
        if sent.received:
            state = {"state": "delivered", "next_at": None}
        elif attempts >= ATTEMPTS:
            state = {"state": "dead", "next_at": None}
            _log.warning("message %s to webhook %s is dead", delivery.message_id, webhook.id)
        else:
            state = {"next_at": self._after(_FIRST * _FACTOR ** (attempts - 1), _LONGEST)}
        pause = None if sent.received else self._after(_PAUSE * 2.0 ** min(failures, 20), _LONGEST_PAUSE)
        with self._store.transaction(writes=True) as connection:
            webhooks.told(connection, delivery.id, sent, {"attempts": attempts, **state})
            if failures or pause is not None:
                known = update(stored_webhooks).where(stored_webhooks.c.id == webhook.id)
                again = 0 if sent.received else failures + 1
                connection.execute(known.values(failures=again, paused_until=pause))

    def _after(self, seconds: float, longest: float) -> int:
        """An instant so far ahead, give or take a fifth."""
        return now() + round(min(seconds, longest) * self._chance.uniform(0.8, 1.2) * _SECOND)


def send(webhook: Webhook, delivery: Delivery, rules: Rules) -> Sent:
    """One attempt; an answer other than 2xx is told as an error."""
    signed = messages.headers(webhook.secret, delivery.message_id, delivery.body)
    sent = post(webhook.url, delivery.body.encode(), signed, rules)
    if sent.status is None or sent.received:
        return sent
    moved = ": redirects are not followed" if 300 <= sent.status < 400 else ""
    return sent._replace(error=f"answered {sent.status}{moved}")
