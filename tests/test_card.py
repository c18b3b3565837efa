"""The model card: what it says of a trained task."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import bazaar
import pytest

from features.feature import REASONS
from features.journey import Churn, Cltv, Journey, NextStage, Rule
from training.card import card
from training.card_json import card_json
from training.card_segments import segment_tables
from training.card_task import asked, cell, limits, reading, target
from training.plots_shap import importances
from training.segments import Segment
from training.train import Trained

TASKS = ("churn", "next_stage", "cltv")
SECTIONS = ["What it predicts", "Data", "Measured beside simple rules", "Predicted and true", "Where it is worse"]
SECTIONS += ["Time blocks", "What moves it", "Limits", "How to read it"]


@pytest.fixture(scope="module")
def tasks() -> dict[str, Trained]:
    return bazaar.trained()


@pytest.fixture(scope="module")
def cards(tasks: dict[str, Trained]) -> dict[str, str]:
    return {name: card(found) for name, found in tasks.items()}


def _journey(**fields: Any) -> Journey:
    fields = {
        "journey": "shop",
        "events": [{"file": "a.csv"}],
        "tasks": {"churn": {"no": "buy", "within": "28d"}},
    } | fields
    return Journey.model_validate(fields)


def _table(text: str, first: str) -> list[list[str]]:
    """The cells of the table whose header begins with `first`; an escaped pipe stays in its cell."""
    lines = text.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith(f"| {first}"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([c.strip() for c in line.replace("\\|", "\0").strip("|").split("|")])
    return rows


@pytest.mark.parametrize("task", TASKS)
def test_a_card_has_every_section_in_order(task: str, cards: dict[str, str]) -> None:
    assert [line[3:] for line in cards[task].splitlines() if line.startswith("## ")] == SECTIONS
    assert cards[task].startswith(f"# bazaar.{task}\n\n**Grade ")


@pytest.mark.parametrize("task", TASKS)
def test_the_model_stands_beside_every_rule_with_every_metric(
    task: str, tasks: dict[str, Trained], cards: dict[str, str]
) -> None:
    about = tasks[task].model.about
    header, _, ours, *rules = _table(cards[task], " |")
    assert len(rules) == len(about["rules"])
    assert {len(row) for row in (header, ours, *rules)} == {len(header)}
    shared = next(iter(about["rules"].values()))
    assert len(header) == len(shared) + 1
    assert ours[0] == "**this model**"


def test_a_card_of_values_tells_the_coverage_by_fifths(tasks: dict[str, Trained], cards: dict[str, str]) -> None:
    coverage = tasks["cltv"].model.about["metrics"]["coverage"]
    assert f"Intervals state 80 % and held {100 * coverage:.0f} % of the values" in cards["cltv"]
    assert "Intervals state" not in cards["churn"]


def test_the_blocks_are_those_of_the_training(tasks: dict[str, Trained], cards: dict[str, str]) -> None:
    blocks = tasks["churn"].model.about["blocks"]
    rows = {row[0]: row for row in _table(cards["churn"], "block")[2:]}
    assert list(rows) == ["trees", "stop", "calibrate", "test"]
    assert rows["trees"][2:] == [str(len(blocks["trees"])), blocks["trees"][0], blocks["trees"][-1]]


@pytest.mark.parametrize("task", TASKS)
def test_reasons_are_told_in_words_with_shares_of_about_one(task: str, cards: dict[str, str]) -> None:
    rows = _table(cards[task].split("## What moves it")[1], "reason code")[2:]
    assert all(words == REASONS[code] for code, words, *_ in rows)
    shares = [int(row[2].removesuffix(" %")) for row in rows]
    assert shares == sorted(shares, reverse=True)
    assert 93 <= sum(shares) <= 107


def test_what_moves_churn_most_is_told_with_its_direction(cards: dict[str, str]) -> None:
    told = cards["churn"].split("## What moves it")[1].strip().splitlines()[0]
    assert told.startswith("What moves the chance of churn most is ")
    assert "of all effects: the higher, the more)" in told
    assert "the higher, the" not in cards["next_stage"].split("## What moves it")[1].split("##")[0]


@pytest.mark.parametrize("task", TASKS)
def test_every_segment_stands_beside_the_rule_with_its_verdict(
    task: str, tasks: dict[str, Trained], cards: dict[str, str]
) -> None:
    section = cards[task].split("## Where it is worse")[1].split("## Time blocks")[0]
    for dimension in ("stage", "channel", "tenure"):
        rows = _table(section, dimension)[2:]
        found = [one for one in tasks[task].segments if one.dimension == dimension]
        assert [row[0].replace("\0", "\\|") for row in rows] == [cell(one.value) for one in found]
        assert [row[-1].strip("*") for row in rows] == [one.verdict for one in found]
        assert sum(int(row[2].replace(",", "")) for row in rows) == len(tasks[task].assessment.labels)


@pytest.mark.parametrize("task", TASKS)
def test_the_groups_of_the_calibration_plot_stand_in_the_card(task: str, cards: dict[str, str]) -> None:
    section = cards[task].split("## Predicted and true")[1]
    assert f"]({'deciles' if task == 'cltv' else 'calibration'}.png)" in section
    assert len(_table(section, "group")) == 2 + 10


@pytest.mark.parametrize("task", TASKS)
def test_the_card_is_json_too(task: str, tasks: dict[str, Trained]) -> None:
    found = card_json(tasks[task], importances(tasks[task]))
    told = json.loads(json.dumps(found, allow_nan=False))
    assert told["name"] == f"bazaar.{task}"
    assert told["metrics"] == tasks[task].model.about["metrics"]
    assert len(told["calibration"]) == 10
    assert {one["verdict"] for one in told["segments"]} <= {"ahead", "not told apart", "behind", "too small"}
    for part in told["what_moves_it"]:
        assert sum(feature["share"] for feature in part["features"]) == pytest.approx(1)
        assert {feature["direction"] for feature in part["features"]} <= {"raises", "lowers", "mixed"}
    assert told["limits"]
    assert told["how_to_read_it"]
    assert "\\" not in " ".join([told["target"], *told["limits"], *told["how_to_read_it"]])


def test_names_with_markdown_characters_break_no_table(cards: dict[str, str]) -> None:
    assert cell("a | b\n`c` *d*") == "a \\| b \\`c\\` \\*d\\*"
    assert r"active $x^2\_$ \| 常連" in cards["next_stage"]


def test_a_journey_that_says_it_is_simulated_gets_that_limit(cards: dict[str, str]) -> None:
    assert "The data are simulated" in cards["churn"]
    churn = Churn(no="buy", within=timedelta(days=28))
    assert "simulated" not in limits(churn, _journey(description="A shop"), {})


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (Churn(no="buy", within="28d"), "a customer has no 'buy' event in the 28 days from the cutoff."),
        (Churn(does="cancel", within="30d"), "a customer has a 'cancel' event in the 30 days from the cutoff."),
        (Cltv(sum="buy", within="8w", margin=0.3), "sum of the value of a customer's 'buy' events in the 56 days"),
        (Cltv(sum="buy", within="8w", margin=0.3), "from the cutoff, times a margin of 0.3, in EUR."),
        (Cltv(count="call", within="1d"), "The number of a customer's 'call' events in the 1 days from the cutoff."),
        (NextStage(**{"in": "28d"}), "Stages: new, old."),
    ],
)
def test_what_is_predicted_is_told_in_words(task: Churn | Cltv | NextStage, words: str) -> None:
    assert words in target(task, _journey(currency="EUR", stages={"new": {}, "old": {"any_of": ["buy"]}}))


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Rule(), "every customer with an event before the cutoff"),
        (Rule(any_of=["buy"], within="56d"), "customers with 1 or more 'buy' events in the 56 days before the cutoff"),
        (Rule(none_of=["end"]), "customers with no 'end' events before the cutoff"),
        (
            Rule(all_of=[Rule(any_of=["a", "b"], at_least=2), Rule(), Rule(none_of=["c"], at_least=3, within="7d")]),
            "customers with 2 or more 'a' or 'b' events and fewer than 3 'c' events in the 7 days before the cutoff",
        ),
    ],
)
def test_who_is_asked_about_is_told_in_words(rule: Rule, words: str) -> None:
    assert asked(rule) == words


def test_risk_bands_are_those_of_the_journey() -> None:
    journey = _journey(risk_bands={"medium": 0.15, "high": 0.4})
    about = {"metrics": {"ece": 0.02}, "frequencies": "came true"}
    assert "Risk is medium from 15 % and high from 40 %." in reading(Churn(no="buy", within="28d"), journey, about)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            "came true",
            "Of customers given 30 %, about 30 in 100 churn, not a verdict on one customer. On the test block",
        ),
        ("cannot be told", "so few customers cannot tell whether of those given 30 %"),
        ("did not come true", "more than chance explains: of those given 30 %, more or fewer than 30 in 100 may churn"),
    ],
)
def test_probabilities_are_frequencies_only_where_they_came_true(found: str, words: str) -> None:
    about = {"metrics": {"ece": 0.07}, "frequencies": found}
    told = reading(Churn(no="buy", within="28d"), _journey(), about)
    assert words in told
    assert "lay 7.0 points apart on average over ten groups of equal size (ECE)" in told


def test_segments_told_too_much_or_too_little_are_named_with_both_means(tasks: dict[str, Trained]) -> None:
    made = [
        Segment("region", value, 400, 400, 0.4, 0.2, 0.5, 0.6, "ahead", told)  # ahead of the rule, off all the same
        for value, told in (("north", "too much"), ("south|west", "too little"), ("east", "as it came"))
    ]
    text = segment_tables(replace(tasks["churn"], segments=tuple(made)))
    assert "It says too much for region north (predicted churn 40.0 %, churned 20.0 %)." in text
    assert "It says too little for region south\\|west (predicted" in text
    assert "for region east" not in text


def test_the_customers_asked_about_and_what_came_are_told_from_cutoff_to_cutoff(
    tasks: dict[str, Trained], cards: dict[str, str]
) -> None:
    about = tasks["churn"].model.about
    assert [one["cutoff"] for one in about["by_cutoff"]] == about["cutoffs"]
    assert sum(one["customers"] for one in about["by_cutoff"]) == about["rows"]
    newest = about["by_cutoff"][-1]
    assert f"customers were asked about at a cutoff, {newest['customers']:,} at the newest. Churned: " in cards["churn"]
    assert f" %, {100 * newest['base']:.1f} % at the newest." in cards["churn"]
    assert all(0 < one["base"] < 1 for one in tasks["next_stage"].model.about["by_cutoff"])
