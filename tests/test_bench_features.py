"""The rivals of the benchmark compute what we compute: a race between different works says nothing."""

from __future__ import annotations

import polars as pl
import pytest

from benchmarks.features import by_arrays, by_pandas, native
from benchmarks.features.agreement import differences, lacking
from benchmarks.features.data import definition
from features.catalogue import catalogue
from features.definition import read as read_journey
from features.engine import build
from features.labels import population
from features.log import read
from features.schema import DAY
from features.simulator import simulate

DAYS = 730
RIVALS = {
    "native": native.vectors,
    "pandas": lambda events, cutoff: by_pandas.polars(by_pandas.vectors(by_pandas.prepared(events), cutoff)),
    "numpy": lambda events, cutoff: by_arrays.polars(by_arrays.vectors(by_arrays.prepared(events), cutoff)),
}


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """Sixty customers for two years: first purchases a year ago and more, lapsed customers, late news."""
    path = tmp_path_factory.mktemp("bench") / "simulated.parquet"
    simulate(60, DAYS, seed=3).events.write_parquet(path)
    journey, found = read(*read_journey(definition(path, DAYS)))
    return journey, found.events


@pytest.mark.parametrize("rival", RIVALS)
@pytest.mark.parametrize("days_before_end", [0, 200])
def test_a_rival_makes_every_feature_of_the_catalogue_and_gives_it_our_values(log, rival, days_before_end):
    journey, events = log
    cutoff = journey.observed_until_microseconds - days_before_end * DAY
    features = catalogue(journey)
    theirs = RIVALS[rival](events, cutoff)
    assert lacking(features, theirs.columns) == []
    ours = build(events, population(events, [cutoff]), features)
    assert differences(ours, theirs, [feature.name for feature in features]) == []


def test_differences_are_found_and_told():
    ours = pl.DataFrame({"customer_id": ["a", "b"], "visits": [1.0, None], "last": ["web", None]})
    theirs = pl.DataFrame({"customer_id": ["b", "a"], "visits": [None, 1.0 + 1e-12], "last": [None, "web"]})
    assert differences(ours, theirs, ["visits", "last"]) == []
    wrong = theirs.with_columns(visits=pl.Series([0.0, 1.0]), last=pl.Series(["web", "web"]))
    assert [line.split(":")[0] for line in differences(ours, wrong, ["visits", "last"])] == ["visits", "last"]
    assert differences(ours, theirs.head(1), ["visits"]) == ["customers differ"]
