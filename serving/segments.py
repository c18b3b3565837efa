"""The customers' segments: columns of the profile that are shown and compared, never features."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from features.schema import CUSTOMER


class Segments:
    """The segments of every customer with a profile.

    Parameters
    ----------
    names
        The journey's segments.
    profile
        One row per customer, sorted by `customer_id`, as `features.profile.read_profile` gives it;
        null: the journey has none.
    """

    def __init__(self, names: Sequence[str] = (), profile: pl.DataFrame | None = None) -> None:
        self.names = list(names) if profile is not None else []
        self._profile = profile if self.names else None

    def of(self, customer_ids: Sequence[str]) -> list[dict[str, str] | None]:
        """Each customer's segments and values; null where none is known."""
        if self._profile is None or self._profile.is_empty():
            return [None] * len(customer_ids)
        known = self._profile[CUSTOMER]
        asked = pl.Series(customer_ids, dtype=pl.String)
        places = known.search_sorted(asked).clip(0, len(known) - 1)
        rows = self._profile[places].select(pl.col(self.names), (known[places] == asked).alias("_known"))
        return [_given(row) if row.pop("_known") else None for row in rows.iter_rows(named=True)]


def _given(row: dict[str, str | None]) -> dict[str, str] | None:
    return {name: value for name, value in row.items() if value is not None} or None
