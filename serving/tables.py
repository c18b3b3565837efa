"""The tables of the score store."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Named,
    Table,
    Text,
    TypedColumns,
)

SCHEMA = "0001"

metadata = MetaData()
# Ids sort by code point on every database, so that a list has one order everywhere.
_ID = Text().with_variant(Text(collation="C"), "postgresql")


class _SchemaVersion(TypedColumns):
    version_num: Named[str]


class _Runs(TypedColumns):
    id = Column(Integer, primary_key=True)
    journey: Named[str]
    cutoff = Column(BigInteger, nullable=False)  # microseconds
    scored_at = Column(BigInteger, nullable=False)  # microseconds
    versions = Column(JSON, nullable=False)  # task -> model version
    currency: Named[str | None]  # null: no CLTV
    customers: Named[int]


class _Scores(TypedColumns):
    run_id: Named[int] = Column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    customer_id = Column(_ID, primary_key=True)
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
    # The expected loss, or UNKNOWN_LOSS, so that one index orders the list; null: not on the list.
    rank_value: Named[float | None]


class _Answers(TypedColumns):
    run_id: Named[int] = Column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    customer_id = Column(_ID, primary_key=True)
    answer = Column(LargeBinary, nullable=False)  # JSON, deflated: a sixth of the bytes to write, keep and delete


UNKNOWN_LOSS = -1.7976931348623157e308  # the smallest double: customers without an expected loss come last

schema_version = Table("schema_version", metadata, _SchemaVersion)
# A run's id is never given twice: a cursor must not fall on another run than its own.
runs = Table("runs", metadata, _Runs, sqlite_autoincrement=True)
# Narrow rows for lists, apart from the wide answers: a filtered list reads far fewer pages.
scores = Table("scores", metadata, _Scores, sqlite_with_rowid=False)
stored_answers = Table("answers", metadata, _Answers)
Index("runs_of_journey", runs.c.journey, runs.c.id)
Index(
    "scores_ranked",
    scores.c.run_id,
    scores.c.rank_value.desc(),
    scores.c.churn_probability.desc(),
    scores.c.customer_id,
)


@dataclass(frozen=True, slots=True)
class Run:
    """One scoring run: all customers' answers for one cutoff.

    `cutoff` and `scored_at` are microseconds since the epoch; `versions` maps tasks to model
    versions; `currency` is null without a CLTV task.
    """

    id: int
    journey: str
    cutoff: int
    scored_at: int
    versions: dict[str, int]
    currency: str | None
    customers: int
