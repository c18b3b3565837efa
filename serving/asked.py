"""What a request may say of lists and of a customer on them; the same in a query, a body and a command."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar, cast
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from features.feature import REASONS
from features.journey import Campaign
from features.timestamps import FORMS, parse_one
from serving.filters import PREVIOUS, Filters, read_segments
from serving.planning import Cut
from serving.suppression import Status
from serving.worklist import Change

_UTC = ZoneInfo("UTC")
_MAY_BE_NULL = {"assignee", "note", "channel"}
_LONGEST = 1_000  # characters of a text
_LONGEST_ID = 1_024  # bytes: an index of PostgreSQL takes rows of up to 2,704
_T = TypeVar("_T")
_LARGEST = 1e9  # far beyond any cost, and far from what a database's arithmetic refuses


def instant(text: str | float) -> int:
    """An instant as microseconds; without a zone it is UTC's.

    Raises
    ------
    ValueError
        Where it is none.
    """
    try:
        read = parse_one(text, _UTC)
    except (ValueError, OverflowError):
        read = None
    if read is None:
        raise ValueError(FORMS)
    return read


def _readable(value: Any) -> Any:
    instant(value)
    return value


def _since(text: str) -> str:
    return text if text == PREVIOUS else str(_readable(text))


def storable(value: str) -> bool:
    """Whether text is neither a NUL, which PostgreSQL does not store, nor half a character, which nobody can write."""
    if value.isascii():  # nearly every text is, and a look at each of its characters is a tenth of reading an event
        return "\x00" not in value
    return "\x00" not in value and not any("\ud800" <= one <= "\udfff" for one in value)


def _storable(value: _T) -> _T:
    if isinstance(value, str) and not storable(value):
        raise ValueError("text without NUL and lone surrogates")
    return value


def _short(value: _T) -> _T:
    if isinstance(value, str) and len(value) > _LONGEST:
        raise ValueError(f"text of at most {_LONGEST:,} characters")
    return value


def indexed(value: str) -> str:
    """An id that every index takes.

    Raises
    ------
    ValueError
        Where it is too long.
    """
    if len(value.encode()) > _LONGEST_ID:
        raise ValueError(f"at most {_LONGEST_ID:,} bytes of UTF-8")
    return value


def _colon(text: str) -> str:
    if ":" not in text:
        raise ValueError("NAME:VALUE, such as age:65+")
    return text


def _known_reason(code: str) -> str:
    if code not in REASONS:
        raise ValueError(f"one of {', '.join(REASONS)}")
    return code


Time = Annotated[str | float, BeforeValidator(_readable)]
Text = Annotated[str, Field(min_length=1, max_length=_LONGEST), AfterValidator(_storable)]
Id = Annotated[Text, AfterValidator(indexed)]
PropertyName = Annotated[str, AfterValidator(_storable), AfterValidator(_short)]
Property = Annotated[float | str | bool | None, AfterValidator(_storable), AfterValidator(_short)]
Name = Annotated[str, Field(max_length=200), AfterValidator(_storable)]
Segment = Annotated[Name, AfterValidator(_colon)]
Since = Annotated[str, Field(max_length=100), AfterValidator(_since)]
Reason = Annotated[str, AfterValidator(_known_reason)]


class AskedFilters(BaseModel):
    """Which customers; what is not said does not matter."""

    model_config = ConfigDict(allow_inf_nan=False)

    risk: Literal["low", "medium", "high"] | None = Field(default=None, description="The band of the risk.")
    stage: Name | None = Field(default=None, description="The present stage.")
    minimum_cltv: float | None = Field(default=None, description="Least expected value over the CLTV horizon.")
    reason: Reason | None = Field(default=None, description="The code of the reason that raises churn most.")
    segment: list[Segment] = Field(
        default=[], description="NAME:VALUE of the journey's segments; all hold.", max_length=20
    )
    status: Status | None = Field(default=None, description="How far the work on the customer is.")
    changed_since: Since | None = Field(
        default=None,
        description="The band of the risk is another one than at this instant, or than in the run before (`previous`).",
        examples=["2024-06-01T00:00:00Z"],
    )

    customer: Name | None = Field(default=None, description="What the customer's id begins with.", min_length=1)

    def filters(self, include: frozenset[str] = frozenset()) -> Filters:
        """As the list takes them."""
        since = self.changed_since
        return Filters(
            risk=self.risk,
            stage=self.stage,
            minimum_cltv=self.minimum_cltv,
            reason=self.reason,
            segments=read_segments(self.segment),
            status=self.status,
            customer=self.customer,
            changed_since=None if since is None else PREVIOUS if since == PREVIOUS else instant(since),
            include=include,
        )


class AskedCosts(BaseModel):
    """Costs other than the journey's `campaign` block says, in its currency."""

    model_config = ConfigDict(allow_inf_nan=False)

    contact_cost: float | None = Field(default=None, description="What a contact costs.", ge=0, le=_LARGEST)
    incentive_cost: float | None = Field(default=None, description="What the incentive costs.", ge=0, le=_LARGEST)
    accept_rate: float | None = Field(
        default=None, description="How many of those who would leave take the incentive and stay.", ge=1e-6, le=1
    )
    rest_days: float | None = Field(
        default=None, description="Who was contacted within so many days is left alone.", ge=0, le=3650
    )

    def over(self, campaign: Campaign) -> Campaign:
        """The journey's costs with those of the request in their place."""
        said = {name: getattr(self, name) for name in AskedCosts.model_fields}
        return campaign.model_copy(update={name: value for name, value in said.items() if value is not None})


class AskedDraw(BaseModel):
    """What a campaign is called, where its list is cut and how many are held out."""

    name: Text
    budget: float | None = Field(
        default=None, description="What the contacts may cost in sum, as expected.", gt=0, le=1e15
    )
    capacity: int | None = Field(default=None, description="How many can be contacted.", ge=1, le=10**9)
    holdout: float = Field(default=0.1, ge=0, le=0.9)
    seed: int | None = Field(default=None, description="The same seed draws the same customers.", ge=0, lt=2**53)

    @model_validator(mode="after")
    def _one_cut(self) -> AskedDraw:
        if self.budget is not None and self.capacity is not None:
            raise ValueError("one of budget, capacity, or neither: the most profitable length")
        return self

    def cut(self) -> Cut:
        """Where the list is cut."""
        return Cut(self.budget, self.capacity)


class WorklistChange(BaseModel):
    """What changes; a name that is left out stays as it is, null clears `assignee` and `note`.

    `snoozed_until` alone snoozes. `channel` and `contacted_at` (default: now) go with the status
    `contacted`: a contact is written to the event log, and the customer is left alone for `rest_days`;
    `override` tells one of a customer who opted out or is held out.
    """

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    status: Status | None = None
    assignee: Name | None = None
    note: Annotated[Text | None, Field(max_length=1000)] = None
    snoozed_until: Time | None = Field(default=None, examples=["2024-07-01T00:00:00Z"])
    opted_out: bool | None = None
    channel: Name | None = None
    contacted_at: Time | None = None
    override: bool | None = None

    @model_validator(mode="after")
    def _said(self) -> WorklistChange:
        said = self.model_fields_set
        if not said:
            raise ValueError(f"one of {', '.join(WorklistChange.model_fields)}")
        if empty := sorted(name for name in said - _MAY_BE_NULL if getattr(self, name) is None):
            raise ValueError(f"a value for {', '.join(empty)}, or the name left out")
        return self

    def change(self) -> Change:
        """As the worklist takes it."""
        found = {name: getattr(self, name) for name in self.model_fields_set}
        times = {name: instant(found[name]) for name in ("snoozed_until", "contacted_at") if name in found}
        return cast(Change, found | times)
