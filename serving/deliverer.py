"""Sends the messages that wait, to each webhook in a thread of its own: none waits for another."""

from __future__ import annotations

import logging
import random
import time
from contextlib import suppress
from threading import Event, Thread
from typing import Any

from sqlalchemy import update

from features.schema import MICROSECONDS
from serving import messages, outbox, webhooks
from serving.clock import now
from serving.database import StoreError
from serving.leases import Lease, LeaseLostError
from serving.outbound import SECONDS, Rules, Sent, post
from serving.store import Store
from serving.tables import webhooks as stored_webhooks
from serving.webhooks import Delivery, Webhook

ATTEMPTS = 10  # then a message is dead: after a day and a half, as are those that waited as long behind it
AT_ONCE, TURN_SECONDS = 50, 5.0  # messages read together, and sent before the webhook itself is read again
_FIRST, _FACTOR, _LONGEST = 5.0, 4.0, 12 * 3600.0  # seconds between the attempts at one message
_PAUSE, _LONGEST_PAUSE = 2.0, 300.0  # seconds a webhook is left alone after failures
_TURN_SECONDS = 0.5  # for the quick ones to end; the slow ones go on beside the next turn
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
        self._busy: dict[int, _Sending] = {}
        self._closing = Event()

    def turn(self) -> bool:
        """Make and send what is due; whether there may be more at once.

        Raises
        ------
        StoreError
            Where the store cannot be used. Messages sent meanwhile are sent again: receivers know them by their id.
        """
        with self._store.transaction() as connection:
            known = webhooks.of_journey(connection, self._journey)
            behind = outbox.behind(connection, known)
        if not known or not self._lease.hold():
            return False
        filled = self._fill() if behind else 0
        for webhook in known:
            if webhook.id not in self._busy:
                self._busy[webhook.id] = _Sending(self, webhook)
        return bool(self._ended(_TURN_SECONDS) + filled)

    def tidy(self) -> bool:
        """Forget what is long over; whether there is more of it."""
        with self._store.transaction(writes=True, long=True) as connection:
            return bool(webhooks.prune(connection, self._journey))

    def close(self) -> None:
        """Let what is being sent be answered, and another server deliver."""
        self._closing.set()
        self._ended(SECONDS)
        self._lease.release()

    def to(self, webhook: Webhook) -> int:
        """Send to one webhook until it fails, nothing is due or its turn is over; how many were sent."""
        until, done, failures = time.monotonic() + TURN_SECONDS, 0, webhook.failures
        while waiting := self._due(webhook):
            for delivery in waiting:
                if time.monotonic() > until or self._closing.is_set() or not self._lease.held:
                    return done
                if not self._waits(delivery):
                    continue
                sent = self._sent(webhook, delivery)
                self._keep(webhook, delivery, sent, failures)
                if not sent.received:
                    return done
                done, failures = done + 1, 0
        return done

    def _due(self, webhook: Webhook) -> list[Delivery]:
        with self._store.transaction() as connection:
            return outbox.due(connection, webhook, AT_ONCE)

    def _waits(self, delivery: Delivery) -> bool:
        """Whether a message that was read some seconds ago is still to be sent: its customer may be erased."""
        with self._store.transaction() as connection:
            return outbox.waits(connection, delivery)

    def _sent(self, webhook: Webhook, delivery: Delivery) -> Sent:
        try:
            return send(webhook, delivery, self._rules)
        except Exception:
            _log.exception("message %s to webhook %s could not be sent", delivery.message_id, webhook.id)
            return Sent(None, "a fault of the server that sends: see its log", 0)

    def _fill(self) -> int:
        with suppress(LeaseLostError), self._store.transaction(writes=True) as connection:
            self._lease.check(connection)
            return outbox.fill(connection, self._journey)
        return 0

    def _ended(self, seconds: float) -> int:
        """Wait so long for what is being sent; how many messages were, by those that ended."""
        until, sent = time.monotonic() + seconds, 0
        for webhook_id, sending in list(self._busy.items()):
            sending.join(max(0.0, until - time.monotonic()))
            if not sending.is_alive():
                sent += sending.sent
                del self._busy[webhook_id]
        return sent

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
            if failures or pause is not None:  # in the order of `webhooks.resend`, or each may wait for the other
                known = update(stored_webhooks).where(stored_webhooks.c.id == webhook.id)
                again = 0 if sent.received else failures + 1
                connection.execute(known.values(failures=again, paused_until=pause))
            webhooks.told(connection, delivery, sent, {"attempts": attempts, **state})
            if not sent.received and failures + 1 >= ATTEMPTS and (dead := outbox.give_up(connection, webhook)):
                _log.warning("%s messages to webhook %s, which fails, are dead: they waited for long", dead, webhook.id)

    def _after(self, seconds: float, longest: float) -> int:
        """An instant so far ahead, give or take a fifth."""
        return now() + round(min(seconds, longest) * self._chance.uniform(0.8, 1.2) * MICROSECONDS)


class _Sending(Thread):
    """Sends to one webhook; whatever happens, it ends and is begun again. `sent`: how many were."""

    def __init__(self, deliverer: Deliverer, webhook: Webhook) -> None:
        super().__init__(name=f"webhook {webhook.id}", daemon=True)  # a store that hangs keeps no server from ending
        self._deliverer, self._webhook, self.sent = deliverer, webhook, 0
        self.start()

    def run(self) -> None:
        """Send what is due."""
        try:
            with suppress(StoreError):  # the next turn tells of it
                self.sent = self._deliverer.to(self._webhook)
        except Exception:
            _log.exception("sending to webhook %s failed and is tried again", self._webhook.id)


def send(webhook: Webhook, delivery: Delivery, rules: Rules) -> Sent:
    """One attempt; an answer other than 2xx is told as an error."""
    signed = messages.headers(webhook.secret, delivery.message_id, delivery.body)
    sent = post(webhook.url, delivery.body.encode(), signed, rules)
    if sent.status is None or sent.received:
        return sent
    moved = ": redirects are not followed" if 300 <= sent.status < 400 else ""
    return sent._replace(error=f"answered {sent.status}{moved}")
