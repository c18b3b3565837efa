"""Tuning: recipes tried on validation cutoffs only, the given one first, the same every time."""

from __future__ import annotations

import numpy as np
import pytest
from shop import read_shop

from training.blocks import split
from training.examples import examples
from training.fit import calibrated, margins
from training.judgement import ground, prepare
from training.plots_tuning import tuning
from training.recipe import Recipe
from training.train import Options, train
from training.tuning import Study, Trial, tune, validation_loss

GIVEN = Recipe(learning_rate=0.2, leaves=7, rows_per_leaf=20, rounds_at_most=12, patience=5)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return read_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def prepared(shop):
    """Per task what fits stand on; the blocks of CLTV are shared."""
    journey, log = shop
    found = examples(journey, log, ["churn", "cltv"])
    return {
        name: prepare(ground(journey, log, data), split(data.cutoffs, getattr(journey.tasks, name).within, 1))
        for name, data in found.items()
    }


@pytest.fixture(scope="module")
def study(prepared):
    return tune(prepared["churn"], GIVEN, 8, 1, lambda _: None)


def test_the_given_recipe_is_tried_first_and_the_best_is_never_worse(study):
    assert study.trials[0].recipe == GIVEN
    assert len({trial.recipe for trial in study.trials}) == 8
    assert study.best.loss == min(trial.loss for trial in study.trials if trial.loss is not None)
    assert study.best.loss <= study.trials[0].loss


def test_the_same_seed_tries_the_same_recipes(study, prepared):
    assert tune(prepared["churn"], GIVEN, 4, 1, lambda _: None).trials == study.trials[:4]


def test_a_trial_is_told_by_rows_that_neither_stopped_nor_calibrated_it(prepared):
    on = prepared["churn"]
    assert not on.blocks.shared
    data, blocks, matrix = on.on.data, on.blocks, on.matrix
    grower = on.on.grower(GIVEN, on.encoding, 1)
    rows = {name: data.at(getattr(blocks, name)) for name in ("trees", "stop", "calibrate")}
    grown = grower.until(*((matrix[rows[name]], data.labels[rows[name]]) for name in ("trees", "stop")))
    link = calibrated(on.task, grown, data, rows["stop"], margins(grown, matrix[rows["stop"]], 1)).link
    p = link.predict(margins(grown, matrix[rows["calibrate"]], 1))[:, 0]
    y = data.labels[rows["calibrate"]]
    assert validation_loss(on, GIVEN, 1) == pytest.approx(-np.mean(y * np.log(p) + (1 - y) * np.log1p(-p)))


@pytest.mark.parametrize("task", ["churn", "cltv"])
def test_what_happens_at_the_test_cutoffs_changes_no_trial(task, prepared):
    on = prepared[task]
    test = on.on.data.at(on.blocks.test)
    before = validation_loss(on, GIVEN, 1)
    kept = on.on.data.labels[test].copy(), on.matrix[test].copy()
    on.on.data.labels[test], on.matrix[test] = 1 - kept[0], -kept[1]
    try:
        assert validation_loss(on, GIVEN, 1) == before
    finally:
        on.on.data.labels[test], on.matrix[test] = kept


def test_a_recipe_tried_is_the_one_recorded_for_both_parts(prepared):
    given = prepared["cltv"].sized(Recipe(learning_rate=0.2, rounds_at_most=5, rows_per_leaf=10_000))
    assert given.amount_leaves == given.leaves == 4
    first, second = tune(prepared["cltv"], given, 2, 1, lambda _: None).trials
    assert first.recipe == given
    assert (second.recipe.amount_leaves, second.recipe.amount_rows_per_leaf) == (None, None)


def test_trials_that_fall_behind_are_pruned(prepared):
    slow = tune(prepared["churn"], Recipe(rounds_at_most=300, patience=300, learning_rate=0.05), 10, 1, lambda _: None)
    pruned = [trial for trial in slow.trials if trial.loss is None]
    assert pruned
    assert all(trial.rounds < 1000 for trial in pruned)
    assert f"10 recipes tried, {len(pruned)} pruned; best validation loss" in slow.words


def test_a_study_says_how_much_it_gained():
    trials = (Trial(GIVEN, 0.5, 9), Trial(Recipe(), None, 3), Trial(Recipe(leaves=3), 0.45, 9))
    assert Study(trials).words == (
        "3 recipes tried, 1 pruned; best validation loss 0.4500, 10.0 % below the given recipe's"
    )
    assert Study(trials[:2]).words.endswith("best validation loss 0.5000, the given recipe's")
    figure = tuning("Churn", Study(trials))
    assert [len(line.get_xdata()) for line in figure.axes[0].lines] == [2, 3, 1]


def test_training_takes_the_best_recipe_and_logs_the_study(shop, empty):
    told = []
    found = train(*shop, ["churn"], GIVEN, 1, told.append, Options(trials=3))
    (one,) = found
    assert next(text for text in told if "recipe" in text) == "churn: recipe 1 of 3"
    assert one.model.about["recipe"] == one.study.best.recipe.to_json()
    assert one.model.about["tuning"] == one.study.words
    empty.register(shop[0], found)
    run = empty.client.get_run(empty.version("shop", "churn", 1).run_id)
    files = {file.path for file in empty.client.list_artifacts(run.info.run_id)}
    assert {"tuning.json", "tuning.png"} <= files
    losses = [point.value for point in empty.client.get_metric_history(run.info.run_id, "tuning/loss")]
    assert losses == [trial.loss for trial in one.study.trials if trial.loss is not None]


def test_classes_are_never_reweighted_so_that_probabilities_stay_true():
    reweighting = {"is_unbalance", "scale_pos_weight", "class_weight", "pos_bagging_fraction", "neg_bagging_fraction"}
    for objective in ("binary", "multiclass", "tweedie"):
        assert not reweighting & Recipe().parameters(objective, 1).keys()
