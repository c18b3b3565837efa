"""The line that trees start from: what it tells, that it adds up, and who has one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from test_trees import NAMES, RECIPE, rows_of

from training.calibration import PlattCalibrator
from training.encoding import Encoding
from training.line import Line, fit_line, margins
from training.links import TwoParts
from training.model import Model
from training.trees import Grower

ALL = np.array([True, True, True])


def amounts(rows=600, seed=0):
    """Amounts that are the power of a first column with a long tail; the others say nothing."""
    rng = np.random.default_rng(seed)
    matrix = np.column_stack([rng.lognormal(1.0, 1.2, rows), rng.normal(size=(rows, 2))])
    return matrix, (1 + matrix[:, 0]) ** 0.8 * rng.lognormal(-0.02, 0.2, rows)


def test_a_line_is_its_intercept_and_what_each_column_adds():
    line = Line(0.5, (2.0, 0.0, -1.0), (1.0, 0.0, 0.0))
    matrix = np.array([[np.e - 1, 7.0, 0.0], [np.nan, np.nan, -(np.e - 1)]])
    np.testing.assert_allclose(line.contributions(matrix), [[0.0, -2.0], [0.0, 0.0], [0.0, 1.0]], atol=1e-12)
    np.testing.assert_allclose(line.margins(matrix), [0.5, -0.5])


def test_a_line_carries_on_beyond_the_largest_amounts_learned_from():
    matrix, targets = amounts()
    line = fit_line(matrix, targets, chances=False, ordered=ALL)
    ten_times = np.array([[10 * matrix[:, 0].max(), 0.0, 0.0]])
    assert np.exp(line.margins(ten_times))[0] > 1.5 * targets.max()
    assert np.exp(line.margins(matrix)).sum() == pytest.approx(targets.sum(), rel=1e-4)


def test_the_unit_of_money_changes_nothing_but_the_unit():
    matrix, targets = amounts()
    dollars, cents = (fit_line(matrix, scale * targets, chances=False, ordered=ALL) for scale in (1, 100))
    np.testing.assert_allclose(cents.margins(matrix), dollars.margins(matrix) + np.log(100), atol=1e-5)


def test_a_chance_is_told_by_what_is_ordered_and_nothing_else():
    matrix, labels = rows_of("churn")
    line = fit_line(matrix, labels, chances=True, ordered=np.array([True, False, True]))
    assert line.slopes[0] > 0
    assert line.slopes[1] == 0
    assert fit_line(matrix, np.ones(len(matrix)), chances=True, ordered=ALL) is None


def test_a_line_comes_back_from_json_as_it_was():
    matrix, targets = amounts()
    line = fit_line(matrix, targets, chances=False, ordered=ALL)
    assert Line.read(line.to_json()) == line


def grower(task="cltv", **more):
    return Grower(task, 3, RECIPE, NAMES, 1, **more)


def test_trees_learn_what_the_line_leaves_and_both_are_explained():
    matrix, targets = amounts()
    grown = grower().rounds((matrix, targets), (3, 8))
    assert [line is None for line in grown.lines] == [True, False]
    model = Model(
        "cltv", grown.boosters, Encoding(NAMES, {}), TwoParts(PlattCalibrator(1.0, 0.0), 1.0, 0.0), {}, grown.lines
    )
    told = model.margins(matrix)
    np.testing.assert_allclose(told, margins(grown.boosters, grown.lines, matrix, 1))
    phi, base = model.contributions(matrix)
    np.testing.assert_allclose(base + phi.sum(axis=2), told, atol=1e-8)


def test_a_model_with_a_line_comes_back_from_its_files(tmp_path):
    matrix, targets = amounts()
    grown = grower().rounds((matrix, targets), (3, 8))
    model = Model(
        "cltv", grown.boosters, Encoding(NAMES, {}), TwoParts(PlattCalibrator(1.0, 0.0), 1.0, 0.0), {}, grown.lines
    )
    again = Model.load(tmp_path, model.save(tmp_path))
    assert again.lines == model.lines
    vectors = pl.DataFrame(matrix, schema=NAMES)
    np.testing.assert_array_equal(again.predict(vectors), model.predict(vectors))


def test_amounts_start_from_a_line_chances_where_the_recipe_says_so_and_classes_never():
    def lined(task, **settings):
        rows = (amounts(), amounts(seed=1)) if task == "cltv" else (rows_of(task), rows_of(task, seed=1))
        grown = Grower(task, 3, replace(RECIPE, **settings), NAMES, 1).until(*rows)
        return [line is not None for line in grown.lines]

    assert lined("churn") == [False]
    assert lined("churn", chance_line=True) == [True]
    assert lined("next_stage", chance_line=True) == [False]
    assert lined("cltv") == [False, True]
    assert lined("cltv", amount_line=False) == [False, False]


def test_categories_stay_out_of_lines():
    fit = amounts()
    line = grower(unordered=frozenset({"first"})).rounds(fit, (1, 1)).lines[1]
    assert line.slopes[0] == 0
    assert any(slope != 0 for slope in line.slopes)
