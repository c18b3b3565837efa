"""Training: ahead of the rules, close to the truth, the same every time, and clear about what it cannot do."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from shop import DEFINITION, read_shop
from trained import shop_of_chance

from features.definition import read as read_journey
from features.errors import InputError
from features.instants import KEYS, microseconds
from features.labels import LABEL, eligible, label, population
from features.log import read
from training.contenders import columns, rules
from training.examples import examples
from training.recipe import Recipe
from training.train import train

# What a churn model has to reach on the simulated business. No rule reaches either: a constant ranks nobody, and
# what the rules see (one number each) leaves out friction.
CORRELATION_WITH_TRUTH = 0.72
LOSS_ABOVE_ORACLE = 0.15  # expected log loss given the true probabilities, less the oracle's own

SMALL = Recipe(learning_rate=0.2, leaves=7, rows_per_leaf=20, rounds_at_most=12, patience=5)


# Against the truth


@pytest.fixture(scope="module")
def truth(business, trained):
    """The true churn probabilities of the test block's rows."""
    return business.truth(trained["churn"].test_rows).to_numpy()


@pytest.fixture(scope="module")
def contenders(business, trained):
    """What the model and every rule say of the test block's rows, by name."""
    churn, task = trained["churn"], business.journey.tasks.churn
    test = churn.test_rows.select(KEYS)
    events, first = business.log.events, test["cutoff"].min()
    mature = [c for c in _cutoffs(churn) if c + microseconds(task.within) <= first]
    asked = eligible(task, events, population(events, mature)).filter("eligible").select(KEYS)
    before = label(task, business.journey, events, asked)
    known = columns(task, business.journey, business.log, before)
    shown = columns(task, business.journey, business.log, test)
    found = {rule.name: rule.fit(known, before[LABEL].to_numpy())(shown) for rule in rules(task, business.journey)}
    return {"model": churn.assessment.predicted} | found


def _cutoffs(one):
    return pl.Series(one.model.about["cutoffs"]).str.to_datetime(time_unit="us").dt.replace_time_zone(None).cast(int)


def _loss(truth, predicted):
    """Expected log loss where the truth is known: without the luck of what came true."""
    return float(np.mean(-truth * np.log(predicted) - (1 - truth) * np.log1p(-predicted)))


def _reached(truth, predicted):
    """How close a prediction is to the truth: correlation, loss above the oracle's, mean distance."""
    correlation = 0.0 if np.ptp(predicted) == 0 else float(np.corrcoef(truth, predicted)[0, 1])
    oracle = np.clip(truth, 1e-12, 1 - 1e-12)
    return correlation, _loss(truth, predicted) - _loss(truth, oracle), float(np.mean(np.abs(predicted - truth)))


def test_the_churn_model_is_close_to_the_truth_and_no_rule_is(truth, contenders, record_property):
    print(f"\n{'':32}correlation  loss above oracle  mean distance")
    near, cheap = set(), set()
    for name, predicted in contenders.items():
        correlation, loss, distance = _reached(truth, predicted)
        print(f"{name:32}{correlation:11.3f}{loss:19.4f}{distance:15.4f}")
        record_property(f"{name}: correlation, loss above oracle, mean distance", (correlation, loss, distance))
        near |= {name} if correlation >= CORRELATION_WITH_TRUTH else set()
        cheap |= {name} if loss <= LOSS_ABOVE_ORACLE else set()
    assert near == cheap == {"model"}


def test_the_mean_churn_probability_is_that_of_the_truth(truth, contenders):
    assert contenders["model"].mean() == pytest.approx(truth.mean(), abs=0.02)


def test_no_prediction_is_closer_than_the_oracle(truth, contenders):
    assert all(_reached(truth, predicted)[1] >= 0 for predicted in contenders.values())


# Against the rules


@pytest.mark.parametrize("task", ["churn", "next_stage", "cltv"])
def test_a_model_is_ahead_of_the_best_rule_beyond_chance(task, trained):
    about = trained[task].model.about
    loss = {"cltv": "tweedie_deviance"}.get(task, "log_loss")
    assert about["grade"]["letter"] in "AB"
    assert about["grade"]["low"] > 0
    best = min(found[loss] for found in about["rules"].values())
    assert about["metrics"][loss] < best
    assert about["rules"][about["grade"]["rule"]][loss] == best
    print(f"\n{task}: {about['grade']['words']}")


def test_the_next_stage_is_told_better_than_by_markov_chains(trained):
    about = trained["next_stage"].model.about
    for order in ("first", "second"):
        chain = about["rules"][f"{order}-order Markov chain"]
        assert about["metrics"]["log_loss"] < chain["log_loss"]
        assert about["metrics"]["accuracy"] > chain["accuracy"]


def test_value_intervals_cover_what_they_state(trained):
    metrics = trained["cltv"].model.about["metrics"]
    print(f"\ncoverage {metrics['coverage']:.3f}, stated 0.8")
    # Where most spend nothing, an upper bound covers more than stated; below it must not fall.
    assert 0.75 <= metrics["coverage"] <= 0.93
    assert min(metrics[f"coverage_fifth_{number}"] for number in range(1, 6)) > 0.65


def test_expected_values_rank_customers_as_the_true_ones_do(business, trained):
    cltv = trained["cltv"]
    true = business.truth(cltv.test_rows, "cltv").to_numpy()
    assert np.corrcoef(true, cltv.assessment.predicted)[0, 1] > 0.75


def test_those_who_churn_keep_little_of_their_value(trained):
    assert 0 <= trained["cltv"].model.about["churned_value_share"] < 0.5


# What is written down


def test_a_model_says_what_it_was_made_of(business, trained):
    for task, one in trained.items():
        about = one.model.about
        assert about["journey"]["journey"] == "simulated"
        assert about["horizon_days"] == getattr(business.journey.tasks, task).within.days
        assert about["log"]["rows"] == len(business.log.events)
        assert about["rows"] > about["customers"] > 0
        assert about["names"] == list(one.model.encoding.names)
        assert one.judged.about == about | {
            key: one.judged.about[key] for key in ("rounds", "intervals", "churned_value_share", "percentiles")
        }


def test_the_served_model_saw_more_than_the_judged_one(trained):
    for one in trained.values():
        counts = [
            model.boosters[0].dump_model()["tree_info"][0]["tree_structure"]["internal_count"]
            for model in (one.model, one.judged)
        ]
        assert counts[0] > counts[1]


def test_percentiles_grow_from_the_lowest_to_the_highest(trained):
    percentiles = trained["churn"].model.about["percentiles"]
    assert len(percentiles) == 100
    assert percentiles == sorted(percentiles)
    assert 0 < percentiles[0] < percentiles[-1] < 1


# The same every time


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return read_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def files(shop, tmp_path_factory):
    """The bytes of every file of every model, by recipe and threads."""

    def written(recipe, threads):
        folder = tmp_path_factory.mktemp("models")
        for one in train(*shop, ["churn", "next_stage", "cltv"], recipe, threads, lambda _: None):
            one.model.save(folder / one.task)
        return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.*"))}

    return written


def test_the_same_seed_gives_the_same_files_with_one_thread_and_with_two(files):
    one, again, two = files(SMALL, 1), files(SMALL, 1), files(SMALL, 2)
    assert len(one) == 3 + 4
    assert one == again
    assert one == two


def test_another_seed_gives_other_trees_and_calibrators(shop):
    models = [train(*shop, ["churn"], Recipe(seed=seed), 1, lambda _: None)[0].model for seed in (7, 8)]
    assert models[0].link != models[1].link
    assert models[0].boosters[0].model_to_string() != models[1].boosters[0].model_to_string()


def test_the_recipe_written_down_is_that_of_the_trees_judged_and_served(shop):
    # As many rows as the whole history has would be enough for the recipe; the trees' block has fewer.
    asked = Recipe(learning_rate=0.2, rounds_at_most=5, rows_per_leaf=75)
    (one,) = train(*shop, ["churn"], asked, 1, lambda _: None)
    about = one.model.about
    written = Recipe.read(about["recipe"])
    assert about["rows"] > 20 * asked.rows_per_leaf
    assert written.leaves == 4
    assert written.rows_per_leaf < asked.rows_per_leaf
    assert Recipe.read(about["asked_recipe"]) == asked
    for model in (one.judged, one.model):
        text = model.boosters[0].model_to_string()
        assert f"[num_leaves: {written.leaves}]" in text
        assert f"[min_data_in_leaf: {written.rows_per_leaf}]" in text


def test_a_task_does_not_depend_on_the_others_trained_beside_it(shop, files):
    alone = train(*shop, ["cltv"], SMALL, 1, lambda _: None)[0].model
    beside = train(*shop, ["churn", "cltv"], SMALL, 1, lambda _: None)[1].model
    assert alone.about == beside.about
    assert alone.about["churned_value_share"] is not None


# What cannot be learned


def log_of(folder, customers, days=365, value=10.0, text=DEFINITION):
    """The journey and log of regular buyers: `customers` is each one's days between purchases."""
    rows = []
    for number, gap in enumerate(customers):
        rng = np.random.default_rng(number)
        day = 0.0
        while day < days:
            paid = value(day) if callable(value) else value
            rows.append((f"c{number:03}", f"2024-01-01T00:00:{number % 60:02}Z", day, "purchase", paid, "store", None))
            day += gap * rng.uniform(0.5, 1.5)
    names = ["customer_id", "time", "day", "event", "value", "channel", "rating"]
    frame = pl.DataFrame(rows, schema=names, orient="row", schema_overrides={"value": pl.Float64, "rating": pl.Float64})
    when = pl.col("time").str.to_datetime("%Y-%m-%dT%H:%M:%SZ") + pl.duration(seconds=pl.col("day") * 86_400)
    frame.with_columns(when.alias("time")).drop("day").sort("time").write_csv(folder / "events.csv")
    (folder / "shop.yml").write_text(text.replace("friction: [ticket]\n", ""))
    return read(*read_journey(folder / "shop.yml"), threads=1)


MIXED = [5 + 1.5 * number for number in range(30)]


def fitted(folder, task, *args, **more):
    return train(*log_of(folder, *args, **more), [task], SMALL, 1, lambda _: None)[0]


@pytest.mark.parametrize("task", ["churn", "next_stage"])
def test_one_class_only_is_refused(task, tmp_path):
    with pytest.raises(InputError, match=rf"tasks\.{task}: all \d+ examples have the same outcome"):
        fitted(tmp_path, task, [3.0] * 20)


@pytest.mark.parametrize("value", [None, 0.0])
def test_a_value_that_is_always_nothing_is_refused(value, tmp_path):
    with pytest.raises(InputError, match=r"tasks\.cltv: all \d+ examples have the same outcome"):
        fitted(tmp_path, "cltv", MIXED, value=value)


@pytest.mark.parametrize("paid", [lambda day: 5.0 * (day > 330), lambda day: 5.0 * (day < 150)])
def test_a_block_without_any_value_is_refused(paid, tmp_path):
    with pytest.raises(InputError, match=r"tasks\.cltv: 0 customers with a value above 0 among those to"):
        fitted(tmp_path, "cltv", MIXED, value=paid)


def test_too_few_customers_of_an_outcome_are_refused_with_how_many_are_needed(tmp_path):
    with pytest.raises(InputError, match="1 customers who stay among those to grow trees on") as caught:
        fitted(tmp_path, "churn", [20.0])
    assert caught.value.accepted.startswith("at least 20")


def test_a_history_without_a_single_horizon_is_refused(tmp_path):
    with pytest.raises(InputError, match="no cutoff has both its history and its horizon within the log"):
        fitted(tmp_path, "cltv", MIXED, days=100)


def test_a_history_too_short_for_time_blocks_is_refused(tmp_path):
    with pytest.raises(InputError, match="2 mature cutoffs are too few for time blocks 28d apart") as caught:
        fitted(tmp_path, "churn", [*MIXED, *MIXED], days=135)
    assert "longer history" in caught.value.do


def test_everyone_always_spending_is_no_obstacle_to_values(tmp_path):
    cltv = fitted(tmp_path, "cltv", [1 + number / 10 for number in range(60)])
    assert np.all(cltv.assessment.labels > 0)
    assert cltv.assessment.predicted.sum() == pytest.approx(cltv.assessment.labels.sum(), rel=0.1)


def test_a_label_has_no_more_than_six_decimals(shop):
    labels = examples(*shop, ["cltv"])["cltv"].labels
    np.testing.assert_array_equal(labels, np.round(labels, 6))


def test_a_shop_of_chance_earns_no_good_grade(tmp_path):
    churn = train(*shop_of_chance(tmp_path), ["churn"], SMALL, 1, lambda _: None)[0]
    assert churn.model.about["grade"]["letter"] in "CD"
