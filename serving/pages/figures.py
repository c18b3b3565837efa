"""Figures as Plotly reads them: plain lists of traces, colours by the names that the style sheet gives them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from features.schema import to_text
from serving.planning import Plan, Point
from serving.recent import Earlier

Figure = dict[str, Any]


def label(text: object) -> str:
    """A name as text: Plotly reads tags in labels and hover texts, and undoes what is escaped."""
    return escape(str(text), quote=False)


def moves(earlier: Sequence[Earlier]) -> Figure:
    """How a customer's churn risk and CLTV moved from run to run."""
    when = [to_text(one.scored_at) for one in earlier]
    risk = {
        "x": when,
        "y": [one.churn_probability for one in earlier],
        "name": "Churn risk",
        "mode": "lines+markers",
        "line": {"color": "@raise", "width": 2},
        "marker": {"size": 7},
        "hovertemplate": "churn risk %{y:.1%}<extra></extra>",
    }
    value = {
        "x": when,
        "y": [one.cltv_expected for one in earlier],
        "name": "CLTV",
        "mode": "lines+markers",
        "line": {"color": "@accent", "width": 2, "dash": "dot"},
        "marker": {"size": 7, "symbol": "square"},
        "yaxis": "y2",
        "hovertemplate": "CLTV %{y:,.2f}<extra></extra>",
    }
    layout = {
        "showlegend": True,
        "hovermode": "x unified",
        "xaxis": {"type": "date"},
        "yaxis": {"tickformat": ".0%", "rangemode": "tozero"},
        "yaxis2": {
            "overlaying": "y",
            "side": "right",
            "rangemode": "tozero",
            "showgrid": False,
            "automargin": True,
        },
    }
    return {"data": [risk, value], "layout": layout}


def curve(plan: Plan, currency: str | None) -> Figure:
    """What a campaign is expected to bring by the length of its list, its best length marked."""
    points = sorted(plan.curve, key=lambda point: point.length)
    known = [point for point in points if point.expected_profit is not None]
    shown, amount = (known, "expected_profit") if known else (points, "expected_cost")
    words = "expected profit" if known else "expected cost"
    line = {
        "x": [point.length for point in shown],
        "y": [getattr(point, amount) for point in shown],
        "mode": "lines",
        "line": {"color": "@accent", "width": 2.5},
        "fill": "tozeroy",
        "fillcolor": "@wash",
        "hovertemplate": f"%{{x:,}} customers: {label(currency or '')} %{{y:,.0f}}<extra></extra>",
    }
    marks = [_mark(plan.best, amount, "best length", "@raise")] if plan.best and known else []
    made = next((point for point in points if point.length == plan.length), None)
    if made is not None and (plan.best is None or made.length != plan.best.length):
        marks.append(_mark(made, amount, "as cut", "@ink"))
    layout = {
        "xaxis": {"title": {"text": "customers on the list, the most profitable first"}, "tickformat": ","},
        "yaxis": {"title": {"text": f"{words}, {label(currency or '')}".strip(", ")}, "tickformat": ",.0f"},
        "margin": {"l": 8, "r": 20, "t": 28, "b": 8},
    }
    return {"data": [line, *marks], "layout": layout}


def _mark(point: Point, amount: str, words: str, colour: str) -> dict[str, Any]:
    return {
        "x": [point.length],
        "y": [getattr(point, amount)],
        "mode": "markers+text",
        "text": [f"{words}: {point.length:,}"],
        "textposition": "top center",
        "cliponaxis": False,
        "marker": {"color": colour, "size": 11, "symbol": "diamond"},
        "textfont": {"color": colour},
        "hoverinfo": "skip",
    }
