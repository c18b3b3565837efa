"""The profile: one row per customer, with the columns the journey names and no others."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from features.canonical import column_of_numbers, column_of_text
from features.definition import did_you_mean
from features.erased import Erased
from features.errors import InputError
from features.journey import Journey, Profile
from features.schema import CUSTOMER
from features.sources import read_table
from features.timestamps import parse


def read_profile(
    journey: Journey, base: Path, threads: int | None = None, erased: Erased | None = None
) -> pl.DataFrame | None:
    """One row per customer but those who were `erased`, sorted; null: the journey has no profile.

    Returns
    -------
    polars.DataFrame or None
        `customer_id` as text; features as float64 where every value is a number, else as text;
        segments as text; the columns that say when a feature became known as int64 microseconds.

    Raises
    ------
    InputError
        A column is not there, or a customer has two rows.
    """
    profile = journey.profile
    if profile is None:
        return None
    columns = _columns(profile)

    def pick(names: list[str]) -> list[str]:
        return list(columns_of(profile, names).values())

    frame = read_table(profile, base, pick, "profile", threads)
    known = {column.known_at for column in profile.features.values() if column.known_at}
    rows = pl.DataFrame(
        [
            parse(frame[column], journey.timezone).microseconds.alias(name)
            if name in known
            else _typed(frame[column], name in profile.features, f"profile.columns.{name}").alias(name)
            for name, column in columns.items()
        ]
    ).drop_nulls(CUSTOMER)
    rows = rows if erased is None else erased.left(rows)
    _refuse_two_rows(rows)
    return rows.sort(CUSTOMER)


def columns_of(profile: Profile, names: list[str]) -> dict[str, str]:
    """What the journey names -> column of the source.

    Raises
    ------
    InputError
        One of them is not there.
    """
    columns = _columns(profile)
    for name, column in columns.items():
        if column not in names:
            found = f"the profile has no column {column!r}{did_you_mean(column, names)}"
            raise InputError(f"profile.columns.{name}", found, ", ".join(names))
    return columns


def _columns(profile: Profile) -> dict[str, str]:
    known = [column.known_at for column in profile.features.values() if column.known_at]
    names = dict.fromkeys([CUSTOMER, *profile.features, *profile.segments, *known])
    return {name: profile.columns.get(name, name) for name in names}


def _typed(column: pl.Series, feature: bool, place: str) -> pl.Series:
    if feature and (column.dtype == pl.String or column.dtype.is_numeric()):
        numbers, refused = column_of_numbers(column)
        if not refused.any() and not numbers.is_null().all():
            return numbers
    return column_of_text(column, place)


def _refuse_two_rows(rows: pl.DataFrame) -> None:
    twice = rows.filter(pl.col(CUSTOMER).is_duplicated())[CUSTOMER]
    if len(twice):
        found = f"{twice.n_unique()} customers have more than one row, for instance {twice[0]!r}"
        raise InputError("profile", found, "one row per customer", "keep the newest row with a query")
