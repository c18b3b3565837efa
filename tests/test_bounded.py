"""Files that others made: what goes beyond the bounds is refused before it is read."""

from __future__ import annotations

import gzip

import polars as pl
import pytest

from features.errors import InputError
from serving import bounded

HEADER = b"customer_id,time,event\n"


def written(folder, name, body):
    path = folder / name
    path.write_bytes(body)
    return path


def parquet(folder, frame):
    frame.write_parquet(folder / "a.parquet")
    return folder / "a.parquet"


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_a_file_within_the_bounds_is_read_whole(tmp_path, name):
    body = HEADER + b"c1,2024-01-01,visit\n" * 3
    frame = bounded.read("the file", written(tmp_path, name, gzip.compress(body) if name.endswith("gz") else body))
    assert frame.shape == (3, 3)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_rows_are_counted_no_further_than_the_bound(tmp_path, monkeypatch):
    asked = []

    def read(place, paths, pick, *, most):
        asked.append(most)
        return original(place, paths, pick, most=most)

    original = bounded.read_files
    monkeypatch.setattr(bounded, "read_files", read)
    monkeypatch.setattr(bounded, "MOST_ROWS", 10)
    assert bounded.read("the file", written(tmp_path, "a.csv", HEADER + b"c,1,e\n" * 10)).height == 10
    with pytest.raises(InputError, match="more than 10 rows"):
        bounded.read("the file", written(tmp_path, "a.csv", HEADER + b"c,1,e\n" * 11))
    assert asked == [11, 11]


def test_a_parquet_file_is_refused_by_what_it_says_of_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(bounded, "read_files", None)  # nobody gets so far as to read it
    with pytest.raises(InputError, match="more than 200,000 rows"):
        bounded.read("the file", parquet(tmp_path, pl.DataFrame({"a": pl.repeat(0, 200_001, eager=True)})))
    with pytest.raises(InputError, match="101 columns"):
        bounded.read("the file", parquet(tmp_path, pl.DataFrame({f"c{n}": [0] for n in range(101)})))
    with pytest.raises(InputError, match="a list in the column a"):
        bounded.read("the file", parquet(tmp_path, pl.DataFrame({"a": [[1] * 1000]})))
    monkeypatch.setattr(bounded, "MOST_UNPACKED", 10_000)
    small = parquet(tmp_path, pl.DataFrame({"a": ["x" * 100_000]}))
    assert small.stat().st_size < 10_000
    with pytest.raises(InputError, match="unpacks to more than"):
        bounded.read("the file", small)


def test_a_small_file_that_unpacks_to_a_large_one_is_unpacked_no_further_than_the_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(bounded, "MOST_UNPACKED", 3_000_000)
    path = written(tmp_path, "a.csv.gz", gzip.compress(HEADER + b"c,1,e\n" * 1_000_000))
    assert path.stat().st_size < 100_000
    with pytest.raises(InputError, match="unpacks to more than 3 MB"):
        bounded.read("the file", path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        ("a.csv", b",".join([b"c"] * 101) + b"\n", "101 columns"),
        ("a.csv.gz", b"no gzip", "cannot be unpacked"),
        ("a.csv.gz", gzip.compress(HEADER * 99)[:-9], "cannot be unpacked"),
        ("a.parquet", b"PAR1", "cannot be read"),
    ],
    ids=["columns", "no gzip", "cut off", "no Parquet"],
)
def test_what_cannot_be_read_says_why(tmp_path, name, body, said):
    with pytest.raises(InputError, match=said):
        bounded.read("the file", written(tmp_path, name, body))
