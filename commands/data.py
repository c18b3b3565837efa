"""Commands on the event log: check it, build its vectors, simulate one."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands import opened
from commands.live import live_year
from commands.options import JourneyArgument
from commands.settings import current
from commands.terminal import out
from features.errors import InputError

if TYPE_CHECKING:
    from features.erased import Erased
    from features.extra import Extra
    from features.journey import Journey


class Engine(StrEnum):
    """What builds the vectors."""

    polars = "polars"
    spark = "spark"


def check(
    journey: JourneyArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Say whether the data can carry the journey's tasks.

    Example: journeycast check complete_journey
    """
    from features.check import check as found_in
    from features.check import report_json, report_text

    resolved, log = opened.log(journey)
    findings = found_in(resolved, log)
    if as_json:
        print(json.dumps(report_json(findings, resolved, log), indent=2, ensure_ascii=False))
    else:
        print(report_text(findings, resolved, log), end="")
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)


def features(
    journey: JourneyArgument,
    output: Annotated[str | None, typer.Option("-o", "--output", help="The file to write; of Spark, a folder.")] = None,
    cutoffs: Annotated[
        str | None, typer.Option(help="Parquet or CSV of customer_id, cutoff; default: everyone, at observed_until.")
    ] = None,
    catalogue: Annotated[bool, typer.Option("--catalogue", help="Print every feature instead.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="The catalogue as tables of Markdown.")] = False,
    engine: Annotated[Engine, typer.Option(help="polars: this machine; spark: a cluster.")] = Engine.polars,
    master: Annotated[
        str | None, typer.Option(help="Spark's master or sc:// address; default: SPARK_REMOTE, else Spark's own.")
    ] = None,
) -> None:
    """Write one vector per customer and cutoff as Parquet, or print the catalogue.

    With Spark, paths may be addresses that the cluster reads, and nothing of the log comes to this machine.

    Example: journeycast features complete_journey -o vectors.parquet

    Example: journeycast features shop.yml -o s3a://shop/vectors --engine spark --master spark://host:7077
    """
    from features import reference, vectors
    from training.cpus import usable_cpus

    if catalogue:
        resolved, _ = opened.log(journey)
        text = reference.page(resolved) if markdown else vectors.catalogue_text(resolved)
        out.print(text, markup=False, highlight=False, soft_wrap=True)
        return
    if output is None:
        raise InputError("features", "no output", "-o FILE.parquet, or --catalogue")
    definition, base = opened.journey(journey)
    stored, erased = opened.so_far(definition), opened.erased(definition)
    if engine is Engine.spark:
        rows = _on_spark(definition, base, output, cutoffs, master, stored, erased)
    else:
        asked = None if cutoffs is None else Path(cutoffs)
        rows = vectors.write(definition, base, Path(output), asked, usable_cpus(), stored, erased)
    print(f"{rows:,} vectors in {output}")


def simulate(
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The Parquet file to write; of --live, a new folder.")
    ] = None,
    customers: Annotated[int, typer.Option(min=1)] = 5000,
    days: Annotated[int, typer.Option(min=1)] = 540,
    seed: Annotated[int, typer.Option()] = 7,
    live: Annotated[bool, typer.Option("--live", help="Run the business month by month with its own models.")] = False,
    months: Annotated[int, typer.Option(min=1, help="Of --live, 28 days each.")] = 12,
    capacity: Annotated[int, typer.Option(min=1, help="Of --live: contacts a month.")] = 100,
) -> None:
    """Simulate a web-and-store business with known truth, for the journey `simulated`.

    With --live its models run it for a year: every month customers are scored, the list is acted upon with a hold-out,
    outcomes are judged, drift is looked for, and models are trained anew and promoted or refused by rule.

    Example: journeycast simulate && journeycast train simulated

    Example: journeycast simulate --live --customers 1500 -o year
    """
    from features.simulator import simulate as simulated
    from features.simulator import write

    if live:
        live_year(output or Path(".journeycast/live"), customers, months, seed, capacity)
        return
    output = output or Path(".journeycast/simulated.parquet")
    found = simulated(customers, days, seed)
    truth = write(found, output)
    print(f"{len(found.events):,} events of {customers:,} customers in {output}; the truth behind them in {truth}")


def _on_spark(
    definition: Journey,
    base: Path,
    output: str,
    cutoffs: str | None,
    master: str | None,
    stored: Extra | None,
    erased: Erased | None,
) -> int:
    from features import spark
    from features.spark_session import session

    current().find_java()
    running = session(master or current().spark_remote)
    try:
        return spark.write(running, definition, base, output, cutoffs, stored, erased)
    finally:
        running.stop()
