"""A backtest as text for a terminal: metrics over the origins beside the simple rules, and origin by origin."""

from __future__ import annotations

import math
from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from features.schema import to_text
from serving.show import SHOWN_METRICS
from training.backtest import Backtest

_RULES = 4  # shown beside the model: the strongest; MLflow and --json hold all


def backtest_tables(found: Backtest) -> RenderableType:
    """Mean and spread beside the rules, then the model at every origin, and the grade of all together."""
    grade = f"Over all origins: grade {found.grade.words}\n"
    return Group(_over_origins(found), _by_origin(found), Text(grade))


def _over_origins(found: Backtest) -> Table:
    names = _names(found)
    title = f"{found.task}, next {found.horizon_days:g} days: mean ± spread over {len(found.origins)} origins"
    table = _table(title, "", names)
    table.add_row("journeycast", *_pairs(found.over_origins(), names), style="bold")
    for rule in found.rules[:_RULES]:
        table.add_row(escape(rule), *_pairs(found.over_origins(rule), names))
    if len(found.rules) > _RULES:
        table.caption = f"{len(found.rules) - _RULES} weaker rules are in MLflow"
    return table


def _by_origin(found: Backtest) -> Table:
    names = _names(found)
    table = _table("", "journeycast as of", names)
    for one in found.origins:
        reached = one.assessment.metrics
        table.add_row(to_text(one.instant)[:10], *(_number(reached.get(name, math.nan)) for name in names))
    return table


def _names(found: Backtest) -> list[str]:
    """The metrics worth a column; coverage of intervals with those of CLTV."""
    reached = found.over_origins()
    return [name for name in (*SHOWN_METRICS[found.task], "coverage") if name in reached]


def _table(title: str, first: str, names: Iterable[str]) -> Table:
    table = Table(title=title or None, title_justify="left", caption_justify="left", header_style="bold")
    table.add_column(first)
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _pairs(found: dict[str, tuple[float, float]], names: Iterable[str]) -> list[str]:
    unknown = (math.nan, math.nan)
    return [_pair(*found.get(name, unknown)) for name in names]


def _pair(mean: float, spread: float) -> str:
    """The spread below the mean: side by side a column of each metric would not fit a terminal."""
    return _number(mean) if math.isnan(spread) else f"{_number(mean)}\n±{_number(spread, abs(mean))}"


def _number(value: float, like: float | None = None) -> str:
    """With the decimals of a number of the size of `like`, by default its own."""
    if math.isnan(value):
        return "-"
    return f"{value:,.3f}" if (abs(value) if like is None else like) < 100 else f"{value:,.1f}"
