"""Champions from the registry to a scorer: the only module of `serving` that knows of MLflow."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl

from features.errors import InputError, NoModelError
from features.labels import TASKS
from features.own import Own
from serving.model_files import keep
from serving.remembered import Remembered
from serving.scorer import Scorer, Served
from serving.waiting import within
from training.model import Model

CHAMPION = "champion"
_REALISED = "realised/"  # how training.tracking names metrics on what happened
_Found: TypeAlias = dict[str, tuple[int, str]]  # task -> version and digest of the champion
_PATIENCE = 10.0  # seconds for the registry to answer, where the champions known last are at hand
_log = logging.getLogger(__name__)


def load(
    journey: str,
    tracking_uri: str,
    cache: Path,
    profile: pl.DataFrame | None = None,
    threads: int = 1,
    own: Own | None = None,
    tasks: Iterable[str] = TASKS,
) -> Scorer:
    """The scorer of a journey's champions; `own` is the module of features its definition names, if any.

    `tasks` are those of its definition: the champion of one that was taken out is renewed no more, and fits no other.

    Models are read from files checked against their registered digest, and kept in `cache` by that
    digest. Where the registry is away, or what it calls champions cannot be loaded, the champions that
    were loaded last are loaded again from there.

    Raises
    ------
    NoModelError
        Where no task of the journey has a champion.
    """
    remembered = Remembered(cache, journey)
    wanted = tuple(tasks)
    kept = {task: found for task, found in remembered.read().items() if task in wanted}

    def fetched() -> _Found:
        return _fetched(journey, tracking_uri, cache, wanted)

    def scorer(found: _Found) -> Scorer:
        models = {task: Served(Model.load(cache / digest, digest), number) for task, (number, digest) in found.items()}
        return Scorer(models, profile, threads, own)

    try:
        found = within(_PATIENCE, fetched) if kept else fetched()
    except Exception as problem:
        if not kept:
            raise
        _log.warning("the model registry cannot be read, the champions known last are loaded: %s", problem)
        return scorer(kept)
    if not found:
        raise _no_champion(journey)
    try:
        loaded = scorer(found)
    except Exception as problem:
        if not kept or kept == found:
            raise
        return _fallen_back(journey, found, problem, lambda: scorer(kept))
    remembered.write(found)
    return loaded


def _fallen_back(journey: str, found: _Found, problem: Exception, before: Callable[[], Scorer]) -> Scorer:
    """The champions known last, where those of the registry cannot be loaded; else why these cannot."""
    try:
        scorer = before()
    except Exception:
        raise problem from None
    told = {task: version for task, (version, _) in found.items()}
    _log.warning("champions %s of %s cannot be loaded, %s are: %s", told, journey, scorer.versions, problem)
    return scorer


def _no_champion(journey: str) -> NoModelError:
    return NoModelError(
        f"journey {journey!r}",
        "no champion is registered",
        f"at least one of {', '.join(f'{journey}.{task}' for task in TASKS)} with the alias champion",
        f"run `journeycast train {journey}` and `journeycast promote {journey} all`",
    )


def champions(journey: str, tracking_uri: str, tasks: Iterable[str] = TASKS) -> dict[str, int]:
    """Task to the version that is champion now, of these tasks.

    Raises
    ------
    InputError
        Where the registry cannot be read.
    """
    found = ((task, _champion(journey, task, tracking_uri)) for task in tasks)
    return {task: int(version.version) for task, version in found if version is not None}


def models(journey: str, tracking_uri: str) -> list[dict[str, Any]]:
    """Every registered version of the journey's tasks, newest first."""
    client, listed = _client(tracking_uri), []
    for task in TASKS:
        name = f"{journey}.{task}"
        aliases = _aliases(client, name)
        for version in client.search_model_versions(f"name = '{name}'"):
            run = client.get_run(version.run_id)
            listed.append(
                {
                    "task": task,
                    "name": name,
                    "version": int(version.version),
                    "aliases": sorted(
                        alias for alias, number in aliases.items() if int(number) == int(version.version)
                    ),
                    "grade": version.tags.get("grade"),
                    "grade_words": version.tags.get("words"),
                    "decision": version.tags.get("decision"),
                    "decision_words": version.tags.get("decision_words"),
                    "warnings": run.data.tags.get("warnings"),
                    "registered_at": int(version.creation_timestamp),
                    "metrics": {k: v for k, v in run.data.metrics.items() if not k.startswith(("rule/", _REALISED))},
                    "realised": {
                        k.removeprefix(_REALISED): v for k, v in run.data.metrics.items() if k.startswith(_REALISED)
                    },
                    "rules": _by_rule(run.data.metrics),
                }
            )
    return sorted(listed, key=lambda one: (TASKS.index(one["task"]), -one["version"]))


def file_of(journey: str, tracking_uri: str, task: str, version: int, name: str) -> bytes | None:
    """A file that was logged with a version, such as `model_card.json`; None: there is no such version or file."""
    import mlflow
    from mlflow.exceptions import MlflowException

    client = _client(tracking_uri)
    try:
        run_id = client.get_model_version(f"{journey}.{task}", str(version)).run_id
        if name not in {file.path for file in client.list_artifacts(run_id)}:
            return None
    except MlflowException as problem:
        if problem.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            return None
        raise
    with tempfile.TemporaryDirectory() as scratch:
        uri = f"runs:/{run_id}/{name}"
        path = mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=scratch, tracking_uri=tracking_uri)
        return Path(path).read_bytes()


def _by_rule(metrics: dict[str, float]) -> dict[str, dict[str, float]]:
    """The metrics logged as `rule/NAME/METRIC`, per rule."""
    found: dict[str, dict[str, float]] = {}
    for key, value in metrics.items():
        if key.startswith("rule/"):
            _, rule, metric = key.split("/", 2)
            found.setdefault(rule, {})[metric] = value
    return found


def _client(tracking_uri: str) -> Any:
    import mlflow

    return mlflow.MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)


def _aliases(client: Any, name: str) -> dict[str, str]:
    from mlflow.exceptions import MlflowException

    try:
        return dict(client.get_registered_model(name).aliases)
    except MlflowException:
        return {}


def _champion(journey: str, task: str, tracking_uri: str) -> Any | None:
    from mlflow.exceptions import MlflowException

    try:
        return _client(tracking_uri).get_model_version_by_alias(f"{journey}.{task}", CHAMPION)
    except MlflowException as problem:
        if problem.error_code in {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}:
            return None
        raise InputError(
            "the tracking store", f"cannot be read: {problem}", do="check MLFLOW_TRACKING_URI and that it is up"
        ) from problem


def _fetched(journey: str, tracking_uri: str, cache: Path, tasks: Iterable[str]) -> _Found:
    """Task to the champion's version and digest, under which the cache has its files then."""
    found = {}
    for task in tasks:
        version = _champion(journey, task, tracking_uri)
        if version is not None:
            digest = str(version.tags["digest"])
            keep(cache, digest, partial(_download, version, tracking_uri))
            found[task] = int(version.version), digest
    return found


def _download(version: Any, tracking_uri: str, into: Path) -> Path:
    import mlflow

    source = _client(tracking_uri).get_model_version_download_uri(version.name, version.version)
    uri = f"{source}/artifacts/model"
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(into), tracking_uri=tracking_uri))
