"""What Prometheus reads: requests as they come, and the state of models, scores and messages when it asks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from features.errors import InputError
from serving import webhooks
from serving.clock import now
from serving.runs import when
from serving.watched import figures

if TYPE_CHECKING:
    from serving.state import State

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_COUNT_SECONDS = 15.0  # as long as Prometheus waits between two looks, by default
_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"}


class Metrics:
    """The metrics of one server.

    Parameters
    ----------
    folder
        Where several workers of one server leave their counts for one another; null: there is one worker.
    """

    def __init__(self, state: State, folder: Path | None = None) -> None:
        self._registry, self._folder = CollectorRegistry(), folder
        labels = ("method", "route", "status")
        self._seconds = Histogram(
            "journeycast_request_seconds", "How long requests took.", labels, registry=self._registry, buckets=_BUCKETS
        )
        self._swaps = Counter(
            "journeycast_champion_swaps", "Times that new champions were loaded.", registry=self._registry
        )
        self._state = _StateCollector(state)
        if folder is None:
            self._registry.register(self._state)

    def request(self, method: str, route: str | None, status: int, seconds: float) -> None:
        """Count a request; `route` is the template of its path (null: there is none)."""
        known = method if method in _METHODS else "other"
        self._seconds.labels(known, route or "unknown", str(status)).observe(seconds)

    def swapped(self) -> None:
        """Count that new champions were loaded."""
        self._swaps.inc()

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        if self._folder is None:
            return generate_latest(self._registry)
        whole = CollectorRegistry()
        MultiProcessCollector(whole, path=str(self._folder))  # type: ignore[no-untyped-call]
        whole.register(self._state)
        return generate_latest(whole)

    def close(self, process: int) -> None:
        """Say that a worker has ended."""
        if self._folder is not None:
            mark_process_dead(process, path=str(self._folder))  # type: ignore[no-untyped-call]


class _StateCollector(Collector):
    """Reads models and store at the moment of asking."""

    def __init__(self, state: State) -> None:
        self._state, self._lock = state, Lock()
        self._counted: tuple[float, Mapping[webhooks.State, int]] = (-math.inf, {})  # when, and what

    def collect(self) -> Iterator[Metric]:
        """The gauges; what cannot be read now is left out, and `journeycast_store_up` is 0."""
        loaded = self._state.loaded
        versions = GaugeMetricFamily("journeycast_model_version", "Version that answers, by task.", labels=["task"])
        for task, version in (loaded.versions if loaded else {}).items():
            versions.add_metric([task], version)
        yield versions
        yield GaugeMetricFamily(
            "journeycast_models_loaded", "1: the champions are loaded.", value=float(loaded is not None)
        )
        try:
            yield from [*self._of_runs(), *self._of_webhooks(), *figures(self._state.store, self._state.journey)]
            up = 1.0
        except InputError:
            up = 0.0
        yield GaugeMetricFamily("journeycast_store_up", "1: the store can be read.", value=up)

    def _of_runs(self) -> Iterator[Metric]:
        run = self._state.store.latest_run(self._state.journey)
        if run is None:
            return
        gauges: tuple[tuple[str, str, Callable[[], float]], ...] = (
            (
                "journeycast_scores_age_seconds",
                "Since the newest run was scored.",
                lambda: (now() - when(run)) / 1e6,
            ),
            ("journeycast_cutoff_age_seconds", "Since the newest run's cutoff.", lambda: (now() - run.cutoff) / 1e6),
            ("journeycast_run_customers", "Customers of the newest run.", lambda: float(run.customers)),
            ("journeycast_run_id", "The newest run.", lambda: float(run.id)),
        )
        for name, about, value in gauges:
            yield GaugeMetricFamily(name, about, value=value())

    def _of_webhooks(self) -> Iterator[Metric]:
        counts = self._counts()
        with self._state.store.transaction() as connection:
            failing = [one for one in webhooks.of_journey(connection, self._state.journey) if one.failures]
        family = GaugeMetricFamily("journeycast_webhook_deliveries", "Messages to webhooks.", labels=["state"])
        states: tuple[webhooks.State, ...] = ("waiting", "delivered", "dead")
        for state in states:
            family.add_metric([state], counts.get(state, 0))
        yield family
        yield GaugeMetricFamily(
            "journeycast_webhooks_failing", "Webhooks whose last attempt failed.", value=float(len(failing))
        )

    def _counts(self) -> Mapping[webhooks.State, int]:
        """Messages by state; a count reads all that are kept, and holds for some seconds."""
        with self._lock:
            if time.monotonic() - self._counted[0] >= _COUNT_SECONDS:
                with self._state.store.transaction() as connection:
                    counts = webhooks.queue(connection, self._state.journey)
                self._counted = time.monotonic(), counts
            return self._counted[1]
