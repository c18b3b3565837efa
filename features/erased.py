"""Customers who were erased: known by hashes alone, and left out of every source from then on."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from features.schema import CUSTOMER


@dataclass(frozen=True, slots=True)
class Erased:
    """Who is kept out: HMAC-SHA-256 of their ids by a secret of the store.

    Whoever has neither the secret nor the id cannot tell who it was.
    """

    secret: bytes
    hashes: frozenset[bytes]

    def bars(self, customer_id: str) -> bool:
        """Whether this customer is kept out."""
        return hash_of(self.secret, customer_id) in self.hashes

    def among(self, customers: Iterable[str]) -> set[str]:
        """Those of some customers who are kept out."""
        return {customer for customer in customers if self.bars(customer)}

    def left(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows of everyone else; null is nobody."""
        barred = self.among(rows[CUSTOMER].drop_nulls().unique())
        if not barred:
            return rows
        return rows.filter(~rows[CUSTOMER].is_in(sorted(barred)).fill_null(False))


def hash_of(secret: bytes, customer_id: str) -> bytes:
    """What a customer's id becomes: 32 bytes."""
    return hmac.digest(secret, customer_id.encode("utf-8", "surrogatepass"), "sha256")
