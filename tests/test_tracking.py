"""Registered models: challengers or nothing, text and JSON only, and the same answers through MLflow's own doors."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sqlite3
import time
from collections import Counter
from contextlib import closing, suppress
from copy import copy
from functools import partial
from pathlib import Path

import mlflow
import numpy as np
import polars as pl
import pytest
from killing import Killing
from mlflow.exceptions import MlflowException
from starlette.testclient import TestClient
from trained import tracking_at

from features.errors import InputError, NoModelError
from features.labels import TASKS
from serving import registry
from serving.app import create_app
from serving.model_files import keep
from serving.remembered import Remembered
from serving.state import Settings
from training.model import Model, digest
from training.tracking import CHALLENGER, CHAMPION, PREVIOUS, ROLLED_BACK, ChampionMovedError

TEXT = {".txt", ".json", ".yaml", ".yml", ".py", ".md", ""}  # "": MLmodel


def folder_of(tracking, task, tmp_path):
    """The files of a registered version, as MLflow hands them out."""
    source = tracking.client.get_model_version_download_uri(f"simulated.{task}", "1")
    return Path(mlflow.artifacts.download_artifacts(source, dst_path=str(tmp_path), tracking_uri=tracking.uri))


# What is registered


@pytest.mark.parametrize("task", TASKS)
def test_a_version_carries_its_digest_grade_and_words(task, champions, trained, tmp_path):
    found = champions.tracking.version("simulated", task, CHALLENGER)
    grade = trained[task].model.about["grade"]
    assert int(found.version) == 1
    assert found.tags == {
        "digest": trained[task].model.save(tmp_path / "model"),
        "grade": grade["letter"],
        "words": grade["words"],
        "decision": "promoted",
        "decision_words": f"first champion: {grade['words']}",
    }
    assert champions.tracking.model(found).about == trained[task].model.about


def test_a_run_logs_recipe_metrics_beside_the_rules_and_what_it_was_made_of(champions, trained):
    client, about = champions.tracking.client, trained["churn"].model.about
    run = client.get_run(champions.tracking.version("simulated", "churn", CHALLENGER).run_id)
    assert run.data.params["recipe_learning_rate"] == "0.25"
    assert run.data.params["log_digest"] == about["log"]["digest"][:12]
    assert run.data.metrics["log_loss"] == about["metrics"]["log_loss"]
    assert run.data.metrics["rule/base rate/log_loss"] == about["rules"]["base rate"]["log_loss"]
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert files >= {"journey.json", "about.json", "model_card.md", "model_card.json", "calibration.png"}
    assert run.data.tags["mlflow.parentRunId"]


def test_the_registry_lists_versions_with_grades_and_rules(champions):
    listed = registry.models("simulated", champions.uri)
    assert [one["task"] for one in listed] == list(TASKS)
    assert all(set(one["aliases"]) >= {"challenger", "champion"} for one in listed)
    assert "base rate" in listed[0]["rules"]
    assert not any(name.startswith("rule/") for name in listed[0]["metrics"])


def test_a_version_hands_out_what_was_logged_with_it(champions, trained):
    read = partial(registry.file_of, "simulated", champions.uri)
    assert json.loads(read("churn", 1, "model_card.json"))["grade"] == trained["churn"].model.about["grade"]
    assert read("churn", 1, "model_card.md").startswith(b"# simulated.churn")
    assert read("churn", 1, "calibration.png").startswith(b"\x89PNG")
    assert read("churn", 1, "nothing.png") is None
    assert read("churn", 99, "model_card.json") is None


@pytest.mark.parametrize("task", TASKS)
def test_a_logged_model_is_text_and_nothing_else(task, champions, tmp_path):
    folder = folder_of(champions.tracking, task, tmp_path)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= TEXT
    for path in files:
        path.read_text(encoding="utf-8")
    json.loads((folder / "artifacts" / "model" / "model.json").read_text(encoding="utf-8"))
    assert "python_model.pkl" not in {path.name for path in files}


# What is served


def test_a_server_reads_the_files_it_trained(champions, trained, tmp_path):
    cache = tmp_path / "cache"
    scorer = registry.load("simulated", champions.uri, cache)
    assert scorer.versions == dict.fromkeys(TASKS, 1)
    vectors = trained["churn"].test_rows
    for task in TASKS:
        np.testing.assert_array_equal(scorer.models[task].model.predict(vectors), trained[task].model.predict(vectors))
    assert {path.name for path in cache.iterdir() if path.is_dir()} == {
        champions.tracking.version("simulated", task, CHAMPION).tags["digest"] for task in TASKS
    }


DAMAGES = {
    "longer": lambda folder: (folder / "trees_0.txt").write_bytes((folder / "trees_0.txt").read_bytes() + b"\n"),
    "cut off": lambda folder: (folder / "model.json").write_bytes((folder / "model.json").read_bytes()[:1000]),
    "empty": lambda folder: [path.unlink() for path in folder.iterdir()],
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_on_disk_are_fetched_again(champions, tmp_path, caplog, damage):
    registry.load("simulated", champions.uri, tmp_path)
    name = champions.tracking.version("simulated", "churn", CHAMPION).tags["digest"]
    DAMAGES[damage](tmp_path / name)
    assert registry.load("simulated", champions.uri, tmp_path).versions == dict.fromkeys(TASKS, 1)
    assert "damaged, and fetched again" in caplog.text
    assert digest(tmp_path / name) == name
    assert not list(tmp_path.glob(".part-*"))


def test_files_that_changed_in_the_registry_are_refused(champions, tmp_path):
    def fetch(into):
        (into / "model.json").write_text("{}")
        return into

    with pytest.raises(InputError, match=r"have digest [0-9a-f]+, registered was aaaaaaaaaaaa"):
        keep(tmp_path, "a" * 64, fetch)
    assert list(tmp_path.iterdir()) == []


def test_champions_that_cannot_be_loaded_leave_those_known_last(business, trained, champions, empty, tmp_path, caplog):
    """Half of a promotion: one task's champion is of another journey than the others'."""
    empty.register(business.journey, [trained["churn"]])
    empty.set_champion("simulated", "churn", 1)
    assert registry.load("simulated", empty.uri, tmp_path).versions == {"churn": 1}
    foreign = dataclasses.replace(trained["churn"].model, about=trained["churn"].model.about | {"features": "other"})
    empty.register(business.journey, [dataclasses.replace(trained["churn"], model=foreign)])
    empty.set_champion("simulated", "churn", 2)
    assert registry.load("simulated", empty.uri, tmp_path).versions == {"churn": 1}
    assert "champions {'churn': 2} of simulated cannot be loaded, {'churn': 1} are" in caplog.text
    with pytest.raises(InputError, match="other feature"):
        registry.load("simulated", empty.uri, tmp_path / "without memory")


@pytest.mark.parametrize("told", ["[]", "{", "", '{"churn": 1}', '{"churn": [1, "../x"]}', '{"churn": [1, null]}'])
def test_a_memory_of_champions_that_says_none_is_told_and_passed_over(tmp_path, caplog, told):
    (tmp_path / "shop.champions.json").write_text(told)
    assert Remembered(tmp_path, "shop").read() == {}
    assert "does not say which champions there were" in caplog.text


def test_champions_that_cannot_be_remembered_are_told(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    Remembered(tmp_path / "file", "shop").write({"churn": (1, "a" * 64)})
    assert "the champions cannot be remembered" in caplog.text


def test_a_file_that_someone_adds_is_neither_read_nor_run(champions, tmp_path):
    registry.load("simulated", champions.uri, tmp_path)
    evidence = tmp_path / "ran"
    for folder in [path for path in tmp_path.iterdir() if path.is_dir()]:
        (folder / "__init__.py").write_text(f"open({str(evidence)!r}, 'w')")
        (folder / "model.pkl").write_bytes(b"c__builtin__\nopen\n(S" + repr(str(evidence)).encode() + b"\nS'w'\ntR.")
    assert registry.load("simulated", champions.uri, tmp_path).versions == dict.fromkeys(TASKS, 1)
    assert not evidence.exists()


def test_a_server_starts_from_disk_while_the_registry_is_away(champions, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("serving.registry._PATIENCE", 2.0)
    (tmp_path / "file").write_text("")
    away = f"sqlite:///{tmp_path}/file/mlflow.db"  # MLflow makes folders that are not there
    cache = tmp_path / "models"
    registry.load("simulated", champions.uri, cache)
    assert registry.load("simulated", away, cache).versions == dict.fromkeys(TASKS, 1)
    assert "the champions known last are loaded" in caplog.text
    shutil.rmtree(next(path for path in cache.iterdir() if path.is_dir()))
    assert Remembered(cache, "simulated").read() == {}


def test_the_registry_says_who_is_champion_of_the_tasks_that_the_journey_has(champions, tmp_path):
    assert registry.champions("simulated", champions.uri) == dict.fromkeys(TASKS, 1)
    assert registry.champions("simulated", champions.uri, ["churn"]) == {"churn": 1}
    assert registry.load("simulated", champions.uri, tmp_path, tasks=["churn"]).versions == {"churn": 1}


def test_without_a_champion_the_way_out_is_named(empty, tmp_path):
    with pytest.raises(NoModelError, match="run `journeycast train simulated`"):
        registry.load("simulated", empty.uri, tmp_path / "cache")
    assert registry.models("simulated", empty.uri) == []


# MLflow's own doors


@pytest.fixture
def at_champions(champions):
    """MLflow's own address, as its users set it."""
    mlflow.set_tracking_uri(champions.uri)
    mlflow.set_registry_uri(champions.uri)


@pytest.mark.usefixtures("at_champions")
@pytest.mark.parametrize("task", TASKS)
def test_the_champion_answers_through_mlflow_as_through_the_server(task, champions, trained, everyone, business):
    loaded = mlflow.pyfunc.load_model(f"models:/simulated.{task}@champion")
    vectors = champions.scorer.vectors(business.log.events, everyone.head(200))
    names = list(trained[task].model.encoding.inputs)
    found = loaded.predict(vectors.select(names).to_pandas())
    for row, answer in enumerate(champions.scorer.predict(business.log.events, everyone.head(200), reasons=False)):
        part = getattr(answer, task)
        if part.eligible and task == "churn":
            assert found["probability"][row] == pytest.approx(part.probability, abs=1e-12)
        elif part.eligible and task == "cltv":
            assert found["expected"][row] == pytest.approx(part.expected, abs=1e-9)
            assert found["high"][row] == pytest.approx(part.high, abs=1e-9)
            assert np.isnan(found["low"][row]) == (part.low is None)
        elif part.eligible:
            assert found.iloc[row].to_dict() == pytest.approx(part.probabilities, abs=1e-12)


@pytest.mark.usefixtures("at_champions")
def test_columns_that_are_not_given_are_unknown(champions, trained):
    model = trained["churn"].model
    vectors = trained["churn"].test_rows.head(20)
    some = list(model.encoding.inputs)[::2]
    loaded = mlflow.pyfunc.load_model("models:/simulated.churn@champion")
    nothing = [
        pl.lit(None, dtype=vectors[name].dtype).alias(name) for name in model.encoding.inputs if name not in some
    ]
    found = loaded.predict(vectors.select(some).to_pandas())["probability"]
    np.testing.assert_allclose(found, model.predict(vectors.with_columns(nothing))[:, 0], atol=1e-12)


# Failures


def versions(tracking):
    found = tracking.client.search_registered_models()
    return {model.name: {alias: int(number) for alias, number in model.aliases.items()} for model in found}


def full(tracking, table):
    """Make the store really refuse rows about CLTV in this table."""
    with closing(sqlite3.connect(tracking.uri.removeprefix("sqlite:///"))) as database:
        database.execute(
            f"CREATE TRIGGER full BEFORE INSERT ON {table} WHEN NEW.name LIKE '%.cltv'"
            " BEGIN SELECT RAISE(ABORT, 'no room'); END"
        )


def test_where_artifacts_cannot_be_written_nothing_is_registered(business, trained, empty):
    empty.artifacts.write_text("a file where the folder should be")
    with pytest.raises((MlflowException, OSError), match="artifacts"):
        empty.register(business.journey, [trained["churn"]])
    assert versions(empty) == {}
    experiment = empty.client.get_experiment_by_name("simulated").experiment_id
    assert {run.info.status for run in empty.client.search_runs([experiment])} == {"FAILED"}


@pytest.mark.parametrize("table", ["registered_models", "model_versions", "registered_model_aliases"])
def test_where_one_task_cannot_be_registered_none_is(table, business, trained, empty):
    full(empty, table)
    with pytest.raises(MlflowException, match=r"no room|simulated\.cltv"):
        empty.register(business.journey, [trained["churn"], trained["cltv"]])
    assert versions(empty) == {}


def test_a_failed_training_leaves_the_challenger_before_it(business, trained, empty):
    empty.register(business.journey, [trained["churn"]])
    full(empty, "model_versions")
    with pytest.raises(MlflowException, match=r"no room|simulated\.cltv"):
        empty.register(business.journey, [trained["churn"], trained["cltv"]])
    assert versions(empty) == {"simulated.churn": {CHALLENGER: 1}}
    assert [one["version"] for one in registry.models("simulated", empty.uri)] == [1]


# Aliases


def test_a_rollback_makes_the_champion_before_champion_again(business, trained, empty):
    for _ in range(2):
        empty.register(business.journey, [trained["churn"]])
    with pytest.raises(InputError, match="no champion came before"):
        empty.rollback("simulated", "churn")
    empty.set_champion("simulated", "churn", 1)
    with pytest.raises(InputError, match="no champion came before"):
        empty.rollback("simulated", "churn")
    empty.client.set_registered_model_alias("simulated.churn", PREVIOUS, "1")  # the promotion of 2, killed here
    with pytest.raises(InputError, match="no champion came before"):
        empty.rollback("simulated", "churn")
    empty.set_champion("simulated", "churn", 2)
    assert versions(empty)["simulated.churn"] == {CHALLENGER: 2, CHAMPION: 2, PREVIOUS: 1}
    assert empty.rollback("simulated", "churn") == 1
    assert versions(empty)["simulated.churn"] == {CHALLENGER: 2, CHAMPION: 1, PREVIOUS: 2}


class Meanwhile:
    """A client of the registry; before its so many-eth call of all, somebody promotes version 4 by hand."""

    def __init__(self, client, call: int, promote) -> None:
        self._client, self._left, self._promote, self.came = client, call, promote, False

    def __getattr__(self, name: str):
        def called(*given):
            self._left -= 1
            if not self._left:
                self._promote()
                self.came = True
            return getattr(self._client, name)(*given)

        return called


def test_a_promotion_by_hand_during_a_rollback_is_not_lost(champions, tmp_path):
    """Wherever it comes, but between the last look and the call after it, which MLflow cannot make one."""
    hand = tracking_at(tmp_path, Path(champions.uri.removeprefix("sqlite:///")))
    add_versions(hand, 3)
    found, meanwhile = [], None
    while meanwhile is None or meanwhile.came:
        for number in (2, 3):
            hand.set_champion("simulated", "churn", number)
        meanwhile = Meanwhile(hand.client, len(found) + 1, lambda: hand.set_champion("simulated", "churn", 4))
        store = copy(hand)
        store.client = meanwhile
        with suppress(ChampionMovedError):
            store.rollback("simulated", "churn", (3, 2))
        marked = ROLLED_BACK in hand.version("simulated", "churn", 3).tags
        found.append((*hand.champions("simulated", "churn"), marked))
    assert found.pop() == (2, 3, True)  # nobody came
    assert found[0] == (4, 3, False)  # at first it is the roll-back that gives up; at last it was over
    assert found[-1] == (4, 2, True)
    assert Counter(found)[2, 3, True] == Counter(found)[4, 3, True] == 1  # the two calls that nobody guards
    assert set(found) == {(4, 3, False), (2, 3, True), (4, 2, True), (4, 3, True)}


def add_versions(store, more: int) -> None:
    """As many more versions of the churn champion; MLflow asks after its model by the address that is set for all."""
    mlflow.set_tracking_uri(store.uri)
    one = store.version("simulated", "churn", CHAMPION)
    for _ in range(more):
        store.client.create_model_version(one.name, one.source, one.run_id, {"digest": one.tags["digest"]})


def test_a_version_that_is_not_there_is_none(champions):
    assert champions.tracking.version("simulated", "churn", 99) is None
    assert champions.tracking.version("simulated", "nothing", CHAMPION) is None


def test_a_models_digest_is_that_of_its_files(champions, tmp_path):
    folder = folder_of(champions.tracking, "churn", tmp_path) / "artifacts" / "model"
    tags = champions.tracking.version("simulated", "churn", CHAMPION).tags
    assert digest(folder) == tags["digest"]
    assert Model.load(folder, tags["digest"]).task == "churn"


# kill -9


def test_a_promotion_that_is_killed_leaves_one_champion_a_task_and_a_server_that_answers(
    champions, tmp_path, moments, monkeypatch
):
    store = tracking_at(tmp_path, Path(champions.uri.removeprefix("sqlite:///")))
    # MLflow looks for the model of a new version where this process looks, whatever the client was told.
    monkeypatch.setattr("mlflow.tracking._tracking_service.utils._tracking_uri", store.uri)
    for task in TASKS:
        first = store.version("simulated", task, CHAMPION)
        store.client.create_model_version(first.name, first.source, first.run_id, tags=first.tags)
    with closing(Killing("promote")) as killing:
        for seconds in moments(0.4):
            told = [line.split() for line in killing.once(store.uri, seconds, of_first=True)]
            done = {task: int(number) for *before, task, number in told if not before}
            begun = {task: int(number) for *before, task, number in told[-1:] if before}
            found = registry.champions("simulated", store.uri)
            assert set(found) == set(TASKS)
            assert all(found[task] in (number, begun.get(task)) for task, number in done.items())
            assert set(found.values()) <= {1, 2}
            assert served(store.uri, tmp_path) == found


def served(uri: str, folder: Path) -> dict[str, int]:
    """The versions by which a server that starts now answers a prediction."""
    load = partial(registry.load, "simulated", uri, folder / "models")
    app = create_app(Settings("simulated", f"sqlite:///{folder}/scores.db"), load_scorer=load, list_models=list)
    with TestClient(app) as client:
        while (ready := client.get("/readyz")).status_code != 200:
            time.sleep(0.05)
        events = [{"time": "2024-02-01", "event": "purchase", "value": 9.5}]
        told = client.post("/v1/predictions", json={"customers": [{"customer_id": "n", "events": events}]})
        assert told.status_code == 200, told.text
    return ready.json()["versions"]
