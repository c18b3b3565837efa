"""Commands of the scores: score, explain, export, compare with what was served."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands import opened
from commands.options import FormatOption, JourneyArgument
from commands.settings import current
from commands.terminal import out, progress, tell
from features.errors import UnknownCustomerError

if TYPE_CHECKING:
    from features.journey import Journey
    from serving.batch import Scored
    from serving.runs import Asked

_QUIET_DAYS = 7  # by which a cutoff may lie after the end of the log before it is told


def score(
    journey: JourneyArgument,
    run: Annotated[int | None, typer.Option(hidden=True, help="The run that a server was asked for.")] = None,
    fence: Annotated[int, typer.Option(hidden=True, help="The number of that server's lease.")] = 0,
) -> None:
    """Score every customer with the champions and store the run.

    Example: journeycast score complete_journey
    """
    asked = None if run is None else _begun_by_server(run, fence)
    score_all(*opened.journey(journey), asked)


def score_all(definition: Journey, base: Path, asked: Asked | None = None) -> None:
    """Score every customer of a log as it is by now; `asked` is the run that was asked for (null: none was)."""
    from features import parts

    whole = parts.size(definition, base) <= parts.ROWS
    (_score_log if whole else _score_parts)(definition, base, asked)


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

    resolved, log = opened.log_so_far(journey)
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


def _score_log(definition: Journey, base: Path, asked: Asked | None) -> None:
    """Score everyone of a log that fits in memory; `asked` is the run that was asked for (null: none was)."""
    from serving import batch, memory
    from serving.beginning import beginning

    with opened.store() as store, beginning(store, definition.journey, asked) as begin:
        resolved, log = opened.read(definition, base, begin)
        scorer = opened.scorer(resolved, log.profile)
        memory.set_aside()
        with progress(None) as report:
            told = partial(report, "scoring and explaining")
            scored = batch.score(resolved, log, scorer, store, told, begin.run)
    _tell(resolved, scored)


def _score_parts(definition: Journey, base: Path, asked: Asked | None) -> None:
    """Score a log of many events, some of the customers at a time."""
    from features import parts
    from features.profile import read_profile
    from serving import batch, memory, scratch
    from serving.beginning import beginning
    from training.cpus import usable_cpus

    erased = opened.erased(definition)
    profile = read_profile(definition, base, erased=erased)
    scorer = opened.scorer(definition, profile)
    memory.set_aside()
    with (
        opened.store() as store,
        scratch.folder(current().parts) as folder,
        beginning(store, definition.journey, asked) as begin,
        progress(None) as report,
    ):
        report("reading events by part", 0, 1)
        resolved, paths = parts.split(definition, base, folder, usable_cpus(), begin, erased)
        customers = parts.customers(paths, begin.run.cutoff)
        events = (parts.read_part(resolved, path) for path in paths)
        told = partial(report, "scoring and explaining")
        first = parts.first_time(paths)
        scored = batch.score_parts(resolved, events, customers, profile, scorer, store, told, begin.run, first=first)
    _tell(resolved, scored)


def _tell(resolved: Journey, run: Scored) -> None:
    from features.schema import DAY, to_text

    print(f"scored {run.customers:,} customers of {resolved.journey} at {to_text(run.cutoff)} as run {run.run_id}")
    ahead = (run.cutoff - resolved.observed_until_microseconds) / DAY
    if ahead > _QUIET_DAYS:
        until = to_text(resolved.observed_until_microseconds)
        print(
            f"the newest event that came in lies {ahead:,.0f} days after {until}, up to where the log is complete:"
            " whoever nothing came in of since seems to have been away as long"
        )
