"""The journey map and KPIs against plain Python that walks one customer at a time."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from statistics import median

import oracle
import polars as pl
import pytest
from histories import histories
from hypothesis import given, settings
from hypothesis import strategies as st
from spec import SHOP, at, changed, frame, log

from features.families.words import second
from features.instants import microseconds
from features.maps import Maps
from features.parts import by_part
from features.schema import CUSTOMER, DAY, EVENT, HOUR, KNOWN_AT, TIME, to_datetime, to_text
from features.tallies import weighted_median

PLAIN = changed(profile=None)


def until(journey, cutoff):
    return journey.model_copy(update={"observed_until": to_datetime(cutoff)})


def mapped(journey, events, profile=None, parts=1):
    maps = Maps(journey, profile)
    if parts > 1:
        maps.begins(int(events[TIME].min()))
    for part in by_part(events, parts):
        maps.add(part)
    return {(grouping, name): document for grouping, name, document in maps.documents()}


def everyone(journey, events):
    return mapped(journey, events)["", ""]


def pasts(rows, cutoff):
    """Each customer's events that were known before the cutoff, in order."""
    found = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row[CUSTOMER], row[TIME])):
        if row[TIME] < cutoff and row[KNOWN_AT] < cutoff:
            found[row[CUSTOMER]].append(row)
    return dict(found)


def walked(rows, cutoff, journey=PLAIN):
    """What the map says, by the rules themselves."""
    now, reached, fates = Counter(), Counter(), defaultdict(Counter)
    moves, touchpoints = defaultdict(list), Counter()
    for past in pasts(rows, cutoff).values():
        visits = oracle.stage_visits(past, cutoff, journey)
        visits = [(stage, since) for stage, since in visits if since < cutoff]
        instants = {event[TIME] for event in past}
        went = set()
        for (before, since), (after, moved) in pairwise(visits):
            way = "on" if moved in instants else "back"
            moves[before, after, way].append((moved - since) // HOUR)
            if way == "on":
                went.add(before)
        stage = visits[-1][0]
        now[stage] += 1
        mine = [event[TIME] for event in past if event[EVENT] not in journey.business]
        silent = not mine or cutoff - max(mine) > microseconds(journey.tasks.churn.within)
        for name in {name for name, _ in visits}:
            reached[name] += 1
            still = name == stage and not silent
            fates[name]["went_on" if name in went else "still" if still else "dropped"] += 1
        for event in past:
            earlier = [name for name, since in visits if since < event[TIME]]
            touchpoints[earlier[-1] if earlier else visits[0][0], event[EVENT], event["channel"]] += 1
    return now, reached, fates, moves, touchpoints


@given(histories(), st.integers(1, 80 * DAY))
@settings(max_examples=8)
def test_the_map_is_what_every_customer_walked(rows, after):
    cutoff = max(row[TIME] for row in rows) + after - 40 * DAY
    if not pasts(rows, cutoff):
        return
    now, reached, fates, moves, touchpoints = walked(rows, cutoff)
    found = everyone(until(PLAIN, cutoff), frame(rows, PLAIN))
    for stage in found["stages"]:
        name, ever = stage["stage"], reached[stage["stage"]]
        assert (stage["customers"], stage["reached"]) == (now[name], ever)
        for fate in ("went_on", "still", "dropped"):
            assert stage[fate] == (pytest.approx(fates[name][fate] / ever) if ever else None)
    told = {(move["from"], move["to"], move["way"]): move for move in found["transitions"]}
    assert {key: move["count"] for key, move in told.items()} == {key: len(hours) for key, hours in moves.items()}
    for key, hours in moves.items():
        assert told[key]["median_days"] == pytest.approx(median(hours) / 24)
        assert told[key]["share"] == pytest.approx(len(hours) / sum(len(h) for k, h in moves.items() if k[0] == key[0]))
    counts = {(one["stage"], one["event"], one["channel"]): one["count"] for one in found["touchpoints"]}
    assert counts == touchpoints


@given(histories())
@settings(max_examples=3)
def test_a_log_in_parts_gives_the_map_of_the_whole(rows):
    events = frame(rows, PLAIN)
    journey = until(PLAIN, int(events[KNOWN_AT].max()) + 1)
    whole, parts = mapped(journey, events), mapped(journey, events, parts=3)
    assert whole.keys() == parts.keys()
    for key, document in whole.items():
        assert document["stages"] == parts[key]["stages"]
        assert document["friction"] == parts[key]["friction"]
        for mine, other in zip(document["kpis"], parts[key]["kpis"], strict=True):
            assert [p["value"] for p in mine["trend"]] == pytest.approx([p["value"] for p in other["trend"]])


def test_friction_stands_beside_the_churn_that_followed_it():
    table = """
    day | event    | value
    -90 | purchase | 10
    -60 | purchase | 10
    """
    calm, lost = log(table, PLAIN, customer="a"), log(table, PLAIN, customer="b")
    troubled = log(table + "-58 | ticket |\n-50 | purchase | 5\n", PLAIN, customer="c")
    stayed = log(table + "-20 | purchase | 7\n", PLAIN, customer="d")
    events = pl.concat([calm, lost, troubled, stayed])
    journey = until(changed(PLAIN, cutoffs={"every": "28d", "history": "28d"}), at(0))
    rows = {(row["stage"], row["type"]): row for row in everyone(journey, events)["friction"]}
    # The newest cutoff whose 28 days are over is 28 days before the end; the window of trouble is 28 days.
    assert second(journey).days == 28
    assert rows == {}
    later = pl.concat([events, log("day | event\n-40 | ticket", PLAIN, customer="e")])
    later = pl.concat([later, log("day | event | value\n-41 | purchase | 1\n-10 | purchase | 1", PLAIN, customer="e")])
    later = later.sort(CUSTOMER, TIME).with_columns(pl.int_range(pl.len()).over(CUSTOMER).alias("position"))
    rows = {(row["stage"], row["type"]): row for row in everyone(journey, later)["friction"]}
    any_trouble = rows[None, None]
    assert (any_trouble["customers"], any_trouble["churned"]) == (1, 0)
    assert (any_trouble["others"], any_trouble["others_churned"]) == (4, 3)
    assert rows[None, "ticket"] == any_trouble | {"type": "ticket"}


WEB = changed(
    PLAIN, acquisition={"flyer": 2.0}, cutoffs={"every": "28d", "history": "1d"}, session_gap="30m", windows=["28d"]
)
SEEN = """
day    | event    | value | channel | nps
-20    | flyer    |       |         |
-10    | visit    |       | web     |
-9.99  | purchase | 30    | web     | 10
-5     | purchase | 50    | store   |
-3     | visit    |       | web     | 3
"""


def kpis(journey, events):
    return {kpi["name"]: kpi for kpi in everyone(until(journey, at(0)), events)["kpis"]}


def test_kpis_of_a_period_are_the_ratios_their_definitions_say():
    bounced = log("day | event\n-40 | visit\n-7 | visit", WEB, customer="z")
    found = kpis(WEB, pl.concat([log(SEEN, WEB), bounced]))
    values = {name: kpi["value"] for name, kpi in found.items()}
    assert values["conversion_rate"] == pytest.approx(1 / 2)
    assert values["aov"] == pytest.approx((30 + 50) / 2)
    assert values["cac"] == pytest.approx(2.0 / 1)
    assert values["bounce_share"] == pytest.approx(3 / 4)  # one visit led to a purchase, three sessions ended at once
    assert values["session_minutes"] == pytest.approx(0.01 * 24 * 60 / 4)
    assert values["nps"] == pytest.approx(0.0)
    assert found["conversion_rate"]["trend"][-1]["cutoff"] == to_text(at(0))


def test_what_a_journey_has_not_is_absent_with_the_reason():
    bare = changed(PLAIN, session_gap=None, properties={}, cutoffs={"every": "28d", "history": "1d"})
    found = kpis(bare, log("day | event | value\n-40 | purchase | 5", bare))
    told = {name: kpi["why_not"] for name, kpi in found.items() if kpi["value"] is None}
    assert "acquisition" in told["cac"]
    assert "session" in told["bounce_share"]
    assert "nps" in told["nps"]
    quiet = kpis(PLAIN, log("day | event | value\n-40 | purchase | 5", PLAIN))["aov"]
    assert (quiet["value"], quiet["why_not"]) == (None, "nothing of the kind happened in the period")


def test_churn_and_realised_value_follow_each_cutoff():
    journey = changed(PLAIN, cutoffs={"every": "28d", "history": "28d"})
    stays = log("day | event | value\n" + "\n".join(f"{day} | purchase | 10" for day in range(-140, 0, 14)), journey)
    leaves = log("day | event | value\n-140 | purchase | 10\n-100 | purchase | 10", journey, customer="z")
    found = kpis(journey, pl.concat([stays, leaves]))
    assert [point["value"] for point in found["churn_rate"]["trend"]][-2:] == [pytest.approx(0.5), pytest.approx(0.0)]
    realised = found["cltv"]["trend"]
    assert [point["cutoff"] for point in realised] == [to_text(at(-112)), to_text(at(-84)), to_text(at(-56))]
    assert [point["value"] for point in realised] == [pytest.approx(25.0), pytest.approx(20.0), pytest.approx(20.0)]


def test_what_is_expected_is_the_newest_point_of_cltv():
    maps = Maps(until(PLAIN, at(0)))
    maps.add(log("day | event | value\n-40 | purchase | 5", PLAIN))
    maps.expected(["c", "d", "e"], [10.0, 30.0, None])
    (_, _, document), *_ = maps.documents()
    cltv = next(kpi for kpi in document["kpis"] if kpi["name"] == "cltv")
    assert cltv["trend"][-1] == {"cutoff": to_text(at(0)), "value": pytest.approx(20.0)}


def test_segments_and_outcomes_are_maps_of_their_own():
    journey = changed(
        SHOP, profile={"file": "profile.csv", "segments": ["age"]}, cutoffs={"every": "28d", "history": "28d"}
    )
    profile = pl.DataFrame({CUSTOMER: ["a", "b", "c"], "age": ["young", "old", None]})
    table = "day | event | value\n-90 | purchase | 5\n-60 | purchase | 5\n"
    events = pl.concat(
        [
            log(table, journey, customer="a"),
            log(table + "-5 | purchase | 5\n", journey, customer="b"),
            log(table, journey, customer="c"),
        ]
    )
    found = mapped(until(journey, at(0)), events, profile)
    customers = {key: document["customers"] for key, document in found.items()}
    assert customers == {
        ("", ""): 3,
        ("age", "old"): 1,
        ("age", "young"): 1,
        ("outcome", "churned"): 2,
        ("outcome", "stayed"): 1,
    }
    young = {stage["stage"]: stage["customers"] for stage in found["age", "young"]["stages"]}
    assert young == {"prospect": 0, "buyer": 0, "regular": 0, "lapsed": 1}


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=30))
def test_a_weighted_median_is_the_median_of_what_it_stands_for(values):
    counts = Counter(values)
    assert weighted_median(list(counts), list(map(float, counts.values()))) == median(values)
