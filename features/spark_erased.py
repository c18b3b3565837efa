"""Customers who were erased, left out on a cluster: the hashes are computed there, of every id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from features.erased import Erased
from features.schema import CUSTOMER
from features.spark_sources import quoted

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

_BLOCK = 64  # bytes of SHA-256's block (RFC 2104)
_HASH = "erased_hash"


def left(rows: DataFrame, erased: Erased | None) -> DataFrame:
    """The rows of everyone else; the secret goes to the cluster with the query."""
    from pyspark.sql import functions as f

    if erased is None:
        return rows
    hashes = rows.sparkSession.createDataFrame([(one.hex(),) for one in sorted(erased.hashes)], f"{_HASH} string")
    hashed = rows.withColumn(_HASH, _hmac(erased.secret, quoted(CUSTOMER).cast("binary")))
    return hashed.join(f.broadcast(hashes), _HASH, "left_anti").drop(_HASH)


def _hmac(secret: bytes, text: Column) -> Column:
    """HMAC-SHA-256 (RFC 2104) from what every Spark has, as hexadecimal digits."""
    from pyspark.sql import functions as f

    inner, outer = (f.lit(bytearray(byte ^ pad for byte in secret.ljust(_BLOCK, b"\0"))) for pad in (0x36, 0x5C))
    return f.sha2(f.concat(outer, f.unhex(f.sha2(f.concat(inner, text), 256))), 256)
