"""A business's own features: found, checked, joined to the catalogue, and never brought by a model."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from shop import DEFINITION, write_log
from spec import log, pairs, to_microseconds, utc

from features.catalogue import catalogue, digest
from features.definition import read
from features.engine import build
from features.errors import InputError
from features.log import read as read_log

OWN = """
import narwhals as nw

from features.aggregates import count, highest, share
from features.families.tables import conversions
from features.feature import Feature, Table


def tickets(journey):
    def derive(events, here):
        rows = events.filter(nw.col("event") == "ticket").with_columns(one=nw.lit(1))
        return here.running(rows, number="one")

    return Table("tickets", derive)


def features(journey):
    return (
        Feature("large_orders_share", "share of the orders above 40", "share", "ORDER_VALUE",
                share(nw.col("value") > 40), of=conversions(journey), says="{value} of the orders are large"),
        Feature("tickets_so_far", "tickets so far", "count", "FRICTION", highest("number"), 0.0, tickets(journey),
                "{value} tickets so far"),
    )
"""
ONE = """
from features.aggregates import count
from features.feature import Feature, Table

FEATURES = (Feature({}),)
"""
PLAIN = '"late_count", "a sentence", "count", "HABIT", count(), 0.0'
NOW = utc(2024, 6, 30)


def journey_with(folder: Path, module: str | None, name: str = "own.py"):
    """The shop's journey, which names a module with this text."""
    (folder / "shop.yml").write_text(f"{DEFINITION}\nfeatures: {name}\n", encoding="utf-8")
    if module is not None:
        (folder / name).write_text(module, encoding="utf-8")
    journey, _ = read(folder / "shop.yml")
    return journey.model_copy(update={"types": ["purchase", "ticket"], "observed_until": NOW})


def refusal(folder: Path, module: str | None, name: str = "own.py") -> str:
    """What a user is told of a module that cannot be used."""
    with pytest.raises(InputError, match=r"^features: ") as caught:
        catalogue(journey_with(folder, module, name))
    return str(caught.value)


def test_own_features_stand_after_ours_and_are_built_like_them(tmp_path):
    journey = journey_with(tmp_path, OWN)
    features = catalogue(journey)
    assert [feature.name for feature in features[-2:]] == ["large_orders_share", "tickets_so_far"]
    events = log(
        """
        day | event    | value | known_at
        -30 | purchase | 50    |
        -20 | ticket   |       |
        -10 | purchase | 20    |
         -9 | ticket   |       | 0
         -5 | purchase | 90    |
         +1 | ticket   |       |
        """,
        now=NOW,
    )
    (row,) = build(events, pairs(["c"], [to_microseconds(NOW)]), journey.own.features(journey)).to_dicts()
    assert row["large_orders_share"] == pytest.approx(2 / 3)
    assert row["tickets_so_far"] == 1


def test_a_tuple_serves_where_nothing_follows_from_the_journey(tmp_path):
    assert catalogue(journey_with(tmp_path, ONE.format(PLAIN)))[-1].name == "late_count"


def test_a_module_may_be_an_installed_one(tmp_path, monkeypatch):
    (tmp_path / "our_business").mkdir()
    (tmp_path / "our_business" / "columns.py").write_text(ONE.format(PLAIN), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert catalogue(journey_with(tmp_path, None, "our_business.columns"))[-1].name == "late_count"
    assert "our_business.columns" in sys.modules


def test_the_log_of_the_journey_has_them_too(tmp_path):
    write_log(tmp_path / "events.csv", customers=20)
    journey_with(tmp_path, OWN)
    journey, _ = read_log(*read(tmp_path / "shop.yml"), threads=1)
    assert catalogue(journey)[-1].name == "tickets_so_far"


def test_the_fingerprint_of_features_changes_with_the_text_of_the_module(tmp_path):
    before = digest(catalogue(journey_with(tmp_path, OWN)))
    assert digest(catalogue(journey_with(tmp_path, OWN))) == before
    changed = OWN.replace('== "ticket"', '!= "ticket"')  # in a derivation, which no definition shows
    assert digest(catalogue(journey_with(tmp_path, changed))) != before


def test_the_module_runs_from_its_text_and_leaves_nothing_beside_it(tmp_path):
    journey_with(tmp_path, OWN)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own.py", "shop.yml"]


def test_the_module_is_no_part_of_what_is_logged_with_a_model(tmp_path):
    journey = journey_with(tmp_path, OWN)
    logged = journey.model_dump(mode="json", by_alias=True)
    assert logged["features"] == "own.py"
    again = type(journey).model_validate(logged)
    with pytest.raises(InputError, match="the module is not loaded: a model names it and never brings it"):
        catalogue(again)
    assert catalogue(again.with_own(journey.own))[-1].name == "tickets_so_far"


def test_a_missing_file_is_named(tmp_path):
    assert "features: own.py: no file" in refusal(tmp_path, None)


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("x = 1", "defines neither FEATURES nor features"),
        ("FEATURES = {}", "FEATURES is of type dict"),
        ("FEATURES = (1,)", "1 among the features"),
        ("import nothing_of_this_name", "own.py line 1, ModuleNotFoundError"),
        ("def features(journey:\n  pass", "line 1, SyntaxError"),
        ("\n\ndef features(journey):\n    return 1 / 0", "features(journey) fails: own.py line 4, ZeroDivisionError"),
        ("def features(journey):\n    return None", "TypeError: 'NoneType' object is not iterable"),
        (ONE.format(PLAIN.replace('"HABIT"', '"MOOD"')), "feature 'late_count': reason 'MOOD'"),
        (ONE.format(PLAIN.replace('"count", "HABIT"', '"weeks", "HABIT"')), "feature 'late_count': unit 'weeks'"),
        (ONE.format(PLAIN.replace("late_count", "late: count")), "feature 'late: count': not a name"),
        (ONE.format(PLAIN.replace("a sentence", " ")), "feature 'late_count': no description"),
        (ONE.format(PLAIN.replace("late_count", "recency_days")), "two features are named recency_days"),
        (ONE.format(PLAIN.replace("late_count", "p_alive")), "two features are named p_alive"),
        (ONE.format(f"{PLAIN}, usual='mood_mean'"), "usual 'mood_mean' is no feature"),
        (
            ONE.format(f"{PLAIN}, of=Table('conversions', lambda rows, _: rows)"),
            "feature 'late_count': of another table named 'conversions'",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place(module, said, tmp_path):
    assert said in refusal(tmp_path, module)


def test_a_name_that_is_no_module_is_refused(tmp_path):
    assert "neither a path nor a module" in refusal(tmp_path, None, "own features")
    assert "cannot be imported" in refusal(tmp_path, None, "nothing.of.this_name")


def test_models_are_served_with_the_module_they_learned_from_and_no_other(tmp_path):
    from serving.scorer import Scorer, Served
    from training.recipe import Recipe
    from training.train import train

    write_log(tmp_path / "events.csv", customers=150)
    journey_with(tmp_path, OWN)
    journey, events = read_log(*read(tmp_path / "shop.yml"), threads=1)
    recipe = Recipe(rounds_at_most=5, rows_per_leaf=20, leaves=7)
    (trained,) = train(journey, events, ["churn"], recipe, 1, lambda _: None)
    assert "tickets_so_far" in trained.model.encoding.names
    served = {"churn": Served(trained.model, 1)}
    assert Scorer(served, own=journey.own).features[-1].name == "tickets_so_far"
    with pytest.raises(InputError, match="the module is not loaded"):
        Scorer(served)
    with pytest.raises(InputError, match="trained with other feature definitions than this journey"):
        Scorer(served, own=replace(journey.own, digest="0"))
