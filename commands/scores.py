"""Commands of the scores: score, explain, export, compare with what was served."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from commands import opened
from commands.options import FormatOption, JourneyArgument
from commands.settings import current
from commands.terminal import out, progress, tell
from features.errors import UnknownCustomerError

if TYPE_CHECKING:
    from features.journey import Journey
    from features.log import EventLog
    from serving.batch import Scored
    from serving.runs import Asked


def score(
    journey: JourneyArgument,
    run: Annotated[int | None, typer.Option(hidden=True, help="The run that a server was asked for.")] = None,
    fence: Annotated[int, typer.Option(hidden=True, help="The number of that server's lease.")] = 0,
) -> None:
    """Score every customer with the champions and store the run.

    Example: journeycast score complete_journey
    """
    from features import parts

    asked = None if run is None else _begun_by_server(run, fence)
    definition, base = opened.journey(journey)
    upto = opened.newest_event(definition)
    if parts.size(definition, base) <= parts.ROWS:
        score_log(*opened.log(journey), upto, asked)
    else:
        _score_parts(definition, base, upto, asked)


def _begun_by_server(run_id: int, fence: int) -> Asked:
    """The run to write, after the server's requests and no longer than it lives."""
    from serving.child import end_with_parent
    from serving.runs import Asked

    if hasattr(os, "nice"):
        os.nice(10)
    if fence:
        end_with_parent()
    return Asked(run_id, fence)


def explain(
    journey: JourneyArgument,
    customer: Annotated[str, typer.Argument(help="The customer's id.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
) -> None:
    """Show one customer's predictions and how their reasons add up.

    Example: journeycast explain complete_journey 1
    """
    from serving.answers import to_json
    from serving.show import explanation

    definition, _ = opened.journey(journey)
    with opened.store() as store:
        answer = store.answer(definition.journey, customer)
    if answer is None:
        raise UnknownCustomerError(
            f"customer {customer!r}",
            f"has no score in the newest run of {definition.journey}",
            "a customer of the event log",
            f"run `journeycast score {journey}` after the log changed",
        )
    if as_json:
        print(json.dumps(json.loads(to_json(answer)), indent=2, ensure_ascii=False))
    else:
        out.print(explanation(answer, definition))


def export(
    journey: JourneyArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="FILE.jsonl, .parquet, .csv or .xlsx.")],
    format: FormatOption = None,
) -> None:
    """Write every answer of the newest run, for other systems or a spreadsheet.

    Example: journeycast export complete_journey -o run.jsonl
    """
    from serving import exports

    definition, _ = opened.journey(journey)
    with opened.store() as store:
        tell(exports.write_run(store, definition.journey, output, format, definition.campaign.rest_days))


def parity(
    journey: JourneyArgument,
    sample: Annotated[int, typer.Option(min=1, help="How many of the newest served vectors.")] = 1000,
) -> None:
    """Build vectors that were served anew, offline, and count the values that differ; exit code 1 if any does.

    Example: journeycast parity complete_journey --sample 1000
    """
    from serving.parity import parity as compare

    resolved, log = opened.log(journey)
    with opened.store() as store:
        found = compare(resolved, log, store, sample)
    print(f"{found.vectors:,} served vectors, {found.values:,} values: {found.mismatches.total():,} differ")
    if found.other_definitions:
        print(f"{found.other_definitions:,} more were built by other feature definitions and left out")
    for name, vectors in found.mismatches.most_common():
        print(f"  {name}: in {vectors:,} vectors")
    if found.mismatches:
        print(f"largest relative difference: {found.largest:.3g}")
        raise typer.Exit(1)


def score_log(resolved: Journey, log: EventLog, upto: int, asked: Asked | None = None) -> None:
    """Score everyone of a log that fits in memory.

    `upto` is `opened.newest_event` from before it was read, `asked` the run that was asked for (null: none was).
    """
    from serving import batch

    scorer = opened.scorer(resolved, log.profile)
    with progress(None) as report, opened.store() as store:
        told = partial(report, "scoring and explaining")
        _scored(resolved, batch.score(resolved, log, scorer, store, told, upto, asked=asked))


def _score_parts(definition: Journey, base: Path, upto: int, asked: Asked | None) -> None:
    """Score a log of many events, some of the customers at a time."""
    from features import parts
    from features.profile import read_profile
    from serving import batch
    from training.cpus import usable_cpus

    extra, erased = opened.stored_events(definition), opened.erased(definition)
    profile = read_profile(definition, base, erased=erased)
    scorer = opened.scorer(definition, profile)
    home = current().home
    with TemporaryDirectory(dir=home) as folder, progress(None) as report, opened.store() as store:
        report("reading events by part", 0, 1)
        resolved, paths = parts.split(definition, base, Path(folder), usable_cpus(), extra, erased)
        customers = parts.customers(paths, resolved.observed_until_microseconds)
        events = (parts.read_part(resolved, path) for path in paths)
        told = partial(report, "scoring and explaining")
        first = parts.first_time(paths)
        run = batch.score_parts(
            resolved, events, customers, profile, scorer, store, told, upto, first=first, asked=asked
        )
        _scored(resolved, run)


def _scored(resolved: Journey, run: Scored) -> None:
    from features.schema import to_text

    print(f"scored {run.customers:,} customers of {resolved.journey} at {to_text(run.cutoff)} as run {run.run_id}")
