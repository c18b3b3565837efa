"""Runs, models and aliases in MLflow: the only module of `training` that knows of it."""

from __future__ import annotations

import json
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Metric, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema
from sqlalchemy.exc import DatabaseError

from features.addresses import shown
from features.errors import InputError
from features.journey import Journey
from training import plots_backtest
from training.backtest import Backtest
from training.card import card
from training.card_json import card_json
from training.logged_metrics import at_origin, finite_only, of_model, over_origins
from training.model import Model
from training.plots import figures
from training.plots_shap import importances
from training.recipe import Recipe
from training.train import Trained

CHALLENGER, CHAMPION, PREVIOUS = "challenger", "champion", "previous_champion"
ROLLED_BACK = "rolled_back"  # the tag of a version that was left by a roll-back: to which version
_LOOKED = "roll_back_looked"  # the tag of a champion: how often, and up to which cutoff, it was asked whether to stay
_OPEN = "story_open"  # the tag of a retraining's run until it is told to the end: register() ends runs by itself
_INTENT = "rolling_back_"  # with the task: the tag of a retraining's run that keeps a roll-back it is about to do
_TAG_AT_MOST = 4_000  # letters
_REQUIREMENTS = (
    "mlflow",
    "lightgbm",
    "numpy",
    "pandas",
    "polars",
    "scipy",
    "scikit-learn",
    "crepes",
    "narwhals",
    "pydantic",
)


@dataclass(frozen=True, slots=True)
class Registered:
    """A version in the registry."""

    name: str
    version: int
    digest: str


@dataclass(frozen=True, slots=True)
class _Logged:
    """A model that is logged and not registered yet: its name to be, MLflow's handles, a version's tags."""

    name: str
    uri: str
    run_id: str
    model_id: str
    tags: dict[str, str]


class ChampionMovedError(InputError):
    """Somebody changed the champion, or the one before it, meanwhile."""

    def __init__(self, journey: str, task: str) -> None:
        found, do = "the champion was changed meanwhile", "look at both versions and do it again if it is still wanted"
        super().__init__(model_name(journey, task), found, do=do)


class Tracking:
    """One tracking store.

    Parameters
    ----------
    uri
        MLflow's tracking URI, such as `sqlite:///mlflow.db` or a server's address.
    artifacts
        Folder for the artifacts of experiments made here; a server keeps its own.
    figures
        Whether models get their card and plots: without, for many models that nobody looks at.
    """

    def __init__(self, uri: str, artifacts: Path, *, figures: bool = True) -> None:
        self.uri, self.artifacts, self._figures = uri, artifacts, figures
        try:
            self.client = mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)
            self.client.search_experiments(max_results=1)
        except (MlflowException, DatabaseError) as problem:
            told = str(problem).partition("\n")[0]
            place, do = f"the tracking store {shown(uri)}", "check MLFLOW_TRACKING_URI and that it is up"
            raise InputError(place, f"cannot be used: {told}", do=do) from problem

    def register(self, journey: Journey, trained: list[Trained], parent_run: str | None = None) -> list[Registered]:
        """Log and register every model as challenger, or none.

        A failure on the way takes back the versions already made. `parent_run` is a run that MLflow
        began (`mlflow run`) and under which the tasks are logged.
        """
        # MLflow's runs know one store at a time.
        mlflow.set_tracking_uri(self.uri)
        mlflow.set_registry_uri(self.uri)
        with self._run(journey.journey, parent_run) as run:
            logged = []
            for one in trained:
                with mlflow.start_run(run_name=one.task, nested=True, experiment_id=run.info.experiment_id):
                    logged.append(self._log(journey, one))
            return self._register(logged)

    def log_backtest(
        self, journey: Journey, found: list[Backtest], recipe: Recipe, parent_run: str | None = None
    ) -> str:
        """One run with every metric at every origin, its mean and spread, the plots and `backtest.json`; its id.

        `parent_run` is a run that MLflow began (`mlflow run`) and that becomes this one.
        """
        mlflow.set_tracking_uri(self.uri)
        with self._run(journey.journey, parent_run, "backtest") as run:
            mlflow.log_params({f"recipe_{key}": value for key, value in recipe.to_json().items()})
            mlflow.log_dict(journey.model_dump(mode="json", by_alias=True), "journey.json")
            mlflow.log_dict({"backtests": [one.to_json() for one in found]}, "backtest.json")
            for one in found:
                mlflow.set_tag(f"{one.task}_words", one.grade.words)
                mlflow.log_metrics(over_origins(one))
                for step, origin in enumerate(one.origins):
                    mlflow.log_metrics(at_origin(one.task, origin), step=step)
            for file, figure in plots_backtest.figures(found).items():
                mlflow.log_figure(figure, file)
            return str(run.info.run_id)

    def _register(self, logged: list[_Logged]) -> list[Registered]:
        """A version of each with its alias, or what was there before."""
        before = {one.name: self._challenger(one.name) for one in logged}
        made: list[Registered] = []
        try:
            for one in logged:
                made.append(self._version(one))
            for new in made:
                self.client.set_registered_model_alias(new.name, CHALLENGER, str(new.version))
        except BaseException:
            self._take_back(made, before)
            raise
        return made

    def _version(self, one: _Logged) -> Registered:
        # The client's own calls: `mlflow.register_model` prints on its way.
        if self._challenger(one.name) is None:
            self.client.create_registered_model(one.name)
        found = self.client.create_model_version(one.name, one.uri, one.run_id, one.tags, model_id=one.model_id)
        return Registered(one.name, int(found.version), one.tags["digest"])

    def _challenger(self, name: str) -> str | None:
        """The challenger's version; empty: there is none; None: there is no such model."""
        try:
            return str(self.client.get_registered_model(name).aliases.get(CHALLENGER, ""))
        except MlflowException as problem:
            if problem.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    def _take_back(self, made: list[Registered], before: dict[str, str | None]) -> None:
        """What was there before, as far as the store still answers: the first failure is the one to tell."""
        for new in made:
            with suppress(MlflowException):
                self.client.delete_model_version(new.name, str(new.version))
                if version := before[new.name]:
                    self.client.set_registered_model_alias(new.name, CHALLENGER, version)
        for name, version in before.items():
            with suppress(MlflowException):
                if version is None and self._challenger(name) is not None:
                    self.client.delete_registered_model(name)

    def _log(self, journey: Journey, trained: Trained) -> _Logged:
        name, about = model_name(journey.journey, trained.task), trained.model.about
        mlflow.log_params({f"recipe_{key}": value for key, value in about["recipe"].items()})
        mlflow.log_params({"rounds": about["rounds"], "cutoffs": len(about["cutoffs"]), "rows": about["rows"]})
        mlflow.log_params({"features": about["features"][:12], "log_digest": about["log"]["digest"][:12]})
        mlflow.log_metrics(of_model(about))
        mlflow.set_tags({"grade": about["grade"]["letter"], "grade_words": about["grade"]["words"]})
        if about["warnings"]:
            mlflow.set_tag("warnings", "; ".join(about["warnings"]))
        mlflow.log_dict(about["journey"], "journey.json")
        mlflow.log_dict(about, "about.json")
        if trained.study is not None:
            mlflow.log_dict(trained.study.to_json(), "tuning.json")
            for step, trial in enumerate(trained.study.trials):
                mlflow.log_metrics(finite_only({"tuning/loss": trial.loss}), step=step)
        if self._figures:
            parts = importances(trained)
            mlflow.log_text(card(trained, parts), "model_card.md")
            mlflow.log_dict(card_json(trained, parts), "model_card.json")
            for file, figure in figures(trained, parts).items():
                mlflow.log_figure(figure, file)
        info, digest = self._log_model(trained)
        tags = {"digest": digest, "grade": about["grade"]["letter"], "words": about["grade"]["words"]}
        return _Logged(name, str(info.model_uri), str(info.run_id), str(info.model_id), tags)

    def _log_model(self, trained: Trained) -> tuple[Any, str]:
        """What MLflow says of the logged model, and its digest."""
        here = Path(__file__).parent
        with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
            # The signature is written by hand: an example adds nothing and costs seconds.
            warnings.filterwarnings("ignore", message=".*input example was not provided")
            digest = trained.model.save(Path(scratch) / "model")
            info = mlflow.pyfunc.log_model(
                name=trained.task,
                python_model=str(here / "pyfunc_model.py"),
                artifacts={"model": str(Path(scratch) / "model")},
                # Named, not inferred: inference imports everything and costs seconds.
                pip_requirements=[f"{package}=={version(package)}" for package in _REQUIREMENTS],
                code_paths=[str(here), str(here.parent / "features")],
                signature=_signature(trained.model),
            )
        return info, digest

    def log_realised(self, journey: str, report: dict[str, Any]) -> int:
        """Log what came of a scoring run beside the training of each model that made it; how many it was logged to.

        Metrics are `realised/NAME`, their step the day of the cutoff, and the report is
        `realised/CUTOFF.json`. What stands already is not logged again, and what a model had already learned from
        (`in_sample`) not at all.
        """
        logged, tag = 0, f"realised_{report['run_id']}"
        for task, told in report["tasks"].items():
            if told["in_sample"]:
                continue
            version, digest = self.version(journey, task, int(told["version"])), _digest(told)
            if version is None or self.client.get_run(version.run_id).data.tags.get(tag) == digest:
                continue
            part = report | {"tasks": {task: told}}
            self.client.log_dict(version.run_id, part, f"realised/{report['cutoff'][:10]}.json")
            step, stamp = datetime.fromisoformat(report["cutoff"]).toordinal(), int(time.time() * 1000)
            metrics = [
                Metric(f"realised/{name}", value, stamp, step) for name, value in finite_only(_realised(told)).items()
            ]
            # At once: killed in between, the next attempt would log the numbers a second time.
            self.client.log_batch(version.run_id, metrics, tags=[RunTag(tag, digest)])
            logged += 1
        return logged

    def log_realised_version(self, journey: str, told: dict[str, Any]) -> None:
        """Log what came of a version over all of its runs beside its training, unless it stands there already.

        The metrics are `realised/all_runs_NAME`, the whole is `realised/version.json`.
        """
        version, digest = self.version(journey, told["task"], int(told["version"])), _digest(told)
        if version is None or self.client.get_run(version.run_id).data.tags.get("realised_version") == digest:
            return
        self.client.log_dict(version.run_id, told, "realised/version.json")
        step, stamp = datetime.fromisoformat(told["last_cutoff"]).toordinal(), int(time.time() * 1000)
        numbers = {name: float(told[name]) for name in ("runs", "customers", "expected", "realised", "low", "high")}
        metrics = [Metric(f"realised/all_runs_{name}", value, stamp, step) for name, value in numbers.items()]
        self.client.log_batch(version.run_id, metrics, tags=[RunTag("realised_version", digest)])

    def begin_story(self, journey: str) -> str:
        """Begin the run that tells of a retraining, and give its id."""
        tags = {"story": "retrain", _OPEN: "yes"}
        run = self.client.create_run(self._experiment(journey), run_name="retrain", tags=tags)
        return str(run.info.run_id)

    def open_stories(self, journey: str) -> list[str]:
        """The runs of retrainings that were begun and never ended."""
        asked = f"tags.story = 'retrain' and tags.{_OPEN} = 'yes'"
        return [str(run.info.run_id) for run in self.client.search_runs([self._experiment(journey)], asked)]

    def keep_intent(self, run_id: str, task: str, numbers: tuple[int, int], words: str) -> None:
        """Keep in a story, before it is done, which version is about to give way to which, and why."""
        self.client.set_tag(run_id, f"{_INTENT}{task}", json.dumps([*numbers, words[:_TAG_AT_MOST]]))

    def intents_done(self, journey: str, run_id: str) -> list[str]:
        """The words of a story's intents that were done: a kill may have come before or after."""
        done = []
        for key, told in sorted(self.client.get_run(run_id).data.tags.items()):
            if not key.startswith(_INTENT):
                continue
            task, (number, before, words) = key.removeprefix(_INTENT), json.loads(told)
            left, (champion, _) = self.version(journey, task, number), self.champions(journey, task)
            if left is not None and left.tags.get(ROLLED_BACK) == str(before) and champion != number:
                done.append(words)
                if champion == before:
                    self._unmark(model_name(journey, task), before)
                    self.tell(journey, task, before, True, words)
        return done

    def end_story(self, run_id: str, story: dict[str, Any], status: str = "FINISHED") -> None:
        """Close the run with what was done and why: `story.json`, and its words as tags; what it left open, too."""
        run = self.client.get_run(run_id)
        below = f"tags.`mlflow.parentRunId` = '{run_id}' and attributes.status = 'RUNNING'"
        for child in self.client.search_runs([run.info.experiment_id], below):
            self.client.set_terminated(child.info.run_id, "KILLED")
        self.client.log_dict(run_id, story, "story.json")
        words = {name: told if isinstance(told, str) else "; ".join(map(str, told)) for name, told in story.items()}
        tags = [RunTag(name, told[:_TAG_AT_MOST] or "-") for name, told in words.items()]
        self.client.set_terminated(run_id, status)
        self.client.log_batch(run_id, tags=[*tags, RunTag(_OPEN, "no")])

    def undecided(self, journey: str, task: str) -> int | None:
        """The challenger that a retraining registered and no gate has judged yet; None: there is none."""
        version, champion = (self.version(journey, task, alias) for alias in (CHALLENGER, CHAMPION))
        if version is None or "decision" in version.tags:
            return None
        if champion is not None and champion.version == version.version:
            return None  # killed between its promotion and the words of it
        parent = self.client.get_run(version.run_id).data.tags.get("mlflow.parentRunId")
        told = parent is not None and self.client.get_run(parent).data.tags.get("story") == "retrain"
        return int(version.version) if told else None

    @contextmanager
    def _run(self, journey: str, parent_run: str | None, name: str = "train") -> Iterator[Any]:
        if parent_run:
            with mlflow.start_run(run_id=parent_run) as run:
                yield run
        else:
            with mlflow.start_run(experiment_id=self._experiment(journey), run_name=name) as run:
                yield run

    def _experiment(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        local = self.uri.split(":")[0].split("+")[0] in {"sqlite", "postgresql", "mysql"}
        location = (self.artifacts / name).resolve().as_uri() if local else None
        return str(self.client.create_experiment(name, artifact_location=location))

    def version(self, journey: str, task: str, wanted: int | str) -> Any | None:
        """The model version with this number or alias; None where there is none."""
        name = model_name(journey, task)
        try:
            if isinstance(wanted, int):
                return self.client.get_model_version(name, str(wanted))
            return self.client.get_model_version_by_alias(name, wanted)
        except MlflowException as problem:
            if problem.error_code not in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
                raise
            return None

    def model(self, found: Any) -> Model:
        """The model of a version."""
        with tempfile.TemporaryDirectory() as scratch:
            source = self.client.get_model_version_download_uri(found.name, found.version)
            path = mlflow.artifacts.download_artifacts(
                artifact_uri=f"{source}/artifacts/model", dst_path=scratch, tracking_uri=self.uri
            )
            return Model.load(Path(path), found.tags["digest"])

    def set_champion(self, journey: str, task: str, number: int) -> None:
        """Move the champion; the one before it is remembered for `rollback`."""
        name, before = model_name(journey, task), self.version(journey, task, CHAMPION)
        if before is not None and int(before.version) != number:
            self.client.set_registered_model_alias(name, PREVIOUS, before.version)
        self.client.set_registered_model_alias(name, CHAMPION, str(number))
        self._unmark(name, number)

    def tell(self, journey: str, task: str, number: int, promoted: bool, words: str) -> None:
        """Keep the last decision on a version, with its reason, as the tags `decision` and `decision_words`."""
        self._tag(
            journey, task, number, {"decision": "promoted" if promoted else "not promoted", "decision_words": words}
        )

    def _tag(self, journey: str, task: str, number: int, tags: dict[str, str]) -> None:
        for key, value in tags.items():
            self.client.set_model_version_tag(model_name(journey, task), str(number), key, value)

    def looked(self, version: Any) -> tuple[int, int]:
        """How many runs of a version were looked at for a roll-back, and the newest cutoff of those; (0, -1): none."""
        looks, cutoff = json.loads(version.tags.get(_LOOKED, "[0, -1]"))
        return int(looks), int(cutoff)

    def keep_look(self, journey: str, task: str, number: int, looks: int, cutoff: int) -> None:
        """Keep what `looked` gives; the cutoff in microseconds."""
        self._tag(journey, task, number, {_LOOKED: json.dumps([looks, cutoff])})

    def champions(self, journey: str, task: str) -> tuple[int | None, int | None]:
        """The versions of the champion and of the one before it, as one look at the registry found them."""
        try:
            aliases = self.client.get_registered_model(model_name(journey, task)).aliases
        except MlflowException as problem:
            if problem.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None, None
        present, before = aliases.get(CHAMPION), aliases.get(PREVIOUS)
        return (int(present) if present else None), (int(before) if before else None)

    def rollback(self, journey: str, task: str, expected: tuple[int, int] | None = None) -> int:
        """Make the previous champion the champion again and give its version.

        The version left is marked: `promote` takes it again only by its number. `expected`: the champion and the one
        before it that the roll-back was decided on.

        Raises
        ------
        ChampionMovedError
            Where they are others, or somebody changes them meanwhile; nothing is changed then.
        InputError
            Where no champion came before.
        """
        found = left, number = self.champions(journey, task)
        if expected not in (None, found):
            raise ChampionMovedError(journey, task)
        # A promotion that was killed may have named the champion it did not replace.
        if number is None or left == number:
            raise InputError(
                f"{journey}.{task}", "no champion came before the present one", "a task promoted at least twice"
            )
        name = model_name(journey, task)
        if left is not None:
            self._mark_left(journey, task, left, number)
        # MLflow cannot compare and set: what is between this look and the next call is all that nobody guards.
        self.client.set_registered_model_alias(name, CHAMPION, str(number))
        # After it: killed in between, the roll-back stands. Before it, nothing would be left to roll back to.
        if left is not None and self.champions(journey, task)[0] == number:
            self.client.set_registered_model_alias(name, PREVIOUS, str(left))
        self._unmark(name, number)
        self.tell(journey, task, number, True, f"rolled back to from version {left or '-'}")
        return number

    def _mark_left(self, journey: str, task: str, left: int, number: int) -> None:
        """Mark a champion as rolled back to a version, or leave it as it was where they are moved meanwhile.

        The mark comes before the roll-back: killed in between, the next attempt finds the champion still there.
        """
        was = self.client.get_model_version(model_name(journey, task), str(left)).tags
        words = f"rolled back: version {number} is champion again"
        marks = {"decision": "rolled back", "decision_words": words, ROLLED_BACK: str(number)}
        self._tag(journey, task, left, marks)
        if self.champions(journey, task) != (left, number):
            for key in marks.keys() - was.keys():
                self.client.delete_model_version_tag(model_name(journey, task), str(left), key)
            self._tag(journey, task, left, {key: was[key] for key in marks if key in was})
            raise ChampionMovedError(journey, task)

    def _unmark(self, name: str, number: int) -> None:
        """A champion is not marked as rolled back."""
        if ROLLED_BACK in self.client.get_model_version(name, str(number)).tags:
            self.client.delete_model_version_tag(name, str(number), ROLLED_BACK)


def _realised(told: dict[str, Any]) -> dict[str, float]:
    """The metrics of a task's part of a report on what happened, of customers who were not contacted."""
    found = {name: value for name, value in told["metrics"].items() if value is not None}
    for name, (low, high) in told["intervals"].items():
        found |= {f"{name}_low": low, f"{name}_high": high}
    if (judged := told["judged"])["customers"]:
        found |= {"expected": judged["expected"], "happened": judged["realised"], "customers": judged["customers"]}
    if grade := told["grade"]:
        found |= {"ahead": grade["ahead"], "ahead_low": grade["low"], "ahead_high": grade["high"]}
    return found


def _digest(told: dict[str, Any]) -> str:
    """A report in a few letters, to see whether it changed; numbers to six digits."""
    text = json.dumps(told, sort_keys=True, default=str)
    rounded = json.loads(text, parse_float=lambda number: f"{float(number):.6g}")
    return sha256(json.dumps(rounded, sort_keys=True).encode()).hexdigest()[:16]


def model_name(journey: str, task: str) -> str:
    """One registered model per task and journey."""
    return f"{journey}.{task}"


def _signature(model: Model) -> ModelSignature:
    names, categories = model.encoding.inputs, model.encoding.categories
    columns = [ColSpec("string" if n in categories else "double", n, required=False) for n in names]
    return ModelSignature(inputs=Schema(columns))
