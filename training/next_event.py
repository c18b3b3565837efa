"""Which event comes next: one vector per event in, a probability of every next type out.

One booster per class, grown only on the events that the class has followed: of a few dozen types a handful
can follow any one, and a booster that is not asked about the others spends its leaves on what is open. The
answers are made to sum to 1. Histories are divided into parts; each part stops the boosters grown on the
others, and all parts' answers are averaged, so that every history both teaches and stops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

import lightgbm as lgb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.errors import InputError
from features.journey import Journey
from features.labels import LABEL
from features.next_event import columns, labels, vectors
from features.schema import CUSTOMER
from training.encoding import CATEGORIES_AT_MOST
from training.recipe import Recipe

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
PRESENT = "step_1_back"  # the type of the event that a vector ends with
RECIPE = Recipe(learning_rate=0.2, leaves=15, rows_per_leaf=20, feature_fraction=0.3, rounds_at_most=200, patience=10)
PARTS = 4
FEWEST = 2  # events that a class has followed a type: fewer are no pattern


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of the matrix, and the values of each category in the order of their numbers."""

    names: tuple[str, ...]
    categories: dict[str, tuple[str, ...]]

    def matrix(self, rows: pl.DataFrame) -> Array:
        """Shape (rows, columns); nan: unknown."""
        found = rows.select(self._number(name).alias(name) for name in self.names)
        return np.asarray(found.to_numpy(), dtype=np.float64)

    def _number(self, name: str) -> pl.Expr:
        if name not in self.categories:
            return pl.col(name).cast(pl.Float32)
        order = pl.Enum(pl.Series(self.categories[name], dtype=pl.String))
        return pl.col(name).cast(order, strict=False).to_physical().cast(pl.Float32)


@dataclass(frozen=True, slots=True, eq=False)
class NextEvent:
    """A trained model of the next event.

    Attributes
    ----------
    classes
        The labels, in the order of the probabilities.
    absolute
        Whether the vectors tell when in the log an event happened.
    follows
        Shape (present types + 1, classes): what can follow each type; the last row is for types never seen.
    boosters
        Per part, one booster for each class; a number: what it says of every row, where one outcome was seen.
    learned_from
        The events that load counts.
    """

    journey: Journey
    classes: tuple[str, ...]
    absolute: bool
    columns: Columns
    follows: Flags
    boosters: tuple[tuple[lgb.Booster | float, ...], ...]
    learned_from: pl.DataFrame = field(repr=False)

    def predict(self, events: pl.DataFrame, threads: int = 1) -> tuple[pl.DataFrame, Array]:
        """Of every event of these histories, `customer_id` and `position`, and the probability of each class.

        Parameters
        ----------
        events
            The internal event log of histories that were not learned from.
        """
        rows = vectors(events, self.journey, absolute=self.absolute, others=self.learned_from)
        matrix, present = self.columns.matrix(rows), _present(rows, self.journey)
        answers = [_answers(grown, matrix, self.follows[present], threads) for grown in self.boosters]
        return rows.select(CUSTOMER, "position"), np.mean(answers, axis=0)


def fit_next_event(
    journey: Journey,
    events: pl.DataFrame,
    *,
    absolute: bool = True,
    recipe: Recipe = RECIPE,
    threads: int = 1,
    parts: int = PARTS,
    report: Callable[[str], None] = lambda _: None,
) -> NextEvent:
    """Learn which event comes next from these histories of a resolved journey.

    Parameters
    ----------
    absolute
        Whether to look at when in the log an event happened (`features.next_event.columns`).
    parts
        Parts of the histories that stop in turn what is grown on the others.

    Raises
    ------
    InputError
        Fewer histories than parts, or only one thing that ever happens next.
    """
    told = labels(events, journey.tasks.next_event.ends if journey.tasks.next_event else ())[LABEL]
    rows = vectors(events, journey, absolute=absolute).filter(told.is_not_null())
    told = told.drop_nulls()
    classes = tuple(told.unique().sort().to_list())
    _refuse_little(rows[CUSTOMER].n_unique(), parts, classes)
    looks = Columns(
        tuple(column.name for column in columns(journey, absolute=absolute)), _categories(rows, journey, absolute)
    )
    label = told.cast(pl.Enum(classes)).to_physical().cast(pl.Int64).to_numpy()
    present = _present(rows, journey)
    follows = _follows(present, label, len(journey.types), len(classes))
    matrix, part = looks.matrix(rows), _parts(rows[CUSTOMER], parts)
    grown = []
    for number in range(parts):
        report(f"next event: part {number + 1} of {parts}")
        fit, stop = part != number, part == number
        grown.append(
            tuple(
                _booster(matrix, label == index, fit & can, stop & can, recipe, threads)
                for index, can in enumerate(follows[present].T)
            )
        )
    return NextEvent(journey, classes, absolute, looks, follows, tuple(grown), events)


def _refuse_little(histories: int, parts: int, classes: Sequence[str]) -> None:
    if histories < parts or len(classes) < 2:
        raise InputError(
            "tasks.next_event",
            f"{histories} histories with {len(classes)} different next events",
            f"at least {parts} histories and two different next events",
            "give a longer log",
        )


def _categories(rows: pl.DataFrame, journey: Journey, absolute: bool) -> dict[str, tuple[str, ...]]:
    """Types in the journey's order; other values the most frequent first, alike for all columns of one category."""
    found: dict[str, tuple[str, ...]] = {}
    for column in columns(journey, absolute=absolute):
        if column.unit != "category":
            continue
        if column.name.startswith("step_"):
            found[column.name] = tuple(journey.types)
            continue
        newest = column.name.removesuffix("_first") + "_1_back" if column.name.endswith("_first") else column.name
        newest = f"{newest.rsplit('_', 2)[0]}_1_back"
        counts = rows[newest].drop_nulls().value_counts().sort(["count", newest], descending=[True, False])
        found[column.name] = tuple(counts[newest].head(CATEGORIES_AT_MOST).to_list())
    return found


def _present(rows: pl.DataFrame, journey: Journey) -> NDArray[np.int64]:
    """The number of each row's present type; one more than there are types: never seen."""
    order = pl.Enum(pl.Series(journey.types, dtype=pl.String))
    numbers = rows[PRESENT].cast(order, strict=False).to_physical().cast(pl.Int64)
    return numbers.fill_null(len(journey.types)).to_numpy()


def _follows(present: NDArray[np.int64], label: NDArray[np.int64], types: int, classes: int) -> Flags:
    """What has followed each type often enough; anything can follow where nothing has."""
    counts = np.zeros((types + 1, classes), dtype=np.int64)
    np.add.at(counts, (present, label), 1)
    enough = counts >= FEWEST
    return np.where(enough.any(axis=1, keepdims=True), enough, True)


def _parts(customers: pl.Series, parts: int) -> NDArray[np.int64]:
    """The part of each row's history; parts are of one size, whatever the order of rows."""
    number = np.unique(customers.to_numpy(), return_inverse=True)[1]
    return np.asarray(np.random.default_rng(0).permutation(number.max() + 1)[number] % parts)


def _booster(matrix: Array, came: Flags, fit: Flags, stop: Flags, recipe: Recipe, threads: int) -> lgb.Booster | float:
    """The booster of one class; where only one outcome was seen, its share as if each had been seen once more."""
    rows = int(fit.sum())
    if not rows or came[fit].all() or not came[fit].any():
        return float((came[fit].sum() + 1) / (rows + 2))
    data = lgb.Dataset(matrix[fit], came[fit].astype(float))
    settings = recipe.for_rows(rows).parameters("binary", threads)
    if not stop.any():
        return cast(lgb.Booster, lgb.train(settings, data, recipe.patience))
    held = lgb.Dataset(matrix[stop], came[stop].astype(float), reference=data)
    calls = [lgb.early_stopping(recipe.patience, verbose=False)]
    found = lgb.train(settings, data, recipe.rounds_at_most, valid_sets=[held], callbacks=calls)
    return cast(lgb.Booster, found)


def _answers(grown: Sequence[lgb.Booster | float], matrix: Array, follows: Flags, threads: int) -> Array:
    """Probabilities of one part's boosters, shape (rows, classes), each row's sum 1."""
    found = np.zeros(follows.shape)
    for index, booster in enumerate(grown):
        can = follows[:, index]
        if isinstance(booster, float):
            found[can, index] = booster
        elif can.any():
            found[can, index] = booster.predict(matrix[can], num_threads=threads)
    return np.asarray(found / found.sum(axis=1, keepdims=True))
