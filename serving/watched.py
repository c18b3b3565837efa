"""What is watched: the newest drift report beside the newest run, and Prometheus' figures of drift and outcomes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric

from serving import documented, estimates, realised
from serving.documented import DRIFT, Document
from serving.store import Store

_SIGNALS = 20  # the most surprising
_FEATURES = 20  # those that moved most, by what they matter
_REPORTS = 10  # the newest, among which every task is looked for


def keep(store: Store, journey: str, report: dict[str, Any]) -> bool:
    """Keep a drift report beside the newest run, and then the next, until there is another; whether there is a run."""
    run = store.latest_run(journey)
    if run is None:
        return False
    with store.transaction(writes=True) as connection:
        Document(DRIFT, report).write(connection, run.id)
    return True


def figures(store: Store, journey: str) -> Iterator[Metric]:
    """Gauges of the newest drift report and, by task, of the newest run whose outcome is known or open; none before."""
    run = store.latest_run(journey)
    with store.transaction() as connection:
        drift = documented.read(connection, run.id, DRIFT) if run else None
        newest = _newest(realised.reports(connection, journey, _REPORTS))
        still_open = estimates.newest(connection, journey)
    if drift is not None:
        yield from _of_drift(drift)
    if newest:
        yield from _of_outcomes(newest)
    if still_open:
        yield _of_estimates(still_open["tasks"])


def _of_drift(report: dict[str, Any]) -> Iterator[Metric]:
    yield GaugeMetricFamily("journeycast_drift_alarm", "1: more changed than chance.", value=float(report["alarm"]))
    signals = GaugeMetricFamily(
        "journeycast_drift_surprise", "Standard errors from what is usual.", labels=["kind", "signal"]
    )
    for one in report["signals"][:_SIGNALS]:
        signals.add_metric([one["kind"], one["of"]], one["surprise"])
    yield signals
    moved = GaugeMetricFamily("journeycast_drift_moved", "Distance from earlier cutoffs.", labels=["what"])
    for one in report["moved"]:
        moved.add_metric([one["what"]], one["value"])
    yield moved
    yield GaugeMetricFamily(
        "journeycast_drift_unknown_types", "Event types never seen in training.", value=len(report["unknown_types"])
    )
    psi = GaugeMetricFamily("journeycast_drift_psi", "Of a feature against training.", labels=["feature"])
    for one in report["features"][:_FEATURES]:
        psi.add_metric([one["name"]], one["psi"])
    yield psi


def _newest(reports: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """What the newest report tells of each task that is not in sample."""
    found: dict[str, dict[str, Any]] = {}
    for report in reports:
        for task, told in report["tasks"].items():
            if not told["in_sample"]:
                found.setdefault(task, told)
    return found


def _of_outcomes(tasks: dict[str, dict[str, Any]]) -> Iterator[Metric]:
    """Of those who were not contacted, and those whom they stand for."""
    labels = ["task", "version"]
    expected = GaugeMetricFamily("journeycast_expected", "Mean expected of the newest judged run.", labels=labels)
    came = GaugeMetricFamily("journeycast_realised", "Mean of what happened to its customers.", labels=labels)
    ahead = GaugeMetricFamily("journeycast_realised_lead", "Lead over the best rule on what happened.", labels=labels)
    for task, told in tasks.items():
        of = [task, str(told["version"])]
        if (judged := told.get("judged", {"customers": 0}))["customers"]:  # of before: told at the next look
            expected.add_metric(of, judged["expected"])
            came.add_metric(of, judged["realised"])
        if told["grade"]:
            ahead.add_metric(of, told["grade"]["ahead"])
    yield from (expected, came, ahead)


def _of_estimates(tasks: dict[str, dict[str, Any]]) -> Metric:
    found = GaugeMetricFamily(
        "journeycast_estimated",
        "Metric to be expected of the newest run, whose outcome is open, by its own probabilities.",
        labels=["task", "version", "metric"],
    )
    for task, told in tasks.items():
        for metric, estimate in told["metrics"].items():
            found.add_metric([task, str(told["version"]), metric], estimate["value"])
    return found
