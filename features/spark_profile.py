"""The profile on a cluster: as `features.profile` reads it, without the segments, which no vector holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from features.errors import InputError
from features.journey import Journey
from features.profile import columns_of
from features.schema import CUSTOMER
from features.spark_columns import lacks, numbers, texts, times
from features.spark_sources import quoted, read_source

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql.types import DataType


def read_profile(session: SparkSession, journey: Journey, base: Path) -> DataFrame | None:
    """One row per customer: the features and the times at which they became known; null: the journey has no profile.

    Raises
    ------
    InputError
        A column is not there, or a customer has two rows.
    """
    profile = journey.profile
    if profile is None:
        return None
    frame = read_source(session, profile, base, "profile")
    kinds = {field.name: field.dataType for field in frame.schema}
    given = {name: (quoted(column), kinds[column]) for name, column in columns_of(profile, list(kinds)).items()}
    found = {CUSTOMER: texts(*given[CUSTOMER], f"profile.columns.{CUSTOMER}")}
    for name in _all_numbers(frame, {name: given[name] for name in profile.features}):
        found[name] = numbers(*given[name], f"profile.columns.{name}")
    for name, column in profile.features.items():
        found.setdefault(name, texts(*given[name], f"profile.columns.{name}"))
        if column.known_at:
            found[column.known_at] = times(*given[column.known_at], journey.timezone)
    rows = frame.select(*(column.alias(name) for name, column in found.items())).dropna(subset=[CUSTOMER])
    _refuse_two_rows(rows)
    return rows


def _all_numbers(frame: DataFrame, given: dict[str, tuple[Column, DataType]]) -> list[str]:
    """The columns of which every value is a number."""
    from pyspark.sql import functions as f
    from pyspark.sql import types as t

    looks: list[Column] = []
    asked = [name for name, (_, kind) in given.items() if isinstance(kind, t.StringType | t.NumericType)]
    for name in asked:
        number = numbers(*given[name], name)
        looks += [f.count_if(~lacks(*given[name]) & number.isNull()), f.count(number)]
    (row,) = frame.select(*looks).collect() if asked else [()]
    return [name for number, name in enumerate(asked) if not row[2 * number] and row[2 * number + 1]]


def _refuse_two_rows(rows: DataFrame) -> None:
    for customer, _ in rows.groupBy(CUSTOMER).count().where("count > 1").limit(1).collect():
        found = f"customers have more than one row, for instance {customer!r}"
        raise InputError("profile", found, "one row per customer", "keep the newest row")
