"""The command line end to end, typed as a person types it, on a small shop."""

from __future__ import annotations

import csv
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import forked
import mlflow
import polars as pl
import pytest
from shop import DEFINITION, write_log

COMMAND = str(Path(sys.executable).with_name("journeycast"))


class Shell:
    """A folder with the shop's files in which commands run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "JOURNEYCAST"))}
        self.environment = {**inherited, "JOURNEYCAST_HOME": str(folder / "home")}

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return forked.run(arguments, self.folder, self.environment)

    def ok(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def refused(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 2, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    folder = tmp_path_factory.mktemp("shop")
    write_log(folder / "events.csv")
    (folder / "shop.yml").write_text(DEFINITION)
    return Shell(folder)


@pytest.fixture(scope="module")
def trained(shell: Shell) -> Shell:
    shell.ok("train", "shop.yml")
    shell.run("promote", "shop.yml", "--accept-grade", "C")
    shell.ok("score", "shop.yml")
    return shell


def test_help_lists_every_command_and_each_shows_an_example(shell: Shell) -> None:
    installed = [COMMAND, "--help"]  # all other commands here are forked
    listed = subprocess.run(installed, capture_output=True, text=True, check=True).stdout
    assert listed.replace(COMMAND, "journeycast") == shell.ok("--help")
    for command in (
        "check features train backtest promote rollback score parity at-risk export campaign sent contacts outcome"
        " worklist explain serve simulate demo"
    ).split():
        assert command in listed
        assert f"journeycast {command}" in shell.ok(command, "--help")


def test_check_reports_in_text_and_json(shell: Shell) -> None:
    assert "Check of the journey shop" in shell.ok("check", "shop.yml")
    report = json.loads(shell.ok("check", "shop.yml", "--json"))
    assert report["usable"] is True
    assert report["customers"] == 226


def test_features_writes_a_vector_per_customer(shell: Shell) -> None:
    shell.ok("features", "shop.yml", "-o", "vectors.parquet")
    vectors = pl.read_parquet(shell.folder / "vectors.parquet")
    assert vectors["customer_id"].n_unique() == len(vectors) == 226
    assert {"purchase_28d", "friction_28d", "last_rating", "stage"} <= set(vectors.columns)


def test_features_works_for_any_table_of_customers_and_cutoffs(shell: Shell) -> None:
    (shell.folder / "when.csv").write_text(
        "customer_id,cutoff\nc002,2024-06-01T00:00:00Z\nc002,2024-09-01\nnobody,2024-06-01\n"
    )
    shell.ok("features", "shop.yml", "-o", "some.parquet", "--cutoffs", "when.csv")
    some = pl.read_parquet(shell.folder / "some.parquet")
    assert some["customer_id"].to_list() == ["c002", "c002", "nobody"]
    assert some["tenure_days"][1] > some["tenure_days"][0]
    assert some["purchase_28d"][2] == 0
    assert some["tenure_days"][2] is None


def test_the_catalogue_is_printed_a_feature_a_line(shell: Shell) -> None:
    lines = shell.ok("features", "shop.yml", "--catalogue").splitlines()
    assert any(re.match(r"spend_28d\s+money\s+SPEND\s+money spent in the last 28 days", line) for line in lines)


def test_training_prints_metrics_beside_the_rules_and_registers_challengers(trained: Shell) -> None:
    again = trained.ok("train", "shop.yml", "--task", "churn")
    assert "days since the last purchase" in again
    assert re.search(r"Grade [ABCD]: log loss", again)


def test_a_backtest_prints_every_number_and_registers_nothing(trained: Shell) -> None:
    tracking = mlflow.MlflowClient(f"sqlite:///{trained.folder / 'home' / 'mlflow.db'}")
    before = len(tracking.search_model_versions())
    found = json.loads(trained.ok("backtest", "shop.yml", "--origins", "1", "--task", "churn", "--json"))
    assert [one["task"] for one in found] == ["churn"]
    assert len(found[0]["origins"]) == 1
    assert found[0]["origins"][0]["metrics"].keys() == found[0]["mean"].keys()
    assert len(tracking.search_model_versions()) == before


def test_promoting_the_champion_changes_nothing_and_is_no_failure(trained: Shell) -> None:
    said = trained.ok("promote", "shop.yml", "next_stage")
    assert "version 1 unchanged: version 1 is the champion already" in said


def test_the_list_can_be_printed_and_written(trained: Shell) -> None:
    assert "Customers with the largest expected loss" in trained.ok("at-risk", "shop.yml", "--top", "3")
    trained.ok("at-risk", "shop.yml", "--top", "3", "-o", "list.csv")
    with (trained.folder / "list.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    # The shop's CLTV is behind BG/NBD, which made its data, and is not promoted: no money in the list.
    assert [row["expected_loss"] for row in rows] == ["", "", ""]
    risks = [float(row["churn_probability"]) for row in rows]
    assert risks == sorted(risks, reverse=True)
    trained.ok("at-risk", "shop.yml", "--top", "3", "-o", "list.parquet")
    assert pl.read_parquet(trained.folder / "list.parquet")["customer_id"].to_list() == [r["customer_id"] for r in rows]


def test_a_customer_is_worked_on_and_left_alone_after_a_contact(trained: Shell) -> None:
    first = listed(trained, "--top", "1")[0]
    assert f"{first}: open" in trained.ok("worklist", "shop.yml", first)
    assert "assignee: Ann" in trained.ok("worklist", "shop.yml", first, "--status", "assigned", "--assignee", "Ann")
    said = trained.ok("worklist", "shop.yml", first, "--status", "contacted", "--channel", "phone")
    assert "suppressed: contacted" in said
    assert first not in listed(trained, "--top", "50")
    assert first in listed(trained, "--top", "50", "--include", "suppressed")
    assert "1 contacts lie after the log's end" in trained.ok("check", "shop.yml")


def listed(shell: Shell, *options: str) -> list[str]:
    """The ids of the list, in order."""
    shell.ok("at-risk", "shop.yml", *options, "-o", "listed.parquet")
    return pl.read_parquet(shell.folder / "listed.parquet")["customer_id"].to_list()


def test_a_list_is_as_long_as_a_budget_pays_for(trained: Shell) -> None:
    # Without money in the list there is no profit to sort by; a contact costs 1, the journey's default.
    options = ("--sort", "expected_loss", "--budget", "7.5")
    assert len(listed(trained, *options)) == 7
    assert len(listed(trained, *options, "--contact-cost", "2")) == 3


def test_a_campaign_goes_from_the_list_to_its_outcome(trained: Shell) -> None:
    made = trained.ok(
        "campaign",
        "shop.yml",
        "--name",
        "spring",
        "--capacity",
        "20",
        "--holdout",
        "0.3",
        "--seed",
        "1",
        "-o",
        "to.csv",
    )
    assert "Campaign 1, spring: 20 to contact" in made
    assert "Hold-out: cannot tell" in made
    with (trained.folder / "to.csv").open(encoding="utf-8-sig", newline="") as file:
        contacts = [row["customer_id"] for row in csv.DictReader(file)]
    assert len(contacts) == 20
    assert "it was not sent yet" in trained.refused("outcome", "shop.yml", "1")
    assert "20 of 20 contacts are in the event log" in trained.ok("sent", "shop.yml", "1", "--channel", "email")
    assert not set(contacts) & set(listed(trained, "--top", "50"))
    assert "days before the campaign's horizon ends" in trained.refused("outcome", "shop.yml", "1")


def test_one_customer_is_explained_in_text_and_json(trained: Shell) -> None:
    customer = json.loads(trained.ok("explain", "shop.yml", "c002", "--json"))
    assert customer["customer_id"] == "c002"
    assert "base: where every customer starts" in trained.ok("explain", "shop.yml", "c002")


def test_serving_answers_over_http_and_ends_when_told(trained: Shell, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [COMMAND, "serve", "shop.yml", "--port", str(port), "--workers", "2", "--log-format", "json"]
    told = tmp_path / "log"
    with (
        told.open("w") as log,
        subprocess.Popen(
            command, cwd=trained.folder, env=trained.environment, stdout=subprocess.DEVNULL, stderr=log
        ) as server,
    ):
        try:
            answer = json.loads(_get(f"http://127.0.0.1:{port}/v1/customers/c002"))
            metrics = _get(f"http://127.0.0.1:{port}/metrics").decode()
        finally:
            server.terminate()
            assert server.wait(120) == 0
    assert answer["journey"] == "shop"
    assert re.search(r'request_seconds_count\{.*customer_id.*status="200"\} 1.0', metrics)
    lines = [json.loads(line) for line in told.read_text(encoding="utf-8").splitlines()]
    *_, request = [line for line in lines if line.get("route") == "/v1/customers/{customer_id:path}"]
    assert (request["status"], len(request["request_id"])) == (200, 32)


def _get(url: str) -> bytes:
    for _ in range(1500):  # five minutes: other work may share the machine
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                return bytes(answer.read())
        except OSError:  # refused, reset or too slow
            time.sleep(0.2)
    raise AssertionError(f"no answer from {url}")


def test_a_taken_port_is_told_before_any_address_is_shown(trained: Shell) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert "is taken" in trained.refused("serve", "shop.yml", "--port", str(taken.getsockname()[1]))


def test_a_train_that_is_told_to_stop_registers_nothing(shell: Shell, tmp_path: Path) -> None:
    environment = {**shell.environment, "JOURNEYCAST_HOME": str(tmp_path)}
    with subprocess.Popen(
        [COMMAND, "train", "shop.yml"], cwd=shell.folder, env=environment, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr is not None
        while "logging to MLflow" not in running.stderr.readline():
            pass
        running.terminate()
        assert running.wait(300) == 130
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    client = mlflow.MlflowClient(store, registry_uri=store)
    assert client.search_registered_models() == []
    experiments = [one.experiment_id for one in client.search_experiments()]
    assert "RUNNING" not in [run.info.status for run in client.search_runs(experiments)]


def test_a_tracking_store_that_is_none_is_told(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("not a database, and long enough to be seen as something else than empty")
    odd = Shell(shell.folder)
    odd.environment["JOURNEYCAST_HOME"] = str(tmp_path)
    assert "MLFLOW_TRACKING_URI" in odd.refused("promote", "shop.yml")


def test_a_simulated_business_is_written_with_its_truth(shell: Shell) -> None:
    said = shell.ok("simulate", "-o", "sim.parquet", "--customers", "20", "--days", "60")
    assert "20 customers" in said
    assert (shell.folder / "sim.truth.parquet").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["check", "nowhere.yml"], "no such file"),
        (["features", "shop.yml"], "-o FILE.parquet"),
        (["features", "shop.yml", "-o", "x.csv"], "ends in .parquet"),
        (["features", "shop.yml", "-o", "x.parquet", "--cutoffs", "nowhere.csv"], "no file nowhere.csv"),
        (["train", "shop.yml", "--task", "joy"], "churn, next_stage, cltv"),
        (["promote", "shop.yml", "churn", "--accept-grade", "D"], "never promoted"),
        (["explain", "shop.yml", "nobody"], "nobody"),
        (["at-risk", "shop.yml", "--risk", "zzz"], "low, medium, high"),
        (["at-risk", "shop.yml", "--stage", "zzz"], "prospect, active, lapsed"),
        (["features", "shop.yml", "-o", "shop.yml/x.parquet"], "shop.yml"),
        (["features", "shop.yml", "-o", "x.parquet", "--cutoffs", "shop.yml"], "--cutoffs shop.yml"),
        (["at-risk", "shop.yml", "-o", "list.doc"], ".jsonl or .parquet"),
        (["at-risk", "shop.yml", "--sort", "profit"], "knows nobody's value"),
        (["at-risk", "shop.yml", "--sort", "beauty"], "expected_loss, profit"),
        (["at-risk", "shop.yml", "--top", "3", "--budget", "3"], "both --top and --budget"),
        (["at-risk", "shop.yml", "--reason", "LAZY"], "--reason"),
        (["at-risk", "shop.yml", "--include", "everyone"], "suppressed, snoozed"),
        (["campaign", "shop.yml"], "knows nobody's value"),
        (["campaign", "shop.yml", "--budget", "1", "--capacity", "1"], "both --budget and --capacity"),
        (["outcome", "shop.yml", "77"], "the id of a campaign of shop"),
        (["sent", "shop.yml", "77", "--at", "soon"], "--at"),
        (["worklist", "shop.yml", "nobody"], "one of the 226 customers"),
        (["worklist", "shop.yml", "c002", "--status", "busy"], "--status"),
        (["rollback", "shop.yml", "cltv"], "no champion came before"),
        (["serve", "shop.yml", "--host", "0.0.0.0"], "there are no keys"),
        (["serve", "shop.yml", "--rescore", "daily"], "a duration such as 24h"),
        (["serve", "shop.yml", "--webhook-network", "mine"], "a network such as 10.1.0.0/16"),
        (["score", "shop.yml", "--run", "77"], "asked for and is not written yet"),
        (["simulate", "-o", "sim.csv"], ".parquet"),
    ],
)
def test_what_a_user_can_mend_is_one_message_without_a_traceback(
    trained: Shell, arguments: list[str], told: str
) -> None:
    assert told in trained.refused(*arguments)


def test_without_a_model_scoring_says_what_to_run(shell: Shell, tmp_path: Path) -> None:
    fresh = Shell(shell.folder)
    fresh.environment["JOURNEYCAST_HOME"] = str(tmp_path)
    assert "journeycast train shop" in fresh.refused("score", "shop.yml")
    assert "journeycast score" in fresh.refused("at-risk", "shop.yml")


def test_the_loop_says_what_it_finds_and_why_nothing_is_due(trained: Shell) -> None:
    trained.ok("score", "shop.yml")
    told = trained.ok("outcomes", "shop.yml")
    assert "churn, to be expected: churn_rate" in told
    assert "No run's horizon is over yet" in told
    assert "an instant such as 2024-05-01" in trained.refused("outcomes", "shop.yml", "--at", "soon")
    assert "--run: 7" in trained.refused("outcomes", "shop.yml", "--run", "7")
    page = trained.run("drift", "shop.yml", "-o", "drift.html")
    assert page.returncode == (3 if "ALARM: " in page.stdout else 0), page.stderr
    assert "<h1>Drift of shop" in (trained.folder / "drift.html").read_text()
    assert "days ago, 90d are allowed" in trained.ok("retrain", "shop.yml")
    assert "a whole number and one of s, m, h, d, w" in trained.refused("retrain", "shop.yml", "--every", "weekly")
