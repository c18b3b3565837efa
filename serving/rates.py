"""How many requests a key may send: a bucket of tokens for each, filled at a steady rate."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from threading import Lock

BURST_SECONDS = 10  # of the rate, that a bucket holds


@dataclass(frozen=True, slots=True)
class Allowance:
    """Whether a request may go on, how many more may at once, and in how many seconds there is one more."""

    allowed: bool
    remaining: int
    wait_seconds: int

    def headers(self, rate: float) -> dict[str, str]:
        """RateLimit headers of draft-ietf-httpapi-ratelimit-headers; `Retry-After` where it must wait."""
        policy = f'"key";q={max(1, round(rate * BURST_SECONDS))};w={BURST_SECONDS}'
        told = {"RateLimit-Policy": policy, "RateLimit": f'"key";r={self.remaining};t={self.wait_seconds}'}
        return told if self.allowed else told | {"Retry-After": str(self.wait_seconds)}


class Rates:
    """A bucket for each key; of this process alone, which has its share of the whole. Safe to share between threads.

    Parameters
    ----------
    rate
        Requests a second, of each key.
    """

    def __init__(self, rate: float) -> None:
        self.rate, self._most, self._lock = rate, max(1.0, rate * BURST_SECONDS), Lock()
        self._buckets: dict[str, tuple[float, float]] = {}  # key -> tokens, and when there were so many

    def take(self, key_id: str) -> Allowance:
        """Take a token of a key's bucket, if there is one."""
        moment = time.monotonic()
        with self._lock:
            tokens, before = self._buckets.get(key_id, (self._most, moment))
            tokens = min(self._most, tokens + (moment - before) * self.rate)
            allowed = tokens >= 1.0
            tokens -= 1.0 if allowed else 0.0
            self._buckets[key_id] = (tokens, moment)
        missing = max(0.0, 1.0 - tokens)
        return Allowance(allowed, int(tokens), math.ceil(missing / self.rate))
