"""The journey as customers walked it: stages, moves between them, touchpoints, friction; as tallies.

A move is brought about by an event of the customer's or, where none stands at its instant, by time alone
(nothing happened for as long as a rule says). Where stages are ruled by conditions, a move by an event
counts as going on and one by time alone as falling back; where the stage is the newest event's type, it
goes on if the stage comes later in the journey's order.
"""

from __future__ import annotations

from datetime import timedelta

import narwhals as nw
import polars as pl

from features.eligibility import holds
from features.families.tables import own
from features.families.words import second
from features.histories import Sorted
from features.instants import KEYS, Window, inside, past_at
from features.journey import Journey
from features.labels import LABEL, label
from features.ordering import Ordered
from features.schema import CHANNEL, CUSTOMER, CUTOFF, EVENT, HISTORY, HOUR, TIME
from features.stages import stage_changes
from features.tallies import Groups

ANY = ""  # friction of any type
CHURNED, STAYED = "churned", "stayed"


def silence(journey: Journey) -> timedelta:
    """How long a customer must have done nothing to count as silent: the churn horizon."""
    return journey.tasks.churn.within if journey.tasks.churn else second(journey)


def changes_of(journey: Journey, log: Ordered, cutoff: int) -> pl.DataFrame:
    """Every stage that a history entered before the cutoff, in order.

    Returns
    -------
    polars.DataFrame
        `history`, `time`, `stage` and `previous` (names; `previous` null at the first), `hours` spent in
        the stage before (null at the first), `on`: whether the move goes on (null at the first).
    """
    table = stage_changes(journey)
    if not journey.stages:
        return pl.DataFrame(schema=_CHANGES)
    rows = table.derive(nw.from_native(log.events, eager_only=True), Sorted())
    found: pl.DataFrame = rows.select(HISTORY, TIME, "stage", "previous").to_native()
    found = found.filter(pl.col(TIME) < cutoff).sort(HISTORY, TIME)
    found = found.with_columns(hours=pl.when(pl.col("previous").is_not_null()).then(pl.col(TIME).diff() // HOUR))
    names = pl.Series(journey.stage_names, dtype=pl.String)
    return found.with_columns(
        _goes_on(journey, found, log).alias("on"),
        *(names.gather(found[column].cast(pl.UInt32)).alias(column) for column in ("stage", "previous")),
    ).select(*_CHANGES)


_CHANGES = {
    HISTORY: pl.Int32(),
    TIME: pl.Int64(),
    "stage": pl.String(),
    "previous": pl.String(),
    "hours": pl.Int64(),
    "on": pl.Boolean(),
}


def _goes_on(journey: Journey, changes: pl.DataFrame, log: Ordered) -> pl.Series:
    first = pl.col("previous").is_null()
    if journey.stages == "by_event":
        later = pl.when(~first).then(pl.col("stage") > pl.col("previous"))
        return changes.select(later).to_series()
    instants = log.events.select(HISTORY, TIME).unique().with_columns(pl.lit(True).alias("happened"))
    joined = changes.join(instants, on=[HISTORY, TIME], how="left", maintain_order="left")
    return joined.select(pl.when(~first).then(pl.col("happened").fill_null(False))).to_series()


def stages(journey: Journey, log: Ordered, changes: pl.DataFrame, cutoff: int, groups: Groups) -> list[pl.DataFrame]:
    """Who is in each stage and since when, who ever came to it, and what became of them.

    `now` counts by stage, `staying` by stage and hours in it. Of those who `reached` a stage, some `went_on`
    from it; of the others, those who are in it and not silent are `still` in it, the rest `dropped`.
    """
    newest = changes.filter((pl.col(HISTORY) != pl.col(HISTORY).shift(-1)).fill_null(True))
    here = newest.select(HISTORY, "stage", hours=(cutoff - pl.col(TIME)) // HOUR)
    ever = changes.select(HISTORY, "stage").unique()
    went = changes.filter("on").select(HISTORY, pl.col("previous").alias("stage")).unique()
    active = _active(journey, log, cutoff)
    open_ = here.join(active, on=HISTORY, how="semi").select(HISTORY, "stage")
    rest = ever.join(went, on=[HISTORY, "stage"], how="anti")
    still = rest.join(open_, on=[HISTORY, "stage"], how="semi")
    return [
        groups.tally(here, "now", ["stage"]),
        groups.tally(here, "staying", ["stage"], at="hours"),
        groups.tally(ever, "reached", ["stage"]),
        groups.tally(went, "went_on", ["stage"]),
        groups.tally(still, "still", ["stage"]),
        groups.tally(rest.join(still, on=[HISTORY, "stage"], how="anti"), "dropped", ["stage"]),
    ]


def _active(journey: Journey, log: Ordered, cutoff: int) -> pl.DataFrame:
    """Histories with an event of the customer's own lately enough that they are not silent."""
    rows = own(journey, past_at(nw.from_native(log.events.lazy()), cutoff))
    lately = rows.filter(inside(Window(silence(journey))))
    found: pl.LazyFrame = lately.select(HISTORY).to_native()
    return found.unique().collect()


def moves(changes: pl.DataFrame, groups: Groups) -> list[pl.DataFrame]:
    """Moves by stage left, stage entered, whether on or back, and hours spent in the stage left."""
    made = changes.filter(pl.col("previous").is_not_null()).with_columns(
        way=pl.when("on").then(pl.lit("on")).otherwise(pl.lit("back"))
    )
    return [groups.tally(made, "moves", ["previous", "stage", "way"], at="hours")]


def touchpoints(log: Ordered, changes: pl.DataFrame, groups: Groups) -> list[pl.DataFrame]:
    """Events by the stage they met the customer in, type and channel; the first event by the stage it led to."""
    events = log.events.select(HISTORY, TIME, EVENT, CHANNEL)
    if changes.is_empty():
        met = events.with_columns(stage=pl.lit(""))
    else:
        before = changes.select(HISTORY, TIME, "stage").sort(TIME)
        asked = events.sort(TIME)
        met = asked.join_asof(before, on=TIME, by=HISTORY, allow_exact_matches=False, check_sortedness=False)
        first = changes.group_by(HISTORY).agg(pl.col("stage").first().alias("first"))
        met = met.join(first, on=HISTORY, how="left").with_columns(pl.col("stage").fill_null(pl.col("first")))
    return [groups.tally(met, "touchpoints", ["stage", EVENT, CHANNEL])]


def outcomes(journey: Journey, events: pl.DataFrame, log: Ordered, cutoff: int) -> pl.DataFrame:
    """Who churned after a cutoff whose horizon is over, of those churn asks about: `history`, `outcome`."""
    task = journey.tasks.churn
    if task is None:
        return pl.DataFrame(schema={HISTORY: pl.Int32(), "outcome": pl.String()})
    asked = log.events.select(CUSTOMER, HISTORY).unique().with_columns(pl.lit(cutoff, dtype=pl.Int64).alias(CUTOFF))
    asked = asked.sort(HISTORY)
    fits = holds(task.eligibility, events, asked.select(KEYS), "eligible")["eligible"]
    churned = label(task, journey, events, asked.select(KEYS))[LABEL]
    named = pl.select(pl.when(churned == 1).then(pl.lit(CHURNED)).otherwise(pl.lit(STAYED))).to_series()
    return asked.select(HISTORY).with_columns(outcome=named).filter(fits)


def friction(
    journey: Journey, log: Ordered, changes: pl.DataFrame, found: pl.DataFrame, cutoff: int, groups: Groups
) -> list[pl.DataFrame]:
    """Who had trouble before a cutoff and who churned after it, by stage then.

    `asked` counts those churn asks about by stage and outcome, `troubled` those of them with friction in
    the window before by stage, outcome and type (`ANY`: of whichever).
    """
    if not journey.friction or found.is_empty():
        return []
    then = changes.filter(pl.col(TIME) < cutoff).group_by(HISTORY).agg(pl.col("stage").last())
    asked = found.join(then, on=HISTORY, how="left").with_columns(pl.col("stage").fill_null(""))
    rows = past_at(nw.from_native(log.events.lazy()), cutoff).filter(inside(Window(second(journey))))
    lately: pl.LazyFrame = rows.filter(nw.col(EVENT).is_in(list(journey.friction))).select(HISTORY, EVENT).to_native()
    types = lately.unique().collect()
    every = pl.concat([types, types.select(HISTORY).unique().with_columns(pl.lit(ANY).alias(EVENT))])
    return [
        groups.tally(asked, "asked", ["stage", "outcome"]),
        groups.tally(asked.join(every, on=HISTORY), "troubled", ["stage", "outcome", EVENT]),
    ]
