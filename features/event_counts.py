"""How many events of each type there were on each day, of a log as a whole or in parts."""

from __future__ import annotations

from typing import Any

import polars as pl

from features.schema import DAY, EVENT, KNOWN_AT, TIME, to_text

TYPES = 16  # told by name: the most frequent
OTHERS = "other types"


class EventCounts:
    """Counts of parts, added up."""

    def __init__(self) -> None:
        self._counts = pl.DataFrame(schema={"day": pl.Int64, EVENT: pl.String, "count": pl.Int64})
        self._first: int | None = None
        self._last: int | None = None

    def add(self, events: pl.DataFrame) -> None:
        """Count a part's events, as `features.log.read` gives them."""
        if events.is_empty():
            return
        days = events.group_by((pl.col(TIME) // DAY).alias("day"), EVENT).agg(pl.len().cast(pl.Int64).alias("count"))
        both = pl.concat([self._counts, days])
        self._counts = both.group_by("day", EVENT).agg(pl.col("count").sum())
        first, last = events.select(pl.col(TIME).min(), pl.max_horizontal(TIME, KNOWN_AT).max().alias("last")).row(0)
        self._first = first if self._first is None else min(first, self._first)
        self._last = last if self._last is None else max(last, self._last)

    def document(self) -> dict[str, Any]:
        """Days (ISO 8601) in order, and of each type how many events each of them had."""
        if self._first is None or self._last is None:
            return {"events": 0, "first": None, "last": None, "days": [], "types": []}
        frequent = (
            self._counts.group_by(EVENT).agg(pl.col("count").sum()).sort("count", EVENT, descending=[True, False])
        )
        names = frequent[EVENT].to_list()[:TYPES]
        known = pl.when(pl.col(EVENT).is_in(names)).then(pl.col(EVENT)).otherwise(pl.lit(OTHERS))
        told = self._counts.group_by("day", known.alias(EVENT)).agg(pl.col("count").sum())
        first, last = int(told["day"].min()), int(told["day"].max())  # type: ignore[arg-type]
        days = pl.DataFrame({"day": pl.Series(range(first, last + 1), dtype=pl.Int64)})
        shown = [*names, OTHERS] if frequent.height > TYPES else names
        types = []
        for name in shown:
            mine = days.join(told.filter(pl.col(EVENT) == name), on="day", how="left", maintain_order="left")
            counts = mine["count"].fill_null(0)
            types.append({"event": name, "count": int(counts.sum()), "by_day": counts.to_list()})
        return {
            "events": int(self._counts["count"].sum()),
            "first": to_text(self._first),
            "last": to_text(self._last),
            "days": [to_text(day * DAY)[:10] for day in range(first, last + 1)],
            "types": types,
        }
