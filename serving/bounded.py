"""Files that others made, read within bounds: what goes beyond them is refused before it fills the memory."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
from pyarrow import ArrowException
from pyarrow.parquet import ParquetFile

from features.errors import InputError
from features.files import is_parquet, read_files, separator

MOST_ROWS = 200_000
MOST_COLUMNS = 100
MOST_UNPACKED = 250_000_000  # bytes of a file that is not compressed any more
_PART = 1_000_000
_DO = "name the file under events in the journey's definition: it is read from there whatever its size"


def read(place: str, path: Path) -> pl.DataFrame:
    """The rows of a CSV or Parquet file; one that is deflated is unpacked beside it first, as far as it may go.

    Raises
    ------
    InputError
        Where it cannot be read, or has too many rows, columns or bytes.
    """
    if is_parquet(path):
        _weigh(place, path)
        frame = read_files(place, [path], None, most=MOST_ROWS + 1)
    elif path.suffix == ".gz":
        plain = path.with_suffix("")
        try:
            _unpack(place, path, plain)
            frame = _read_text(place, plain)
        finally:
            plain.unlink(missing_ok=True)
    else:
        frame = _read_text(place, path)
    if frame.height > MOST_ROWS:
        raise _too_many_rows(place)
    return frame


def _read_text(place: str, path: Path) -> pl.DataFrame:
    with path.open("rb") as file:
        _check_columns(place, file.readline(_PART).count(separator(path).encode()) + 1)
    return read_files(place, [path], None, most=MOST_ROWS + 1)


def _weigh(place: str, path: Path) -> None:
    """Refuse by what a Parquet file says of itself: a small one may unpack to any size."""
    try:
        with ParquetFile(path) as file:
            found, schema = file.metadata, file.schema
            if found.num_rows > MOST_ROWS:
                raise _too_many_rows(place)
            _check_columns(place, found.num_columns)
            nested = [schema.column(n).path for n in range(found.num_columns) if schema.column(n).max_repetition_level]
            size = sum(found.row_group(group).total_byte_size for group in range(found.num_row_groups))
    except (ArrowException, OSError, EOFError):
        found_nothing = "cannot be read: it is no whole Parquet file"
        raise InputError(place, found_nothing, "Parquet or CSV with a header", "write the file anew") from None
    if nested:
        raise InputError(place, f"has a list in the column {nested[0][:80]}", "one value in each row")
    if size > MOST_UNPACKED:
        raise _too_large(place)


def _unpack(place: str, path: Path, plain: Path) -> None:
    try:
        with gzip.open(path, "rb") as packed, plain.open("wb") as file:
            while part := packed.read(_PART):
                if file.tell() + len(part) > MOST_UNPACKED:
                    raise _too_large(place)
                file.write(part)
    except (OSError, EOFError) as error:
        raise InputError(place, f"cannot be unpacked: {error}", "a whole .gz file", "pack it anew") from None


def _check_columns(place: str, count: int) -> None:
    if count > MOST_COLUMNS:
        raise InputError(place, f"has {count:,} columns", f"up to {MOST_COLUMNS}", "leave out those that nothing reads")


def _too_many_rows(place: str) -> InputError:
    return InputError(place, f"has more than {MOST_ROWS:,} rows", f"up to {MOST_ROWS:,}", _DO)


def _too_large(place: str) -> InputError:
    return InputError(place, f"unpacks to more than {MOST_UNPACKED // 1_000_000} MB", "a smaller file", _DO)
