"""The journey definition: one business's YAML file as typed, frozen models.

`features.definition.read` makes a `Journey` of a file; nothing here touches the disk.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    model_validator,
)

from features.errors import InputError
from features.own import Own
from features.schema import CANONICAL, CONTACTED, DERIVED, to_microseconds

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _duration(text: Any) -> timedelta:
    if isinstance(text, timedelta):
        return text
    found = re.fullmatch(r"(\d+)\s*([smhdw])", str(text).strip())
    if not found or int(found[1]) == 0:
        raise ValueError(f"{text!r} is not a duration; accepted: a whole number and one of s, m, h, d, w, such as 28d")
    try:
        return timedelta(**{_UNITS[found[2]]: int(found[1])})
    except OverflowError:
        raise ValueError(f"{text!r} is longer than any log; accepted: at most some years, such as 730d") from None


def read_duration(text: str) -> timedelta:
    """`28d`, `24h`: a length of time as a journey file writes it.

    Raises
    ------
    ValueError
        Where it is none.
    """
    found: timedelta = _duration(text)
    return found


def duration_text(length: timedelta) -> str:
    """`28d`, `30m`: the form a journey file uses."""
    seconds = int(length.total_seconds())
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def duration(text: str, place: str) -> timedelta:
    """A duration as a user gives it, such as `7d`.

    Raises
    ------
    InputError
        `place` is what the message names.
    """
    try:
        return _duration(text)
    except ValueError as error:
        raise InputError(place, str(error), do=f"{place} 7d") from None


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except Exception:
        raise ValueError(f"{name!r} is not a time zone; accepted: an IANA name such as Europe/Madrid or UTC") from None
    return name


def _no_number(when: Any) -> Any:
    """Refuse what pydantic would read as seconds since 1970: `observed_until: 2018`."""
    if isinstance(when, int | float):
        raise ValueError(f"{when!r} is not an instant; accepted: a date and time such as 2018-01-01T00:00:00Z")
    return when


def _utc(when: datetime) -> datetime:
    return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)


def _without_password(url: str | None) -> str | None:
    if url is None:
        return None
    from features.addresses import shown

    return shown(url)


# Journeys are logged with every model: a password never leaves the file it was read from.
Database = Annotated[str | None, PlainSerializer(_without_password)]
Duration = Annotated[timedelta, BeforeValidator(_duration), PlainSerializer(duration_text)]
Zone = Annotated[str, AfterValidator(_zone)]
Instant = Annotated[datetime, BeforeValidator(_no_number), AfterValidator(_utc)]  # without a zone: UTC
Name = Annotated[str, Field(min_length=1)]
JourneyName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,60}$")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)


def _check_origin(table: Source | Profile) -> None:
    """Exactly one origin, and every column mapped once."""
    forms = [bool(table.file), bool(table.query and table.files), bool(table.query and table.database)]
    if sum(forms) != 1 or (table.file and (table.query or table.files or table.database)):
        raise ValueError("give exactly one of: file; query with files; query with database")
    taken: dict[str, str] = {}
    for name, column in table.columns.items():
        if column in taken:
            raise ValueError(f"column {column!r} is mapped to both {taken[column]!r} and {name!r}; map it once")
        taken[column] = name


class Source(_Model):
    """One table of events: a file, a query over named files, or a query to a database.

    `file` is a path, a glob, a folder or `package:NAME/PATH`; relative paths start at the journey
    file. `query` with `files` is DuckDB's SQL over named files; `query` with `database` is sent to
    that SQLAlchemy URL. `columns` maps canonical names and properties to the source's columns
    (default: the same name); `event` gives one type to every row; `types` maps canonical event
    types to the names the source uses. `drop_duplicates` keeps one of rows equal in all columns.
    """

    file: str | None = None
    files: dict[Name, str] = {}
    database: Database = None
    query: str | None = None
    columns: dict[Name, Name] = {}
    event: Name | None = None
    types: dict[Name, list[Name]] = {}
    timezone: Zone | None = None
    drop_duplicates: bool = False

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        _check_origin(self)
        if self.event and ("event" in self.columns or self.types):
            raise ValueError("event gives every row one type; leave out types and the event column")
        named: dict[str, str] = {}
        for name, originals in self.types.items():
            for original in originals:
                if original in named:
                    raise ValueError(
                        f"type {original!r} is mapped to both {named[original]!r} and {name!r}; map it once"
                    )
                named[original] = name
        return self


class ProfileColumn(_Model):
    """A profile column used as a feature: it never changes, or says when it became known."""

    static: bool = False
    known_at: Name | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.static == bool(self.known_at):
            raise ValueError("a profile column is a feature only with `static: true` or with a `known_at` column")
        return self


class Profile(_Model):
    """One row per customer; `features` enter vectors, `segments` are shown and compared only."""

    file: str | None = None
    files: dict[Name, str] = {}
    database: Database = None
    query: str | None = None
    columns: dict[Name, Name] = {}
    features: dict[Name, ProfileColumn] = {}
    segments: list[Name] = []

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        _check_origin(self)
        return self


class Rule(_Model):
    """A condition on the past of a customer at an instant.

    `any_of` with `at_least` N (default 1) and `within` D: N or more events of these types in
    `[instant - D, instant)`; `none_of`: fewer than N; `all_of`: every rule of the list. A rule
    with no key holds for everyone.
    """

    any_of: list[Name] | None = None
    none_of: list[Name] | None = None
    all_of: list[Rule] | None = None
    at_least: int = Field(default=1, ge=1)
    within: Duration | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        given = [k for k in ("any_of", "none_of", "all_of") if getattr(self, k) is not None]
        if len(given) > 1:
            raise ValueError(f"give one of any_of, none_of, all_of, not {' and '.join(given)}; nest with all_of")
        if any(getattr(self, k) == [] for k in given):
            raise ValueError(f"{given[0]} is empty; name at least one")
        if given not in (["any_of"], ["none_of"]) and (self.within or self.at_least != 1):
            raise ValueError("within and at_least go with any_of or none_of")
        return self

    def event_types(self) -> set[str]:
        """Every event type the rule names."""
        inner = set().union(*(rule.event_types() for rule in self.all_of or []))
        return inner | set(self.any_of or []) | set(self.none_of or [])


class Churn(_Model):
    """Non-contractual (`no: purchase, within: 28d`) or contractual (`does: cancelled, within: 30d`).

    `eligible` defaults to: such an event within twice the horizon (non-contractual), or none of
    the ending events so far (contractual).
    """

    no: Name | None = None
    does: Name | None = None
    within: Duration
    eligible: Rule | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if bool(self.no) == bool(self.does):
            raise ValueError("give one of: no (the event whose absence is churn), does (the event that is churn)")
        return self

    @property
    def event(self) -> str:
        """The event type churn is told by."""
        return self.no or self.does or ""

    @property
    def eligibility(self) -> Rule:
        """Who the question is asked about."""
        if self.eligible is not None:
            return self.eligible
        if self.no:
            return Rule(any_of=[self.no], within=2 * self.within)
        return Rule(none_of=[self.event])


class NextStage(_Model):
    """The stage at cutoff + horizon; staying is an outcome."""

    within: Duration = Field(alias="in")
    eligible: Rule | None = None

    @property
    def eligibility(self) -> Rule:
        """Who the question is asked about: everyone, unless the journey says otherwise."""
        return self.eligible or Rule()


class Cltv(_Model):
    """The sum of `value` (times `margin`) or the count of events of one type over the horizon."""

    sum: Name | None = None
    count: Name | None = None
    within: Duration
    margin: float = Field(default=1.0, gt=0, le=1)
    coverage: float = Field(default=0.8, gt=0.5, lt=1)
    eligible: Rule | None = None

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if bool(self.sum) == bool(self.count):
            raise ValueError("give one of: sum (of the value of an event type), count (of an event type)")
        return self

    @property
    def event(self) -> str:
        """The event type that carries the value."""
        return self.sum or self.count or ""

    @property
    def eligibility(self) -> Rule:
        """Who the question is asked about: everyone, unless the journey says otherwise."""
        return self.eligible or Rule()


class NextEvent(_Model):
    """Which event of a history comes next, or whether it ends; one vector per event (`features.next_event`).

    `ends` are the types by which histories end: one that has not ended so is censored. Without, every
    history is over with its last event.
    """

    ends: list[Name] = []


class Tasks(_Model):
    """What is predicted; each task is optional, one at least is given."""

    churn: Churn | None = None
    next_stage: NextStage | None = None
    cltv: Cltv | None = None
    next_event: NextEvent | None = None

    @model_validator(mode="after")
    def _any(self) -> Self:
        if not (self.churn or self.next_stage or self.cltv or self.next_event):
            raise ValueError("no task given; accepted: churn, next_stage, cltv, next_event")
        return self


class Cutoffs(_Model):
    """Rolling cutoffs: one `every` so often, counted back from `observed_until`.

    `history` is the shortest stretch of log before the first cutoff, `held_out` the number of
    newest mature cutoffs kept for the test.
    """

    every: Duration = timedelta(days=28)
    history: Duration = timedelta(days=56)
    held_out: int = Field(default=1, ge=1)


Risk = Literal["low", "medium", "high"]
_BANDS: tuple[Risk, ...] = ("low", "medium", "high")


class RiskBands(_Model):
    """Lower bounds of the churn probability for the bands medium and high; below is low.

    A customer who has a band leaves it only when the probability passes the bound by `margin`: a share of
    the bound's distance from 0 or 1, whichever is nearer. 0.1 lets a bound of 0.4 be passed at 0.44
    upwards and 0.36 downwards, so that someone on the edge does not change with every run.
    """

    medium: float = Field(default=0.2, gt=0, lt=1)
    high: float = Field(default=0.5, gt=0, lt=1)
    margin: float = Field(default=0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.medium >= self.high:
            raise ValueError("medium must be below high")
        return self

    def band(self, probability: float, before: Risk | None = None) -> Risk:
        """The band of a probability, for a customer whose band was `before` (null: had none)."""
        if before is None:
            return _BANDS[self._passed(probability, 0.0)]
        held = min(_BANDS.index(before), self._passed(probability, -self.margin))
        return _BANDS[max(held, self._passed(probability, self.margin))]

    def _passed(self, probability: float, margin: float) -> int:
        """How many bounds, moved up by this margin, a probability reaches."""
        return (probability >= _moved(self.medium, margin)) + (probability >= _moved(self.high, margin))


def _moved(bound: float, margin: float) -> float:
    """A bound, moved up by a share of its distance from 0 or 1, whichever is nearer."""
    return bound + margin * min(bound, 1 - bound)


class Abandoned(_Model):
    """What is left behind: a `started` event (a cart) that no `finished` one (a purchase) follows `within` so long."""

    started: Name
    finished: Name
    within: Duration = timedelta(days=1)

    @model_validator(mode="after")
    def _two_types(self) -> Self:
        if self.started == self.finished:
            raise ValueError(f"started and finished are both {self.started!r}; name two event types")
        return self


class Campaign(_Model):
    """What contacting a customer costs and how often the offer is taken, in the journey's currency.

    Whoever was contacted within the last `rest_days` is left alone.
    """

    contact_cost: float = Field(default=1.0, ge=0)
    incentive_cost: float = Field(default=0.0, ge=0)
    accept_rate: float = Field(default=0.2, gt=0, le=1)
    rest_days: float = Field(default=28.0, ge=0, le=3650)


class Retrain(_Model):
    """When `journeycast retrain --when due` trains anew: any of these is enough; null: that is no reason.

    `age` of the champion's data, `new_data` as a share of the events it was trained on, `drift` by more
    than chance, or a `grade` on what happened that is worse than this one. `roll_back`: whether a champion
    that was behind the one before it on what happened gives way to it.
    """

    age: Duration | None = timedelta(days=90)
    new_data: float | None = Field(default=0.25, gt=0)
    drift: bool = True
    grade: Literal["A", "B", "C"] | None = "C"
    roll_back: bool = True


class Journey(_Model):
    """One business's definition: where its events are, what they mean, what to predict.

    A property is a `number`, a `category`, or what the customer answered when asked: a `rating`, or an
    `nps` from 0 to 10. A session of the customer ends where nothing follows within `session_gap` (null:
    there are no sessions). `coupons` are the event types by which an offer is taken; a purchase within
    `response_within` of a contact counts as its response. `features` names the
    business's own module of features: a path from the journey's folder, or a dotted name. The event type
    `contacted` is the business's own: it counts as one of `business` without being named.
    `acquisition` is what one event of a type costs where it serves to win customers, such as an ad seen.
    """

    journey: JourneyName
    description: str = ""
    currency: str = "USD"
    timezone: Zone = "UTC"
    observed_until: Instant | None = None
    events: list[Source] = Field(min_length=1)
    types: list[Name] = []
    business: list[Name] = []
    friction: list[Name] = []
    features: Name | None = None
    abandoned: Abandoned | None = None
    coupons: list[Name] = []
    response_within: Duration = timedelta(days=7)
    channels: list[Name] = []
    properties: dict[Name, Literal["number", "category", "rating", "nps"]] = {}
    conversion: Name | None = None
    profile: Profile | None = None
    stages: Literal["by_event"] | dict[Name, Rule] = {}
    tasks: Tasks
    session_gap: Duration | None = timedelta(minutes=30)
    windows: list[Duration] = Field(
        default=[timedelta(days=7), timedelta(days=28), timedelta(days=56), timedelta(days=112)],
        min_length=1,
        max_length=4,
    )
    cutoffs: Cutoffs = Cutoffs()
    risk_bands: RiskBands = RiskBands()
    campaign: Campaign = Campaign()
    # Not of the model: champions trained under different rules still answer together.
    retrain: Retrain = Field(default=Retrain(), exclude=True)
    acquisition: dict[Name, Annotated[float, Field(ge=0)]] = {}
    _own: Own | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.tasks.next_stage and not self.stages:
            raise ValueError("the task next_stage needs stages")
        if list(self.windows) != sorted(set(self.windows)):
            raise ValueError("windows must grow and differ")
        for name in self.properties:
            if name in CANONICAL:
                raise ValueError(f"property {name!r} has the name of a canonical column; rename it")
            if name in DERIVED:
                raise ValueError(
                    f"property {name!r} has the name of a column that vectors are built with; rename it under"
                    f" properties and say where it comes from, columns: {{my_{name}: {name}}}"
                )
        return self

    def with_own(self, own: Own | None) -> Self:
        """The journey with the module that its `features` names; definitions read from a file have it."""
        found = self.model_copy()
        found._own = own
        return found

    @property
    def own(self) -> Own | None:
        """The module that `features` names, once it is loaded; never part of what is logged with a model."""
        return self._own

    @property
    def stage_names(self) -> list[str]:
        """Stages in order; with `by_event` the event types."""
        return list(self.types) if self.stages == "by_event" else list(self.stages)

    @property
    def conversion_event(self) -> str:
        """The event type that earns money: given, or the one the tasks speak of."""
        given = self.conversion or (self.tasks.cltv and self.tasks.cltv.event)
        return given or (self.tasks.churn and self.tasks.churn.no) or ""

    @property
    def customer_types(self) -> list[str]:
        """Event types the customer causes."""
        return [name for name in self.types if name not in self.business]

    @property
    def said_until(self) -> int | None:
        """What the definition says of `observed_until`, microseconds; null: the log's sources tell."""
        return None if self.observed_until is None else to_microseconds(self.observed_until)

    @property
    def observed_until_microseconds(self) -> int:
        """`observed_until` as an instant; only after the journey met its log."""
        assert self.observed_until is not None, "resolve the journey with its log first"
        return to_microseconds(self.observed_until)

    def named_types(self) -> dict[str, set[str]]:
        """Place in the file -> the event types it names."""
        places: dict[str, set[str]] = {
            "types": set(self.types),
            "business": set(self.business) - {CONTACTED},
            "friction": set(self.friction),
            "abandoned": {self.abandoned.started, self.abandoned.finished} if self.abandoned else set(),
            "coupons": set(self.coupons),
            "acquisition": set(self.acquisition),
            "conversion": {self.conversion} if self.conversion else set(),
        }
        if isinstance(self.stages, dict):
            places |= {f"stages.{name}": rule.event_types() for name, rule in self.stages.items()}
        for name in ("churn", "next_stage", "cltv"):
            task = getattr(self.tasks, name)
            if task is not None:
                event = {task.event} if hasattr(task, "event") else set()
                places[f"tasks.{name}"] = event | task.eligibility.event_types()
        if self.tasks.next_event:
            places["tasks.next_event"] = set(self.tasks.next_event.ends)
        return {place: types for place, types in places.items() if types}
