"""Native Polars: stages, from the instants at which a rule begins or ceases to hold."""

from __future__ import annotations

import polars as pl

from benchmarks.features.native_frames import HISTORY, SAME, TIME, is_type, ratio
from benchmarks.features.world import ADVOCATE, DAY, LAPSED, RETAINED, STAGES

RULES = ("considers", "bought", "retained", "advocate", "lapsed")
NEXT = pl.col(HISTORY) == pl.col(HISTORY).shift(-1)


def stages(past: pl.LazyFrame, orders: pl.LazyFrame, cutoff: int) -> pl.LazyFrame:
    """The present stage, the one before, how often it changed."""
    first = SAME.not_().fill_null(True)
    considers = past.filter(is_type("visit", "cart")).filter(first)
    told = past.filter(is_type("referral", "review"))
    orders, told = orders.select(HISTORY, TIME), told.select(HISTORY, TIME)
    rows = pl.concat(
        [
            past.filter(first).select(HISTORY, TIME),
            _turns(considers, considers=True),
            _turns(orders.filter(first), bought=True),
            *_retained(orders),
            *_advocate(told),
            *_lapsed(orders),
        ],
        how="diagonal",
    )
    return _summary(_changes(rows.filter(pl.col(TIME) < cutoff)), cutoff)


def _turns(rows: pl.LazyFrame, later: int = 0, **rules: bool) -> pl.LazyFrame:
    """Rows at which rules turn true or false, so much later."""
    return rows.select(HISTORY, pl.col(TIME) + later, **{name: pl.lit(value) for name, value in rules.items()})


def _lapsed(orders: pl.LazyFrame) -> list[pl.LazyFrame]:
    gap = pl.col(TIME) - pl.col(TIME).shift(1)
    idle = NEXT.not_().fill_null(True) | (gap.shift(-1) > LAPSED)
    return [
        _turns(orders.filter(idle), LAPSED, lapsed=True),
        _turns(orders.filter(SAME & (gap > LAPSED)), lapsed=False),
    ]


def _retained(orders: pl.LazyFrame) -> list[pl.LazyFrame]:
    """From a second purchase within the window until the one before the last leaves it; overlaps are one."""
    time = pl.col(TIME)
    again = (SAME & (time - time.shift(1) < RETAINED)).fill_null(False)  # the pair that ends here holds
    joined = (SAME & SAME.shift(1) & again.shift(1) & (time - time.shift(2) <= RETAINED)).fill_null(False)
    rows = orders.with_columns(again=again, joined=joined)
    ends = pl.col("again").shift(-1) & NEXT & ~(pl.col("joined") & pl.col("again")).shift(-2).fill_null(False)
    return [
        _turns(rows.filter(pl.col("again") & ~pl.col("joined")), retained=True),
        _turns(rows.filter(ends), RETAINED, retained=False),
    ]


def _advocate(told: pl.LazyFrame) -> list[pl.LazyFrame]:
    gap = pl.col(TIME) - pl.col(TIME).shift(1)
    begins = SAME.not_().fill_null(True) | (gap > ADVOCATE)
    ends = NEXT.not_().fill_null(True) | (gap.shift(-1) > ADVOCATE)
    return [
        _turns(told.filter(begins), advocate=True),
        _turns(told.filter(ends), ADVOCATE, advocate=False),
    ]


def _changes(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Rows at which the stage becomes another, with the one before."""
    top = SAME.not_().fill_null(True)
    rows = rows.sort(HISTORY, TIME)
    known = (pl.when(top).then(pl.col(name).fill_null(False)).otherwise(pl.col(name)) for name in RULES)
    rows = rows.with_columns(known).with_columns(pl.col(name).forward_fill() for name in RULES)
    stage = pl.lit(0, dtype=pl.Int8)
    for number, name in enumerate(RULES, start=1):
        stage = pl.when(pl.col(name)).then(pl.lit(number, dtype=pl.Int8)).otherwise(stage)
    last = NEXT.not_().fill_null(True) | (pl.col(TIME) != pl.col(TIME).shift(-1))
    rows = rows.select(HISTORY, TIME, last=last, stage=stage).filter("last")
    rows = rows.select(HISTORY, TIME, "stage", previous=pl.when(SAME).then(pl.col("stage").shift(1)))
    return rows.filter(pl.col("previous").is_null() | (pl.col("stage") != pl.col("previous")))


def _summary(changes: pl.LazyFrame, cutoff: int) -> pl.LazyFrame:
    stage, previous, moved = pl.col("stage"), pl.col("previous"), pl.col("previous").is_not_null()
    numbers = range(len(STAGES))
    found = changes.group_by(HISTORY, maintain_order=True).agg(
        stage.last(),
        previous.last().alias("previous_stage"),
        ((cutoff - pl.col(TIME).last()) / DAY).alias("stage_days"),
        stage.n_unique().cast(pl.Float64).alias("stages_seen"),
        (moved & (pl.col(TIME) >= cutoff - 112 * DAY)).sum().cast(pl.Float64).alias("stage_changes_112d"),
        back=(stage < previous).sum(),
        moves=moved.sum(),
    )
    return found.select(
        HISTORY,
        *(pl.col(name).replace_strict(numbers, STAGES, return_dtype=pl.String) for name in ("stage", "previous_stage")),
        "stage_days",
        "stages_seen",
        "stage_changes_112d",
        ratio(pl.col("back"), pl.col("moves")).alias("stage_moves_back"),
    )
