"""Vectors that were served are those that are built anew."""

from __future__ import annotations

import polars as pl
import pytest
from spec import SHOP

from features.errors import InputError
from features.schema import CUSTOMER, CUTOFF
from serving import batch, vector_log
from serving.parity import parity
from serving.store import Store
from serving.vector_log import ServedVector, VectorLog, events_of


@pytest.fixture
def store(tmp_path):
    found = Store(f"sqlite:///{tmp_path / 'scores.db'}")
    yield found
    found.close()


def serve(business, champions, store, customers=5):
    """Predictions from the events of a request, as the route makes them."""
    log, scorer = VectorLog(store, champions.scorer, share=1.0, events=True), champions.scorer
    events = business.log.events
    for who in events[CUSTOMER].unique(maintain_order=True).head(customers):
        own = events.filter(pl.col(CUSTOMER) == who)
        asked = pl.DataFrame({CUSTOMER: [who], CUTOFF: [int(own["time"].max()) + 1]})
        scorer.predict(own, asked, served=log.add)
    log.write()


def test_a_run_keeps_vectors_and_they_are_built_anew_to_the_bit(business, champions, store):
    batch.score(business.journey, business.log, champions.scorer, store, lambda *_: None)
    found = parity(business.journey, business.log, store, 1000)
    assert found.vectors > 100
    assert found.values == found.vectors * len(champions.scorer.features)
    assert found.mismatches == {}


def test_vectors_of_requests_are_built_anew_from_the_events_they_brought(business, champions, store):
    serve(business, champions, store)
    found = parity(business.journey, business.log, store, 1000)
    assert found.vectors == 5
    assert found.mismatches == {}


def test_a_value_that_differs_is_told_with_its_size(business, champions, store):
    batch.score(business.journey, business.log, champions.scorer, store, lambda *_: None)
    moved = business.log.events.with_columns(pl.col("value") * (1 + 1e-12))
    log = type(business.log)(moved, business.log.profile)
    found = parity(business.journey, log, store, 1000)
    assert found.mismatches["spend_per_day"] > 0
    assert "recency_days" not in found.mismatches
    assert 0 < found.largest < 1e-6


def test_vectors_of_other_definitions_are_left_out_and_counted(business, champions, store, monkeypatch):
    serve(business, champions, store)
    monkeypatch.setattr("serving.parity.digest", lambda _: "another")
    found = parity(business.journey, business.log, store, 1000)
    assert (found.vectors, found.other_definitions) == (0, 5)


def test_only_the_newest_are_kept(business, champions, store, monkeypatch):
    monkeypatch.setattr(vector_log, "KEPT", 3)
    serve(business, champions, store)
    assert len(list(vector_log.kept(store, business.journey.journey, 1000))) == 3


def test_nothing_to_compare_says_how_vectors_come_to_be_kept(business, store):
    with pytest.raises(InputError, match="no served vector"):
        parity(business.journey, business.log, store, 1000)


def test_a_vector_served_of_no_events_is_built_again_of_none():
    served = ServedVector("a", 0, "digest", {}, [])
    assert events_of(served, SHOP).is_empty()
