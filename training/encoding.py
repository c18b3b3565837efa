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

from features.feature import PROFILE, Feature
from training.lifetimes import Lifetimes

FEW = 8  # rows that are read one by one
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
        return Encodings([self]).read(vectors)[0][0][1]

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


class Encodings:
    """Several encodings of the same vectors: what they have in common is read once, and the query is kept."""

    def __init__(self, encodings: Iterable[Encoding], also: Sequence[pl.Expr] = ()) -> None:
        self._encodings = tuple(encodings)
        found: dict[tuple[str, tuple[Any, ...] | None], int] = {}
        wanted = [[(name, one.categories.get(name)) for name in one.inputs] for one in self._encodings]
        self._own = [(one.names, _own(one)) for one in self._encodings]
        self._places = [[found.setdefault(column, len(found)) for column in columns] for columns in wanted]
        self._wanted = list(found)
        self._columns = [_column(*column).alias(str(place)) for place, column in enumerate(self._wanted)]
        self._known = [{value: place for place, value in enumerate(_texts(of or ()))} for _, of in self._wanted]
        self._also = list(also)

    def read(self, vectors: pl.DataFrame) -> tuple[list[tuple[pl.DataFrame, NDArray[np.float64]]], pl.DataFrame]:
        """Per encoding, the vectors with what the model adds to them and the matrix; and the columns of `also`."""
        every, also = self._few(vectors) if len(vectors) <= FEW else self._many(vectors)
        whole = list(range(len(self._columns)))
        parts = (every if places == whole else every[:, places] for places in self._places)
        encoded = [
            _whole(names, added, part, one.added(vectors))
            for one, (names, added), part in zip(self._encodings, self._own, parts, strict=True)
        ]
        return encoded, also

    def _many(self, vectors: pl.DataFrame) -> tuple[NDArray[np.float64], pl.DataFrame]:
        found, width = vectors.select(*self._columns, *self._also), len(self._columns)
        every = found[:, :width].to_numpy().astype(np.float64) if width else np.empty((len(vectors), 0))
        return every, found[:, width:]

    def _few(self, vectors: pl.DataFrame) -> tuple[NDArray[np.float64], pl.DataFrame]:
        """The same for rows so few that a query of many columns takes longer to begin than they to read."""
        types = vectors.schema
        asked = [
            self._columns[i]
            for i, (name, of) in enumerate(self._wanted)
            if (of is None if types[name] == pl.String else of)
        ]
        queried = vectors.select(*asked, *self._also)
        read = {
            str(place): queried[str(place)].to_list() for place in range(len(self._wanted)) if str(place) in queried
        }
        columns = dict(zip(vectors.columns, zip(*vectors.rows(), strict=True), strict=False))  # none of no rows
        every = np.empty((len(vectors), len(self._wanted)), dtype=np.float32)
        with np.errstate(over="ignore"):  # beyond single precision is infinity, as in a query
            for place, (name, categories) in enumerate(self._wanted):
                known = self._known[place] if types[name] == pl.String and categories is not None else None
                every[:, place] = [_number(value, known) for value in read.get(str(place), columns.get(name, ()))]
        return every.astype(np.float64), queried[:, len(asked) :]


def _own(encoding: Encoding) -> list[int]:
    """The places of the columns that the model adds."""
    inputs = set(encoding.inputs)
    return [place for place, name in enumerate(encoding.names) if name not in inputs]


def _whole(
    names: Sequence[str], own: Sequence[int], inputs: NDArray[np.float64], vectors: pl.DataFrame
) -> tuple[pl.DataFrame, NDArray[np.float64]]:
    """The matrix of inputs with the model's own columns at their places."""
    if not own:
        return vectors, inputs
    matrix = np.empty((len(vectors), len(names)))
    matrix[:, [place for place in range(len(names)) if place not in own]] = inputs
    for place in own:
        matrix[:, place] = vectors[names[place]].cast(pl.Float32).to_numpy()
    return vectors, matrix


def _column(name: str, categories: tuple[Any, ...] | None) -> pl.Expr:
    if categories is None:
        return pl.col(name).cast(pl.Float32, strict=False)  # a profile may turn to text after training
    known = _texts(categories)
    return pl.col(name).cast(pl.String).cast(pl.Enum(known), strict=False).to_physical().cast(pl.Float32)


def _texts(categories: tuple[Any, ...]) -> pl.Series:
    return pl.Series(categories).cast(pl.String)  # those of a profile may be numbers


def _number(value: Any, known: dict[str, int] | None) -> float:
    """A number, or the place of a category among those known; nan where there is none."""
    if value is None:
        return np.nan
    return value if known is None else known.get(value, np.nan)


def fit_encoding(features: Sequence[Feature], vectors: pl.DataFrame, lifetimes: Lifetimes | None = None) -> Encoding:
    """The encoding of these features; categories without a given order: most frequent first.

    A column of the profile that holds numbers is read as numbers: income and age have an order.
    """
    categories = {}
    for feature in features:
        number = feature.of == PROFILE and vectors[feature.name].dtype.is_numeric()
        if feature.unit == "category" and not number:
            categories[feature.name] = feature.categories or _most_frequent(vectors[feature.name])
    names = tuple(feature.name for feature in features)
    return Encoding((*names, *(lifetimes.names if lifetimes else ())), categories, lifetimes)


def _most_frequent(column: pl.Series) -> tuple[str, ...]:
    counts = column.drop_nulls().value_counts().sort(["count", column.name], descending=[True, False])
    return tuple(counts[column.name].head(CATEGORIES_AT_MOST).to_list())
