import json
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spec import SHOP, at, log, pairs

from features.aggregates import count
from features.catalogue import catalogue
from features.engine import build
from features.families.words import is_type
from features.feature import PROFILE, Feature
from training.encoding import CATEGORIES_AT_MOST, Encoding, fit_encoding


def feature(name, unit="category", categories=None):
    return Feature(name, "a feature", unit, "ACTIVITY", count(is_type("visit")), categories=categories)


def of_profile(name):
    return Feature(name, "a column", "category", "PROFILE", count(is_type("visit")), of=PROFILE)


def test_numbers_stay_and_categories_become_their_place():
    vectors = pl.DataFrame({"stage": ["b", "a", None, "b"], "days": [1.5, None, -2.0, 0.0]})
    encoding = fit_encoding([feature("days", "days"), feature("stage", categories=("a", "b"))], vectors)
    assert encoding.names == ("days", "stage")
    np.testing.assert_array_equal(encoding.matrix(vectors), [[1.5, 1], [math.nan, 0], [-2, math.nan], [0, 1]])


def test_learned_categories_stand_the_most_frequent_first_and_ties_in_order():
    vectors = pl.DataFrame({"shop": ["c", "b", "b", "a", None, None, None]})
    assert fit_encoding([feature("shop")], vectors).categories == {"shop": ("b", "a", "c")}


def test_a_category_never_seen_in_training_is_unknown():
    encoding = fit_encoding([feature("shop")], pl.DataFrame({"shop": ["a", "b"]}))
    np.testing.assert_array_equal(encoding.matrix(pl.DataFrame({"shop": ["z", "b"]})), [[math.nan], [1]])


def test_only_so_many_learned_categories_are_kept():
    many = [f"{number:03}" for number in range(CATEGORIES_AT_MOST + 5)]
    encoding = fit_encoding([feature("shop")], pl.DataFrame({"shop": many}))
    assert encoding.categories["shop"] == tuple(many[:CATEGORIES_AT_MOST])
    assert np.isnan(encoding.matrix(pl.DataFrame({"shop": many[-1:]}))).all()


@pytest.mark.parametrize("dtype", [pl.String, pl.Null])
def test_a_category_nobody_has_is_unknown_everywhere(dtype):
    vectors = pl.DataFrame({"shop": pl.Series([None, None], dtype=dtype)})
    encoding = fit_encoding([feature("shop")], vectors)
    assert encoding.categories == {"shop": ()}
    assert np.isnan(encoding.matrix(vectors)).all()
    assert np.isnan(encoding.matrix(pl.DataFrame({"shop": ["a"]}))).all()


def test_given_categories_that_never_occur_keep_their_place():
    encoding = fit_encoding([feature("stage", categories=("a", "b", "c"))], pl.DataFrame({"stage": ["c"]}))
    np.testing.assert_array_equal(encoding.matrix(pl.DataFrame({"stage": ["c"]})), [[2]])


def test_profile_numbers_stay_numbers_however_many_there_are():
    vectors = pl.DataFrame({"income": [float(number) for number in range(30_000, 30_100)] + [None]})
    encoding = Encoding.read(json.loads(json.dumps(fit_encoding([of_profile("income")], vectors).to_json())))
    assert encoding.categories == {}
    np.testing.assert_array_equal(encoding.matrix(vectors)[:, 0], [*range(30_000, 30_100), math.nan])


@pytest.mark.parametrize("times", [1, 20])
def test_text_where_numbers_were_learned_is_unknown_unless_it_is_a_number(times):
    encoding = fit_encoding([of_profile("income")], pl.DataFrame({"income": [1.0, 2.0]}))
    texts = pl.DataFrame({"income": ["2.5", "secret", None] * times})
    np.testing.assert_array_equal(encoding.matrix(texts)[:, 0], [2.5, math.nan, math.nan] * times)


def test_numbers_that_stand_for_categories_elsewhere_are_places():
    vectors = pl.DataFrame({"shop": [3.0, 4.0, 4.0, None]})
    encoding = Encoding.read(json.loads(json.dumps(fit_encoding([feature("shop")], vectors).to_json())))
    np.testing.assert_array_equal(encoding.matrix(vectors), [[1], [0], [0], [math.nan]])


def test_numbers_that_an_older_model_learned_as_places_are_read_as_such():
    encoding = Encoding(("rooms",), {"rooms": (4.0, 3.0)})
    np.testing.assert_array_equal(encoding.matrix(pl.DataFrame({"rooms": [3.0, 4.0]})), [[1], [0]])


def test_no_features_and_no_rows_have_a_shape():
    assert Encoding((), {}).matrix(pl.DataFrame({"a": [1, 2]})).shape == (2, 0)
    encoding = Encoding(("days", "shop"), {"shop": ("a",)})
    empty = pl.DataFrame(schema={"days": pl.Float64, "shop": pl.String})
    assert encoding.matrix(empty).shape == (0, 2)


@given(st.lists(st.sampled_from(["a", "ñ", "日本", 'q"[', "", None]), min_size=1))
def test_json_makes_the_same_encoding(values):
    vectors = pl.DataFrame({"shop": pl.Series(values, dtype=pl.String)})
    encoding = fit_encoding([feature("shop")], vectors)
    again = Encoding.read(json.loads(json.dumps(encoding.to_json())))
    assert again == encoding
    np.testing.assert_array_equal(again.matrix(vectors), encoding.matrix(vectors))
    known = {value: place for place, value in enumerate(encoding.categories["shop"])}
    wanted = [[known.get(value, math.nan)] for value in values]
    np.testing.assert_array_equal(encoding.matrix(vectors), wanted)


def test_the_vectors_of_a_journey_become_one_matrix_of_numbers():
    features = catalogue(SHOP)
    events = log("day | event | value | channel\n-9 | visit | | web\n-3 | purchase | 5 |")
    vectors = build(events, pairs(["c"], [at(), at(9)]), features)
    matrix = fit_encoding(features, vectors).matrix(vectors)
    assert matrix.shape == (2, len(features))
    assert matrix.dtype == np.float64
    stage = [f.name for f in features].index("stage")
    assert matrix[:, stage].tolist() == [1, 1]


def test_rows_one_by_one_are_read_as_all_together():
    vectors = pl.DataFrame(
        {
            "days": [0.1, None, math.nan, -2.5] * 5,
            "shop": ["a", None, "z", "b"] * 5,
            "kind": [3, None, 1, 2] * 5,
            "empty": pl.Series([None] * 20, dtype=pl.Null),
        }
    )
    categories = {"shop": ("a", "b"), "kind": (1, 2, 3), "empty": ()}
    encoding = Encoding(("days", *categories), categories)
    together = encoding.matrix(vectors)
    np.testing.assert_array_equal(np.vstack([encoding.matrix(vectors[row]) for row in range(20)]), together)
