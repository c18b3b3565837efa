"""Promotion: by grade, and by recipes compared at the same cutoffs."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from shop import DEFINITION, read_shop, write_log
from trained import shop_of_chance, tracking_at

from features.catalogue import catalogue, digest
from features.definition import read as read_journey
from features.journey import Journey
from features.log import read
from features.schema import DAY
from serving import registry
from training.promote import Accepted, ahead, promote
from training.recipe import Recipe
from training.renewal import asked_else, same_features, same_recipe
from training.tracking import CHAMPION
from training.train import train

GRADE_C = Accepted(grade_c=True)
GOOD = Recipe(learning_rate=0.2, leaves=7, rounds_at_most=40)
POOR = Recipe(learning_rate=0.001, rounds_at_most=1)
EARLIER = "observed_until: 2024-11-25T00:00:00Z"
LATER = "observed_until: 2024-12-28T00:00:00Z"
BANDS = "risk_bands: {medium: 0.1, high: 0.3}"
VERSIONS = {1: ((LATER,), GOOD), 2: ((LATER,), POOR), 3: ((EARLIER,), GOOD), 4: ((LATER, BANDS), GOOD)}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A shop large enough to tell recipes apart: its journey and log by definition."""
    folder = tmp_path_factory.mktemp("shop")
    write_log(folder / "events.csv", customers=2000)
    kept = {}

    def found(*lines):
        if lines not in kept:
            (folder / "shop.yml").write_text("\n".join([DEFINITION, *lines]))
            kept[lines] = read(*read_journey(folder / "shop.yml"), threads=1)
        return kept[lines]

    return found


@pytest.fixture(scope="module")
def made(shop):
    """Models by task, recipe and definition, each trained once."""
    kept = {}

    def model(*lines, task="churn", recipe=GOOD):
        if (lines, task, recipe) not in kept:
            kept[lines, task, recipe] = train(*shop(*lines), [task], recipe, 1, lambda _: None)
        return kept[lines, task, recipe]

    return model


@pytest.fixture(scope="module")
def registered(shop, made, blank, tmp_path_factory):
    """The database of a store with four versions and no champion yet."""
    folder = tmp_path_factory.mktemp("registered")
    tracking = tracking_at(folder, blank)
    for lines, recipe in VERSIONS.values():
        tracking.register(shop(*lines)[0], made(*lines, recipe=recipe))
    return folder / "mlflow.db"


@pytest.fixture
def store(registered, tmp_path):
    """Those versions in a store of the test's own."""
    return tracking_at(tmp_path, registered)


def decide(tracking, shop, *lines, task="churn", **more):
    """The decision with the log of this definition."""
    return promote(tracking, "shop", lambda: shop(*lines), task, **more)


def unread():
    raise AssertionError("the log is read only where recipes differ")


def champion(tracking, task="churn"):
    return int(tracking.version("shop", task, CHAMPION).version)


# By grade


def test_a_first_champion_needs_only_its_grade(store, made):
    decision = promote(store, "shop", unread, "churn", number=1)
    assert (decision.name, decision.version, decision.promoted) == ("shop.churn", 1, True)
    assert decision.words == f"first champion: {made(LATER)[0].model.about['grade']['words']}"
    assert champion(store) == 1
    again = promote(store, "shop", unread, "churn", number=1)
    assert (again.promoted, again.idle, again.words) == (False, True, "version 1 is the champion already")


def test_without_a_number_the_challenger_is_meant(store):
    assert promote(store, "shop", unread, "churn", accepted=GRADE_C).version == 4


def test_where_there_is_no_challenger_the_way_out_is_named(empty):
    decision = promote(empty, "shop", unread, "churn")
    assert (decision.version, decision.promoted) == (None, False)
    assert decision.words == "there is no challenger; run `journeycast train shop`"
    assert promote(empty, "shop", unread, "churn", number=3).words.startswith("there is no version 3")


def test_a_model_not_told_apart_from_a_rule_is_promoted_only_where_that_is_accepted(empty, tmp_path):
    journey, log = shop_of_chance(tmp_path)
    trained = train(journey, log, ["churn"], GOOD, 1, lambda _: None)
    assert trained[0].model.about["grade"]["letter"] == "C"
    empty.register(journey, trained)
    decision = promote(empty, "shop", unread, "churn")
    assert not decision.promoted
    assert decision.words.startswith("not told apart from the best simple rule: C: log loss")
    assert decision.words.endswith("--accept-grade C promotes it all the same")
    assert empty.version("shop", "churn", CHAMPION) is None
    assert promote(empty, "shop", unread, "churn", accepted=GRADE_C).promoted
    assert champion(empty) == 1


def test_a_model_behind_a_rule_is_never_promoted(empty, tmp_path):
    journey, log = read_shop(tmp_path)
    trained = train(journey, log, ["cltv"], POOR, 1, lambda _: None)
    assert trained[0].model.about["grade"]["letter"] == "D"
    empty.register(journey, trained)
    decision = promote(empty, "shop", unread, "cltv", accepted=GRADE_C)
    assert not decision.promoted
    assert decision.words.startswith("behind the best simple rule: D: Tweedie deviance")
    assert empty.version("shop", "cltv", CHAMPION) is None


# By recipe


def losses(made, *recipes):
    """The log losses on the newer log, as the words of a decision write them."""
    return [f"{made(LATER, recipe=recipe)[0].model.about['metrics']['log_loss']:.4f}" for recipe in recipes]


def test_a_poorer_recipe_is_refused_in_words(store, shop, made):
    store.set_champion("shop", "churn", 1)
    decision = decide(store, shop, LATER, number=2, accepted=GRADE_C)
    ours, theirs = losses(made, POOR, GOOD)
    assert (decision.version, decision.promoted) == (2, False)
    told = f"not ahead of the champion: log loss {ours} against the champion's {theirs} at the same cutoffs"
    assert decision.words.startswith(told)
    assert champion(store) == 1


def test_a_better_recipe_is_promoted_and_can_be_rolled_back(store, shop, made):
    store.set_champion("shop", "churn", 2)
    decision = decide(store, shop, LATER, number=1)
    ours, theirs = losses(made, GOOD, POOR)
    assert decision.promoted, decision.words
    assert decision.words.startswith(f"log loss {ours} against the champion's {theirs} at the same cutoffs")
    assert champion(store) == 1
    assert store.rollback("shop", "churn") == 2
    assert champion(store) == 2


def test_a_recipe_ahead_by_less_than_chance_would_put_it_is_refused(store, shop, made):
    # The same recipe by two other seeds: one of them is ahead, by a sliver. Only its recipe is read of a version.
    one = made(LATER)[0]
    for seed in (8, 9):
        about = one.model.about | {key: {**one.model.about[key], "seed": seed} for key in ("recipe", "asked_recipe")}
        store.register(shop(LATER)[0], [replace(one, model=replace(one.model, about=about))])
    leads = []
    for standing, number in ((5, 6), (6, 5)):
        store.set_champion("shop", "churn", standing)
        decision = decide(store, shop, LATER, number=number)
        assert not decision.promoted, decision.words
        lead = re.search(r"([-.\d]+) % ahead \(95 %: ([-.\d]+) to ([-.\d]+)\)", decision.words)
        leads.append([float(part) for part in lead.groups()])
    assert max(ahead for ahead, _, _ in leads) > 0
    assert all(low < 0 < high for _, low, high in leads)


def test_a_champion_gains_nothing_from_having_been_refitted_on_later_data(store, shop, made):
    store.set_champion("shop", "churn", 2)
    decision = decide(store, shop, LATER, number=3, accepted=GRADE_C)
    # Both are grown anew up to the same day: the losses are those of two trainings on the newer log.
    ours, theirs = losses(made, GOOD, POOR)
    assert decision.promoted, decision.words
    assert decision.words.startswith(f"log loss {ours} against the champion's {theirs} at the same cutoffs")


def test_a_challenger_ahead_by_less_than_its_interval_is_refused():
    theirs, customers = np.linspace(0.3, 0.6, 40), np.arange(40)
    promoted, words = ahead(theirs + np.tile([0.2, -0.22], 20), theirs, customers, "churn")
    assert not promoted
    assert re.search(r"^not ahead of the champion: .* [1-9]\.\d % ahead \(95 %: -\d+\.\d to \d+\.\d\)$", words), words
    promoted, words = ahead(theirs - 0.01, theirs, customers, "churn")
    assert promoted
    assert words.startswith("log loss")


# Renewals


def test_the_same_recipe_is_promoted_on_newer_data_and_only_then(store, shop):
    store.set_champion("shop", "churn", 3)
    decision = decide(store, shop, LATER, number=1)
    assert decision.promoted, decision.words
    assert decision.words.startswith("same recipe; trained up to 2024-11-30T00:00:00Z, the champion up to 2024-10-28T")
    assert "at 1 cutoff after all it learned from the champion is not ahead" in decision.words
    back = promote(store, "shop", unread, "churn", number=3, accepted=GRADE_C)
    assert (back.promoted, champion(store)) == (False, 1)
    assert back.words.endswith("nothing newer")


def test_a_renewal_from_a_feed_that_lost_events_is_refused(store, shop):
    # Six in ten purchases of the last 90 days were missing when the challenger was trained; they have come since.
    journey, log = shop(LATER)
    held = pl.col("time") > journey.observed_until_microseconds - 90 * DAY
    lost = (pl.col("event") == "purchase") & held & (pl.int_range(pl.len()) % 10 < 6)
    (broken,) = train(journey, replace(log, events=log.events.filter(~lost)), ["churn"], GOOD, 1, lambda _: None)
    store.register(journey, [broken])
    store.set_champion("shop", "churn", 3)
    decision = decide(store, shop, LATER, accepted=GRADE_C)
    assert not decision.promoted
    assert "behind the champion on cutoffs it never saw: the challenger has log loss" in decision.words
    assert champion(store) == 3


def test_bands_are_no_other_question_and_are_renewed(store, shop):
    store.set_champion("shop", "churn", 1)
    decision = decide(store, shop, LATER, number=4)
    assert decision.promoted
    assert "the journey changed (risk_bands)" in decision.words
    assert decision.words.endswith("no horizon has passed since then: nothing to compare them on yet")


def other_question(about, **changed):
    return about | {"journey": about["journey"] | changed}


def test_another_question_is_named_by_its_place(made):
    about = made(LATER)[0].model.about
    tasks = about["journey"]["tasks"]
    other = other_question(about, tasks=tasks | {"churn": tasks["churn"] | {"no": "ticket"}})
    assert asked_else("churn", other, about) == ["tasks.churn"]
    assert asked_else("cltv", other, about) == []
    fewer = {name: rule for name, rule in about["journey"]["stages"].items() if name != "lapsed"}
    assert asked_else("churn", other_question(about, stages=fewer), about) == ["stages"]
    assert asked_else("churn", about | {"classes": ["new"]}, about) == ["stages"]
    assert asked_else("churn", other_question(about, types=["other"], observed_until=None), about) == []


def test_another_question_is_promoted_only_where_that_is_accepted(store, shop, made):
    (trained,) = made(LATER)
    tasks = trained.model.about["journey"]["tasks"]
    changed = other_question(trained.model.about, tasks=tasks | {"churn": tasks["churn"] | {"no": "ticket"}})
    store.register(shop(LATER)[0], [replace(trained, model=replace(trained.model, about=changed))])
    store.set_champion("shop", "churn", 3)
    refused = promote(store, "shop", unread, "churn")
    assert (refused.promoted, champion(store)) == (False, 3)
    assert "(tasks.churn changed) and cannot be compared with it; --accept-definition" in refused.words
    accepted = promote(store, "shop", unread, "churn", accepted=Accepted(definition=True))
    assert (accepted.promoted, champion(store)) == (True, accepted.version)
    assert "promoted by its grade, compared with nothing" in accepted.words


def test_columns_that_come_with_the_log_are_no_contest(made, shop):
    journey, now = shop(LATER)[0], made(LATER)[0].model.about
    then = other_question(now, types=["purchase"], channels=["store"])
    resolved = Journey.model_validate(then["journey"])
    then["features"] = digest(catalogue(resolved))
    assert then["features"] != now["features"]
    assert same_features(now, then, journey)
    assert not same_features(now, then | {"features": "of another version"}, journey)
    longer = other_question(then, windows=["28d"])
    longer["features"] = digest(catalogue(Journey.model_validate(longer["journey"])))
    assert not same_features(now, longer, journey)


def test_a_recipe_that_was_cut_to_few_rows_is_the_same_recipe():
    few = {"recipe": GOOD.for_rows(100).to_json(), "asked_recipe": GOOD.to_json()}
    assert same_recipe(few, {"recipe": GOOD.to_json()})
    assert not same_recipe({"recipe": GOOD.for_rows(100).to_json()}, {"recipe": GOOD.to_json()})


# By recipe again: who has seen the test


def test_an_overfit_champion_that_has_seen_the_test_cutoffs_loses_all_the_same(shop, empty):
    # Refitted on everything, it knows the test rows nearly by heart; its recipe is judged without them.
    journey, log = shop(LATER)
    greedy = Recipe(learning_rate=0.3, leaves=31, rows_per_leaf=2, lambda_l2=0.0, rounds_at_most=40, patience=40)
    by_heart, careful = (train(journey, log, ["churn"], recipe, 1, lambda _: None)[0] for recipe in (greedy, GOOD))
    churned = careful.assessment.labels

    def loss_of(model):
        p = model.predict(careful.test_rows)[:, 0]
        return float(-np.mean(churned * np.log(p) + (1 - churned) * np.log1p(-p)))

    assert loss_of(by_heart.model) < loss_of(careful.judged)
    for one in (by_heart, careful):
        empty.register(journey, [one])
    empty.set_champion("shop", "churn", 1)
    decision = decide(empty, shop, LATER, number=2)
    assert decision.promoted, decision.words
    assert f"against the champion's {by_heart.assessment.metrics['log_loss']:.4f}" in decision.words


# The reason, where people look for it


def test_a_decision_is_kept_in_words_with_the_version(store, shop):
    store.set_champion("shop", "churn", 1)
    refused = decide(store, shop, LATER, number=2, accepted=GRADE_C)
    renewed = decide(store, shop, LATER, number=4)
    listed = {one["version"]: one for one in registry.models("shop", store.uri)}
    assert (listed[2]["decision"], listed[2]["decision_words"]) == ("not promoted", refused.words)
    assert (listed[4]["decision"], listed[4]["decision_words"]) == ("promoted", renewed.words)
    assert listed[3]["decision"] is None
    promote(store, "shop", unread, "churn", number=4)  # asking again about a champion decides nothing
    assert store.version("shop", "churn", 4).tags["decision_words"] == renewed.words
    store.rollback("shop", "churn")
    listed = {one["version"]: one for one in registry.models("shop", store.uri)}
    assert listed[1]["decision_words"] == "rolled back to from version 4"
    rolled_back = "rolled back: version 1 is champion again"
    assert (listed[4]["decision"], listed[4]["decision_words"]) == ("rolled back", rolled_back)


def test_a_champion_that_is_moved_while_it_is_compared_is_decided_on_anew(store, shop):
    store.set_champion("shop", "churn", 1)
    asked = []

    def read_slowly():
        """The log; somebody makes the wanted version champion meanwhile."""
        asked.append(store.set_champion("shop", "churn", 4))
        return shop(LATER)

    decision = promote(store, "shop", read_slowly, "churn", number=4)
    assert (len(asked), decision.idle, decision.words) == (1, True, "version 4 is the champion already")


def test_a_version_rolled_back_is_promoted_again_only_by_its_number(store, shop):
    store.set_champion("shop", "churn", 1)
    assert decide(store, shop, LATER, number=4).promoted
    store.rollback("shop", "churn")
    decision = promote(store, "shop", unread, "churn")
    assert (decision.version, decision.promoted, champion(store)) == (4, False, 1)
    assert decision.words == "it was rolled back to version 1; give its number to promote it all the same"
    assert store.version("shop", "churn", 4).tags["decision"] == "rolled back"
    assert decide(store, shop, LATER, number=4).promoted
    assert "rolled_back" not in store.version("shop", "churn", 4).tags
