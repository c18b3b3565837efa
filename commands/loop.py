"""Commands that close the loop: what came of predictions."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from time import sleep
from typing import Annotated, Any

import typer

from commands import opened, scores
from commands.options import JourneyArgument
from commands.terminal import out, progress
from features.errors import InputError

_CHANGED = 3  # the exit code of drift that was found: a crash is 1, what a user can mend is 2
_AGAIN = 75.0  # seconds after which what could not be done is tried again
AtOption = Annotated[
    str | None,
    typer.Option("--at", help="As of an instant (ISO 8601): only what was known before it; nothing is kept."),
]


def outcomes(
    journey: JourneyArgument,
    at: AtOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every number of every run as JSON.")] = False,
    run: Annotated[int | None, typer.Option("--run", help="The run told in full (default: the newest).")] = None,
) -> None:
    """Compare what scoring runs expected with what happened, once their horizons are over.

    By run and by model version; by risk band, tenth, stage and segment; with intervals, and with customers who were
    contacted apart. Reports are kept, logged to MLflow beside the training of the models, and shown by GET
    /v1/models and on the models page. Of runs whose horizon is open, what their own probabilities lead to expect.

    Example: journeycast outcomes complete_journey

    Example: journeycast outcomes complete_journey --run 12
    """
    from serving import estimates
    from serving.judging import judge_all
    from serving.show_outcomes import estimated_lines, outcomes_shown

    resolved, log = opened.log(journey)
    with opened.store() as store, progress(None) as report:
        tracking = None if at else opened.tracking()
        found, versions, _ = judge_all(store, resolved, log, tracking, report, instant(at))
        open_runs = [] if at else [one for one in estimates.of_runs(store, resolved) if not _all_judged(one, found)]
    if as_json:
        told = {"realised": found, "versions": versions, "estimated": open_runs}
        print(json.dumps(told, indent=2, ensure_ascii=False))
        return
    for part in outcomes_shown(found, versions, run):
        out.print(part)
    for line in estimated_lines(open_runs):
        print(line)
    if not found:
        print("No run's horizon is over yet within the log, or what was expected is not kept any more.")


def drift(
    journey: JourneyArgument,
    at: AtOption = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="FILE.html or FILE.json.")] = None,
) -> None:
    """Say whether events, vectors, predictions or outcomes have changed by more than chance, and why.

    Exit code 3 if so. What is usual is told from the journey's own earlier cutoffs.

    Example: journeycast drift complete_journey -o drift.html
    """
    from serving import watched
    from serving.show_drift import drift_html, drift_tables
    from training.drift_report import drift_report

    if output is not None and output.suffix not in (".html", ".json"):
        raise InputError("--output", str(output), "a file that ends in .html or .json")
    resolved, log = opened.log(journey)
    scorer = opened.scorer(resolved, log.profile)
    models = {name: served.model for name, served in scorer.models.items()}
    report = drift_report(resolved, log, models, instant(at))
    out.print(drift_tables(report))
    if at is None:
        with opened.store() as store:
            watched.keep(store, resolved.journey, report.to_json())
    if output is not None:
        html = output.suffix == ".html"
        output.write_text(drift_html(report) if html else json.dumps(report.to_json(), indent=2), encoding="utf-8")
    if report.alarm:
        raise typer.Exit(_CHANGED)


class When(StrEnum):
    """Whether the journey's rules decide."""

    due = "due"
    always = "always"


def retrain(
    journey: JourneyArgument,
    when: Annotated[When, typer.Option(help="due: as the journey's rules say; always: whatever they say.")] = When.due,
    every: Annotated[str | None, typer.Option(help="Go on, and look again so often, such as 7d.")] = None,
) -> None:
    """Judge outcomes, roll back what got worse, train where it is due, let the gate decide, refresh the scores.

    Says why, or why not, by the rules of the journey's `retrain:`. One MLflow run tells the story. Safe to run twice at
    once, from cron, and to be killed.

    Example: journeycast retrain complete_journey --when due

    Example: journeycast retrain complete_journey --every 7d
    """
    from features.journey import duration

    if every is None:
        _retrain(journey, always=when is When.always)
        return
    pause, wait = duration(every, "--every").total_seconds(), _AGAIN
    while True:
        try:
            _retrain(journey, always=when is When.always)
            wait = _AGAIN
            sleep(pause)
        except InputError as problem:  # one under way or killed elsewhere, a store that is away: soon again
            print(problem, file=sys.stderr, flush=True)
            sleep(min(wait, pause))
            wait *= 2


def _retrain(name: str, *, always: bool) -> None:
    from serving import retraining
    from serving.show_retraining import story_lines
    from training.cpus import usable_cpus

    definition, base = opened.journey(name)
    resolved, log = opened.read(definition, base, opened.stored_events(definition))
    with opened.store() as store, progress(None) as report:
        tools = retraining.Tools(
            store,
            opened.tracking(),
            load=partial(opened.scorer, resolved, log.profile),
            score=partial(scores.score_all, definition, base),  # with what came in while models were trained
            threads=usable_cpus(),
        )
        story = retraining.retrain(resolved, log, tools, report, always=always)
    for line in story_lines(story):
        print(line)


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
