"""What a feature is computed from: aggregates over one customer's past, and arithmetic on them.

A definition is written once and means the same to every engine: `features.ranges` looks it up in
sorted histories, `features.relational` joins and groups. Row by row, Narwhals expressions choose and
compute; how rows become one value is said by the functions here.

    ratio(total("value", window=window), count(bought))      # average order value of a window

The condition `where`, true or not of a row, and the `window` that ends at the cutoff say which rows
count. Null is unknown: rows whose value is null do not count, and an aggregate of no rows is null,
but a count or a total of none is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal

import narwhals as nw

from features.instants import Window, days

Kind = Literal[
    "count", "total", "mean", "lowest", "highest", "median", "deviation", "distinct", "newest", "since", "since_first"
]
Column = str | nw.Expr
COUNTS = ("count", "total", "distinct")  # 0 of no rows, never null


@dataclass(frozen=True, slots=True, eq=False)
class Aggregate:
    """One value from the rows of a (customer, cutoff); two with one `name` are the same.

    Attributes
    ----------
    kind
        How the rows become a value.
    of
        What is aggregated, row by row; null rows do not count. None: the rows themselves.
    where
        Which rows count; None: all.
    window
        Which times count; None: all before the cutoff.
    back
        `newest` only: 0 for the newest of the rows that count, 1 for the one before ...
    """

    kind: Kind
    of: nw.Expr | None = None
    where: nw.Expr | None = None
    window: Window | None = None
    back: int = 0

    @property
    def name(self) -> str:
        """What it is, in one text."""
        window = self.window and f"{self.window.length} ending {self.window.before} before"
        return f"{self.kind} {self.back} of {self.of!r} where {self.where!r} in {window}"


class Value:
    """Arithmetic on aggregates: `expr(table)` over the columns in which the `parts` of a table stand.

    Values add, subtract, multiply and divide, with each other and with numbers. `bare`: one aggregate
    and no arithmetic.
    """

    __slots__ = ("bare", "expr", "parts")

    def __init__(self, expr: Callable[[str], nw.Expr], parts: tuple[Aggregate, ...]) -> None:
        self.expr = expr
        self.parts = tuple({part.name: part for part in parts}.values())
        self.bare = False

    def __add__(self, other: Value | float) -> Value:
        return combine(lambda a, b: a + b, self, other)

    def __sub__(self, other: Value | float) -> Value:
        return combine(lambda a, b: a - b, self, other)

    def __mul__(self, other: Value | float) -> Value:
        return combine(lambda a, b: a * b, self, other)

    def __truediv__(self, other: Value | float) -> Value:
        return combine(lambda a, b: a / b, self, other)

    def __repr__(self) -> str:
        return repr(self.expr(""))


def column(table: str, part: Aggregate) -> str:
    """Where an aggregate of a table stands before the arithmetic: short, and without a sign that SQL reads."""
    return f"{part.kind} {blake2b(part.name.encode(), digest_size=12).hexdigest()} of {table}"


def combine(function: Callable[..., nw.Expr], *values: Value | float) -> Value:
    """A value computed from others; `function` takes Narwhals expressions and numbers as given."""
    parts = tuple(part for value in values if isinstance(value, Value) for part in value.parts)
    return Value(lambda table: function(*(v.expr(table) if isinstance(v, Value) else v for v in values)), parts)


def count(where: nw.Expr | None = None, window: Window | None = None) -> Value:
    """The number of rows; 0 where there are none."""
    return _value(Aggregate("count", None, where, window))


def total(of: Column, where: nw.Expr | None = None, window: Window | None = None) -> Value:
    """The sum; 0 where there is nothing to add."""
    return _value(Aggregate("total", _column(of), where, window))


def mean(of: Column, where: nw.Expr | None = None, window: Window | None = None) -> Value:
    """The arithmetic mean."""
    return _value(Aggregate("mean", _column(of), where, window))


def lowest(of: Column, where: nw.Expr | None = None, window: Window | None = None) -> Value:
    """The smallest number."""
    return _value(Aggregate("lowest", _column(of), where, window))


def highest(of: Column, where: nw.Expr | None = None, window: Window | None = None) -> Value:
    """The largest number."""
    return _value(Aggregate("highest", _column(of), where, window))


def median(of: Column, where: nw.Expr | None = None, window: Window | None = None) -> Value:
    """The middle number, or the mean of the middle two."""
    return _value(Aggregate("median", _column(of), where, window))


def deviation(of: Column, where: nw.Expr | None = None, window: Window | None = None) -> Value:
    """The standard deviation of a sample (n - 1); null for fewer than two numbers."""
    return _value(Aggregate("deviation", _column(of), where, window))


def distinct(of: Column, where: nw.Expr | None = None, window: Window | None = None) -> Value:
    """How many different values; 0 where there are none."""
    return _value(Aggregate("distinct", _column(of), where, window))


def newest(of: Column, where: nw.Expr | None = None, window: Window | None = None, back: int = 0) -> Value:
    """What the newest of the rows that count holds, or the one `back` rows before it; null may be what it holds."""
    return _value(Aggregate("newest", _column(of), where, window, back))


def since(where: nw.Expr | None = None) -> Value:
    """Days from the newest of the rows to the cutoff."""
    return combine(days, age(where))


def since_first(where: nw.Expr | None = None) -> Value:
    """Days from the oldest of the rows to the cutoff."""
    return combine(days, age_of_first(where))


def age(where: nw.Expr | None = None) -> Value:
    """Microseconds from the newest of the rows to the cutoff."""
    return _value(Aggregate("since", None, where))


def age_of_first(where: nw.Expr | None = None) -> Value:
    """Microseconds from the oldest of the rows to the cutoff."""
    return _value(Aggregate("since_first", None, where))


def share(where: nw.Expr) -> Value:
    """The share of all rows that count; null where there are none."""
    return ratio(count(where), count())


def ratio(top: Value, bottom: Value) -> Value:
    """`top / bottom`; null where the bottom is 0 or unknown."""
    return combine(lambda a, b: nw.when(b != 0).then(a / b), top, bottom)


def at_least(value: Value, floor: float) -> Value:
    """The value, or `floor` where it is lower."""
    return combine(lambda column: column.clip(lower_bound=floor), value)


def only_with(some: Value, value: Value) -> Value:
    """The value where `some` is above 0; null elsewhere."""
    return combine(lambda condition, column: nw.when(condition > 0).then(column), some, value)


def named(index: Value, names: tuple[str, ...]) -> Value:
    """The name at the place the value gives, from 0."""

    def pick(column: nw.Expr) -> nw.Expr:
        found: Any = nw.when(column == 0).then(nw.lit(names[0]))
        for place, name in enumerate(names[1:], start=1):
            found = nw.when(column == place).then(nw.lit(name)).otherwise(found)
        return found  # type: ignore[no-any-return]

    return combine(pick, index)


def _value(part: Aggregate) -> Value:
    found = Value(lambda table: nw.col(column(table, part)), (part,))
    found.bare = True
    return found


def _column(of: Column) -> nw.Expr:
    return nw.col(of) if isinstance(of, str) else of
