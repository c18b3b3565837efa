"""The quality benchmarks run on samples, and their parts do what they say."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.lines import Lines
from benchmarks.quality import across, data, next_event, page
from benchmarks.quality.injected import FRICTION, SILENCE, injected
from benchmarks.quality.options import Options
from features.definition import read as read_journey
from features.log import read
from features.schema import DAY, EVENT, TIME
from training.examples import examples
from training.recipe import Recipe

LOGS = os.environ.get("JOURNEYCAST_LOGS", "")
QUICK = Recipe(learning_rate=0.3, leaves=4, rounds_at_most=8, patience=3)


def lines_of(path: Path) -> list[dict]:
    return [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.skipif(not LOGS, reason="JOURNEYCAST_LOGS does not name the folder of the next-event logs")
def test_the_next_event_runs_on_some_cases_of_a_public_log(tmp_path, monkeypatch):
    monkeypatch.setattr(next_event, "LOGS", ("helpdesk",))
    monkeypatch.setattr(next_event, "QUICK_CASES", 100)
    out = tmp_path / "lines.jsonl"
    next_event.run(Options(tmp_path, Path(LOGS), quick=True, out=out), Lines(out, targets=False))
    machine, told, untold = lines_of(out)
    assert "versions" in machine
    assert (told["target"], untold["met"]) == (None, None)
    assert 0.3 < told["value"] < 1


def tickets(cases: int = 40) -> pl.DataFrame:
    """Cases whose next event follows from the two before."""
    steps = [["open", "take", "close"], ["open", "wait", "take", "close"]]
    rows = [
        {"case_id": f"c{number:02}", "activity": step, "time": 1_700_000_000 + 10_000 * number + 60 * place}
        for number in range(cases)
        for place, step in enumerate(steps[number % 2])
    ]
    return pl.DataFrame(rows).with_columns(pl.from_epoch("time").cast(pl.Datetime("us")), resource=pl.lit("r"))


def test_a_gram_answers_by_the_longest_history_that_training_met(tmp_path):
    tickets().write_parquet(tmp_path / "helpdesk.parquet")
    journey, log = read(read_journey(next_event.HERE / "helpdesk.yml")[0], tmp_path)
    learn, test = next_event._divided(log.events, {f"c{number:02}": int(number < 4) for number in range(40)}, 1)
    # Only what follows `open` is open: the more frequent, the first of equals, is right in half of the cases.
    assert next_event._gram(learn, test) == pytest.approx(12 / 14)
    assert journey.tasks.next_event is not None


def cdnow_text(customers: int = 150) -> str:
    rng = np.random.default_rng(0)
    rows = [" customer_id  date number_of_cds  dollar_value"]
    for number in range(customers):
        for day in sorted(rng.integers(0, 545, rng.integers(1, 9))) if number % 3 else [number % 80]:
            date = np.datetime64("1997-01-01") + int(day)
            rows.append(f" {number:05} {str(date).replace('-', '')}  1   {10 + number % 7:.2f}")
    return "\n".join(rows)


@pytest.fixture
def cdnow(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "_inside", lambda *_: cdnow_text().encode())
    return data.cdnow(tmp_path)


def test_customers_are_answered_by_fits_that_did_not_learn_from_them(cdnow, monkeypatch):
    monkeypatch.setattr(across, "AMOUNT_RECIPES", {"usual": QUICK, "other": replace(QUICK, leaves=3)})
    monkeypatch.setattr(across, "PARTS", 2)
    monkeypatch.setattr(across, "FOLDS", 2)
    journey, log = read(read_journey(Path(across.__file__).with_name("cdnow.yml"))[0], cdnow)
    asked = examples(journey, log, ["cltv"])["cltv"]
    found = across.across(journey, log, asked, lambda true, ours: float(np.mean((true - ours) ** 2)))
    assert np.isfinite(found.predicted).all()
    assert np.ptp(np.bincount(found.fold)) <= 1
    assert set(found.recipes) <= {"usual", "other"}
    # Other labels in one fold leave the answers to that fold as they were.
    labels = np.where(found.fold == 1, asked.labels[::-1], asked.labels)
    again = across.across(journey, log, replace(asked, labels=labels), lambda true, ours: 0.0)
    first = across.across(journey, log, asked, lambda true, ours: 0.0)
    np.testing.assert_array_equal(again.predicted[found.fold == 1], first.predicted[found.fold == 1])


def calm_customer() -> pl.DataFrame:
    days = [10, 60, 80, 95]
    return pl.DataFrame(
        {
            "customer_id": "a",
            "time": [day * DAY for day in days],
            "event": "purchase",
            "value": 20.0,
            "channel": "web",
            "known_at": [day * DAY for day in days],
            "position": pl.Series(range(1, 5), dtype=pl.UInt32),
            "topic": None,
        },
        schema_overrides={"topic": pl.String},
    )


def test_trouble_and_silence_are_put_into_calm_histories():
    rows = pl.DataFrame({"customer_id": ["a", "b"], "cutoff": [100 * DAY, 100 * DAY]})
    told, cases, codes = injected(FRICTION, calm_customer(), rows)
    assert cases["customer_id"].to_list() == ["a"]
    assert codes == {"FRICTION"}
    assert told.filter(pl.col(EVENT) != "purchase")[EVENT].to_list() == ["ticket", "complaint"]
    assert told["position"].is_sorted()
    assert told[TIME].is_sorted()
    silent, _, _ = injected(SILENCE, calm_customer(), rows)
    assert (silent[TIME] // DAY).to_list() == [10, 60]


def test_the_page_shows_published_rule_and_ours_beside_one_another(tmp_path):
    detail = {"published": ".712", "rule": "past spend .6963", "each": [0.7, 0.72], "recipes": ["usual"]}
    line = {"name": "spend", "value": 0.71, "unit": "", "target": ">= 0.73", "met": False, "detail": detail}
    machine = {"machine": "M", "cpus": 2, "memory_gib": 23.5, "python": "3.11", "versions": {"numpy": "2"}}
    file = tmp_path / "lines.jsonl"
    file.write_text(json.dumps(machine) + "\n" + json.dumps(line) + "\n", encoding="utf-8")
    told = page.table(file).splitlines()
    assert told[2] == "| spend | .712 | past spend .6963 | 0.71 | >= 0.73: **missed** |"
    assert told[4] == "- spend: 0.7, 0.72; recipes usual"
    assert told[6] == "M, 2 CPUs, 23.5 GiB; Python 3.11, numpy 2."
