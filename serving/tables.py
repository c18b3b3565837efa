"""The tables of the score store."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Named,
    Table,
    Text,
    TypedColumns,
    UniqueConstraint,
    text,
)

from features.schema import CONTACTED

SCHEMA = "0012"

metadata = MetaData()
# Ids sort by code point on every database, so that a list has one order everywhere.
ID = Text().with_variant(Text(collation="C"), "postgresql")
COUNTER = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts only what it calls INTEGER
_JSON = JSON(none_as_null=True)


class _SchemaVersion(TypedColumns):
    version_num: Named[str]


class _Runs(TypedColumns):
    id = Column(Integer, primary_key=True)
    journey: Named[str]
    cutoff = Column(BigInteger, nullable=False)  # microseconds
    scored_at = Column(BigInteger, nullable=False)  # microseconds; grows from run to run
    versions = Column(JSON, nullable=False)  # task -> model version
    currency: Named[str | None]  # null: no CLTV
    customers: Named[int]
    horizon = Column(BigInteger)  # of churn, microseconds; null: no churn
    segments = Column(_JSON)  # the names of the journey's segments; null: none
    # The newest stored event that the run sees; null: an earlier version did not say.
    event_id = Column(BigInteger)
    asked_at = Column(BigInteger)  # microseconds; null: a command began it, nobody asked a server for it
    finished_at = Column(BigInteger)  # microseconds; null: not yet, or before this was kept
    failed: Named[str | None]  # why it came to nothing
    fence = Column(BigInteger)  # the number of the lease it is written under; 0: none; null: not begun or not asked for
    restarts: Named[int | None]  # how often it was begun anew because whoever wrote it was gone; null: never
    # Up to where the run's log was complete, microseconds, apart from its cutoff, which events over HTTP
    # move on; null: an earlier version, whose cutoff they did not move.
    observed_until = Column(BigInteger)


class _Changes(TypedColumns):
    id = Column(COUNTER, primary_key=True)  # in the order in which runs became visible
    journey: Named[str]
    run_id: Named[int]  # may be gone
    customer_id = Column(ID, nullable=False)
    changed_at = Column(BigInteger, nullable=False)  # scored_at of the run
    risk: Named[str | None]  # null: churn does not ask about the customer any more
    risk_before: Named[str | None]  # null: the run before had no band of the customer
    churn_probability: Named[float | None]
    stage: Named[str | None]
    expected_loss: Named[float | None]
    currency: Named[str | None]
    reason_code: Named[str | None]
    reason: Named[str | None]


class _PrunedChanges(TypedColumns):
    journey: Named[str] = Column(primary_key=True)
    up_to = Column(BigInteger, nullable=False)  # the id of the newest change that is no longer stored


class _Webhooks(TypedColumns):
    id = Column(Integer, primary_key=True)
    journey: Named[str]
    url: Named[str]
    description: Named[str]
    types = Column(JSON, nullable=False)  # the types of messages it wants
    risks = Column(_JSON)  # changes into these bands alone; null: all
    secret: Named[str]
    created_at = Column(BigInteger, nullable=False)  # microseconds
    change_id = Column(BigInteger, nullable=False)  # the newest change it has a delivery of, or does not want
    scored_at = Column(BigInteger, nullable=False)  # the same of runs
    failures: Named[int]  # attempts that failed since one was answered
    paused_until = Column(BigInteger)  # after a failure, microseconds; null: may be tried


class _Deliveries(TypedColumns):
    id = Column(COUNTER, primary_key=True)
    journey: Named[str]
    webhook_id: Named[int] = Column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    message_id: Named[str]  # stays the same from attempt to attempt
    type: Named[str]
    customer_id = Column(ID)  # null: the message is not of one customer
    body: Named[str]  # JSON, as it is signed
    state: Named[str]  # waiting, delivered or dead
    attempts: Named[int]
    created_at = Column(BigInteger, nullable=False)  # microseconds, as all instants here
    next_at = Column(BigInteger)  # when it is tried next; null: not again
    tried_at = Column(BigInteger)  # the newest attempt
    http_status: Named[int | None]  # of the newest attempt; null: none came
    error: Named[str | None]  # why the newest attempt failed
    milliseconds: Named[int | None]  # how long the newest attempt took
    change_id = Column(BigInteger)  # what it tells of: a change, which may be forgotten by now,
    run_id: Named[int | None]  # or a run; null: something else


class _Leases(TypedColumns):
    name: Named[str] = Column(primary_key=True)
    fence = Column(BigInteger, nullable=False)  # grows with every holder
    beat = Column(BigInteger)  # grows while it is renewed; null: it was given up


class _Scores(TypedColumns):
    run_id: Named[int] = Column(primary_key=True)
    customer_id = Column(ID, primary_key=True)
    stage: Named[str | None]
    churn_eligible: Named[bool]
    churn_probability: Named[float | None]
    churn_percentile: Named[int | None]
    risk: Named[str | None]
    cltv_expected: Named[float | None]
    at_stake: Named[float | None]
    expected_loss: Named[float | None]
    reason_code: Named[str | None]
    reason: Named[str | None]
    # The expected loss, or UNKNOWN, so that one index orders the list; null: not on the list.
    rank_value: Named[float | None]
    risk_before: Named[str | None]  # the band before the present one; null: none is known
    risk_since = Column(BigInteger)  # scored_at of the run that changed it; null: as far back as runs were kept
    segments = Column(_JSON)  # segment -> the customer's value; null: none


class _Answers(TypedColumns):
    run_id: Named[int] = Column(primary_key=True)
    customer_id = Column(ID, primary_key=True)
    answer = Column(LargeBinary, nullable=False)  # JSON, deflated: a sixth of the bytes to write, keep and delete


class _Histories(TypedColumns):
    journey: Named[str] = Column(primary_key=True)
    customer_id = Column(ID, primary_key=True)
    history = Column(LargeBinary, nullable=False)  # JSON by column, deflated: serving.histories
    events: Named[int]  # how many
    digest = Column(BigInteger, nullable=False)  # of the events: what did not change is not written again
    until = Column(BigInteger, nullable=False)  # the end of the log, microseconds, when it was written last


class _Worklist(TypedColumns):
    journey: Named[str] = Column(primary_key=True)
    customer_id = Column(ID, primary_key=True)
    status: Named[str]
    assignee: Named[str | None]
    note: Named[str | None]
    snoozed_until = Column(BigInteger)  # microseconds, as all instants here
    opted_out: Named[bool]
    contacted_at = Column(BigInteger)  # the newest contact
    held_out_until = Column(BigInteger)  # the end of a campaign that holds the customer out
    changed_at = Column(BigInteger, nullable=False)


class _Events(TypedColumns):
    id = Column(COUNTER, primary_key=True)  # in the order of arrival
    journey: Named[str]
    event_id = Column(ID, nullable=False)  # the same id of the same customer is the same event, in files too
    customer_id = Column(ID, nullable=False)
    time = Column(BigInteger, nullable=False)  # microseconds
    event: Named[str]
    value: Named[float | None]
    channel: Named[str | None]
    known_at = Column(BigInteger, nullable=False)  # microseconds
    properties = Column(_JSON)  # declared property -> number or text; null: none
    received_at = Column(BigInteger, nullable=False)  # microseconds


class _Campaigns(TypedColumns):
    id = Column(Integer, primary_key=True)
    journey: Named[str]
    name: Named[str]
    run_id: Named[int]  # the run the list was cut from, which may be gone
    cutoff = Column(BigInteger, nullable=False)
    horizon = Column(BigInteger, nullable=False)  # of churn, microseconds: how long the outcome takes
    currency: Named[str | None]
    created_at = Column(BigInteger, nullable=False)
    filters = Column(JSON, nullable=False)
    costs = Column(JSON, nullable=False)
    budget: Named[float | None]
    capacity: Named[int | None]
    holdout: Named[float]
    seed = Column(BigInteger, nullable=False)
    plan = Column(JSON, nullable=False)  # serving.campaigns.Plan
    sent_at = Column(BigInteger)  # null: not yet
    sent_known_at = Column(BigInteger)  # since when that is known, as of an event; null: not sent
    channel: Named[str | None]
    contacted: Named[int | None]  # how many were: members of the contact arm that may be
    outcome = Column(_JSON)  # serving.outcomes.Outcome; null: not measured
    erased: Named[int | None]  # members who were erased since and are no rows any more; null: none


class _Members(TypedColumns):
    campaign_id: Named[int] = Column(ForeignKey("campaigns.id", ondelete="CASCADE"), primary_key=True)
    customer_id = Column(ID, primary_key=True)
    place: Named[int]  # from 1, the most profitable first
    arm: Named[str]
    churn_probability: Named[float]
    at_stake: Named[float | None]
    contact_profit: Named[float | None]


class _ServedVectors(TypedColumns):
    id = Column(COUNTER, primary_key=True)
    journey: Named[str]
    customer_id = Column(ID, nullable=False)
    cutoff = Column(BigInteger, nullable=False)  # microseconds
    served_at = Column(BigInteger, nullable=False)  # microseconds
    definitions: Named[str]  # features.catalogue.digest
    vector = Column(LargeBinary, nullable=False)  # JSON, deflated: feature -> value
    events = Column(LargeBinary)  # JSON, deflated: canonical events of a request; null: the business's log was read


class _RunDocuments(TypedColumns):
    run_id: Named[int] = Column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    kind: Named[str] = Column(primary_key=True)  # serving.documented.Kind
    grouping: Named[str] = Column(primary_key=True)  # of journey: a segment or outcome; empty: everyone
    name: Named[str] = Column(primary_key=True)  # of journey: the group
    document = Column(LargeBinary, nullable=False)  # JSON, deflated


class _Outcomes(TypedColumns):
    run_id: Named[int] = Column(primary_key=True, autoincrement=False)  # the run itself may be gone
    journey: Named[str]
    cutoff = Column(BigInteger, nullable=False)  # microseconds
    complete_until = Column(BigInteger, nullable=False)  # microseconds: the run's log was; the cutoff may lie ahead
    scored_at = Column(BigInteger, nullable=False)  # microseconds
    versions = Column(JSON, nullable=False)  # task -> model version, of the tasks that are followed up
    customers: Named[int]  # of the run
    knows_until = Column(JSON, nullable=False)  # task -> microseconds up to which its model knew the log
    judged_until = Column(BigInteger)  # what the report knows: null: no horizon was over yet
    digest: Named[str | None]  # of what happened, so that a report changes only when that does
    report = Column(LargeBinary)  # JSON, deflated: serving.performance


class _Expectations(TypedColumns):
    run_id: Named[int] = Column(ForeignKey("outcomes.run_id", ondelete="CASCADE"), primary_key=True)
    customer_id = Column(ID, primary_key=True)
    journey: Named[str]
    stage: Named[str | None]
    risk: Named[str | None]
    churn_probability: Named[float | None]
    next_stage = Column(_JSON)  # stage -> probability; null: not asked
    cltv_expected: Named[float | None]
    cltv_low: Named[float | None]
    cltv_high: Named[float | None]
    segments = Column(_JSON)  # segment -> the customer's value; null: none


def _of_run() -> ForeignKeyConstraint:
    """That rows are of a run, and go with it.

    PostgreSQL would ask so of every row, for nearly half of the time that a run takes there; nothing is written of
    a run that `serving.runs.check` does not hold, and `serving.runs.forget` deletes its rows.
    """
    return ForeignKeyConstraint(["run_id"], ["runs.id"], ondelete="CASCADE").ddl_if(dialect="sqlite")


UNKNOWN = -1.7976931348623157e308  # the smallest double: customers whose amount is unknown come last

schema_version = Table("schema_version", metadata, _SchemaVersion)
# A run's id is never given twice: a cursor must not fall on another run than its own.
runs = Table("runs", metadata, _Runs, sqlite_autoincrement=True)
# Narrow rows for lists, apart from the wide answers: a filtered list reads far fewer pages.
scores = Table("scores", metadata, _Scores, _of_run(), sqlite_with_rowid=False)
stored_answers = Table("answers", metadata, _Answers, _of_run())
histories = Table("histories", metadata, _Histories)
worklist = Table("worklist", metadata, _Worklist, sqlite_with_rowid=False)
events = Table("events", metadata, _Events, UniqueConstraint("journey", "event_id"), sqlite_autoincrement=True)
campaigns = Table("campaigns", metadata, _Campaigns, sqlite_autoincrement=True)
served_vectors = Table("served_vectors", metadata, _ServedVectors, sqlite_autoincrement=True)
served_vectors_of_journey = Index("served_vectors_of_journey", served_vectors.c.journey, served_vectors.c.id)
changes = Table("changes", metadata, _Changes, sqlite_autoincrement=True)
pruned_changes = Table("pruned_changes", metadata, _PrunedChanges)
webhooks = Table("webhooks", metadata, _Webhooks, sqlite_autoincrement=True)
deliveries = Table("deliveries", metadata, _Deliveries, sqlite_autoincrement=True)
leases = Table("leases", metadata, _Leases)
run_documents = Table("run_documents", metadata, _RunDocuments)
outcomes = Table("outcomes", metadata, _Outcomes)
expectations = Table("expectations", metadata, _Expectations, sqlite_with_rowid=False)
members = Table("campaign_members", metadata, _Members, sqlite_with_rowid=False)

_ORDER = (scores.c.rank_value.desc(), scores.c.churn_probability.desc(), scores.c.customer_id)
# The columns behind the order let a list be filtered and ranked anew without a look at the rows.
scores_ranked = Index(
    "scores_ranked",
    *(scores.c.run_id, *_ORDER),
    *(scores.c.risk, scores.c.stage, scores.c.cltv_expected, scores.c.at_stake),
    *(scores.c.reason_code, scores.c.risk_since),
)
scores_by_churn = Index(
    "scores_by_churn",
    *(scores.c.run_id, scores.c.churn_probability.desc(), scores.c.customer_id),
    *(scores.c.rank_value, scores.c.risk, scores.c.stage, scores.c.cltv_expected, scores.c.at_stake),
    *(scores.c.reason_code, scores.c.risk_since),
)
scores_of_stage = Index(
    "scores_of_stage",
    *(scores.c.run_id, scores.c.risk, scores.c.stage, *_ORDER),
    *(scores.c.cltv_expected, scores.c.at_stake),
)
Index("runs_of_journey", runs.c.journey, runs.c.id)
Index("worklist_by_status", worklist.c.journey, worklist.c.status)
Index("events_of_customer", events.c.journey, events.c.customer_id, events.c.time)
# How far the business has come: its own contacts say nothing of that.
THEIRS = text(f"event <> '{CONTACTED}'")
events_known = Index("events_known", events.c.journey, events.c.known_at, sqlite_where=THEIRS, postgresql_where=THEIRS)
Index("campaigns_of_journey", campaigns.c.journey, campaigns.c.id)
Index("changes_of_journey", changes.c.journey, changes.c.id)
Index("changes_of_customer", changes.c.journey, changes.c.customer_id)
Index("deliveries_of_webhook", deliveries.c.webhook_id, deliveries.c.id)
# In the order in which those that wait are sent: those that are over, most of all, are not looked at.
Index("deliveries_due", deliveries.c.webhook_id, deliveries.c.state, deliveries.c.id)
Index("deliveries_of_customer", deliveries.c.journey, deliveries.c.customer_id)
outcomes_of_journey = Index("outcomes_of_journey", outcomes.c.journey, outcomes.c.cutoff)
# What happened once is told to a webhook once.
_CHANGE, _RUN = deliveries.c.change_id.is_not(None), deliveries.c.run_id.is_not(None)
Index(
    "deliveries_of_change", *(deliveries.c.webhook_id, deliveries.c.change_id),
    unique=True, sqlite_where=_CHANGE, postgresql_where=_CHANGE,
)  # fmt: skip
Index(
    "deliveries_of_run", *(deliveries.c.webhook_id, deliveries.c.run_id),
    unique=True, sqlite_where=_RUN, postgresql_where=_RUN,
)  # fmt: skip
Index("deliveries_over", deliveries.c.journey, deliveries.c.tried_at)
Index("members_in_order", members.c.campaign_id, members.c.place, unique=True)


@dataclass(frozen=True, slots=True)
class Run:
    """One scoring run: all customers' answers for one cutoff.

    `cutoff` and `scored_at` are microseconds since the epoch; `versions` maps tasks to model
    versions; `currency` is null without a CLTV task; `horizon` is that of churn in microseconds
    (null: no churn), `segments` the names of the journey's segments, `event_id` the number of the
    newest event of the store that the run sees (null: not known), `observed_until` up to where its log was
    complete (microseconds; null: not said, and then its cutoff). Of a run that a server was asked for,
    `asked_at` says when, `fence` under which lease it is written (`serving.leases`), `restarts` how often it
    was begun anew; `failed` says why it came to nothing.
    """

    id: int
    journey: str
    cutoff: int
    scored_at: int
    versions: dict[str, int]
    currency: str | None
    customers: int
    horizon: int | None = None
    segments: list[str] | None = None
    event_id: int | None = None
    asked_at: int | None = None
    finished_at: int | None = None
    failed: str | None = None
    fence: int | None = None
    restarts: int | None = None
    observed_until: int | None = None

    @property
    def complete_until(self) -> int:
        """Up to where the run's log was complete, microseconds: what is counted goes so far."""
        return self.cutoff if self.observed_until is None else self.observed_until
