"""Events of the store beside those of files: which count, how far, and which of several with one id stays."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features import parts, vectors
from features.checks_log import customers as check_customers
from features.errors import InputError
from features.extra import Arrived
from features.journey import Journey
from features.log import read
from features.schema import CUSTOMER, DAY, EVENT, EVENT_ID, KNOWN_AT, TIME, VALUE, to_text
from serving import events, histories
from serving.beginning import begin, beginning, so_far
from serving.runs import newest
from serving.store import Store

TASKS = {"churn": {"no": "purchase", "within": "2d"}}
KINDS = {CUSTOMER: pl.String, TIME: pl.Int64, EVENT_ID: pl.String, VALUE: pl.Float64}
SAID = 8 * DAY


def shop(*files: str, **keys) -> Journey:
    return Journey.model_validate({"journey": "shop", "events": [{"file": f} for f in files], "tasks": TASKS} | keys)


def write(path: Path, rows: list[tuple]) -> None:
    """A file of (customer, time, event_id, value)."""
    frame = pl.DataFrame(rows, schema=KINDS, orient="row")
    frame.with_columns(pl.from_epoch(TIME, time_unit="us"), pl.lit("purchase").alias(EVENT)).write_parquet(path)


def came_in(store: Store, rows: list[tuple], journey: str = "shop") -> None:
    """Events over HTTP, known at their time."""
    with store.transaction(writes=True) as connection:
        for row in rows:
            events.add(connection, [row_of(row, journey)])


def row_of(row: tuple, journey: str = "shop") -> dict:
    columns = {"journey": journey, EVENT: "purchase", "channel": None, "properties": None, "received_at": 0}
    return columns | dict(zip(KINDS, row, strict=True)) | {KNOWN_AT: row[1]}


def rows_of(frame: pl.DataFrame) -> list[tuple]:
    return sorted(frame.select(*KINDS).rows(), key=repr)


# how far


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "a.parquet", [("a", day * DAY, f"f{day}", 1.0) for day in range(10)])
    return tmp_path


def later(rows: list[tuple], cutoff: int):
    frame = pl.DataFrame(rows, schema=KINDS, orient="row").with_columns(pl.lit("purchase").alias(EVENT))
    return lambda end: Arrived(frame.with_columns(pl.col(TIME).alias(KNOWN_AT)), max(end or 0, cutoff))


@pytest.mark.parametrize("said", [None, to_text(SAID)])
def test_what_came_in_is_there_up_to_the_cutoff_and_the_log_is_complete_as_far_as_before(folder, said):
    journey = shop("a.parquet", observed_until=said)
    bare, before = read(journey, folder, 1)
    resolved, log = read(journey, folder, 1, later([("b", 20 * DAY, "h1", 2.0), ("b", 21 * DAY, "h2", 2.0)], 21 * DAY))
    assert resolved == bare
    assert rows_of(log.events) == sorted([*rows_of(before.events), ("b", 20 * DAY, "h1", 2.0)], key=repr)
    split, paths = parts.split(journey, folder, folder, 1, later([("b", 20 * DAY, "h1", 2.0)], 21 * DAY))
    assert split == bare
    assert rows_of(parts.read_part(split, paths[0])) == rows_of(log.events)


def test_a_log_of_nothing_but_what_came_in_ends_with_it(tmp_path):
    write(tmp_path / "a.parquet", [])
    resolved, _ = read(shop("a.parquet"), tmp_path, 1, later([("b", n * DAY, f"h{n}", 2.0) for n in range(5)], 9 * DAY))
    assert resolved.observed_until == datetime(1970, 1, 5, 0, 0, 0, 1, tzinfo=UTC)


def test_vectors_at_cutoffs_beyond_the_end_see_what_came_in(folder):
    (folder / "cutoffs.csv").write_text("customer_id,cutoff\na,1970-01-21\nb,1970-01-22\n")
    extra = later([("a", 19 * DAY, "h1", 2.0), ("b", 20 * DAY, "h2", 2.0)], 22 * DAY)
    vectors.write(shop("a.parquet"), folder, folder / "v.parquet", folder / "cutoffs.csv", 1, extra)
    assert pl.read_parquet(folder / "v.parquet")["recency_days"].to_list() == [1.0, 1.0]


def test_a_run_begins_after_all_that_came_in_and_what_comes_later_is_not_in_its_log(url, folder):
    with closing(Store(url)) as store:
        came_in(store, [("a", 20 * DAY, "h1", 1.0)])
        assert begin(store, "shop", 30 * DAY).cutoff == 30 * DAY
        with beginning(store, "shop") as found:
            _, log = read(shop("a.parquet"), folder, 1, found)
            came_in(store, [("a", 19 * DAY, "h2", 1.0)])
            assert (found.run.cutoff, found.run.event_id) == (20 * DAY + 1, 1)
        assert log.events[EVENT_ID].to_list().count("h1") == 1
        assert "h2" not in log.events[EVENT_ID]


def test_a_run_begins_when_whoever_is_writing_events_is_done(url):
    with closing(Store(url)) as store, ThreadPoolExecutor(1) as pool:
        with store.transaction(writes=True) as connection:
            events.in_order(connection, "shop")
            waiting = pool.submit(begin, store, "shop", 9 * DAY)
            events.add(connection, [row_of(("a", 20 * DAY, "h1", 1.0))])
            assert not waiting.done()
        begun = waiting.result()
        assert (begun.cutoff, begun.event_id) == (20 * DAY + 1, 1)


def test_a_run_whose_log_cannot_be_read_is_taken_back(url, folder):
    with closing(Store(url)) as store:
        wrong = shop("a.parquet", properties={"note": "category"}, stages={"new": {"any_of": ["nothing"]}})
        with pytest.raises(InputError, match="'nothing'"), beginning(store, "shop") as found:
            read(wrong, folder, 1, found)
        assert found.begun is not None
        with store.transaction() as connection:
            assert newest(connection, "shop", 5) == []


# which stays


ROW = st.tuples(st.sampled_from("ab"), st.integers(0, 10).map(lambda day: day * DAY), st.sampled_from(["1", "2", "3"]))
SAYS = st.none() | st.just(SAID)


def stays(sources: list[list[tuple]], said: int | None) -> list[tuple]:
    """The rule in plain words: of a customer's rows with one id the first, by source and order of arrival."""
    found: dict[tuple, tuple] = {}
    for number, rows in enumerate(sources):
        for row in rows:
            if said is None or row[1] < said or number == len(sources) - 1:
                found.setdefault((row[0], row[2]), row)
    return sorted(found.values(), key=repr)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A folder, a store and names of journeys in it: a store of its own for every example takes long."""
    folder = tmp_path_factory.mktemp("agree")
    with closing(Store(f"sqlite:///{folder}/scores.db")) as store:
        yield folder, store, (f"shop{number}" for number in count())


@given(st.lists(ROW, min_size=1, max_size=4), st.lists(ROW, max_size=4), st.lists(ROW, max_size=4), SAYS)
@settings(max_examples=12, deadline=None)
def test_log_parts_and_histories_agree_on_which_row_of_an_id_stays(shared, one, two, over_http, said):
    first = [("z", 0, "0"), ("z", 7 * DAY, "9")]  # never too short for the journey's horizon
    numbers = iter(range(100))
    one, two, over_http = ([(*row, float(next(numbers))) for row in rows] for rows in (first + one, two, over_http))
    over_http = list({row[2]: row for row in reversed(over_http)}.values())  # the store refuses an id it has
    wanted = stays([one, two, over_http], said)
    folder, store, names = shared
    name = next(names)
    write(folder / "a.parquet", one)
    write(folder / "b.parquet", two)
    journey = shop("a.parquet", "b.parquet", observed_until=None if said is None else to_text(said), journey=name)
    _, bare = read(journey, folder, 1)
    histories.write(store, name, 0, bare.events)
    came_in(store, over_http, name)
    resolved, log = read(journey, folder, 1, lambda end: so_far(store, name, end))
    assert rows_of(log.events) == wanted
    split, paths = parts.split(journey, folder, folder, 1, lambda end: so_far(store, name, end))
    assert split == resolved
    assert rows_of(parts.read_part(split, paths[0])) == wanted
    for again in (False, True):
        if again:
            histories.write(store, name, 0, log.events)
        found = [histories.history(store, name, customer) for customer in "abz"]
        assert sorted((row for rows in found for row in rows.select(*KINDS).rows()), key=repr) == wanted


def test_an_id_of_several_customers_is_told(tmp_path):
    write(tmp_path / "a.parquet", [("a", 0, "1", 1.0), ("b", DAY, "1", 2.0), ("a", 5 * DAY, "1", 3.0)])
    resolved, log = read(shop("a.parquet"), tmp_path, 1)
    assert log.left_out == {"event_id seen before": 1}
    told = [found.found for found in check_customers(resolved, log)]
    assert told == ["1 event_id are of several customers, and count for each of them"]
