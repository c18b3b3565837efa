"""Fitting: calibrated on rows the trees never saw, whatever the history's length."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from features.errors import InputError
from features.journey import Churn, Cltv, NextStage
from features.schema import DAY
from training.blocks import Blocks
from training.examples import Examples
from training.fit import fit_all, fit_blocks, margins
from training.links import Probabilities, Probability, TwoParts
from training.recipe import Recipe
from training.trees import Grower

MONTH, CUTOFFS, CUSTOMERS = timedelta(days=28), 9, 150
TASKS = {
    "churn": Churn(no="purchase", within=MONTH),
    "next_stage": NextStage(within=MONTH),
    "cltv": Cltv(sum="purchase", within=MONTH),
}
INSTANTS = tuple(28 * DAY * number for number in range(CUTOFFS))
FOUR = Blocks(INSTANTS[:4], INSTANTS[4:6], INSTANTS[6:8], INSTANTS[8:], shared=False)
THREE = Blocks(INSTANTS[:6], INSTANTS[6:8], INSTANTS[6:8], INSTANTS[8:], shared=True)


def examples_of(task, seed=0, spenders=0.6):
    """Labels that the first of three columns decides, for customers at nine cutoffs."""
    rng = np.random.default_rng(seed)
    rows = pl.DataFrame({"cutoff": INSTANTS}).join(
        pl.DataFrame({"customer_id": [f"c{number:03}" for number in range(CUSTOMERS)]}), how="cross"
    )
    matrix = rng.normal(size=(len(rows), 3))
    score = matrix[:, 0] + rng.logistic(size=len(rows)) / 2
    labels = {
        "churn": score > 0.5,
        "next_stage": np.digitize(score, [-0.5, 0.7]),
        "cltv": np.where(score > np.quantile(score, 1 - spenders), np.exp(score + 3), 0.0),
    }[task].astype(float)
    churned = (score < 0).astype(float) if task == "cltv" else np.empty(0)
    return Examples(task, rows, labels, churned), matrix


def grower(task, **more):
    recipe = Recipe(**{"learning_rate": 0.2, "leaves": 7, "rows_per_leaf": 20, "rounds_at_most": 30} | more)
    return Grower(task, 3, recipe, ("first", "second", "third"), 1)


def same(one, other):
    texts = [[booster.model_to_string() for booster in fitted.grown.boosters] for fitted in (one, other)]
    return texts[0] == texts[1] and one.link == other.link and one.intervals == other.intervals


@pytest.mark.parametrize("blocks", [FOUR, THREE], ids=["four blocks", "shared blocks"])
@pytest.mark.parametrize("task", TASKS)
def test_nothing_of_the_test_block_is_seen(task, blocks):
    data, matrix = examples_of(task)
    fitted = fit_blocks(TASKS[task], grower(task), data, matrix, blocks)
    test = data.at(blocks.test)
    other, odd = data.labels.copy(), matrix.copy()
    other[test], odd[test] = other[test][::-1], -odd[test]
    again = fit_blocks(TASKS[task], grower(task), Examples(task, data.rows, other, data.churned), odd, blocks)
    assert same(fitted, again)


@pytest.mark.parametrize("blocks", [FOUR, THREE], ids=["four blocks", "shared blocks"])
def test_a_probability_is_calibrated_on_the_test_block(blocks):
    data, matrix = examples_of("churn")
    fitted = fit_blocks(TASKS["churn"], grower("churn"), data, matrix, blocks)
    test = data.at(blocks.test)
    predicted = fitted.link.predict(margins(fitted.grown, matrix[test], 1))[:, 0]
    assert predicted.mean() == pytest.approx(data.labels[test].mean(), abs=0.08)
    high = predicted > np.median(predicted)
    assert data.labels[test][high].mean() > data.labels[test][~high].mean() + 0.2


def test_with_shared_blocks_each_half_of_the_customers_stops_the_trees_for_the_other():
    data, matrix = examples_of("churn")
    shared = fit_blocks(TASKS["churn"], grower("churn"), data, matrix, THREE)
    # Labels of the shared block turned round stop the trees at once: they decide the rounds.
    held, labels = data.at(THREE.calibrate), data.labels.copy()
    labels[held] = 1 - labels[held]
    turned = fit_blocks(
        TASKS["churn"], grower("churn"), Examples("churn", data.rows, labels, np.empty(0)), matrix, THREE
    )
    assert turned.grown.rounds[0] <= 2 < shared.grown.rounds[0]


@pytest.mark.parametrize(("task", "link"), [("churn", Probability), ("next_stage", Probabilities), ("cltv", TwoParts)])
def test_the_served_model_is_grown_on_everything_for_the_rounds_found(task, link):
    data, matrix = examples_of(task)
    rounds = (9, 5)[: 1 + (task == "cltv")]
    served = fit_all(TASKS[task], grower(task), data, matrix, rounds)
    assert served.grown.rounds == rounds
    assert isinstance(served.link, link)
    alone = grower(task).rounds((matrix, data.labels), rounds)
    assert [b.model_to_string() for b in served.grown.boosters] == [b.model_to_string() for b in alone.boosters]


def test_the_served_calibrator_never_saw_a_margin_of_a_row_its_trees_were_grown_on():
    # Labels of pure chance and trees that learn them by heart: in-sample margins would look certain.
    data, matrix = examples_of("churn")
    chance = np.random.default_rng(5).integers(0, 2, len(data.labels)).astype(float)
    data = Examples("churn", data.rows, chance, np.empty(0))
    by_heart = grower("churn", leaves=63, rows_per_leaf=2, lambda_l2=0.0, learning_rate=0.5, feature_fraction=1.0)
    served = fit_all(TASKS["churn"], by_heart, data, matrix, (60,))
    known = margins(served.grown, matrix, 1)[:, 0]
    assert known[chance == 1].min() > known[chance == 0].max()
    predicted = served.link.predict(known[:, None])[:, 0]
    assert 0.3 < predicted.min() < predicted.max() < 0.7


def test_percentiles_are_those_of_rows_the_trees_were_not_grown_on():
    data, matrix = examples_of("churn")
    percentiles = fit_blocks(TASKS["churn"], grower("churn"), data, matrix, FOUR).percentiles
    assert len(percentiles) == 100
    assert list(percentiles) == sorted(percentiles)


def test_values_are_right_in_total_and_churners_keep_less():
    data, matrix = examples_of("cltv")
    fitted = fit_blocks(TASKS["cltv"], grower("cltv"), data, matrix, FOUR)
    held = data.at(FOUR.calibrate)
    expected = fitted.link.predict(margins(fitted.grown, matrix[held], 1))[:, 0]
    assert expected.sum() == pytest.approx(data.labels[held].sum(), rel=0.15)
    assert 0 <= fitted.churned_value_share < 0.8
    assert fitted.intervals.coverage == 0.8


def test_without_churn_nothing_is_known_of_what_churners_keep():
    data, matrix = examples_of("cltv")
    alone = Examples("cltv", data.rows, data.labels, np.empty(0))
    assert fit_blocks(TASKS["cltv"], grower("cltv"), alone, matrix, FOUR).churned_value_share is None


def test_nobody_spending_in_a_block_is_refused():
    data, matrix = examples_of("cltv")
    for block in (FOUR.trees, FOUR.stop, FOUR.calibrate):
        labels = np.where(data.at(block), 0.0, data.labels)
        broke = Examples("cltv", data.rows, labels, data.churned)
        with pytest.raises(InputError, match=r"tasks\.cltv: a time block without any example of a value above 0"):
            fit_blocks(TASKS["cltv"], grower("cltv"), broke, matrix, FOUR)


def test_everyone_spending_is_no_obstacle():
    data, matrix = examples_of("cltv", spenders=1.0)
    fitted = fit_blocks(TASKS["cltv"], grower("cltv"), data, matrix, FOUR)
    assert np.isfinite(fitted.link.predict(margins(fitted.grown, matrix, 1))).all()
