"""A feature is a value: a name, words, a unit, a reason code and what it is computed from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from features.aggregates import Value
from features.histories import Histories, Rows

UNITS = ("count", "days", "hours", "minutes", "money", "share", "ratio", "number", "category")
REASONS = {
    "OVERDUE": "time since the last purchase, against the customer's own rhythm",
    "INACTIVE": "time since the customer last did anything",
    "ACTIVITY": "how much the customer did lately",
    "TREND": "whether the customer does more or less than before",
    "SPEND": "how much the customer spends",
    "ORDER_VALUE": "how large the customer's orders are",
    "REFUNDS": "money given back",
    "CADENCE": "how regularly the customer buys",
    "TENURE": "how long the customer has been known",
    "STAGE": "where the customer stands in the journey and how they came there",
    "CHANNEL": "where the customer meets the business",
    "CAMPAIGN": "what the business sent and how the customer answered",
    "FRICTION": "trouble the customer had",
    "FEEDBACK": "what the customer said when asked",
    "BASKET": "what the customer's events contain",
    "SEQUENCE": "the customer's last steps",
    "SESSION": "how often the customer comes by, for how long and for what",
    "LIFETIME": "whether the customer still buys at all, by the rhythm of all customers",
    "SEASON": "the time of the year, by what the customer did in it before",
    "HABIT": "the days and hours the customer keeps",
    "PROFILE": "what is known of the customer besides events",
}


@dataclass(frozen=True, slots=True)
class Table:
    """A table derived from the events of each history.

    `derive` takes the events (with `position` and the keys of the histories) and adds or drops rows and
    columns. It looks back only: what it says of a row is the same whatever happens later, for one
    derivation serves every cutoff. Of its rows, those with a `time` before the cutoff are aggregated.
    """

    name: str
    derive: Callable[[Rows, Histories], Rows]
    order_by: str = "position"


EVENTS = Table("events", lambda rows, _: rows)
PROFILE = Table("profile", lambda rows, _: rows)


class Described(Protocol):
    """What people are told of a column that a model looks at."""

    @property
    def name(self) -> str:
        """The column."""

    @property
    def description(self) -> str:
        """One sentence in words a retention team uses."""

    @property
    def unit(self) -> str:
        """As of a feature."""

    @property
    def reason(self) -> str:
        """The reason code it belongs to."""

    @property
    def says(self) -> str:
        """How a reason tells it."""

    @property
    def usual(self) -> str | None:
        """The column that holds the customer's own usual value of this one."""


@dataclass(frozen=True, slots=True)
class Modelled:
    """A column that a model adds to the vectors it reads, by parameters that it learned; see `Feature`."""

    name: str
    description: str
    unit: str
    reason: str
    says: str
    usual: str | None = None


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of a vector.

    Attributes
    ----------
    name
        Column: `what_unit` or `what_{window}`.
    description
        One sentence in words a retention team uses.
    unit
        One of `UNITS`.
    reason
        The reason code it belongs to, one of `REASONS`.
    value
        What it is computed from: aggregates over the rows of one (customer, cutoff) in the table `of`.
    empty
        What stands in place of null; None: unknown.
    of
        The table that `value` aggregates.
    says
        How a reason tells it; `{value}` stands for the value with its unit.
    usual
        The feature that holds the customer's own usual value of this one.
    categories
        The values in their order, where the journey gives them; None: learned from the training rows.
    source
        The digest of the module that defines it; empty: Journeycast itself.
    """

    name: str
    description: str
    unit: str
    reason: str
    value: Value
    empty: float | str | None = None
    of: Table = EVENTS
    says: str = ""
    usual: str | None = None
    categories: tuple[str, ...] | None = None
    source: str = ""
