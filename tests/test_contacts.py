"""The business's own contacts in the event log: merged, never a sign of life, never the log's end."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from features.catalogue import catalogue
from features.check import check
from features.errors import InputError
from features.journey import Journey
from features.log import STORED, from_records, read
from features.plan import Plan
from features.schema import CONTACTED, DAY, to_microseconds

START = to_microseconds(datetime(2024, 1, 1, tzinfo=UTC))
TASKS = {"churn": {"no": "purchase", "within": "7d"}}


def shop(folder, **keys):
    """Purchases of a and b on the first twenty days, and where a file has them, their ids."""
    times = [datetime(2024, 1, 1) + timedelta(days=n) for n in range(20)]  # noqa: DTZ001
    rows = {
        "customer_id": ["a", "b"] * 10,
        "time": times,
        "event": "purchase",
        "event_id": [f"p{n}" for n in range(20)],
    }
    pl.DataFrame(rows).write_parquet(folder / "events.parquet")
    return Journey.model_validate({"journey": "shop", "events": [{"file": "events.parquet"}], "tasks": TASKS} | keys)


def contact(customer_id="a", day=5.0, **fields) -> pl.DataFrame:
    time = START + int(day * DAY)
    row = {"customer_id": customer_id, "time": time, "event": CONTACTED, "known_at": time, "event_id": f"{time}"}
    return pl.DataFrame([row | fields])


def test_stored_events_are_one_more_source(tmp_path):
    resolved, log = read(shop(tmp_path), tmp_path, 1, contact(channel="phone"))
    found = log.events.filter(pl.col("event") == CONTACTED)
    assert found.select("customer_id", "channel", "position").rows() == [("a", "phone", 3)]
    assert (log.read, log.origins[-1].name, log.origins[-1].rows) == (21, STORED, 1)
    assert resolved.types == ["purchase"]


def test_without_stored_events_nothing_is_added(tmp_path):
    _, bare = read(shop(tmp_path), tmp_path, 1)
    _, empty = read(shop(tmp_path), tmp_path, 1, contact().clear())
    assert bare.events.equals(empty.events)
    assert len(bare.origins) == 1


def test_an_event_of_the_files_is_not_read_again_from_the_store(tmp_path):
    again = contact(event="purchase", event_id="p4")
    assert read(shop(tmp_path), tmp_path, 1, again)[1].left_out == {"event_id seen before": 1}


def test_stored_properties_are_read_as_declared(tmp_path):
    extra = contact(event="purchase", rating=4, shelf="x").with_columns(known_at=pl.lit(None, pl.Int64))
    journey = shop(tmp_path, properties={"rating": "rating"})
    row = (
        read(journey, tmp_path, 1, extra)[1]
        .events.filter(pl.col("event_id") == str(START + 5 * DAY))
        .row(0, named=True)
    )
    assert (row["rating"], row["known_at"]) == (4.0, row["time"])
    assert "shelf" not in row


def test_stored_properties_that_were_declared_as_another_kind_are_read_as_they_are_now(tmp_path):
    extra = pl.concat([contact(day=n, event="purchase", size=size) for n, size in ((3.0, "4"), (4.0, "S"))])
    numbers = read(shop(tmp_path, properties={"size": "number"}), tmp_path, 1, extra)[1].events
    texts = read(shop(tmp_path, properties={"size": "category"}), tmp_path, 1, extra.head(1).cast({"size": pl.Float64}))
    assert numbers["size"].drop_nulls().to_list() == [4.0]
    assert texts[1].events["size"].drop_nulls().to_list() == ["4"]


def test_a_contact_says_nothing_of_how_far_the_log_has_come(tmp_path):
    bare, _ = read(shop(tmp_path), tmp_path, 1)
    resolved, log = read(shop(tmp_path), tmp_path, 1, pl.concat([contact(day=19.0), contact("b", day=19.1)]))
    assert resolved.observed_until == bare.observed_until
    assert log.events["event"].to_list().count(CONTACTED) == 1  # one at the newest event's instant, one after it
    assert log.notes == ["1 contacts lie after the log's end and count once it reaches them"]
    assert log.left_out == {}


def test_a_contact_after_a_declared_end_waits_too(tmp_path):
    journey = shop(tmp_path, observed_until="2024-01-10T00:00:00Z")
    _, log = read(journey, tmp_path, 1, contact(day=15.0))
    assert log.left_out == {"at or after observed_until": 11}
    assert len(log.notes) == 1


def test_a_stored_event_does_not_make_the_log_complete_up_to_it(tmp_path):
    bare, _ = read(shop(tmp_path), tmp_path, 1)
    resolved, log = read(shop(tmp_path), tmp_path, 1, contact("c", 30.0, event="purchase"))
    assert resolved == bare
    assert "c" not in log.events["customer_id"]
    assert log.notes == [
        "1 events of the store lie after the log's end and count once it reaches them: observed_until says up to when"
        " the log is complete"
    ]
    said = shop(tmp_path, observed_until="2024-02-01T00:00:00Z")
    assert "c" in read(said, tmp_path, 1, contact("c", 30.0, event="purchase"))[1].events["customer_id"]


def test_a_log_of_contacts_alone_ends_after_them(tmp_path):
    journey = shop(tmp_path, conversion=None)
    pl.DataFrame({"customer_id": ["a"], "time": [datetime(2024, 1, 1)], "event": [CONTACTED]}).write_parquet(  # noqa: DTZ001
        tmp_path / "events.parquet"
    )
    with pytest.raises(InputError, match="no event of type 'purchase'"):
        read(journey, tmp_path, 1)


@pytest.mark.parametrize("extra", [None, contact()])
def test_a_contact_is_the_businesss_own_whether_one_was_made_or_not(tmp_path, extra):
    resolved, log = read(shop(tmp_path, business=[]), tmp_path, 1, extra)
    assert resolved.business == [CONTACTED]
    assert {"touches_28d", "touch_recency_days"} <= {feature.name for feature in catalogue(resolved)}
    assert "contacted" not in " ".join(found.found for found in check(resolved, log) if found.level == "warning")


def test_the_journey_is_the_same_before_and_after_the_first_contact(tmp_path):
    assert read(shop(tmp_path), tmp_path, 1)[0] == read(shop(tmp_path), tmp_path, 1, contact())[0]


def test_a_rule_may_speak_of_contacts_before_the_first(tmp_path):
    stages = {"new": {}, "called": {"any_of": [CONTACTED], "within": "28d"}}
    resolved, _ = read(shop(tmp_path, stages=stages, business=[CONTACTED]), tmp_path, 1)
    assert resolved.business == [CONTACTED]


def test_a_contact_is_seen_by_campaign_features_and_by_no_other(tmp_path):
    journey, without = read(shop(tmp_path), tmp_path, 1)
    _, log = read(shop(tmp_path), tmp_path, 1, contact(day=18.5))
    cutoffs = pl.DataFrame({"customer_id": ["a"], "cutoff": [journey.observed_until_microseconds]})
    before, after = (
        Plan(journey, catalogue(journey), None).run(one.events, cutoffs).row(0, named=True) for one in (without, log)
    )
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {
        "touch_recency_days",
        "purchases_per_touch",
        "touches_7d",
        "touches_28d",
        "touches_56d",
        "touches_112d",
    }
    assert after["touches_7d"] == 1


def test_a_contact_sent_over_http_is_no_unknown_type(tmp_path):
    journey, _ = read(shop(tmp_path), tmp_path, 1)
    _, warnings = from_records([{"customer_id": "a", "time": "2024-01-05", "event": CONTACTED}], journey)
    assert warnings == []
