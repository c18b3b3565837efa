"""SHAP values in bulk: those of TreeSHAP whatever the trees, and LightGBM's own wherever they are not."""

import warnings
from itertools import combinations
from math import factorial

import lightgbm as lgb
import numpy as np
import pytest
import shap
from hypothesis import given
from hypothesis import strategies as st
from test_links import numbers

from training import shap_values, tree_shap
from training.shap_values import BatchShap, contributions
from training.tree_shap import shapley
from training.tree_text import UnreadTreesError, read_trees

FEATURES, ROWS = 14, 2_000


def rows(seed=0, count=ROWS, missing=0.2):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(count, FEATURES)).round(1)
    matrix[:, 3] = rng.integers(0, 4, count)
    matrix[rng.random(matrix.shape) < missing] = np.nan
    matrix[:, 5] = rng.normal(size=count).round(1)  # never missing here: LightGBM reads a missing one as 0
    return matrix


def grown(objective="binary", rounds=8, missing=0.2, **settings):
    matrix = rows(missing=missing)
    filled = np.nan_to_num(matrix, nan=-0.3)
    signal = filled @ np.linspace(-1, 1, FEATURES) + filled[:, 0] * filled[:, 3] * filled[:, 5]
    labels = {
        "binary": signal > 0,
        "multiclass": np.digitize(signal, [-1.0, 1.0]),
        "gamma": np.exp(signal / 4),
    }[objective]
    fixed = {"objective": objective, "verbosity": -1, "num_threads": 1, "min_data_in_leaf": 5, "deterministic": True}
    fixed |= {"num_class": 3} if objective == "multiclass" else {}
    data = lgb.Dataset(matrix, labels.astype(float), categorical_feature=settings.pop("categories", "auto"))
    return lgb.train(fixed | settings, data, rounds)


def theirs(booster, matrix):
    """LightGBM's values, shape (margins, features, rows), and base margins."""
    found = booster.predict(matrix, pred_contrib=True).reshape(len(matrix), booster.num_model_per_iteration(), -1)
    return found[:, :, :-1].transpose(1, 2, 0), found[0, :, -1]


def assert_same(booster, matrix):
    batch, (wanted, base) = BatchShap(booster), theirs(booster, matrix)
    np.testing.assert_allclose(batch.values(matrix), wanted, atol=1e-10)
    np.testing.assert_allclose(batch.base, base, atol=1e-10)


# The values


@pytest.mark.parametrize("objective", ["binary", "multiclass", "gamma"])
@pytest.mark.parametrize("leaves", [2, 7, 15, 17, 40])
def test_values_and_base_are_lightgbms_for_small_and_large_trees(objective, leaves):
    assert_same(grown(objective, num_leaves=leaves), rows(1, 300, missing=0.2))


def test_values_are_those_of_shaps_tree_explainer():
    booster, matrix = grown("multiclass", num_leaves=15), rows(2, 200)
    told = shap.TreeExplainer(booster)(matrix)
    batch = BatchShap(booster)
    np.testing.assert_allclose(np.moveaxis(batch.values(matrix), 2, 0), told.values.transpose(0, 2, 1), atol=1e-4)
    np.testing.assert_allclose(batch.base, told.base_values[0], atol=1e-4)


def test_values_add_up_to_the_margins():
    booster, matrix = grown("multiclass", num_leaves=15), rows(3, 500)
    batch = BatchShap(booster)
    total = batch.values(matrix).sum(axis=1).T + batch.base
    np.testing.assert_allclose(total, booster.predict(matrix, raw_score=True), atol=1e-10)


def test_long_paths_are_explained_pattern_by_pattern(monkeypatch):
    booster = grown(num_leaves=40)
    lengths = {len(leaf.features) for tree in read_trees(booster.model_to_string()) for leaf in tree.leaves}
    for tabled in (0, 4):
        assert min(lengths) <= 4 < max(lengths)
        monkeypatch.setattr(tree_shap, "TABLED", tabled)
        assert_same(booster, rows(4, 300))


def test_a_value_missing_where_training_had_none_is_read_as_nought_as_lightgbm_does():
    booster = grown(missing=0.0, num_leaves=15)
    assert_same(booster, rows(5, 300, missing=0.2))
    everything_missing = np.full((3, FEATURES), np.nan)
    assert_same(booster, everything_missing)


def test_odd_values_are_explained_as_lightgbm_does():
    matrix = rows(6, 60)
    matrix[0], matrix[1], matrix[2], matrix[3] = np.inf, -np.inf, 0.0, -0.0
    thresholds = np.concatenate([tree.thresholds for tree in read_trees(grown(num_leaves=15).model_to_string())])
    matrix[4:50] = np.resize(thresholds, (46, FEATURES))  # rows at the thresholds go left
    assert_same(grown(num_leaves=15), matrix)


def test_trees_without_a_split_move_the_base_alone():
    booster = grown(min_data_in_leaf=5 * ROWS)
    batch = BatchShap(booster)
    assert not batch.values(rows(7, 5)).any()
    np.testing.assert_allclose(batch.base, booster.predict(rows(7, 1), raw_score=True))


def test_early_stopped_trees_are_explained_up_to_their_best_round():
    matrix = rows()
    labels = (matrix[:, 5] > 0).astype(float)
    labels[1000:] = np.random.default_rng(1).permutation(labels[1000:])
    fit = lgb.Dataset(matrix[:1000], labels[:1000])
    booster = lgb.train(
        {"objective": "binary", "verbosity": -1, "num_threads": 1, "learning_rate": 0.01},
        fit,
        50,
        valid_sets=[lgb.Dataset(matrix[1000:], labels[1000:], reference=fit)],
        keep_training_booster=True,
        callbacks=[lgb.early_stopping(5, verbose=False)],
    )
    assert booster.best_iteration < booster.current_iteration()
    assert_same(booster, rows(8, 100))


def test_a_row_has_the_same_values_alone_and_among_many():
    booster, matrix = grown("multiclass", num_leaves=15), rows(9, 400)
    batch = BatchShap(booster)
    together = batch.values(matrix)
    for row in (0, 17, 399):
        np.testing.assert_allclose(batch.values(matrix[row : row + 1])[:, :, 0], together[:, :, row], atol=1e-13)


def test_nobody_to_explain_has_no_values():
    assert BatchShap(grown("multiclass")).values(np.empty((0, FEATURES))).shape == (3, FEATURES, 0)


# One leaf


def by_definition(follows, shares, value):
    """Shapley values by summing over all subsets."""
    count = len(shares)

    def game(subset):
        return value * np.prod([follows[j] if j in subset else shares[j] for j in range(count)])

    found = []
    for feature in range(count):
        others = [j for j in range(count) if j != feature]
        found.append(
            sum(
                factorial(size) * factorial(count - size - 1) / factorial(count) * (game({*s, feature}) - game(s))
                for size in range(count)
                for s in combinations(others, size)
            )
        )
    return found


@given(st.lists(st.tuples(st.booleans(), numbers(0.001, 1)), min_size=1, max_size=7), numbers(-5, 5))
def test_a_leafs_values_are_shapleys_by_definition(path, value):
    follows, shares = (np.array(column) for column in zip(*path, strict=True))
    found = shapley(follows[:, None], shares[:, None], np.array([[value]]))[:, 0]
    np.testing.assert_allclose(found, by_definition(follows, shares, value), atol=1e-12)


# What is not explained


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"categories": [3], "min_data_per_group": 1, "cat_smooth": 0}, "categories"),
        ({"zero_as_missing": True}, "zeros as missing"),
        ({"linear_tree": True}, "linear leaves"),
        ({"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}, "averaged"),
    ],
)
def test_other_kinds_of_trees_are_refused_and_explained_by_lightgbm(settings, says):
    booster = grown(**settings)
    with pytest.raises(UnreadTreesError, match=says):
        BatchShap(booster)
    if says != "linear leaves":  # those LightGBM does not explain either
        wanted, base = theirs(booster, rows(1, 200))
        found, start = contributions(booster, rows(1, 200))
        np.testing.assert_array_equal(found, wanted)
        np.testing.assert_array_equal(start, base)


def test_trees_of_more_splits_than_a_pattern_has_bits_are_refused():
    with pytest.raises(UnreadTreesError, match="more than 62 splits"):
        BatchShap(grown(num_leaves=64, min_data_in_leaf=1))


# Which way


@pytest.mark.parametrize("count", [1, shap_values.ROWS_AT_LEAST - 1, shap_values.ROWS_AT_LEAST, 300])
def test_few_rows_and_many_have_the_same_values(count):
    booster, matrix = grown("multiclass", num_leaves=15), rows(1, count)
    found, base = contributions(booster, matrix)
    wanted, start = theirs(booster, matrix)
    np.testing.assert_allclose(found, wanted, atol=1e-10)
    np.testing.assert_array_equal(base, start)


def test_where_the_two_ways_differ_lightgbms_is_taken_with_a_warning(monkeypatch):
    booster, matrix = grown(num_leaves=15), rows(1, 300)
    right = BatchShap.values
    monkeypatch.setattr(BatchShap, "values", lambda self, asked: right(self, asked) + 1e-4)
    with pytest.warns(RuntimeWarning, match="differ from LightGBM's"):
        found, _ = contributions(booster, matrix)
    np.testing.assert_array_equal(found, theirs(booster, matrix)[0])


def test_real_models_are_explained_in_bulk_without_a_warning(trained):
    for one in trained.values():
        matrix = one.model.encoding.matrix(one.test_rows)
        assert len(matrix) > shap_values.ROWS_AT_LEAST
        matrix[np.random.default_rng(0).random(matrix.shape) < 0.2] = np.nan
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found, base = one.model.contributions(matrix)
        margin = 0
        for booster, line in zip(one.model.boosters, one.model.lines, strict=True):
            told = shap.TreeExplainer(booster)(matrix[:200])
            width = booster.num_model_per_iteration()
            values, start = told.values.reshape(200, -1, width).transpose(0, 2, 1), np.ravel(told.base_values[0])
            if line is not None:
                values, start = values + line.contributions(matrix[:200]).T[:, None], start + line.intercept
            np.testing.assert_allclose(found[:200, margin : margin + width], values, atol=1e-4)
            np.testing.assert_allclose(base[margin : margin + width], start, atol=1e-4)
            margin += width
        np.testing.assert_allclose(base + found.sum(axis=2), one.model.margins(matrix), atol=1e-9)
