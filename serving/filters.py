"""Which customers a list holds, and in which order: what a request says, as SQL and as text to compare."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any, Literal, TypeAlias

import orjson
from sqlalchemy import ColumnElement, and_, exists, or_, select

from features.errors import InputError
from features.feature import REASONS
from features.journey import Campaign
from serving.suppression import SNOOZED, SUPPRESSED, Moment, Status, barred, snoozed, status_at, suppressed
from serving.tables import Run, scores, worklist

Sort: TypeAlias = Literal["expected_loss", "profit", "churn_probability"]
PREVIOUS: Literal["previous"] = "previous"
_PRECISE = 3  # signs of an id from which few customers share them
_LAST_SIGN = "\U0010ffff"  # no id goes on with a later one
_AFTER_A_CONTACT = ("contacted", "won", "lost")


@dataclass(frozen=True, slots=True)
class Filters:
    """Which customers are listed; null: whichever.

    Attributes
    ----------
    risk, stage, reason
        Exact; `reason` is the code of the reason that raises churn most.
    minimum_cltv
        In the journey's currency, over the CLTV horizon.
    segments
        Pairs of segment and value, all of which hold.
    status
        What the worklist says; where this says so, snoozed customers are listed, and those contacted
        lately (contacted, won, lost).
    customer
        What the id begins with.
    changed_since
        The risk band is another one than at this instant (microseconds), or than in the run before
        (`previous`). A customer without a band counts as changed when they get one.
    include
        `suppressed`, `snoozed`: those are left out otherwise.
    """

    risk: str | None = None
    stage: str | None = None
    minimum_cltv: float | None = None
    reason: str | None = None
    segments: tuple[tuple[str, str], ...] = ()
    status: Status | None = None
    changed_since: int | Literal["previous"] | None = None
    customer: str | None = None
    include: frozenset[str] = field(default=frozenset())

    def __post_init__(self) -> None:
        if self.reason is not None and self.reason not in REASONS:
            raise InputError("reason", self.reason, ", ".join(REASONS), "name one of the reason codes")

    def told(self) -> dict[str, Any]:
        """The filters that are given, as JSON holds them."""
        given = {name: value for name, value in asdict(self).items() if value not in (None, (), frozenset())}
        return {name: sorted(value) if name == "include" else value for name, value in given.items()}

    def of_scores(self, run: Run) -> list[ColumnElement[bool]]:
        """What the scores of a run must say.

        Raises
        ------
        InputError
            Where the run has no such segment.
        """
        _refuse_unknown_segments(self.segments, run)
        found = [
            column == value
            for column, value in ((scores.c.risk, self.risk), (scores.c.stage, self.stage))
            if value is not None
        ]
        if self.minimum_cltv is not None:
            found.append(scores.c.cltv_expected >= self.minimum_cltv)
        if self.reason is not None:
            found.append(scores.c.reason_code == self.reason)
        if self.customer is not None:
            ids = scores.c.customer_id
            found += [ids >= self.customer, ids <= self.customer + _LAST_SIGN]
        if self.changed_since is not None:
            before = run.scored_at - 1 if self.changed_since == PREVIOUS else self.changed_since
            found.append(scores.c.risk_since > before)
        return [*found, *(scores.c.segments[name].as_string() == value for name, value in self.segments)]

    def of_worklist(self, journey: str, moment: Moment, *, contactable: bool = False) -> list[ColumnElement[bool]]:
        """What the worklist must say; a customer who is not on it is open and may be contacted.

        `contactable` lists nobody who was contacted lately, whatever the status asked for.
        """
        here = and_(worklist.c.journey == journey, worklist.c.customer_id == scores.c.customer_id)
        hidden: list[ColumnElement[bool]] = []
        if SUPPRESSED not in self.include:
            # Asked for those who were contacted, a list must not hide them because they were.
            worked = self.status in _AFTER_A_CONTACT and not contactable
            hidden.append(barred(moment) if worked else suppressed(moment))
        if SNOOZED not in self.include and self.status != SNOOZED:
            hidden.append(snoozed(moment))
        if self.status == "open":
            hidden.append(status_at(moment) != "open")
        found: list[ColumnElement[bool]] = [~exists().where(here, or_(*hidden))] if hidden else []
        if self.status not in (None, "open"):
            of_status = select(worklist.c.customer_id).where(
                worklist.c.journey == journey, worklist.c.status == self.status, status_at(moment) == self.status
            )
            found.append(scores.c.customer_id.in_(of_status))
        return found


@dataclass(frozen=True, slots=True)
class Wanted:
    """A list: its filters, what it is ranked by, and the costs that profits are told with.

    `contactable`: only those who may be contacted now, as a campaign needs them.
    """

    filters: Filters = field(default_factory=Filters)
    sort: Sort = "expected_loss"
    costs: Campaign = field(default_factory=Campaign)
    contactable: bool = False

    @property
    def by_id(self) -> bool:
        """Whether so few customers can be meant that they are looked up by their ids."""
        return len(self.filters.customer or "") >= _PRECISE

    def digest(self) -> str:
        """Equal for equal lists."""
        told = {"filters": self.filters.told(), "sort": self.sort, "costs": self.costs.model_dump()}
        return blake2b(orjson.dumps(told, option=orjson.OPT_SORT_KEYS), digest_size=9).hexdigest()


def read_segments(texts: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """`age:65+` as a pair; the value is what stands behind the first colon.

    Raises
    ------
    InputError
        Where there is no colon.
    """
    pairs = [text.partition(":") for text in texts]
    if wrong := next((name for name, colon, _ in pairs if not colon), None):
        raise InputError("segment", wrong, "NAME:VALUE, such as age:65+", "name the segment and its value")
    return tuple((name, value) for name, _, value in pairs)


def _refuse_unknown_segments(wanted: Iterable[tuple[str, str]], run: Run) -> None:
    known = run.segments or []
    for name, _ in wanted:
        if name not in known:
            accepted = ", ".join(known) or "none: the journey's profile declares no segments"
            raise InputError(
                "segment", name, accepted, "declare it under profile: segments, and score again" if not known else ""
            )
