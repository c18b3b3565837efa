"""Vectors as the matrix a tree model reads: numbers as they are, categories as numbers.

Categories become their position in a fixed list (the journey's own order where it has one), not
LightGBM's categorical splits: batch explanations refuse those, and few categories need no more.

Numbers are read in single precision. The order in which an engine adds floats varies from run to
run, and the last bits of a sum must decide neither a split nor an answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.feature import Feature

CATEGORIES_AT_MOST = 64  # of a category learned from the training rows: the most frequent


@dataclass(frozen=True, slots=True)
class Encoding:
    """The columns of the matrix and, for each category, its values in order."""

    names: tuple[str, ...]
    categories: dict[str, tuple[str, ...]]

    def matrix(self, vectors: pl.DataFrame) -> NDArray[np.float64]:
        """Shape (rows, features); nan: unknown, or a category never seen in training."""
        return Encodings([self]).matrices(vectors)[0]

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `read` makes the same value of it."""
        return {"names": list(self.names), "categories": {name: list(v) for name, v in self.categories.items()}}

    @classmethod
    def read(cls, written: dict[str, Any]) -> Self:
        """The encoding that `to_json` wrote."""
        return cls(tuple(written["names"]), {name: tuple(values) for name, values in written["categories"].items()})


class Encodings:
    """Several encodings of the same vectors: what they have in common is read once, and the query is kept."""

    def __init__(self, encodings: Iterable[Encoding], also: Sequence[pl.Expr] = ()) -> None:
        found: dict[tuple[str, tuple[Any, ...] | None], int] = {}
        wanted = [[(name, one.categories.get(name)) for name in one.names] for one in encodings]
        self._places = [[found.setdefault(column, len(found)) for column in columns] for columns in wanted]
        self._columns = [_column(*column).alias(str(place)) for column, place in found.items()]
        self._also = list(also)

    def matrices(self, vectors: pl.DataFrame) -> list[NDArray[np.float64]]:
        """A matrix per encoding, as `Encoding.matrix` gives it."""
        return self.read(vectors)[0]

    def read(self, vectors: pl.DataFrame) -> tuple[list[NDArray[np.float64]], pl.DataFrame]:
        """A matrix per encoding, and the columns of `also`, in one query."""
        if not self._columns and not self._also:
            return [np.empty((len(vectors), 0)) for _ in self._places], pl.DataFrame()
        found, width = vectors.select(*self._columns, *self._also), len(self._columns)
        every = found[:, :width].to_numpy().astype(np.float64) if width else np.empty((len(vectors), 0))
        whole = list(range(width))
        return [every if places == whole else every[:, places] for places in self._places], found[:, width:]


def _column(name: str, categories: tuple[Any, ...] | None) -> pl.Expr:
    if categories is None:
        return pl.col(name).cast(pl.Float32)
    known = pl.Series(categories).cast(pl.String)  # those of a profile may be numbers
    return pl.col(name).cast(pl.String).cast(pl.Enum(known), strict=False).to_physical().cast(pl.Float32)


def fit_encoding(features: Sequence[Feature], vectors: pl.DataFrame) -> Encoding:
    """The encoding of these features; categories without a given order: most frequent first."""
    categories = {}
    for feature in features:
        if feature.unit == "category":
            categories[feature.name] = feature.categories or _most_frequent(vectors[feature.name])
    return Encoding(tuple(feature.name for feature in features), categories)


def _most_frequent(column: pl.Series) -> tuple[str, ...]:
    counts = column.drop_nulls().value_counts().sort(["count", column.name], descending=[True, False])
    return tuple(counts[column.name].head(CATEGORIES_AT_MOST).to_list())
