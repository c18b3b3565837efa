"""The usability report: can this log answer the journey's questions, and what to mend first."""

from __future__ import annotations

from dataclasses import asdict
from textwrap import wrap
from typing import Any

from features import checks_log, checks_tasks
from features.findings import Finding
from features.journey import Journey
from features.log import EventLog
from features.schema import CUSTOMER

__all__ = ["Finding", "check", "report_json", "report_text"]

_LEVELS = ("error", "warning", "recommendation", "fact")
_WIDTH = 100


def check(journey: Journey, log: EventLog) -> list[Finding]:
    """Everything found, errors first; the journey is the one that `features.log.read` returned."""
    parts = (
        checks_log.facts,
        checks_log.rows,
        checks_log.columns,
        checks_log.types,
        checks_log.customers,
        checks_log.profile,
        checks_tasks.outcomes,
    )
    found = [finding for part in parts for finding in part(journey, log)]
    return sorted(found, key=lambda finding: _LEVELS.index(finding.level))


def report_text(findings: list[Finding], journey: Journey, log: EventLog) -> str:
    """The report as aligned text of at most 100 columns, facts first."""
    facts = [finding for finding in findings if finding.level == "fact"]
    left = max((len(finding.place) for finding in facts), default=0) + 4
    lines = [f"Check of the journey {journey.journey}", ""]
    before = ""
    for fact in facts:
        lines += _filled(f"  {fact.place if fact.place != before else ''}", left, fact.found)
        before = fact.place
    for finding in findings:
        if finding.level != "fact":
            lines += ["", f"{finding.level.upper()}  {finding.place}"]
            for name in ("found", "needed", "do"):
                lines += _filled(f"  {name}", 10, getattr(finding, name)) if getattr(finding, name) else []
    return "\n".join([*lines, "", _verdict(findings), ""])


def report_json(findings: list[Finding], journey: Journey, log: EventLog) -> dict[str, Any]:
    """The report for programs: counts by level and every finding."""
    return {
        "journey": journey.journey,
        "usable": not any(finding.level == "error" for finding in findings),
        "events": log.events.height,
        "customers": log.events[CUSTOMER].n_unique(),
        "left_out": log.left_out,
        "counts": {level: sum(finding.level == level for finding in findings) for level in _LEVELS},
        "findings": [_told(finding) for finding in findings],
    }


def _filled(head: str, left: int, text: str) -> list[str]:
    lines = wrap(text, _WIDTH - left) or [""]
    return [f"{head:<{left}}{lines[0]}", *(" " * left + line for line in lines[1:])]


def _told(finding: Finding) -> dict[str, Any]:
    return {name: value for name, value in asdict(finding).items() if value is not None}


def _verdict(findings: list[Finding]) -> str:
    counts = {level: sum(finding.level == level for finding in findings) for level in _LEVELS[:3]}
    said = ", ".join(f"{count} {level}{'s' if count > 1 else ''}" for level, count in counts.items() if count)
    if counts["error"]:
        return f"Not usable yet: {said}."
    return f"Usable: {said or 'nothing to mend'}."
