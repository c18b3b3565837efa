import json
from datetime import datetime, timedelta

import polars as pl
import pytest

from features import definition, log
from features.check import check, report_json, report_text
from features.journey import Journey

TASKS = {"churn": {"no": "visit", "within": "10d"}}


@pytest.fixture
def findings(tmp_path):
    def found(rows: dict, source: dict | None = None, **keys) -> list:
        pl.DataFrame(rows, strict=False).write_parquet(tmp_path / "events.parquet")
        sources = [{"file": "events.parquet"} | (source or {})]
        journey = Journey.model_validate({"journey": "shop", "events": sources, "tasks": TASKS} | keys)
        return check(*log.read(journey, tmp_path))

    return found


def visits(customers: int = 3, days: int = 100, **columns) -> dict:
    """Every customer visits once a day; the first one stops half way."""
    first = datetime(2024, 1, 1)  # noqa: DTZ001
    pairs = [(c, d) for d in range(days) for c in range(customers) if c or d < days / 2]
    return {
        "customer_id": [f"c{customer}" for customer, _ in pairs],
        "time": [first + timedelta(days=day) for _, day in pairs],
        "event": ["visit"] * len(pairs),
    } | {name: (column * len(pairs))[: len(pairs)] for name, column in columns.items()}


def of(found: list, level: str, place: str) -> list[str]:
    return [finding.found for finding in found if (finding.level, finding.place) == (level, place)]


def test_few_of_each_outcome_are_a_warning_and_one_class_only_an_error(findings):
    cutoffs = {"every": "1d", "history": "20d"}
    found = findings(visits(), tasks={"churn": {"no": "visit", "within": "30d"}}, cutoffs=cutoffs)
    assert "1 customers churn and 2 stay at a typical cutoff" in of(found, "warning", "tasks.churn")
    one_class = of(findings(visits(), cutoffs=cutoffs), "error", "tasks.churn")
    assert one_class == ["0 customers churn and 2 stay at a typical cutoff; there is one class only"]


def test_a_contractual_journey_counts_those_who_leave(findings):
    rows = visits()
    rows["event"][-1] = "cancelled"
    found = findings(rows, tasks={"churn": {"does": "cancelled", "within": "10d"}}, cutoffs={"every": "1d"})
    assert "3 customers are eligible, 1 of them (33.3 %) churn" in of(found, "fact", "tasks.churn")[1]


def test_a_history_that_is_too_short_says_how_long_it_must_be(findings):
    found = findings(visits(days=15))
    errors = [finding for finding in found if (finding.level, finding.place) == ("error", "tasks.churn")]
    assert [(finding.found, finding.needed) for finding in errors] == [
        ("the log spans 14 days, the horizon is 10d", "a history of at least twice the horizon"),
        ("no cutoff has 56d of log before it and 10d after it", "at least one cutoff whose horizon is over"),
    ]


def test_cutoffs_with_room_for_too_few_time_blocks_are_told(findings):
    tasks = {"churn": {"no": "visit", "within": "20d"}}
    two = of(findings(visits(), tasks=tasks, cutoffs={"every": "7d", "history": "40d"}), "warning", "tasks.churn")
    assert two[0] == "the cutoffs leave room for 2 time blocks that lie a horizon of 20d apart"
    one = of(findings(visits(), tasks=tasks, cutoffs={"every": "7d", "history": "70d"}), "error", "tasks.churn")
    assert one[0].startswith("the cutoffs leave room for 1 time blocks")


@pytest.mark.parametrize(
    ("rows", "keys", "level", "place", "told"),
    [
        (visits(customers=1), {}, "error", "customer_id", "all events are of one customer ('c0')"),
        (visits(value=[None]), {"source": {"columns": {"value": "value"}}}, "warning", "value", "no event has a value"),
        (visits(rating=[5, None, None]), {"properties": {"rating": "number"}}, "recommendation", "rating",
         "missing in 66.4 % of the events whose type carries it"),
        (visits(), {"types": ["visit", "buy"]}, "warning", "types", "never seen: buy"),
        (visits(event=["visit", "visit", "buy"]), {"types": ["visit"]}, "warning", "types",
         "seen and not declared: buy"),
        (visits(event=["visit", "visit", "mail"]), {}, "recommendation", "business",
         "no event type is said to be caused by the business"),
        (visits(), {"observed_until": "2024-05-01T00:00:00"}, "warning", "observed_until",
         "the newest event is 22 days older than observed_until"),
        (visits(known_at=[datetime(2020, 1, 1)]), {}, "warning", "events.known_at",  # noqa: DTZ001
         "250 events were known before they happened"),
        (visits(), {"observed_until": "2024-03-31T00:00:00"}, "warning", "events",
         "20 rows (8.0 %) left out: at or after observed_until"),
        (visits(), {"tasks": {"cltv": {"sum": "visit", "within": "10d"}}}, "error", "tasks.cltv",
         "no event of type 'visit' has a value"),
        (visits(value=[1]), {"tasks": {"cltv": {"sum": "visit", "within": "10d"}}}, "warning", "tasks.cltv",
         "2 customers have a value above 0 at a typical cutoff"),
        (visits(), {"stages": {"new": {}, "gone": {"none_of": ["visit"], "within": "1d"}, "regular": {}}},
         "recommendation", "stages", "nobody is in new, gone"),
        (visits(), {"stages": {"regular": {"any_of": ["visit"], "within": "3d"}}}, "recommendation", "stages",
         "a customer for whom no rule holds counts as regular"),
        (visits(event=["visit", "visit", "buy"]), {"stages": "by_event", "types": ["visit", "buy", "gone"]},
         "recommendation", "stages", "nobody is in buy, gone"),
    ],
)  # fmt: skip
def test_what_the_log_lacks_is_told_with_a_way_out(findings, rows, keys, level, place, told):
    keys = dict(keys)
    if "stages" in keys:
        keys["tasks"] = {"next_stage": {"in": "10d"}}
    found = findings(rows, keys.pop("source", None), **keys)
    met = [finding for finding in found if (finding.level, finding.place) == (level, place)]
    assert [finding.found.startswith(told) for finding in met].count(True) == 1, [finding.found for finding in found]
    assert all(finding.needed and finding.do for finding in met)


def test_equal_rows_are_told_unless_they_are_dropped(findings):
    rows = {name: [*column, column[-1]] for name, column in visits().items()}
    assert of(findings(rows), "warning", "events") == ["1 rows are equal to another in all columns that are read"]
    dropped = of(findings(rows, {"drop_duplicates": True}), "warning", "events")
    assert dropped == ["1 rows (0.4 %) left out: equal to another row in all columns"]


def test_time_that_goes_backwards_in_a_file_is_told(findings):
    rows = {name: column[::-1] for name, column in visits().items()}
    assert of(findings(rows), "recommendation", "events") == [
        "time goes backwards in 247 of 250 rows of events.parquet"
    ]


def test_one_customer_with_a_large_share_of_the_events_is_told(findings):
    rows = visits(customers=6)
    rows["customer_id"] = ["till" if number % 2 else name for number, name in enumerate(rows["customer_id"])]
    assert of(findings(rows), "warning", "customer_id") == ["customer 'till' has 50.0 % of all events"]


def test_a_date_that_stands_for_unknown_is_told(findings):
    rows = visits()
    rows["time"][0] = datetime(1970, 1, 1)  # noqa: DTZ001
    assert "the first event is of 1970-01-01" in of(findings(rows), "warning", "events.time")[0]


def test_a_profile_of_few_customers_is_no_feature(findings, tmp_path):
    pl.DataFrame({"customer_id": ["c1"], "plan": ["gold"]}).write_csv(tmp_path / "people.csv")
    profile = {"file": "people.csv", "features": {"plan": {"static": True}}}
    found = findings(visits(), profile=profile)
    assert of(found, "fact", "profile") == [
        "1 of 3 customers (33.3 %) have a profile; whether one exists is never a feature"
    ]
    assert "33.3 % of the customers" in of(found, "recommendation", "profile")[0]
    pl.DataFrame({"customer_id": ["x"], "plan": ["gold"]}).write_csv(tmp_path / "people.csv")
    assert of(findings(visits(), profile=profile), "warning", "profile") == ["no customer of the log has one"]


def test_the_report_reads_well_and_as_json(tmp_path):
    resolved, found = log.read(*definition.read("complete_journey"), threads=1)
    findings = check(resolved, found)
    text = report_text(findings, resolved, found)
    assert max(map(len, text.splitlines())) <= 100
    assert "  customers         2,469\n" in text
    assert "2,235 customers are eligible, 305 of them (13.6 %) churn" in text
    assert text.endswith("Usable: 1 recommendation.\n")
    report = json.loads(json.dumps(report_json(findings, resolved, found)))
    assert report["usable"] is True
    assert report["counts"]["error"] == 0
    assert {"level", "place", "found", "needed", "do"} == set(report["findings"][0])


def test_a_log_that_cannot_answer_says_so(findings, tmp_path):
    pl.DataFrame(visits(customers=1)).write_parquet(tmp_path / "one.parquet")
    journey = Journey.model_validate({"journey": "shop", "events": [{"file": "one.parquet"}], "tasks": TASKS})
    resolved, found = log.read(journey, tmp_path)
    assert "Not usable yet: 2 errors" in report_text(check(resolved, found), resolved, found)
    assert report_json(check(resolved, found), resolved, found)["usable"] is False
