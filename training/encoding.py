"""Vectors as the matrix a tree model reads: numbers as they are, categories as numbers.

Categories become their position in a fixed list (the journey's own order where it has one), not
LightGBM's categorical splits: batch explanations refuse those, and few categories need no more.

Numbers are read in single precision. The order in which an engine adds floats varies from run to
run, and the last bits of a sum must decide neither a split nor an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.feature import Feature
from training.lifetimes import Lifetimes

CATEGORIES_AT_MOST = 64  # of a category learned from the training rows: the most frequent


@dataclass(frozen=True, slots=True)
class Encoding:
    """The columns of the matrix, for each category its values in order, and what the model adds to vectors."""

    names: tuple[str, ...]
    categories: dict[str, tuple[str, ...]]
    lifetimes: Lifetimes | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that vectors bring."""
        added = self.lifetimes.names if self.lifetimes else ()
        return tuple(name for name in self.names if name not in added)

    def added(self, vectors: pl.DataFrame) -> pl.DataFrame:
        """The vectors with every column of the matrix."""
        return self.lifetimes.added(vectors) if self.lifetimes else vectors

    def matrix(self, vectors: pl.DataFrame) -> NDArray[np.float64]:
        """Shape (rows, columns); nan: unknown, or a category never seen in training."""
        return self.coded(self.added(vectors))

    def coded(self, every: pl.DataFrame) -> NDArray[np.float64]:
        """The matrix of vectors that have every column."""
        columns = []
        for name in self.names:
            column = every[name]
            if name in self.categories:
                values = self.categories[name]
                positions = range(len(values))
                text = column.cast(pl.String)
                column = text.replace_strict(values, positions, default=None, return_dtype=pl.Float64)
            columns.append(column.cast(pl.Float32).to_numpy())
        return np.column_stack(columns).astype(np.float64) if columns else np.empty((len(every), 0))

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `read` makes the same value of it."""
        return {
            "names": list(self.names),
            "categories": {name: list(v) for name, v in self.categories.items()},
            "lifetimes": self.lifetimes.to_json() if self.lifetimes else None,
        }

    @classmethod
    def read(cls, written: dict[str, Any]) -> Self:
        """The encoding that `to_json` wrote."""
        lifetimes = written.get("lifetimes")  # models of before had none
        return cls(
            tuple(written["names"]),
            {name: tuple(values) for name, values in written["categories"].items()},
            Lifetimes.read(lifetimes) if lifetimes else None,
        )


def fit_encoding(features: Sequence[Feature], vectors: pl.DataFrame, lifetimes: Lifetimes | None = None) -> Encoding:
    """The encoding of these features; categories without a given order: most frequent first."""
    categories = {}
    for feature in features:
        if feature.unit == "category":
            categories[feature.name] = feature.categories or _most_frequent(vectors[feature.name])
    names = tuple(feature.name for feature in features)
    return Encoding((*names, *(lifetimes.names if lifetimes else ())), categories, lifetimes)


def _most_frequent(column: pl.Series) -> tuple[str, ...]:
    counts = column.drop_nulls().value_counts().sort(["count", column.name], descending=[True, False])
    return tuple(counts[column.name].head(CATEGORIES_AT_MOST).to_list())
