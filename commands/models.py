"""Commands of the models: train, backtest, promote, roll back."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands import opened
from commands.options import JourneyArgument, TaskOption
from commands.settings import current
from commands.terminal import out, progress
from features.errors import InputError

if TYPE_CHECKING:
    from features.journey import Journey
    from features.log import EventLog
    from training.promote import Accepted, Decision


TrustOption = Annotated[
    list[str] | None,
    typer.Option("--trust", help="A feature known before the cutoff although it tells all; repeatable."),
]


def train(
    journey: JourneyArgument,
    task: TaskOption = None,
    tune: Annotated[int, typer.Option(help="Recipes to try for each task, on cutoffs before the test.", min=0)] = 0,
    trust: TrustOption = None,
) -> None:
    """Train the journey's tasks and register them as challengers.

    A feature that knows the future fails the training. --tune tries other recipes by Optuna.

    Example: journeycast train complete_journey --task churn
    """
    from serving.show import metrics_table

    resolved, log = opened.log(journey)
    for name, about in train_tasks(resolved, log, task, trusted=tuple(trust or ()), trials=tune):
        out.print(metrics_table(name, about))


def backtest(
    journey: JourneyArgument,
    origins: Annotated[int, typer.Option(help="How many: the newest cutoffs whose horizon is over.", min=1)] = 6,
    task: TaskOption = None,
    trust: TrustOption = None,
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

    definition, _ = opened.journey(journey)
    names, recipe = opened.tasks(definition, task), Recipe()
    resolved, log = opened.log(journey)
    with progress(2 + origins * len(names)) as report:
        found = run(resolved, log, names, recipe, origins, usable_cpus(), report, tuple(trust or ()))
        report("logging to MLflow")
        opened.tracking().log_backtest(resolved, found, recipe, current().run_id)
    if as_json:
        print(json.dumps([one.to_json() for one in found], indent=2, ensure_ascii=False))
        return
    for one in found:
        out.print(backtest_tables(one))


def promote(
    journey: JourneyArgument,
    task: Annotated[str, typer.Argument(help="churn, next_stage, cltv or all.")] = "all",
    version: Annotated[int | None, typer.Argument(help="Default: the challenger.")] = None,
    accept_grade: Annotated[str | None, typer.Option(help="C: promote although not told apart from a rule.")] = None,
    accept_definition: Annotated[
        bool, typer.Option("--accept-definition", help="Promote by its grade although events, stages or task changed.")
    ] = False,
) -> None:
    """Make a challenger the champion if its grade and its lead allow it.

    A version that was rolled back is promoted only by its number.

    Example: journeycast promote complete_journey churn
    """
    if accept_grade not in (None, "C"):
        raise InputError("--accept-grade", repr(accept_grade), "C; a model of grade D is never promoted")
    decisions = promote_tasks(journey, task, version, accept_grade == "C", accept_definition)
    if not all(decisions):
        raise typer.Exit(1)


def rollback(journey: JourneyArgument, task: Annotated[str, typer.Argument(help="churn, next_stage or cltv.")]) -> None:
    """Make the champion before the present one champion again.

    Example: journeycast rollback complete_journey churn
    """
    print(roll_back(journey, task))


def train_tasks(
    resolved: Journey, log: EventLog, wanted: list[str] | None, **options: Any
) -> list[tuple[str, dict[str, Any]]]:
    """Train the wanted tasks and register them; (task, what its model says of itself)."""
    from training.cpus import usable_cpus
    from training.recipe import Recipe
    from training.train import STEPS_PER_TASK, Options
    from training.train import train as fit

    names = opened.tasks(resolved, wanted)
    how = Options(**options)
    with progress(2 + (STEPS_PER_TASK + how.trials) * len(names)) as report:
        trained = fit(resolved, log, names, Recipe(), usable_cpus(), report, how)
        report("logging to MLflow")
        opened.tracking().register(resolved, trained, current().run_id)
    return [(one.task, one.model.about) for one in trained]


def promote_tasks(
    name: str, task: str, version: int | None, accept_c: bool, accept_definition: bool = False
) -> list[bool]:
    """Promote a task's challenger, or all; whether each is the champion now."""
    from training.promote import Accepted

    names = opened.tasks(opened.journey(name)[0], None if task == "all" else [task])
    decided = []
    for one in names:
        decision = decide(name, one, version, Accepted(accept_c, accept_definition))
        print(decision.told)
        decided.append(decision.promoted or decision.idle)
    return decided


def decide(name: str, task: str, version: int | None, accepted: Accepted) -> Decision:
    """Promote a version of a task if its grade and its lead allow it."""
    from training.cpus import usable_cpus
    from training.promote import promote as decided

    definition, _ = opened.journey(name)
    read = partial(opened.log, name)
    return decided(opened.tracking(), definition.journey, read, task, version, accepted, usable_cpus())


def roll_back(name: str, task: str) -> str:
    """Make a task's champion before the present one champion again, and say so."""
    definition, _ = opened.journey(name)
    version = opened.tracking().rollback(definition.journey, opened.tasks(definition, [task])[0])
    return f"{definition.journey}.{task}: version {version} is champion again"
