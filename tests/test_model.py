"""A model's files: they come back as they were, a change is noticed, nothing else is read."""

import json

import numpy as np
import polars as pl
import pytest
import shap
from test_trees import NAMES, RECIPE, rows_of

from features.errors import InputError
from training.calibration import PlattCalibrator, VectorCalibrator
from training.encoding import Encoding, fit_encoding
from training.links import Probabilities, Probability, TwoParts
from training.model import Model, digest
from training.trees import Grower

LINKS = {
    "churn": Probability(PlattCalibrator(0.9, 0.1)),
    "next_stage": Probabilities(VectorCalibrator(1.2, (0.1, 0.2, -0.3))),
    "cltv": TwoParts(PlattCalibrator(1.0, 0.0), 0.8, 0.5),
}
TASKS = sorted(LINKS)


def model_of(task):
    grown = Grower(task, 3, RECIPE, NAMES, 1).rounds(rows_of(task), (12, 9)[: 1 + (task == "cltv")])
    return Model(task, grown.boosters, Encoding(NAMES, {}), LINKS[task], {"journey": "shöp", "grade": {"letter": "A"}})


def vectors_of(task):
    return pl.DataFrame(rows_of(task, seed=5, rows=200)[0], schema=NAMES, nan_to_null=True)


@pytest.mark.parametrize("task", TASKS)
def test_a_model_comes_back_from_its_files_as_it_was(task, tmp_path):
    model = model_of(task)
    written = model.save(tmp_path / "model")
    again = Model.load(tmp_path / "model", written)
    assert (again.task, again.encoding, again.link, again.about) == (task, model.encoding, model.link, model.about)
    np.testing.assert_array_equal(again.predict(vectors_of(task)), model.predict(vectors_of(task)))
    assert again.save(tmp_path / "copy") == written


@pytest.mark.parametrize("name", ["model.json", "trees_0.txt", "trees_1.txt"])
def test_a_changed_file_is_refused(name, tmp_path):
    written = model_of("cltv").save(tmp_path)
    file = tmp_path / name
    file.write_bytes(file.read_bytes().replace(b"0", b"1", 1))
    with pytest.raises(InputError, match=rf"have digest [0-9a-f]{{12}}, registered was {written[:12]}") as caught:
        Model.load(tmp_path, written)
    assert "the files were changed" in caught.value.do


def test_a_file_that_is_gone_is_noticed(tmp_path):
    written = model_of("cltv").save(tmp_path)
    (tmp_path / "trees_1.txt").unlink()
    with pytest.raises(InputError, match="have digest"):
        Model.load(tmp_path, written)
    (tmp_path / "model.json").unlink()
    with pytest.raises(InputError, match=r"model\.json: cannot be read"):
        Model.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "says"),
    [("{", "cannot be read"), ("[]", "another format"), ('{"format": 2}', "another format")],
)
def test_another_format_is_refused(text, says, tmp_path):
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(InputError, match=says):
        Model.load(tmp_path)


def test_what_a_model_brings_besides_text_is_neither_read_nor_run(tmp_path):
    written = model_of("churn").save(tmp_path)
    evidence = tmp_path / "ran"
    trap = f"open({str(evidence)!r}, 'w').write('ran')\n"
    (tmp_path / "__init__.py").write_text(trap)
    (tmp_path / "sitecustomize.py").write_text(trap)
    # A pickle that would write the file if anything unpickled it.
    (tmp_path / "python_model.pkl").write_bytes(b"c__builtin__\nexec\n(S" + repr(trap).encode() + b"\ntR.")
    Model.load(tmp_path, written)
    assert not evidence.exists()


def test_a_model_is_text_and_json(tmp_path):
    model_of("cltv").save(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.json", "trees_0.txt", "trees_1.txt"]
    json.loads((tmp_path / "model.json").read_text(encoding="utf-8"))
    for file in tmp_path.glob("trees_*.txt"):
        assert file.read_text(encoding="utf-8").startswith("tree\nversion=v4")


def test_the_digest_is_that_of_names_and_bytes(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    model = model_of("churn")
    assert model.save(tmp_path / "a") == model.save(tmp_path / "b") == digest(tmp_path / "a")
    (tmp_path / "b" / "trees_0.txt").rename(tmp_path / "b" / "trees_1.txt")
    assert digest(tmp_path / "b") != digest(tmp_path / "a")


@pytest.mark.parametrize("task", TASKS)
def test_shap_values_are_those_of_tree_shap(task):
    model, vectors = model_of(task), vectors_of(task)
    matrix = model.encoding.matrix(vectors)
    assert np.isnan(matrix).any()
    phi, base = model.contributions(matrix)
    margin = 0
    for booster in model.boosters:
        told = shap.TreeExplainer(booster)(matrix)
        found = told.values.reshape(len(matrix), len(NAMES), -1)
        expected = np.atleast_1d(told.base_values[0])
        for output in range(found.shape[2]):
            np.testing.assert_allclose(phi[:, margin], found[:, :, output], atol=1e-4)
            assert base[margin] == pytest.approx(expected[output], abs=1e-4)
            margin += 1
    assert margin == phi.shape[1] == len(base)


@pytest.mark.parametrize("task", TASKS)
def test_shap_values_add_up_to_the_margins(task):
    model, matrix = model_of(task), rows_of(task, seed=6)[0]
    phi, base = model.contributions(matrix)
    np.testing.assert_allclose(base + phi.sum(axis=2), model.margins(matrix), atol=1e-9)


def test_categories_are_numbers_in_their_own_order_and_the_unseen_are_unknown():
    encoding = Encoding(("stage", "spend"), {"stage": ("new", "old")})
    vectors = pl.DataFrame({"spend": [1.5, None, 2.0, 3.0], "stage": ["old", "new", None, "gone"]})
    np.testing.assert_array_equal(encoding.matrix(vectors), [[1.0, 1.5], [0.0, np.nan], [np.nan, 2.0], [np.nan, 3.0]])
    assert Encoding.read(json.loads(json.dumps(encoding.to_json()))) == encoding


def test_a_column_nobody_has_a_value_of_is_unknown():
    encoding = Encoding(("stage", "spend"), {"stage": ("new", "old")})
    for nothing in (pl.Null, pl.Float64, pl.String):
        vectors = pl.DataFrame({"stage": pl.Series([None, None], dtype=nothing), "spend": [None, None]})
        assert np.isnan(encoding.matrix(vectors)).all()


def test_the_last_bits_of_a_sum_do_not_reach_the_trees():
    encoding = Encoding(("spend",), {})
    values = [0.1 + 0.2 + 0.3, 0.3 + 0.2 + 0.1]
    assert values[0] != values[1]
    assert np.ptp(encoding.matrix(pl.DataFrame({"spend": values}))) == 0


def test_categories_without_an_order_stand_most_frequent_first():
    from features.aggregates import newest
    from features.feature import Feature

    feature = Feature("product", "product", "category", "BASKET", newest("product"))
    vectors = pl.DataFrame({"product": ["b", "a", "c", "b", "c", "b", None]})
    assert fit_encoding([feature], vectors).categories == {"product": ("b", "c", "a")}
