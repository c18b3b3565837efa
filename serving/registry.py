"""Champions from the registry to a scorer: the only module of `serving` that knows of MLflow."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import Any, TypeAlias

import polars as pl

from features.errors import InputError, NoModelError
from features.labels import TASKS
from features.own import Own
from serving.remembered import Remembered
from serving.scorer import Scorer, Served
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
) -> Scorer:
    """The scorer of a journey's champions; `own` is the module of features its definition names, if any.

    Models are read from files checked against their registered digest, and kept in `cache` by that
    digest. Where the registry is away, the champions that were loaded last are loaded again from there.

    Raises
    ------
    NoModelError
        Where no task of the journey has a champion.
    """
    remembered = Remembered(cache, journey)
    kept = remembered.read()
    try:
        found = _within(_PATIENCE if kept else None, lambda: _fetched(journey, tracking_uri, cache))
    except Exception as problem:
        if not kept:
            raise
        _log.warning("the model registry cannot be read, the champions known last are loaded: %s", problem)
        found = kept
    if not found:
        raise NoModelError(
            f"journey {journey!r}",
            "no champion is registered",
            f"at least one of {', '.join(f'{journey}.{task}' for task in TASKS)} with the alias champion",
            f"run `journeycast train {journey}` and `journeycast promote {journey} all`",
        )
    scorer = Scorer(
        {task: Served(Model.load(cache / digest, digest), number) for task, (number, digest) in found.items()},
        profile,
        threads,
        own,
    )
    remembered.write(found)
    return scorer


def champions(journey: str, tracking_uri: str) -> dict[str, int]:
    """Task to the version that is champion now.

    Raises
    ------
    InputError
        Where the registry cannot be read.
    """
    found = ((task, _champion(journey, task, tracking_uri)) for task in TASKS)
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


def _within(seconds: float | None, look: Callable[[], _Found]) -> _Found:
    """What `look` finds; `TimeoutError` where it takes longer. MLflow tries for minutes to reach a database."""
    if seconds is None:
        return look()
    told: Future[_Found] = Future()

    def run() -> None:
        try:
            told.set_result(look())
        except BaseException as problem:
            told.set_exception(problem)

    Thread(target=run, name="registry", daemon=True).start()
    return told.result(seconds)


def _fetched(journey: str, tracking_uri: str, cache: Path) -> _Found:
    """Task to the champion's version and digest, under which the cache has its files then."""
    found = {}
    for task in TASKS:
        version = _champion(journey, task, tracking_uri)
        if version is not None:
            digest = str(version.tags["digest"])
            if not (cache / digest).exists():
                _fetch(version, tracking_uri, cache / digest)
            found[task] = int(version.version), digest
    return found


def _fetch(version: Any, tracking_uri: str, kept: Path) -> None:
    import mlflow

    kept.parent.mkdir(parents=True, exist_ok=True)
    source = _client(tracking_uri).get_model_version_download_uri(version.name, version.version)
    with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
        path = mlflow.artifacts.download_artifacts(
            artifact_uri=f"{source}/artifacts/model", dst_path=scratch, tracking_uri=tracking_uri
        )
        try:
            Path(path).rename(kept)  # atomic: a second server sees all files or none
        except OSError:
            if not kept.exists():  # else another server was first, with the same files
                raise
