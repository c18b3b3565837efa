"""Columns of sources on a cluster as canonical ones: what `features.timestamps` and `features.canonical` say, in SQL.

Each function takes a column and its type and gives a column; a session's clock is UTC
(`features.spark_session`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING

from features.errors import InputError
from features.timestamps import DAY_NUMBERS, LIMIT, NUMBER, UNITS

if TYPE_CHECKING:
    from pyspark.sql import Column
    from pyspark.sql.types import DataType

_ISO = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}(:\d{2}(:\d{2}(\.\d+)?)?)? ?(Z|[+-]\d{2}(:?\d{2})?)?)?$"
_ZONE = r"[T ]\d{2}.*?( ?Z| ?[+-]\d{2}(:?\d{2})?)$"
_BASIC = r"^(\d{4})(\d{2})(\d{2})[T ](\d{2})(\d{2})(\d{2})?"  # ISO 8601 without its signs
_DECIMAL = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


def lacks(column: Column, kind: DataType) -> Column:
    """Whether nothing is given: null, or an empty text."""
    from pyspark.sql import types as t

    return column.isNull() | (column == "") if isinstance(kind, t.StringType) else column.isNull()


def texts(column: Column, kind: DataType, place: str) -> Column:
    """Ids and names as text, an empty one null: 7 -> '7', 12.0 -> '12', '007' stays."""
    from pyspark.sql import functions as f
    from pyspark.sql import types as t

    if isinstance(kind, t.ArrayType | t.MapType | t.StructType):
        raise InputError(place, f"the column holds {kind.simpleString()}", "text or numbers")
    if isinstance(kind, t.StringType):
        return f.nullif(column, f.lit(""))
    if isinstance(kind, t.FractionalType) and not (isinstance(kind, t.DecimalType) and kind.scale == 0):
        number = column.cast("double")
        whole = (number % 1.0 == 0.0) & (f.abs(number) < 2.0**63)
        said = f.when(whole, number.try_cast("bigint").cast("string")).otherwise(number.cast("string"))
        return f.when(~f.isnan(number), said)
    return column.cast("string")


def numbers(column: Column, kind: DataType, place: str) -> Column:
    """Finite numbers as double, null for all else."""
    from pyspark.sql import functions as f
    from pyspark.sql import types as t

    if isinstance(kind, t.StringType):
        text = f.trim(column)
        column = f.when(text.rlike(_DECIMAL), text)
    elif not isinstance(kind, t.NumericType | t.BooleanType | t.NullType):
        raise InputError(place, f"the column holds {kind.simpleString()}", "numbers such as 12.5")
    number = column.try_cast("double")
    return f.when(~f.isnan(number) & (f.abs(number) < float("inf")), number)


def times(column: Column, kind: DataType, zone: str) -> Column:
    """Microseconds since 1970 in UTC, null where no time is readable; one without a zone is of the clock of `zone`."""
    from pyspark.sql import functions as f
    from pyspark.sql import types as t

    if isinstance(kind, t.TimestampType):
        found = f.unix_micros(column)
    elif isinstance(kind, t.TimestampNTZType | t.DateType):
        found = _on_the_clock(column.cast("timestamp_ntz"), zone)
    elif isinstance(kind, t.NumericType):
        found = _of_numbers(column.cast("double"), zone)
    elif isinstance(kind, t.StringType):
        found = _of_texts(column, zone)
    else:
        found = f.lit(None).cast("bigint")
    return _once(found, lambda instant: f.when(f.abs(instant) < LIMIT, instant))


def _once(column: Column, then: Callable[[Column], Column]) -> Column:
    """`then(column)`, the column computed once however often it is looked at: SQL has no word for that."""
    from pyspark.sql import functions as f

    return f.transform(f.array(column), then)[0]


def _on_the_clock(naive: Column, zone: str) -> Column:
    """Java's rules are ours: a time shown twice is the earlier, a skipped one counts on from before the change."""
    from pyspark.sql import functions as f

    instant = naive.cast("timestamp")
    return f.unix_micros(instant if zone == "UTC" else f.to_utc_timestamp(instant, zone))


def _of_texts(column: Column, zone: str) -> Column:
    from pyspark.sql import functions as f

    text = f.trim(column)
    plain = f.regexp_replace(f.regexp_replace(text, _BASIC, "$1-$2-$3T$4:$5:$6"), ":(?=\\D|$)", "")
    text = f.translate(f.when(text.rlike(_BASIC), plain).otherwise(text), ",", ".")
    return _once(text, lambda text: _of_plain(text, zone))


def _of_plain(text: Column, zone: str) -> Column:
    from pyspark.sql import functions as f

    def read(naive: Column) -> Column:
        number = f.when(text.rlike(NUMBER), text.try_cast("double"))
        return (
            f.when(iso & (offset == ""), _on_the_clock(naive, zone))
            .when(iso, f.unix_micros(naive.cast("timestamp")) - _microseconds(offset))
            .otherwise(_once(number, lambda number: _of_numbers(number, zone)))
        )

    iso, offset = text.rlike(_ISO), f.regexp_extract(text, _ZONE, 1)
    bare = f.substring(text, f.lit(1), f.length(text) - f.length(offset))
    naive = f.when(f.length(bare) == 13, f.concat(bare, f.lit(":00"))).otherwise(bare).try_cast("timestamp_ntz")
    return _once(naive, read)


def _microseconds(offset: Column) -> Column:
    """`+02:30`, `-0430`, `+02` or `Z` as microseconds east of Greenwich."""
    from pyspark.sql import functions as f

    digits = f.rpad(f.regexp_replace(offset, r"\D", ""), 4, "0")
    minutes = f.substring(digits, 1, 2).cast("bigint") * 60 + f.substring(digits, 3, 2).cast("bigint")
    return f.when(f.startswith(offset, f.lit("-")), -minutes).otherwise(minutes) * 60_000_000


def _of_numbers(number: Column, zone: str) -> Column:
    """Days such as 20170131, else the time since 1970 in the unit the size tells."""
    from pyspark.sql import functions as f

    day = number.between(*DAY_NUMBERS) & (number % 1.0 == 0.0)
    midnight = f.try_to_timestamp(number.try_cast("bigint").cast("string"), f.lit("yyyyMMdd")).cast("timestamp_ntz")
    *smaller, (_, least) = UNITS
    scaled = reduce(
        lambda other, unit: f.when(f.abs(number) < unit[0], number * unit[1]).otherwise(other),
        reversed(smaller),
        number * least,
    )
    scaled = f.when(f.abs(scaled) < LIMIT, scaled)
    return f.when(day, _on_the_clock(midnight, zone)).otherwise(f.round(scaled).cast("bigint"))
