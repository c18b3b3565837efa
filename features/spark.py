"""Vectors on a Spark cluster: input and output stay there, nothing is collected but what resolves the journey.

The definitions are those of every engine (`features.relational`); no machine of the cluster needs
Journeycast or a Python of its own. Rows are moved once, to lie by customer, and kept so for every table.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import narwhals as nw

from features.catalogue import catalogue
from features.erased import Erased
from features.errors import InputError
from features.extra import Extra
from features.instants import KEYS, past, past_at
from features.journey import Journey, Source
from features.relational import of_past
from features.schema import CUSTOMER, CUTOFF, POSITION
from features.spark_columns import texts, times
from features.spark_erased import left
from features.spark_log import SpreadLog, read_log
from features.spark_profile import read_profile
from features.spark_session import first_line
from features.spark_sources import located, quoted, read_source

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def write(
    session: SparkSession,
    journey: Journey,
    base: Path,
    output: str,
    cutoffs: str | None = None,
    extra: Extra | None = None,
    erased: Erased | None = None,
) -> int:
    """Write one vector per row of `cutoffs` (default: everyone at `observed_until`); the number of rows.

    Parameters
    ----------
    session
        As `features.spark_session.session` gives it.
    journey
        As `features.definition.read` gives it, with `base`.
    output
        A folder of Parquet files, a path or an address; it must not exist. `cutoff` is a timestamp
        (microseconds, naive UTC).
    cutoffs
        Parquet or CSV with `customer_id` and `cutoff`, a path or an address.
    extra
        Events that stand in no source, as `features.log.read` takes them.
    erased
        Who is left out.
    """
    from pyspark.errors import PySparkException

    target = located(output, Path.cwd(), "--output")
    _refuse_existing(session, target)
    try:
        wanted = None if cutoffs is None else _read_cutoffs(session, cutoffs)
        profile = read_profile(session, journey, base)
        profile = None if profile is None else left(profile, erased)
        resolved, log = read_log(session, journey, base, extra, erased)
        # An adaptive plan forgets how its rows lie, and would move them again for every table.
        session.conf.set("spark.sql.adaptive.enabled", "false")
        known = _kept(_known(log, wanted, resolved.observed_until_microseconds))
        _vectors(known, wanted, resolved, profile).write.parquet(target)
        return int(session.read.parquet(target).count())
    except PySparkException as error:
        raise _told(error) or error from None


def _known(log: SpreadLog, wanted: DataFrame | None, end: int) -> DataFrame:
    """The past of every (customer, cutoff), by customer on the machines, in order on each."""
    if wanted is None:
        seen = past_at(nw.from_native(log.by_customer()), end)
    else:
        seen = past(nw.from_native(log.by_customer(_per_customer(wanted))), nw.from_native(wanted))
    found: DataFrame = seen.to_native()
    return found.sortWithinPartitions(*KEYS, POSITION)


def _per_customer(wanted: DataFrame) -> float:
    """How many cutoffs a customer has."""
    from pyspark.sql import functions as f

    (row,) = wanted.select(f.count("*"), f.countDistinct(CUSTOMER)).collect()
    return float(row[0] / max(row[1], 1))


def _kept(known: DataFrame) -> DataFrame:
    """The rows as they lie, without how they came there: every table's plan would hold all of that again.

    They stay on the machines that computed them. Where such machines come and go, set Spark's
    `spark.checkpoint.dir` to where they are to be kept.
    """
    kept = known.sparkSession.conf.get("spark.checkpoint.dir", None)
    return known.checkpoint() if kept else known.localCheckpoint()


def _vectors(known: DataFrame, wanted: DataFrame | None, journey: Journey, profile: DataFrame | None) -> DataFrame:
    from pyspark.sql import functions as f

    keys = known.select(*KEYS).distinct() if wanted is None else wanted
    held = None if profile is None else nw.from_native(profile)
    built = of_past(nw.from_native(known), nw.from_native(keys), catalogue(journey), held)
    found: DataFrame = built.to_native()
    return found.withColumn(CUTOFF, f.timestamp_micros(quoted(CUTOFF)).cast("timestamp_ntz"))


def _read_cutoffs(session: SparkSession, path: str) -> DataFrame:
    """`customer_id` and `cutoff`, each pair once; a naive `cutoff` is UTC."""
    from pyspark.sql import functions as f

    place = f"--cutoffs {path}"
    frame = read_source(session, Source(file=path), Path.cwd(), place)
    kinds = {field.name: field.dataType for field in frame.schema}
    if missing := [name for name in KEYS if name not in kinds]:
        raise InputError(place, f"columns {', '.join(kinds)}", ", ".join(KEYS), f"add {missing}")
    rows = frame.select(
        texts(quoted(CUSTOMER), kinds[CUSTOMER], place).alias(CUSTOMER),
        times(quoted(CUTOFF), kinds[CUTOFF], "UTC").alias(CUTOFF),
    )
    wrong = rows.groupBy(*KEYS).count().where((f.col("count") > 1) | f.col(CUSTOMER).isNull() | f.col(CUTOFF).isNull())
    for customer, cutoff, _ in wrong.limit(1).collect():
        found = f"{customer!r} at {cutoff!r}: twice, or not complete"
        raise InputError(place, found, "each customer and time once, such as 2024-06-01T00:00:00Z")
    return rows


def _refuse_existing(session: SparkSession, target: str) -> None:
    """Refuse before the work what Spark refuses after it."""
    from pyspark.errors import AnalysisException

    try:
        _ = session.read.format("binaryFile").load(target).schema  # Spark Connect looks no sooner
    except AnalysisException:  # no such path
        return
    raise InputError("--output", f"{target} exists", "a folder that does not", "give another name, or remove it")


def _told(error: Exception) -> InputError | None:
    """What a user can mend; None for all else."""
    condition = str(getattr(error, "getCondition", lambda: "")())
    if condition.startswith(("FAILED_READ_FILE", "MALFORMED_RECORD_IN_PARSING", "CANNOT_MERGE")):
        return InputError("events", first_line(error), "files with equal columns, CSV as UTF-8 with a header")
    return None
