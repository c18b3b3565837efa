"""Training: from a journey and its log to one model per task, judged and refitted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.catalogue import catalogue, described, digest
from features.feature import Described
from features.instants import KEYS
from features.journey import Journey
from features.labels import Task, tasks
from features.log import EventLog
from features.schema import TIME, to_text
from training.assess import Assessment
from training.blocks import Blocks, grown_again, split
from training.by_cutoff import by_cutoff
from training.doubts import doubts, frequencies
from training.drift import drift
from training.encoding import Encoding
from training.examples import Examples, examples
from training.fit import Fitted, fit_all
from training.judgement import Ground, Prepared, ground, judge, prepare
from training.leakage import refuse_later_events
from training.metrics import finite
from training.model import Model
from training.recipe import Recipe
from training.renewal import question
from training.segments import Segment, segments
from training.separation import refuse_separation
from training.tuning import Study, tune

Array = NDArray[np.float64]
Report = Callable[[str], None]
STEPS_PER_TASK = 2  # fit and judge, refit; and one for each recipe tried


@dataclass(frozen=True, slots=True)
class Trained:
    """A task's model to be served, and the judgement on its twin that never saw the test block.

    `columns` tells what the columns of both models' matrices are; `segments` are those of the test
    block; `study` is what was tried before, if anything.
    """

    task: str
    model: Model
    judged: Model
    assessment: Assessment
    test_rows: pl.DataFrame
    columns: tuple[Described, ...]
    segments: tuple[Segment, ...] = ()
    study: Study | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """What a training may be told besides.

    Attributes
    ----------
    trusted
        Features that may tell the outcomes alone (`training.separation`).
    trials
        Recipes to try for each task on the blocks before the test; 0: the recipe given.
    """

    trusted: tuple[str, ...] = ()
    trials: int = 0


def train(
    journey: Journey,
    log: EventLog,
    task_names: list[str],
    recipe: Recipe,
    threads: int,
    report: Report,
    options: Options | None = None,
) -> list[Trained]:
    """Train the named tasks of a resolved journey; nothing is written anywhere.

    Parameters
    ----------
    threads
        CPUs to use; the result does not depend on it.
    report
        Called with a sentence as each step begins.

    Raises
    ------
    InputError
        Where the history is too short, all examples have one outcome, or a feature knows the future.
    """
    report("building vectors and labels")
    data = examples(journey, log, task_names)
    refuse_later_events(journey, log, pl.concat([one.rows for one in data.values()]).unique(KEYS))
    how = _How(recipe, threads, report, options or Options(), fingerprint_of(log), log.profile)
    return [_train_task(ground(journey, log, rows), how) for rows in data.values()]


@dataclass(frozen=True, slots=True)
class _How:
    """What the tasks of one training have in common."""

    recipe: Recipe
    threads: int
    report: Report
    options: Options
    fingerprint: dict[str, Any]
    profile: pl.DataFrame | None


def _train_task(on: Ground, how: _How) -> Trained:
    data, journey, threads = on.data, on.journey, how.threads
    task = tasks(journey)[data.task]
    prepared = prepare(on, split(data.cutoffs, task.within, journey.cutoffs.held_out))
    warnings = _guarded(prepared, how)
    given = prepared.sized(how.recipe)
    study = tune(prepared, given, how.options.trials, threads, how.report) if how.options.trials else None
    recipe = study.best.recipe if study else given
    how.report(f"{data.task}: fitting and judging on later cutoffs")
    judged = judge(prepared, recipe, threads)
    how.report(f"{data.task}: refitting on every mature cutoff")
    encoding = on.encoding(data.rows)
    grower = on.grower(recipe, encoding, threads)
    served = fit_all(task, grower, data, encoding.matrix(data.rows), judged.fitted.grown.rounds)
    about, intervals = _about(journey, data, task, prepared.blocks, recipe, judged.assessment), judged.fitted.intervals
    about |= {
        # What was asked for before it was cut to few rows: a business that grew is no change of recipe.
        "asked_recipe": (how.recipe if recipe == given else recipe).to_json(),
        "log": how.fingerprint,
        "names": list(encoding.names),
        "warnings": [*warnings, *doubts(data.task, judged.assessment, intervals.coverage if intervals else None)],
        "frequencies": None if data.task == "cltv" else frequencies(judged.assessment),
        "by_cutoff": by_cutoff(journey, data),
        "tuning": study.words if study else None,
    }
    test_rows = data.rows.filter(data.at(prepared.blocks.test))
    return Trained(
        data.task,
        _model(data, served, encoding, about),
        _model(data, judged.fitted, judged.encoding, about),
        judged.assessment,
        test_rows,
        described(journey, judged.encoding.names),
        tuple(segments(journey, test_rows, judged.assessment, how.profile)),
        study,
    )


def _guarded(prepared: Prepared, how: _How) -> list[str]:
    """Refuse what leaks; what only may be a trouble is told in words."""
    data, blocks, names = prepared.on.data, prepared.blocks, prepared.encoding.names
    # The test block is asked, too: this tunes nothing, and what hindsight wrote knows most of the newest cutoffs.
    unasked = refuse_separation(prepared.on.journey, data, prepared.matrix, names, how.options.trusted)
    grown = grown_again(data.cutoffs, blocks, prepared.task.within)
    warning = drift(data, prepared.matrix, names, grown, blocks.test, how.threads).warning
    return unasked + ([warning] if warning else [])


def _model(data: Examples, fitted: Fitted, encoding: Encoding, about: dict[str, Any]) -> Model:
    parts = {
        "rounds": list(fitted.grown.rounds),
        "intervals": fitted.intervals.to_json() if fitted.intervals else None,
        "churned_value_share": fitted.churned_value_share,
        "percentiles": list(fitted.percentiles),
    }
    return Model(data.task, fitted.grown.boosters, encoding, fitted.link, about | parts, fitted.grown.lines)


def _about(
    journey: Journey, data: Examples, task: Task, blocks: Blocks, recipe: Recipe, assessment: Assessment
) -> dict[str, Any]:
    """What the model is made of, for people and for the server; the same data give the same text."""
    named = {name: [to_text(c) for c in getattr(blocks, name)] for name in ("trees", "stop", "calibrate", "test")}
    return {
        **question(data.task, journey),
        "horizon_days": task.within.total_seconds() / 86_400,
        "features": digest(catalogue(journey)),
        "recipe": recipe.to_json(),
        "blocks": named | {"shared": blocks.shared},
        "cutoffs": [to_text(c) for c in data.cutoffs],
        "rows": len(data.rows),
        "customers": data.rows["customer_id"].n_unique(),
        "grade": asdict(assessment.grade),
        "metrics": finite(assessment.metrics),
        "rules": {name: finite(found) for name, found in assessment.rules.items()},
        "stake": float(np.mean(assessment.offer.stake)) if assessment.offer else None,
    }


def fingerprint_of(log: EventLog) -> dict[str, Any]:
    """Rows, span and a digest of the events a model was trained on."""
    events, total = log.events, hashlib.sha256()
    for name in sorted(events.columns):
        total.update(name.encode())
        total.update(np.ascontiguousarray(events[name].hash(seed=0).to_numpy()).tobytes())
    first, last = int(str(events[TIME].min())), int(str(events[TIME].max()))
    return {"rows": len(events), "first": to_text(first), "last": to_text(last), "digest": total.hexdigest()}
