"""The segments of a model card: a sentence that says where the model is worse, and a table per dimension."""

from __future__ import annotations

from itertools import groupby

from training.card_task import cell, number, table
from training.plots_panel import percent
from training.segments import CUSTOMERS_AT_LEAST, Segment
from training.train import Trained

MEANS = {
    "churn": ("predicted churn", "churned"),
    "next_stage": ("confidence", "likeliest stage reached"),
    "cltv": ("expected value", "realised value"),
}


def segment_tables(trained: Trained) -> str:
    """Every segment beside the best rule of all rows, the worse ones first in words."""
    found = trained.segments
    rule = cell(trained.model.about["grade"]["rule"])
    intro = (
        f"{_worse(found)} {_off(trained.task, found)} Each segment of the test block beside '{rule}', "
        f"the best rule of all rows; below {CUSTOMERS_AT_LEAST} customers a segment is too small to tell."
    )
    tables = [_dimension(trained.task, name, list(part)) for name, part in groupby(found, lambda one: one.dimension)]
    return "\n\n".join([intro, *tables])


def _worse(found: tuple[Segment, ...]) -> str:
    behind = [f"{one.dimension} {cell(one.value)}" for one in found if one.verdict == "behind"]
    unsure = [f"{one.dimension} {cell(one.value)}" for one in found if one.verdict == "not told apart"]
    first = f"It is behind the rule for {', '.join(behind)}." if behind else "No segment is behind the rule."
    return first + (f" It cannot be told from the rule for {', '.join(unsure)}." if unsure else "")


def _off(task: str, found: tuple[Segment, ...]) -> str:
    """Segments of which more or less is said than comes, with both means."""
    said, came = MEANS[task]
    told = [
        f"It says {how} for "
        + "; ".join(
            f"{one.dimension} {cell(one.value)} ({said} {mean(task, one.predicted)}, {came} {mean(task, one.happened)})"
            for one in off
        )
        + "."
        for how in ("too much", "too little")
        if (off := [one for one in found if one.told == how])
    ]
    return " ".join(told) or "For no segment is more or less said than comes, beyond chance."


def _dimension(task: str, name: str, found: list[Segment]) -> str:
    header = [cell(name), "customers", "rows", *MEANS[task], "loss", "rule's loss", "against the rule"]
    rows = [
        [
            cell(one.value),
            f"{one.customers:,}",
            f"{one.rows:,}",
            mean(task, one.predicted),
            mean(task, one.happened),
            number(one.loss),
            number(one.rule_loss),
            "**behind**" if one.verdict == "behind" else one.verdict,
        ]
        for one in found
    ]
    return table(header, rows)


def mean(task: str, value: float) -> str:
    """What was predicted or came on average, in the unit of the task."""
    return f"{value:,.1f}" if task == "cltv" else percent(value, 1)
