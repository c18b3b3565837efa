"""A journey's files read by a cluster, each row with its place in the order of arrival."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from features.errors import InputError
from features.files import ACCEPTED, PARQUET, TEXT
from features.journey import Profile, Source
from features.spark_session import first_line

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

ARRIVAL = ("arrival_file", "arrival_block", "arrival_row")  # their order is the rows' order within a source
_ADDRESS = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:")
_FORMS = {"parquet": PARQUET, "csv": TEXT}
_ADVICE = "write its result as Parquet and name that as the file, or leave out --engine spark"


def read_source(session: SparkSession, source: Source | Profile, base: Path, place: str) -> DataFrame:
    """The rows of a source under its own column names, with `ARRIVAL`.

    Columns of CSV are text. Files stand in order of name, blocks and rows in that of their file.

    Raises
    ------
    InputError
        A source that only one machine can read, a missing file, a kind of file that is not read.
    """
    from pyspark.errors import PySparkException
    from pyspark.sql import functions as f

    path = located(_file(source, place), base, place)
    try:
        frame = _read(session, path, _form(session, path, place)).select(
            "*",
            f.col("_metadata.file_path").alias(ARRIVAL[0]),
            f.col("_metadata.file_block_start").alias(ARRIVAL[1]),
            f.monotonically_increasing_id().alias(ARRIVAL[2]),
        )
        _ = frame.schema  # Spark Connect looks at a file no sooner
        return frame
    except PySparkException as error:
        raise unreadable(place, path, error) from None


def located(text: str, base: Path, place: str) -> str:
    """A path or glob as the cluster reads it: an address as it is, else the path from `base` on."""
    if "**" in text:
        raise InputError(
            place, f"{text}: a cluster knows no **", ACCEPTED, "name the folder: it is read with all below"
        )
    if _ADDRESS.match(text):
        return text
    plain = re.sub(r"([*?{}\[\]\\])", r"\\\1", str(base.resolve()))
    return f"file://{text if Path(text).is_absolute() else f'{plain}/{text}'}"


def quoted(name: str) -> Column:
    """The column of this name, whatever signs are in it."""
    from pyspark.sql import functions as f

    return f.col("`" + name.replace("`", "``") + "`")


def unreadable(place: str, path: str, error: Exception) -> InputError:
    """What Spark says of a file, for people."""
    said = first_line(error)
    do = "write times in microseconds: a cluster reads no nanoseconds" if "NANOS" in said else ""
    return InputError(place, f"{path} cannot be read: {said}", ACCEPTED, do)


def _file(source: Source | Profile, place: str) -> str:
    if source.file is None:
        found = "a database" if source.database else "a query"
        raise InputError(place, f"{found} cannot be read by a cluster", ACCEPTED, _ADVICE)
    if source.file.startswith("package:"):
        found = f"{source.file}: a file inside a package of this machine cannot be read by a cluster"
        raise InputError(
            f"{place}.file", found, ACCEPTED, "copy it to where the cluster reads, or leave out --engine spark"
        )
    return source.file


def _form(session: SparkSession, path: str, place: str) -> str:
    """`parquet` or `csv`, by the name; of a folder, by the names in it."""
    from pyspark.sql import functions as f

    named = [form for form, ends in _FORMS.items() if path.lower().endswith(ends)]
    if named:
        return named[0]
    files = session.read.format("binaryFile").option("recursiveFileLookup", True).load(path)
    name = f.lower("path")
    kind = f.lit(None)
    for form, ends in _FORMS.items():
        for end in ends:
            kind = f.when(f.endswith(name, f.lit(end)), form).otherwise(kind)
    forms = {row[0] for row in files.select(kind).distinct().collect()} - {None}
    if len(forms) != 1:
        found = "files of several kinds" if forms else "no data file in this folder"
        raise InputError(place, f"{path}: {found}", ACCEPTED)
    return str(forms.pop())


def _read(session: SparkSession, path: str, form: str) -> DataFrame:
    reader = session.read.option("recursiveFileLookup", True)
    if not path.lower().endswith(_FORMS[form]):
        reader = reader.option("pathGlobFilter", "*.{" + ",".join(end[1:] for end in _FORMS[form]) + "}")
    if form == "parquet":
        return reader.option("mergeSchema", True).parquet(path)
    (header,) = reader.text(path).limit(1).collect() or [("",)]
    # Quotes are doubled inside quotes, and may hold line ends: a file of CSV is then read by one task.
    return reader.csv(
        path,
        sep=max(",;\t|", key=header[0].count),
        header=True,
        quote='"',
        escape='"',
        multiLine=True,
        mode="FAILFAST",
    )
