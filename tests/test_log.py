from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.errors import InputError
from features.journey import Journey
from features.log import from_records, read, write
from features.schema import to_datetime, to_microseconds, to_text
from features.timestamps import parse, parse_one

TASKS = {"churn": {"no": "visit", "within": "1d"}}


def journey(*sources: dict, **keys) -> Journey:
    return Journey.model_validate({"journey": "shop", "events": list(sources), "tasks": TASKS} | keys)


def log_of(base: Path, rows: dict, source: dict | None = None, **keys):
    """The log of one Parquet file of these columns."""
    pl.DataFrame(rows, strict=False).write_parquet(base / "events.parquet")
    return read(journey({"file": "events.parquet"} | (source or {}), **keys), base)


def days(count: int, hours: int = 0) -> list[datetime]:
    return [datetime(2024, 1, 1) + timedelta(days=day, hours=hours) for day in range(count)]  # noqa: DTZ001


def test_the_log_is_canonical_and_sorted(tmp_path):
    rows = {"customer_id": ["b", "a", "b"], "time": days(3)[::-1], "event": ["visit", "visit", "buy"]}
    _, log = log_of(tmp_path, rows)
    assert log.events.columns == ["customer_id", "time", "event", "value", "channel", "known_at", "position"]
    assert log.events.dtypes == [pl.String, pl.Int64, pl.String, pl.Float64, pl.String, pl.Int64, pl.Int64]
    assert log.events.select("customer_id", "event", "position").rows() == [
        ("a", "visit", 0),
        ("b", "buy", 0),
        ("b", "visit", 1),
    ]
    assert log.events["known_at"].equals(log.events["time"].alias("known_at"))


def test_ties_in_time_keep_the_order_of_arrival(tmp_path):
    rows = {"customer_id": ["a"] * 4, "time": [*days(1) * 3, *days(2)[1:]], "event": ["visit", "c", "a", "b"]}
    assert log_of(tmp_path, rows)[1].events["event"].to_list() == ["visit", "c", "a", "b"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([7, 1043], ["7", "1043"]),
        ([12.0, 12.5], ["12", "12.5"]),
        (["007", "NA"], ["007", "NA"]),
        ([True, False], ["true", "false"]),
    ],
)
def test_ids_become_exact_text(tmp_path, values, expected):
    _, log = log_of(tmp_path, {"customer_id": values, "time": days(2), "event": ["visit"] * 2})
    assert sorted(log.events["customer_id"]) == sorted(expected)


def test_the_customer_na_and_non_ascii_names_stay(tmp_path):
    (tmp_path / "a.csv").write_text("customer_id,time,event\nNA,2024-01-01,visit\n007,2024-01-03,購入: {a}\n")
    resolved, log = read(journey({"file": "a.csv"}), tmp_path)
    assert log.events["customer_id"].to_list() == ["007", "NA"]
    assert resolved.types == ["visit", "購入: {a}"]


def test_unusable_rows_are_counted_once_and_left_out(tmp_path):
    rows = {
        "customer_id": ["a", None, "a", "", "a", "a", "a", "a"],
        "time": ["2024-01-01", None, "soon", "2024-01-01", "2024-01-02", "2024-01-02", "2024-01-03", "2024-02-01"],
        "event": ["visit", None, "visit", "visit", None, "visit", "visit", "visit"],
        "event_id": ["1", "2", "3", "4", "5", "1", None, None],
    }
    _, log = log_of(tmp_path, rows, observed_until="2024-01-31T00:00:00")
    assert log.left_out == {
        "no customer_id": 2,
        "no readable time": 1,
        "no event type": 1,
        "event_id seen before": 1,
        "at or after observed_until": 1,
    }
    assert (log.read, log.events.height) == (8, 2)


def test_an_event_whose_known_at_cannot_be_read_is_not_taken_as_known_at_once(tmp_path):
    rows = {
        "customer_id": ["a"] * 3,
        "time": days(3),
        "event": ["visit"] * 3,
        "known_at": ["2024-02-01", "later", None],
    }
    _, log = log_of(tmp_path, rows)
    assert log.left_out == {"no readable known_at": 1}
    assert [to_text(known) for known in log.events["known_at"]] == ["2024-02-01T00:00:00Z", "2024-01-03T00:00:00Z"]


def test_equal_rows_are_counted_and_dropped_only_where_asked(tmp_path):
    rows = {"customer_id": ["a", "a", "a"], "time": [*days(1) * 2, *days(2)[1:]], "event": ["visit"] * 3}
    _, kept = log_of(tmp_path, rows)
    _, dropped = log_of(tmp_path, rows, {"drop_duplicates": True})
    assert (kept.duplicates, kept.events.height) == (1, 3)
    assert (dropped.duplicates, dropped.events.height) == (1, 2)
    assert dropped.left_out == {"equal to another row in all columns": 1}


def test_values_that_are_no_finite_numbers_are_unknown(tmp_path):
    rows = {"customer_id": ["a"] * 5, "time": days(5), "event": ["visit"] * 5, "value": ["1", "x", "inf", "nan", None]}
    _, log = log_of(tmp_path, rows)
    assert log.events["value"].to_list() == [1.0, None, None, None, None]
    assert log.notes == ["events.0.columns.value: 2 values are not finite numbers ('x') and are read as unknown"]


def test_sources_are_joined_under_one_set_of_names(tmp_path):
    pl.DataFrame({"who": [1], "at": [date(2024, 1, 1)], "amount": [2]}).write_parquet(tmp_path / "a.parquet")
    (tmp_path / "b.csv").write_text("customer_id,time,event,rating\n1,2024-01-03T00:00:00,Besuch,5\n")
    columns = {"customer_id": "who", "time": "at", "value": "amount"}
    resolved, log = read(
        journey(
            {"file": "a.parquet", "columns": columns, "event": "purchase"},
            {"file": "b.csv", "types": {"visit": ["Besuch"]}},
            properties={"rating": "number"},
        ),
        tmp_path,
    )
    assert log.events.select("customer_id", "event", "value", "rating").rows() == [
        ("1", "purchase", 2.0, None),
        ("1", "visit", None, 5.0),
    ]
    assert [(where.name, where.rows, where.backwards) for where in log.origins] == [
        ("a.parquet", 1, 0),
        ("b.csv", 1, 0),
    ]
    assert to_text(to_microseconds(resolved.observed_until)) == "2024-01-03T00:00:00.000001Z"


def test_types_and_channels_are_filled_by_name_the_most_frequent_of_many(tmp_path):
    rows = {
        "customer_id": ["a"] * 20,
        "time": days(20),
        "event": ["visit", *["buy"] * 19],
        "channel": [None, *["web"] * 10, *"abcdefghi"],
    }
    resolved, _ = log_of(tmp_path, rows)
    assert resolved.types == ["buy", "visit"]
    assert resolved.channels == ["a", "b", "c", "d", "e", "f", "g", "web"]
    assert log_of(tmp_path, rows, types=["visit"], channels=["web"])[0].types == ["visit"]


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"stages": {"first": {"any_of": ["vist"]}}}, "stages.first: no event of type 'vist' occurs; did you mean 'v"),
        ({"business": ["mail"]}, "business: no event of type 'mail' occurs"),
        ({"friction": ["ticket"], "conversion": "buy"}, "2 event types never occur"),
        ({"tasks": {"cltv": {"sum": "buy", "within": "1d"}}}, "tasks.cltv: no event of type 'buy'"),
        ({"tasks": {"churn": {"no": "visit", "within": "90d"}}}, "90d is longer than the log, which spans 2 days"),
        ({"properties": {"rating": "number"}, "events": [{"file": "events.parquet", "columns": {"rating": "stars"}}]},
         "events.0.columns.rating: the source has no column 'stars'"),
        ({"events": [{"file": "events.parquet", "columns": {"time": "evnt"}}]}, "did you mean 'event'?"),
    ],
)  # fmt: skip
def test_what_the_log_cannot_bear_is_refused(tmp_path, keys, told):
    rows = {"customer_id": ["a"] * 3, "time": days(3), "event": ["visit"] * 3}
    with pytest.raises(InputError, match="accepted") as caught:
        log_of(tmp_path, rows, **keys)
    assert told in str(caught.value)


def test_an_empty_log_and_unreadable_times_are_refused(tmp_path):
    with pytest.raises(InputError, match="no usable event; the sources are empty"):
        log_of(tmp_path, {"customer_id": [], "time": [], "event": []})
    with pytest.raises(InputError, match="no usable event: 1 rows with no customer_id"):
        log_of(tmp_path, {"customer_id": [None], "time": days(1), "event": ["visit"]})
    with pytest.raises(InputError, match=r"events\.0\.columns\.time: no value is a time, for instance '31/01/2024'"):
        log_of(tmp_path, {"customer_id": ["a"], "time": ["31/01/2024"], "event": ["visit"]})
    with pytest.raises(InputError, match="no value is a number, for instance '12,50'"):
        log_of(tmp_path, {"customer_id": ["a"], "time": days(1), "event": ["visit"], "value": ["12,50"]})
    with pytest.raises(InputError, match="holds List"):
        log_of(tmp_path, {"customer_id": [["a"]], "time": days(1), "event": ["visit"]})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-07-01T12:00:00Z", "2024-07-01T12:00:00Z"),
        ("2024-07-01T12:00:00+02:00", "2024-07-01T10:00:00Z"),
        ("2024-07-01 12:00:00", "2024-07-01T10:00:00Z"),
        ("2024-07-01", "2024-06-30T22:00:00Z"),
        ("20240701", "2024-06-30T22:00:00Z"),
        (20240701, "2024-06-30T22:00:00Z"),
        (1719828000, "2024-07-01T10:00:00Z"),
        (1719828000.5, "2024-07-01T10:00:00.500000Z"),
        (1719828000000, "2024-07-01T10:00:00Z"),
        ("1719828000000000", "2024-07-01T10:00:00Z"),
        (date(2024, 7, 1), "2024-06-30T22:00:00Z"),
        (datetime(2024, 7, 1, 12), "2024-07-01T10:00:00Z"),  # noqa: DTZ001
        (datetime(2024, 7, 1, 12, tzinfo=UTC), "2024-07-01T12:00:00Z"),
        (datetime(2024, 3, 31, 2, 30), "2024-03-31T01:30:00Z"),  # noqa: DTZ001 - skipped by the clock
        (datetime(2024, 10, 27, 2, 30), "2024-10-27T00:30:00Z"),  # noqa: DTZ001 - shown twice
        ("soon", None),
        ("2024-02-30", None),
        ("20241399", None),
        (float("nan"), None),
        (1e300, None),
        (True, None),
        ("", None),
        (None, None),
    ],
)
def test_every_form_of_time_is_read_alike_in_columns_and_alone(value, expected):
    alone = parse_one(value, ZoneInfo("Europe/Madrid"))
    column = parse(pl.Series([value]), "Europe/Madrid").microseconds[0]
    assert alone == column
    assert (alone and to_text(alone)) == expected


@given(
    when=st.datetimes(datetime(1990, 1, 1), datetime(2034, 12, 31)),  # noqa: DTZ001
    zone=st.sampled_from(["UTC", "America/New_York", "Europe/Madrid", "Asia/Kolkata", "Australia/Lord_Howe"]),
)
def test_naive_times_round_trip_through_their_zone(when, zone):
    found = parse(pl.Series([when], dtype=pl.Datetime("us")), zone).microseconds[0]
    assert found == to_microseconds(when.replace(tzinfo=ZoneInfo(zone), fold=0))
    assert found == parse_one(when.isoformat(), ZoneInfo(zone))
    back = to_datetime(found).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    assert back == when or abs(back - when) <= timedelta(hours=1)  # the skipped hour


def test_zones_and_numbers_are_said(tmp_path):
    rows = {"customer_id": ["a", "a"], "time": ["2024-01-01T00:00:00+01:00", "1719828000"], "event": ["visit"] * 2}
    assert log_of(tmp_path, rows)[1].notes == [
        "events.0.columns.time: times with a zone were converted to UTC",
        "events.0.columns.time: numbers were read as dates (20170131) or as time since 1970 in the unit "
        "their size tells",
    ]
    times = ["2024-03-31T02:30:00", "2024-01-01", "2024-10-27T02:00:00"]
    rows = {"customer_id": ["a"] * 3, "time": times, "event": ["visit"] * 3}
    _, log = log_of(tmp_path, rows, timezone="Europe/Madrid")
    assert [note.split(": ")[1] for note in log.notes] == [
        "times without a zone were read as Europe/Madrid and converted to UTC",
        "1 times that the clock of Europe/Madrid skipped were counted on from before the change",
        "1 times that the clock of Europe/Madrid showed twice were read as the earlier",
    ]


RECORD = st.fixed_dictionaries(
    {
        "customer_id": st.sampled_from(["a", "b", "007", "NA", "é", "", None]),
        "time": st.sampled_from(["2024-01-01T10:00:00", "2024-01-01 10:00:00Z", "2024-01-05", "1704103200", "x", None]),
        "event": st.sampled_from(["visit", "buy", "新", None]),
        "value": st.sampled_from(["1.5", " 2", "-3e2", "x", "inf", "1_0", None]),
        "channel": st.sampled_from(["web", "", None]),
        "known_at": st.sampled_from([None, "2024-02-01T00:00:00+01:00", "2024-01-01", "never", ""]),
        "event_id": st.sampled_from([None, "1", "2"]),
        "rating": st.sampled_from(["5", "4.5", None, "bad"]),
        "store": st.sampled_from(["012", None, "NA"]),
    }
)
FIRST = {"customer_id": "z", "time": "2023-12-31T00:00:00", "event": "visit", "value": "1", "channel": "web",
         "known_at": "2023-12-31T00:00:00", "event_id": "0", "rating": "1", "store": "x"}  # fmt: skip


@given(st.lists(RECORD, max_size=12))
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_events_over_http_and_from_a_file_give_the_same_log(tmp_path, records):
    records = [FIRST, *records, FIRST | {"time": "2024-03-01", "event_id": "last"}]
    keys = {"properties": {"rating": "number", "store": "category"}, "timezone": "Europe/Madrid"}
    resolved, log = log_of(tmp_path, {name: [record[name] for record in records] for name in FIRST}, **keys)
    found, _ = from_records(records, resolved)
    assert found.equals(log.events)
    assert found.schema == log.events.schema


def test_typed_events_over_http_and_from_a_file_give_the_same_log(tmp_path):
    rows = {
        "customer_id": [7, 7, 8],
        "time": [datetime(2024, 1, 1, 3, tzinfo=UTC), *[datetime(2024, 1, 3, tzinfo=UTC)] * 2],
        "event": ["visit", "visit", "visit"],
        "value": [1, None, 2.5],
        "known_at": [datetime(2024, 5, 1, tzinfo=UTC), None, None],
        "store": [12.0, 12.5, None],
    }
    resolved, log = log_of(tmp_path, rows, properties={"store": "category"})
    records = [{name: column[number] for name, column in rows.items()} for number in range(3)]
    assert from_records(records, resolved)[0].equals(log.events)


def test_what_http_events_leave_unclear_is_a_warning():
    known = journey({"file": "x.csv"}, types=["visit"], properties={"rating": "number"})
    good = {"customer_id": "a", "time": "2024-01-01", "event": "visit"}
    found, warnings = from_records(
        [good, good | {"event": 'odd "[:,{'}, good | {"time": "soon"}, good | {"ratng": 3}, good | {"rating": "five"}],
        known,
    )
    assert found.height == 4
    assert warnings == [
        "rating: 'five' is not a finite number and is read as unknown",
        "'ratng' is neither a canonical column nor a declared property, and is not used",
        "1 events left out: no readable time",
        "event type 'odd \"[:,{' was not seen in training",
    ]
    assert from_records([good], known)[1] == []


def test_no_events_over_http_are_an_empty_log():
    found, warnings = from_records([], journey({"file": "x.csv"}, types=["visit"]))
    assert (found.height, warnings) == (0, [])
    assert found.schema["time"] == pl.Int64


def test_a_written_log_reads_back_the_same(tmp_path):
    rows = {"customer_id": ["b", "a"], "time": days(2), "event": ["visit"] * 2, "known_at": days(2, hours=5),
            "store": ["1", "2"], "event_id": ["x", None]}  # fmt: skip
    resolved, log = log_of(tmp_path, rows, properties={"store": "category"})
    write(log.events, tmp_path / "canonical.parquet")
    assert pl.read_parquet_schema(tmp_path / "canonical.parquet")["time"] == pl.Datetime("us")
    again, same = read(journey({"file": "canonical.parquet"}, properties={"store": "category"}), tmp_path)
    assert same.events.equals(log.events)
    assert again.observed_until == resolved.observed_until
    assert sorted(path.name for path in tmp_path.iterdir()) == ["canonical.parquet", "events.parquet"]


def test_a_log_that_cannot_be_written_leaves_nothing(tmp_path):
    _, log = log_of(tmp_path, {"customer_id": ["a"] * 2, "time": days(2), "event": ["visit"] * 2})
    with pytest.raises(InputError, match="cannot be written"):
        write(log.events, tmp_path / "missing" / "log.parquet")


PROFILE = "id,age,zip,since,plan,secret\n007,30,01234,2020-01-01,gold,x\nNA,,04567,2021-01-01,,y\n"


def test_a_profile_holds_only_what_the_journey_names(tmp_path):
    (tmp_path / "people.csv").write_text(PROFILE)
    features = {"age": {"static": True}, "plan": {"known_at": "since"}}
    profile = {"file": "people.csv", "columns": {"customer_id": "id"}, "features": features, "segments": ["zip"]}
    rows = {"customer_id": ["007"] * 2, "time": days(2), "event": ["visit"] * 2}
    _, log = log_of(tmp_path, rows, profile=profile)
    assert log.profile.rows(named=True) == [
        {"customer_id": "007", "age": 30.0, "plan": "gold", "zip": "01234", "since": 1_577_836_800_000_000},
        {"customer_id": "NA", "age": None, "plan": None, "zip": "04567", "since": 1_609_459_200_000_000},
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (PROFILE + "007,31,1,2020-01-01,,\n", "1 customers have more than one row, for instance '007'"),
        (PROFILE.replace("age", "aeg"), "the profile has no column 'age'; did you mean 'aeg'?"),
    ],
)
def test_a_profile_that_cannot_be_used_is_refused(tmp_path, text, told):
    (tmp_path / "people.csv").write_text(text)
    profile = {"file": "people.csv", "columns": {"customer_id": "id"}, "segments": ["age"]}
    with pytest.raises(InputError, match="profile") as caught:
        log_of(tmp_path, {"customer_id": ["a"] * 2, "time": days(2), "event": ["visit"] * 2}, profile=profile)
    assert told in str(caught.value)


def test_the_demo_journey_reads_whole():
    from features.definition import read as read_definition

    resolved, log = read(*read_definition("complete_journey"), threads=1)
    assert log.left_out == {}
    assert log.duplicates == 0
    assert dict(log.events["event"].value_counts().rows()) == {
        "purchase": 155_848,
        "campaign_a": 3_647,
        "campaign_b": 2_233,
        "campaign_c": 562,
        "coupon_redeemed": 1_148,
    }
    assert log.events["value"].sum() == pytest.approx(4_596_040, rel=1e-5)
    assert to_text(resolved.observed_until_microseconds) == "2018-01-01T05:00:00Z"
