"""How the pandas rival groups: by a column of whole numbers that rises."""

from __future__ import annotations

from typing import Any

import pandas as pd

HISTORY = "history"


def by(rows: Any) -> Any:
    """Rows, or a column of them, by history."""
    return rows.groupby(HISTORY, sort=False)


def same(rows: pd.DataFrame, back: int = 1) -> Any:
    """Whether the row so far back is of the same history."""
    return rows[HISTORY] == rows[HISTORY].shift(back)


def totals(rows: pd.DataFrame, columns: dict[str, Any]) -> pd.DataFrame:
    """Each column's sum by history; a column may be a condition."""
    return pd.DataFrame(columns, index=rows.index).groupby(rows[HISTORY], sort=False).sum()


def ratio(top: Any, bottom: Any) -> Any:
    """`top / bottom`; nan where the bottom is 0."""
    return top / bottom.where(bottom != 0)
