"""The engine of sorted histories against joining and grouping: one definition, one answer."""

from __future__ import annotations

import narwhals as nw
from histories import logs
from hypothesis import given
from spec import pairs
from test_features_agree import FEATURES, differences, examples, profiles

from features import relational
from features.engine import build
from features.schema import CUSTOMER, CUTOFF


@given(logs())
@examples(10)
def test_ranges_of_sorted_histories_say_what_joining_and_grouping_says(case):
    events, cutoffs = case
    every = pairs(sorted(events[CUSTOMER].unique()), cutoffs)
    known = profiles(events)
    lazy = (nw.from_native(frame.lazy()) for frame in (events, every))
    joined = relational.build(*lazy, FEATURES["shop"], nw.from_native(known.lazy())).collect().to_native()
    found = build(events, every, FEATURES["shop"], known)
    wanted = every.join(joined, on=[CUSTOMER, CUTOFF], maintain_order="left")
    assert differences(found.to_dicts(), wanted.to_dicts()) == []
