"""Logs larger than memory: read and built in parts, they give the vectors of the whole."""

from __future__ import annotations

from random import Random

import polars as pl
import pytest
from spec import changed, frame

from features import log, parts, vectors
from features.errors import InputError
from features.schema import CUSTOMER, CUTOFF, EVENT, EVENT_ID, KNOWN_AT, TIME

OPEN = changed(
    observed_until=None,
    types=[],
    channels=[],
    profile=None,
    business=["email"],
    friction=["ticket"],
    coupons=[],
    abandoned=None,
)
DAYS = 86_400_000_000


@pytest.fixture
def small(monkeypatch):
    """Parts and batches of a few rows."""
    monkeypatch.setattr(parts, "ROWS", 7)
    monkeypatch.setattr(parts, "BATCH", 5)


def shop(rows: int = 60) -> pl.DataFrame:
    kinds = ["purchase", "visit", "email", "ticket", "purchase", "flyer"]
    return frame(
        {CUSTOMER: f"c{n % 9}", TIME: n * DAYS, KNOWN_AT: n * DAYS, EVENT: kinds[n % 6], "value": float(n)}
        for n in range(rows)
    )


def built(folder, journey=OPEN, **keys):
    vectors.write(journey, folder, folder / "vectors.parquet", **keys)
    return pl.read_parquet(folder / "vectors.parquet").sort(CUSTOMER, CUTOFF)


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_parts_give_the_vectors_of_the_whole(tmp_path, monkeypatch, kind):
    journey = changed(OPEN, events=[{"file": f"events.{kind}"}])
    log.write(shop(), tmp_path / "events.parquet")
    pl.read_parquet(tmp_path / "events.parquet").write_csv(tmp_path / "events.csv")
    whole = built(tmp_path, journey)
    monkeypatch.setattr(parts, "ROWS", 7)
    monkeypatch.setattr(parts, "BATCH", 5)
    assert built(tmp_path, journey).equals(whole)
    assert len(whole) == 9


@pytest.mark.parametrize("seed", range(4))
def test_a_part_holds_all_events_of_its_customers_in_order(tmp_path, small, seed):
    random = Random(seed)  # noqa: S311 - a log, not a secret
    rows = shop().with_columns(time=pl.Series([random.randrange(40) * DAYS for _ in range(60)]))
    shuffled = rows.with_columns(known_at="time").sample(fraction=1.0, shuffle=True, seed=seed)
    log.write(shuffled, tmp_path / "events.parquet")
    journey = changed(OPEN, events=[{"file": "events.parquet"}], tasks={"churn": {"no": "purchase", "within": "9d"}})
    resolved, paths = parts.split(journey, tmp_path, tmp_path)
    found = pl.concat(parts.read_part(journey, path) for path in paths).sort(CUSTOMER, "position")
    whole, read = log.read(journey, tmp_path)
    assert found.drop(EVENT_ID).equals(read.events)
    assert resolved == whole


def test_cutoffs_of_customers_without_events_are_answered_too(tmp_path, small):
    log.write(shop(), tmp_path / "events.parquet")
    asked = pl.DataFrame({CUSTOMER: ["c1", "nobody"], CUTOFF: ["1970-02-01T00:00:00Z"] * 2})
    asked.write_csv(tmp_path / "cutoffs.csv")
    journey = changed(OPEN, events=[{"file": "events.parquet"}])
    found = built(tmp_path, journey, cutoffs=tmp_path / "cutoffs.csv")
    assert found.select(CUSTOMER, "tenure_days").rows() == [("c1", 30.0), ("nobody", None)]


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path, small):
    log.write(shop(), tmp_path / "events.parquet")
    journey = changed(OPEN, events=[{"file": "events.parquet"}], friction=["compliant"])
    with pytest.raises(InputError, match="no event of type 'compliant' occurs"):
        built(tmp_path, journey)
    assert [path.name for path in tmp_path.iterdir()] == ["events.parquet"]


def test_equal_rows_and_repeated_ids_are_left_out_of_parts_too(tmp_path, small):
    rows = pl.DataFrame(
        {
            CUSTOMER: ["a"] * 4,
            TIME: [DAYS, DAYS, 90 * DAYS, 180 * DAYS],
            EVENT: ["purchase"] * 4,
            EVENT_ID: ["x", "x", "y", "x"],
        }
    ).with_columns(pl.from_epoch(TIME, time_unit="us"))
    pl.concat([rows] * 3).write_parquet(tmp_path / "events.parquet")
    journey = changed(OPEN, events=[{"file": "events.parquet", "drop_duplicates": True}], business=[], friction=[])
    _, paths = parts.split(journey, tmp_path, tmp_path)
    assert pl.concat(parts.read_part(journey, path) for path in paths)[EVENT_ID].to_list() == ["x", "y"]


def test_contacts_of_the_store_enter_the_parts_as_they_enter_the_whole(tmp_path, monkeypatch):
    log.write(shop(), tmp_path / "events.parquet")
    journey = changed(OPEN, events=[{"file": "events.parquet"}])
    contacts = frame(
        {CUSTOMER: f"c{n}", TIME: (50 + 20 * n) * DAYS, KNOWN_AT: (50 + 20 * n) * DAYS, EVENT: "contacted"}
        for n in range(3)
    ).select(CUSTOMER, TIME, EVENT, KNOWN_AT, pl.lit("x").alias("channel"), event_id=pl.col(CUSTOMER))
    whole = built(tmp_path, journey, extra=contacts)
    assert not whole.equals(built(tmp_path, journey))
    monkeypatch.setattr(parts, "ROWS", 7)
    assert built(tmp_path, journey, extra=contacts).equals(whole)


def test_customers_of_parts_are_those_known_before_the_cutoff(tmp_path, small):
    log.write(shop(), tmp_path / "events.parquet")
    journey = changed(OPEN, events=[{"file": "events.parquet"}])
    _, paths = parts.split(journey, tmp_path, tmp_path)
    assert parts.customers(paths, 1 * DAYS) == 1
    assert parts.customers(paths, 60 * DAYS) == 9
