"""Promotion: by grade, and by recipes compared at the same cutoffs."""

from __future__ import annotations

import pytest
from shop import DEFINITION, write_log

from features.definition import read as read_journey
from features.log import read
from training.promote import promote
from training.recipe import Recipe
from training.tracking import CHAMPION
from training.train import train

GOOD = Recipe(learning_rate=0.2, leaves=7, rounds_at_most=40)
POOR = Recipe(learning_rate=0.001, rounds_at_most=1)
EARLIER = "observed_until: 2024-11-25T00:00:00Z"
LATER = "observed_until: 2024-12-28T00:00:00Z"


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


def decide(tracking, shop, *lines, task="churn", **more):
    """The decision with the log of this definition."""
    return promote(tracking, "shop", lambda: shop(*lines), task, **more)


def unread():
    raise AssertionError("the log is read only where recipes differ")


def champion(tracking, task="churn"):
    return int(tracking.version("shop", task, CHAMPION).version)


# By grade


def test_a_first_champion_needs_only_its_grade(empty, shop, made):
    empty.register(shop(LATER)[0], made(LATER))
    decision = promote(empty, "shop", unread, "churn")
    assert (decision.name, decision.version, decision.promoted) == ("shop.churn", 1, True)
    assert decision.words == f"first champion: {made(LATER)[0].model.about['grade']['words']}"
    assert champion(empty) == 1
    again = promote(empty, "shop", unread, "churn")
    assert (again.promoted, again.words) == (False, "version 1 is the champion already")


def test_where_there_is_no_challenger_the_way_out_is_named(empty):
    decision = promote(empty, "shop", unread, "churn")
    assert (decision.version, decision.promoted) == (None, False)
    assert decision.words == "there is no challenger; run `journeycast train shop`"
    assert promote(empty, "shop", unread, "churn", number=3).words.startswith("there is no version 3")


def noise(folder):
    """A shop whose events are dealt out to its customers at random."""
    import polars as pl

    write_log(folder / "events.csv", customers=200)
    dealt = pl.read_csv(folder / "events.csv").with_columns(pl.col("customer_id").shuffle(seed=1))
    dealt.write_csv(folder / "events.csv")
    (folder / "shop.yml").write_text(DEFINITION)
    return read(*read_journey(folder / "shop.yml"), threads=1)


def test_a_model_not_told_apart_from_a_rule_is_promoted_only_where_that_is_accepted(empty, tmp_path):
    journey, log = noise(tmp_path)
    trained = train(journey, log, ["churn"], GOOD, 1, lambda _: None)
    assert trained[0].model.about["grade"]["letter"] == "C"
    empty.register(journey, trained)
    decision = promote(empty, "shop", unread, "churn")
    assert not decision.promoted
    assert decision.words.startswith("not told apart from the best simple rule: C: log loss")
    assert decision.words.endswith("--accept-grade C promotes it all the same")
    assert empty.version("shop", "churn", CHAMPION) is None
    assert promote(empty, "shop", unread, "churn", accept_grade_c=True).promoted
    assert champion(empty) == 1


def test_a_model_behind_a_rule_is_never_promoted(empty, shop, made):
    trained = made(LATER, task="cltv", recipe=POOR)
    assert trained[0].model.about["grade"]["letter"] == "D"
    empty.register(shop(LATER)[0], trained)
    decision = promote(empty, "shop", unread, "cltv", accept_grade_c=True)
    assert not decision.promoted
    assert decision.words.startswith("behind the best simple rule: D: Tweedie deviance")
    assert empty.version("shop", "cltv", CHAMPION) is None


# By recipe


@pytest.fixture
def rivals(empty, shop, made):
    """Version 1 of the good recipe, version 2 of the poor one, both of the same log."""
    for recipe in (GOOD, POOR):
        empty.register(shop(LATER)[0], made(LATER, recipe=recipe))
    return empty


def losses(made, *recipes, lines=(LATER,)):
    return [f"{made(*lines, recipe=recipe)[0].model.about['metrics']['log_loss']:.4f}" for recipe in recipes]


def test_a_poorer_recipe_is_refused_in_words(rivals, shop, made):
    rivals.set_champion("shop", "churn", 1)
    decision = decide(rivals, shop, LATER, accept_grade_c=True)
    ours, theirs = losses(made, POOR, GOOD)
    assert (decision.version, decision.promoted) == (2, False)
    told = f"not ahead of the champion: log loss {ours} against the champion's {theirs} at the same cutoffs"
    assert decision.words.startswith(told)
    assert champion(rivals) == 1


def test_a_better_recipe_is_promoted_and_can_be_rolled_back(rivals, shop, made):
    rivals.set_champion("shop", "churn", 2)
    decision = decide(rivals, shop, LATER, number=1)
    ours, theirs = losses(made, GOOD, POOR)
    assert decision.promoted, decision.words
    assert decision.words.startswith(f"log loss {ours} against the champion's {theirs} at the same cutoffs")
    assert champion(rivals) == 1
    assert rivals.rollback("shop", "churn") == 2
    assert champion(rivals) == 2


def test_a_champion_gains_nothing_from_having_been_refitted_on_later_data(empty, shop, made):
    empty.register(shop(LATER)[0], made(LATER, recipe=POOR))
    empty.register(shop(EARLIER)[0], made(EARLIER))
    empty.set_champion("shop", "churn", 1)
    decision = decide(empty, shop, LATER)
    ours, theirs = losses(made, GOOD, POOR)
    assert decision.promoted, decision.words
    # Both are grown anew up to the same day: the losses are those of two trainings on the newer log.
    assert decision.words.startswith(f"log loss {ours} against the champion's {theirs} at the same cutoffs")


def test_the_same_recipe_is_promoted_on_newer_data_and_only_then(empty, shop, made):
    for lines in (EARLIER, LATER):
        empty.register(shop(lines)[0], made(lines))
    empty.set_champion("shop", "churn", 1)
    decision = promote(empty, "shop", unread, "churn", accept_grade_c=True)
    assert decision.promoted
    assert decision.words.startswith("same recipe; trained up to 2024-11-30")
    assert champion(empty) == 2
    back = promote(empty, "shop", unread, "churn", number=1, accept_grade_c=True)
    assert not back.promoted
    assert back.words.endswith("nothing newer")


def test_another_definition_is_promoted_since_its_champions_have_to_agree(empty, shop, made):
    bands = "risk_bands: {medium: 0.1, high: 0.3}"
    for lines in ((LATER,), (LATER, bands)):
        empty.register(shop(*lines)[0], made(*lines))
    empty.set_champion("shop", "churn", 1)
    decision = promote(empty, "shop", unread, "churn")
    assert decision.promoted
    assert "the journey's definition changed (risk_bands)" in decision.words
