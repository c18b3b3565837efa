"""Stage: the present one, how long, how the customer came there."""

from __future__ import annotations

from datetime import timedelta

import narwhals as nw

from features.families.words import count, spell
from features.feature import Feature, Table
from features.instants import days, within
from features.journey import Journey, duration_text
from features.schema import TIME
from features.stages import stage_changes


def _named(journey: Journey, index: nw.Expr) -> nw.Expr:
    name: nw.Expr = nw.when(index == 0).then(nw.lit(journey.stage_names[0]))
    for position, stage in enumerate(journey.stage_names[1:], start=1):
        name = nw.when(index == position).then(nw.lit(stage)).otherwise(name)
    return name


def present(journey: Journey) -> tuple[Feature, Feature]:
    """The present stage and, in microseconds, the instant after which it holds."""
    changes, now = stage_changes(journey), nw.col("latest")
    return (
        Feature(
            "stage",
            "the present stage",
            "category",
            "STAGE",
            _named(journey, nw.when(now).then(nw.col("stage")).max()),
            of=changes,
            says="in stage {value}",
            categories=tuple(journey.stage_names),
        ),
        Feature(
            "since", "start of the present stage", "number", "STAGE", nw.when(now).then(nw.col(TIME)).max(), of=changes
        ),
    )


def features(journey: Journey) -> tuple[Feature, ...]:
    """The stage family; empty where the journey has no stages."""
    if not journey.stages:
        return ()
    changes, now = stage_changes(journey), nw.col("latest")
    return (
        present(journey)[0],
        Feature(
            "previous_stage",
            "the stage before the present one",
            "category",
            "STAGE",
            _named(journey, nw.when(now).then(nw.col("previous")).max()),
            of=changes,
            says="came from stage {value}",
            categories=tuple(journey.stage_names),
        ),
        Feature(
            "stage_days",
            "days in the present stage",
            "days",
            "STAGE",
            days(nw.when(now).then(nw.col("age")).max()),
            of=changes,
            says="in this stage for {value}",
        ),
        Feature(
            "stages_seen",
            "number of different stages so far",
            "count",
            "STAGE",
            nw.col("stage").n_unique(),
            empty=0.0,
            of=changes,
            says="{value} different stages so far",
        ),
        *(_moves(window, changes) for window in journey.windows[-1:]),
        Feature(
            "stage_moves_back",
            "moves to an earlier stage per move, over the whole history",
            "share",
            "STAGE",
            nw.when(~nw.col("previous").is_null())
            .then(nw.when(nw.col("stage") < nw.col("previous")).then(nw.lit(1.0)).otherwise(nw.lit(0.0)))
            .mean(),
            of=changes,
            says="{value} of the moves went back",
        ),
    )


def _moves(window: timedelta, changes: Table) -> Feature:
    return Feature(
        f"stage_changes_{duration_text(window)}",
        f"changes of stage in the last {spell(window)}",
        "count",
        "STAGE",
        count(within(window) & ~nw.col("previous").is_null()),
        empty=0.0,
        of=changes,
        says=f"{{value}} changes of stage in the last {spell(window)}",
    )
