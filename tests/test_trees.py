"""Growing trees: what each part learns from, when it stops, and that threads change nothing."""

import lightgbm as lgb
import numpy as np
import pytest

from training.recipe import Recipe
from training.trees import Grower, parts

ROWS, NAMES = 1200, ("first", "second", "noise")
RECIPE = Recipe(learning_rate=0.2, leaves=7, rows_per_leaf=20, rounds_at_most=40, patience=5)


def rows_of(task, seed=0, rows=ROWS):
    """A matrix with holes, and labels that two of its columns decide."""
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(rows, len(NAMES)))
    score = matrix[:, 0] + 0.5 * matrix[:, 1] + rng.normal(size=rows)
    matrix[rng.random(matrix.shape) < 0.1] = np.nan
    labels = {
        "churn": score > 0.3,
        "next_stage": np.digitize(score, [-0.5, 0.7]),
        "cltv": np.where(score > 0, np.exp(score + 2), 0.0),
    }
    return matrix, labels[task].astype(float)


def grower(task, recipe=RECIPE, threads=1):
    return Grower(task, 3, recipe, NAMES, threads)


def texts(grown):
    return [booster.model_to_string() for booster in grown.boosters]


@pytest.mark.parametrize("task", ["churn", "next_stage", "cltv"])
def test_the_same_seed_gives_the_same_trees_whatever_the_threads(task):
    fit, stop = rows_of(task), rows_of(task, seed=1)
    one, again, two = (texts(grower(task, threads=threads).until(fit, stop)) for threads in (1, 1, 2))
    assert one == again == two


def test_another_seed_gives_other_trees():
    fit = rows_of("churn")
    one = texts(grower("churn").rounds(fit, (5,)))
    other = texts(grower("churn", Recipe(seed=8, rows_per_leaf=20)).rounds(fit, (5,)))
    assert one != other


@pytest.mark.parametrize(("task", "boosters", "trees_a_round"), [("churn", 1, 1), ("next_stage", 1, 3), ("cltv", 2, 1)])
def test_a_task_has_its_boosters_with_the_rounds_asked_for(task, boosters, trees_a_round):
    rounds = tuple(range(4, 4 + boosters))
    grown = grower(task).rounds(rows_of(task), rounds)
    assert grown.rounds == rounds
    assert [b.num_trees() for b in grown.boosters] == [trees_a_round * count for count in rounds]
    assert grown.boosters[0].feature_name() == list(NAMES)


def test_growing_stops_at_the_round_that_was_best_on_other_rows():
    grown = grower("churn", Recipe(learning_rate=0.5, leaves=31, rows_per_leaf=5, patience=5)).until(
        rows_of("churn", rows=300), rows_of("churn", seed=1)
    )
    assert 1 <= grown.rounds[0] < 40
    assert grown.boosters[0].num_trees() == grown.rounds[0]


def test_where_there_is_nothing_to_learn_one_round_is_left():
    rng = np.random.default_rng(3)
    fit, stop = ((rng.normal(size=(400, 3)), rng.integers(0, 2, 400).astype(float)) for _ in range(2))
    assert grower("churn").until(fit, stop).rounds[0] <= 3


def test_the_amount_is_learned_from_those_who_spend():
    chance, amount = parts("cltv", 0)
    labels = np.array([0.0, 12.5, -3.0, 7.0])
    assert chance.rows(labels).tolist() == [True] * 4
    assert chance.targets("cltv", labels).tolist() == [0.0, 1.0, 0.0, 1.0]
    assert amount.rows(labels).tolist() == [False, True, False, True]
    matrix, values = rows_of("cltv")
    spending = values > 0
    whole = grower("cltv").rounds((matrix, values), (1, 6)).boosters[1]
    alone = grower("cltv").rounds((matrix[spending], values[spending]), (1, 6)).boosters[1]
    np.testing.assert_array_equal(whole.predict(matrix), alone.predict(matrix))


def test_few_rows_get_small_trees_and_the_recipe_is_kept_else():
    recipe = Recipe(rows_per_leaf=50)
    assert recipe.for_rows(1000) == recipe
    small = recipe.for_rows(200)
    assert (small.leaves, small.rows_per_leaf) == (4, 10)
    assert recipe.for_rows(10).rows_per_leaf == 5
    assert Recipe.read(recipe.to_json()) == recipe


def test_few_amounts_get_small_trees_of_their_own():
    mixed = Recipe(rows_per_leaf=50).for_rows(1000, amounts=200)
    assert (mixed.leaves, mixed.rows_per_leaf, mixed.amount_leaves, mixed.amount_rows_per_leaf) == (7, 50, 4, 10)
    chance, amount = (mixed.parameters(objective, 1) for objective in ("binary", "tweedie"))
    assert (chance["num_leaves"], chance["min_data_in_leaf"]) == (7, 50)
    assert (amount["num_leaves"], amount["min_data_in_leaf"]) == (4, 10)
    assert mixed.for_rows(1000, amounts=200) == mixed
    assert Recipe().parameters("tweedie", 1)["num_leaves"] == Recipe().leaves


def test_a_recipe_is_taken_as_it_is_however_few_rows_there_are():
    few = grower("churn", Recipe(leaves=5, rows_per_leaf=40)).rounds(rows_of("churn", rows=300), (3,))
    assert "[num_leaves: 5]" in few.boosters[0].model_to_string()
    assert "[min_data_in_leaf: 40]" in few.boosters[0].model_to_string()


def test_what_is_used_is_what_is_stored():
    matrix, labels = rows_of("churn")
    grown = grower("churn", threads=2).rounds((matrix, labels), (7,))
    stored = lgb.Booster(model_str=grown.boosters[0].model_to_string())
    np.testing.assert_array_equal(stored.predict(matrix), grown.boosters[0].predict(matrix))
    assert "[num_threads: 2]" not in grown.boosters[0].model_to_string()


@pytest.mark.parametrize("task", ["churn", "cltv"])
def test_no_outcome_weighs_more_than_another(task):
    matrix, labels = rows_of(task)
    kept = (labels == 0) | (np.arange(ROWS) % 4 == 0)  # so that the outcome is the rarer one
    matrix, labels = matrix[kept], labels[kept]
    chance = grower(task).rounds((matrix, labels), (30, 1)[: len(parts(task, 2))]).boosters[0]
    assert chance.predict(matrix).mean() == pytest.approx((labels > 0).mean(), abs=0.01)
