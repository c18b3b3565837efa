"""Arithmetic over NumPy says what a query says; counting bits and kinds says what counting says."""

from __future__ import annotations

import narwhals as nw
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.numbers import Numbers, name_of, only_where
from features.ranges import Kinds, Places, Ranges

UNKNOWN = st.none()
NUMBERS = st.lists(st.tuples(*[UNKNOWN | st.integers(-40, 40).map(lambda n: n / 4)] * 2), min_size=1, max_size=20)
ARITHMETIC = {
    "sum": lambda a, b: a + b * 2.0 - 1,
    "ratio": lambda a, b: only_where(b != 0, a / b),
    "difference from a number": lambda a, b: 3 - a % 7 + (1 / only_where(b > 0, b)),
    "comparisons": lambda a, b: only_where((a < b) | (a >= 2), a, b),
    "both": lambda a, b: only_where((a <= b) & (b >= -3), b),
    "bounds": lambda a, b: a.clip(lower_bound=0.5) + b.clip(lower_bound=-1, upper_bound=1),
    "logarithm": lambda a, b: only_where(a > 0, a).log() + b,
    "whole numbers": lambda a, b: (a * 4).cast(nw.Int64) // 3 + b,
}


@pytest.mark.parametrize("name", ARITHMETIC)
@given(rows=NUMBERS)
def test_numpy_says_what_a_query_says(name, rows):
    frame = pl.DataFrame(rows, schema={"a": pl.Float64, "b": pl.Float64}, orient="row")
    queried = nw.from_native(frame).select(found=ARITHMETIC[name](nw.col("a"), nw.col("b")).cast(nw.Float64))
    with np.errstate(all="ignore"):
        computed = ARITHMETIC[name](*(Numbers(frame[column].to_numpy()) for column in "ab"))
    expected = queried.to_native()["found"].fill_null(np.nan).to_numpy()
    np.testing.assert_allclose(computed.values, expected, rtol=1e-12)


@given(places=st.lists(UNKNOWN | st.integers(0, 2), min_size=1))
def test_a_name_stands_where_its_place_is_known(places):
    index = pl.Series("index", places, dtype=pl.Float64)
    names = ("first", "second", "third")
    queried = nw.from_native(index.to_frame()).select(found=name_of(nw.col("index"), names)).to_native()["found"]
    assert name_of(Numbers(index.to_numpy()), names).to_list() == queried.to_list()
    assert queried.to_list() == [None if place is None else names[place] for place in places]


def test_what_is_no_number_is_refused_so_that_a_query_computes_it():
    with pytest.raises(TypeError, match="'text' is no number"):
        Numbers(np.ones(1)) + "text"
    with pytest.raises(AttributeError, match="fill_null"):
        Numbers(np.ones(1)).fill_null(0)


@given(flags=st.lists(st.booleans(), max_size=200))
def test_bits_before_a_row_are_the_chosen_rows_before_it(flags):
    rows = np.arange(len(flags) + 1)
    assert Places.of(np.array(flags, dtype=np.bool_)).before(rows).tolist() == [sum(flags[:row]) for row in rows]


@st.composite
def kinds(draw):
    """Histories one after another, a whole number per row, ranges within histories."""
    sizes = draw(st.lists(st.integers(0, 8), min_size=1, max_size=4))
    most = draw(st.sampled_from([2, 1000]))
    values = [draw(st.integers(0, most)) for _ in range(sum(sizes))]
    ranges = []
    for start, size in zip(np.cumsum(sizes) - sizes, sizes, strict=True):
        low = draw(st.integers(0, size))
        ranges.append((start + low, start + draw(st.integers(low, size))))
    return np.repeat(np.arange(len(sizes)), sizes), np.array(values, dtype=np.int64), ranges, draw(st.booleans())


@given(case=kinds())
def test_the_kinds_of_a_range_are_its_different_values(case):
    history, values, ranges, is_sorted = case
    if is_sorted:
        values = values[np.lexsort((values, history))]
    low, high = (np.array(edge) for edge in zip(*ranges, strict=True))
    found = Kinds(history, values).distinct(Ranges(low, high)).tolist()
    assert found == [len(set(values[begin:end])) for begin, end in ranges]
