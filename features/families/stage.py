"""Stage: the present one, how long, how the customer came there."""

from __future__ import annotations

from datetime import timedelta

import narwhals as nw

from features.aggregates import count, distinct, named, newest, ratio, since
from features.families.words import spell
from features.feature import Feature, Table
from features.instants import Window
from features.journey import Journey, duration_text
from features.schema import TIME
from features.stages import stage_changes


def present(journey: Journey) -> tuple[Feature, Feature]:
    """The present stage and, in microseconds, the instant after which it holds."""
    changes, names = stage_changes(journey), tuple(journey.stage_names)
    return (
        Feature(
            "stage",
            "the present stage",
            "category",
            "STAGE",
            named(newest("stage"), names),
            of=changes,
            says="in stage {value}",
            categories=names,
        ),
        Feature("since", "start of the present stage", "number", "STAGE", newest(TIME), of=changes),
    )


def features(journey: Journey) -> tuple[Feature, ...]:
    """The stage family; empty where the journey has no stages."""
    if not journey.stages:
        return ()
    changes, names = stage_changes(journey), tuple(journey.stage_names)
    return (
        present(journey)[0],
        Feature(
            "previous_stage",
            "the stage before the present one",
            "category",
            "STAGE",
            named(newest("previous"), names),
            of=changes,
            says="came from stage {value}",
            categories=names,
        ),
        Feature(
            "stage_days",
            "days in the present stage",
            "days",
            "STAGE",
            since(),
            of=changes,
            says="in this stage for {value}",
        ),
        Feature(
            "stages_seen",
            "number of different stages so far",
            "count",
            "STAGE",
            distinct("stage"),
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
            ratio(count(nw.col("stage") < nw.col("previous")), count(~nw.col("previous").is_null())),
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
        count(~nw.col("previous").is_null(), Window(window)),
        empty=0.0,
        of=changes,
        says=f"{{value}} changes of stage in the last {spell(window)}",
    )
