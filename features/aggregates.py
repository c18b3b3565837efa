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
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Literal

import narwhals as nw

from features.instants import Window, days
from features.numbers import name_of, only_where

Kind = Literal[
    "count",
    "total",
    "mean",
    "lowest",
    "highest",
    "median",
    "deviation",
    "distinct",
    "newest",
    "since",
    "since_first",
    "cutoff",
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
    name
        What it is, in one text.
    """

    kind: Kind
    of: nw.Expr | None = None
    where: nw.Expr | None = None
    window: Window | None = None
    back: int = 0
    name: str = field(init=False)

    def __post_init__(self) -> None:
        window = self.window and f"{self.window.length} ending {self.window.before} before"
        name = f"{self.kind} {self.back} of {self.of!r} where {self.where!r} in {window}"
        object.__setattr__(self, "name", name)


class Value:
    """Arithmetic on aggregates: a `function` of columns, applied to the `parts` of a table.

    Values add, subtract, multiply and divide, with each other and with numbers. `bare`: one aggregate
    and no arithmetic.

    Parameters
    ----------
    function
        Takes a column or number for each of `values` and gives a column.
    values
        Values, aggregates and numbers.
    """

    __slots__ = ("_function", "_values", "bare", "parts")

    def __init__(self, function: Callable[..., Any], *values: Value | Aggregate | float) -> None:
        self._function, self._values = function, values
        of = (v.parts if isinstance(v, Value) else (v,) for v in values if isinstance(v, Value | Aggregate))
        self.parts: tuple[Aggregate, ...] = tuple({part.name: part for parts in of for part in parts}.values())
        self.bare = len(values) == 1 and function is _itself

    def expr(self, table: str) -> nw.Expr:
        """The value as an expression over the columns in which the parts stand."""
        found: nw.Expr = self.over(lambda part: nw.col(column(table, part)))
        return found

    def over(self, columns: Callable[[Aggregate], Any]) -> Any:
        """The value over any kind of columns that its arithmetic understands."""
        arguments = (
            v.over(columns) if isinstance(v, Value) else columns(v) if isinstance(v, Aggregate) else v
            for v in self._values
        )
        return self._function(*arguments)

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


@lru_cache(8192)
def column(table: str, part: Aggregate) -> str:
    """Where an aggregate of a table stands before the arithmetic: short, and without a sign that SQL reads."""
    return f"{part.kind} {blake2b(part.name.encode(), digest_size=12).hexdigest()} of {table}"


def combine(function: Callable[..., Any], *values: Value | float) -> Value:
    """A value computed from others; `function` takes columns, and numbers as given.

    Of columns it may ask arithmetic, comparisons, `clip`, `log`, `cast` and `only_where`, which are
    computed in NumPy, or anything else of a Narwhals expression, which takes longer for one customer.
    """
    return Value(function, *values)


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
    return combine(lambda a, b: only_where(b != 0, a / b), top, bottom)


def at_least(value: Value, floor: float) -> Value:
    """The value, or `floor` where it is lower."""
    return combine(lambda column: column.clip(lower_bound=floor), value)


def only_with(some: Value, value: Value) -> Value:
    """The value where `some` is above 0; null elsewhere."""
    return combine(lambda condition, column: only_where(condition > 0, column), some, value)


def named(index: Value, names: tuple[str, ...]) -> Value:
    """The name at the place the value gives, from 0."""
    return combine(lambda column: name_of(column, names), index)


def cutoff() -> Value:
    """The cutoff, in microseconds since the epoch."""
    return _value(Aggregate("cutoff"))


def _value(part: Aggregate) -> Value:
    return Value(_itself, part)


def _itself(column: Any) -> Any:
    return column


def _column(of: Column) -> nw.Expr:
    return nw.col(of) if isinstance(of, str) else of
