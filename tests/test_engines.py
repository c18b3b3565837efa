"""Sorted histories, joining and grouping, Spark: one definition, one answer."""

from __future__ import annotations

from typing import Any

import narwhals as nw
import oracle
import polars as pl
import pytest
import spec
from histories import logs
from hypothesis import Phase, given, settings
from spec import SHOP, Question, on_polars, pairs
from test_features_agree import BY_EVENT, FEATURES, differences, examples, profile_of, profiles

from features import relational
from features.engine import build
from features.families import stage
from features.schema import CUSTOMER, CUTOFF

LOGS = 60  # of up to six histories each


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


@pytest.fixture(scope="module")
def generated() -> list[Question]:
    """The histories of many generated logs as one, the same in every run, with stages by rules and by event."""
    drawn: list[tuple[pl.DataFrame, ...]] = []

    @given(logs())
    @settings(max_examples=LOGS, phases=[Phase.generate])
    def draw(case: tuple[pl.DataFrame, list[int]]) -> None:
        log, cutoffs = case
        tables = log, pairs(sorted(log[CUSTOMER].unique()), cutoffs), profiles(log)
        # c3 of the tenth log becomes c103: what is odd stays odd, as its profile does.
        number = pl.col(CUSTOMER).str.slice(1).cast(pl.Int64) + 10 * len(drawn)
        drawn.append(tuple(table.with_columns(pl.format("c{}", number).alias(CUSTOMER)) for table in tables))

    draw()
    events, asked, known = (pl.concat(tables) for tables in zip(*drawn, strict=True))
    by_event = Question(events, asked, stage.features(BY_EVENT), BY_EVENT)
    return [Question(events, asked, FEATURES["shop"], SHOP, known), by_event]


def by_hand(question: Question) -> list[dict[str, Any]]:
    own = question.events.partition_by(CUSTOMER, as_dict=True)
    names = [CUSTOMER, CUTOFF, *(feature.name for feature in question.features)]
    found = []
    for pair in question.pairs.to_dicts():
        events = own[(pair[CUSTOMER],)]
        profile = profile_of(pair[CUSTOMER], events)
        row = pair | oracle.vector(events.to_dicts(), pair[CUTOFF], question.journey, profile)
        found.append({name: row[name] for name in names})
    return found


def test_generated_histories_have_the_same_vectors_on_every_engine_and_by_hand(engine, generated):
    for question in generated:
        assert question.events[CUSTOMER].n_unique() >= 150
        found = spec.ask(question)
        assert differences(found, by_hand(question)) == []
        assert engine == "polars" or differences(found, on_polars(question)) == []
