"""Commands that close the loop: what came of predictions."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from commands import opened
from commands.options import JourneyArgument
from commands.terminal import out, progress
from features.errors import InputError

AtOption = Annotated[
    str | None,
    typer.Option("--at", help="As of an instant (ISO 8601): only what was known before it; nothing is kept."),
]


def outcomes(
    journey: JourneyArgument,
    at: AtOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every number as JSON.")] = False,
) -> None:
    """Compare what scoring runs expected with what happened, once their horizons are over.

    Reports are kept, logged to MLflow beside the training of the models, and shown by GET /v1/models and
    on the models page. Of runs whose horizon is open, what their own probabilities lead to expect.

    Example: journeycast outcomes complete_journey
    """
    from serving.judging import expected_of, judge_all
    from serving.show_outcomes import estimated_lines, outcomes_tables

    resolved, log = opened.log(journey)
    with opened.store() as store, progress(None) as report:
        tracking = None if at else opened.tracking()
        found = list(judge_all(store, resolved, log, tracking, report, instant(at)))
        open_runs = [] if at else [one for one in expected_of(store, resolved) if not _all_judged(one, found)]
    if as_json:
        print(json.dumps({"realised": found, "estimated": open_runs}, indent=2, ensure_ascii=False))
        return
    for one in found:
        out.print(outcomes_tables(one))
    for line in estimated_lines(open_runs):
        print(line)
    if not found:
        print("No run's horizon is over yet within the log.")


def instant(text: str | None) -> int | None:
    """An instant as a user gives it, in microseconds; without a zone, UTC."""
    from features.schema import to_microseconds

    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        return to_microseconds(found.astimezone(UTC) if found.tzinfo else found)
    except ValueError as error:
        raise InputError("--at", text, "an instant such as 2024-05-01 or 2024-05-01T12:00:00Z") from error


def _all_judged(one: dict[str, Any], found: list[dict[str, Any]]) -> bool:
    """Whether a report tells of every task of the run that has probabilities."""
    return any(told["run_id"] == one["run_id"] and set(one["tasks"]) <= set(told["tasks"]) for told in found)
