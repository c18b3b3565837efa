"""Figures as Plotly reads them: plain lists of traces, colours by the names that the style sheet gives them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from features.schema import DAY, to_text
from serving.pages.events import Event
from serving.pages.words import day, days, percent, plain
from serving.planning import Plan, Point
from serving.recent import Earlier

Figure = dict[str, Any]
_DAYS_APART = 120  # more are told by the week
_TYPE_COLOURS = 6


def label(text: object) -> str:
    """A name as text: Plotly reads tags in labels and hover texts, and undoes what is escaped."""
    return escape(str(text), quote=False)


def moves(earlier: Sequence[Earlier]) -> Figure:
    """How a customer's churn risk and CLTV moved from run to run."""
    when = [f"run {one.run_id}<br>{day(one.cutoff)}" for one in earlier]
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
        "xaxis": {"type": "category"},
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


def flow(found: dict[str, Any]) -> Figure:
    """Moves between stages: what customers left on the left, what they came to on the right."""
    names = [stage["stage"] for stage in found["stages"]]
    count = len(names)
    left = {name: place for place, name in enumerate(names)}
    moves = [move for move in found["transitions"] if move["from"] in left and move["to"] in left]
    used = sorted({left[m["from"]] for m in moves} | {count + left[m["to"]] for m in moves})
    place = {node: number for number, node in enumerate(used)}
    words = [
        f"{label(plain(m['from']))} to {label(plain(m['to']))}: {m['count']:,} moves, {percent(m['share'])} of all out"
        f" of {label(plain(m['from']))}, after {label(days(m['median_days']))} there"
        for m in moves
    ]
    trace = {
        "type": "sankey",
        "arrangement": "fixed",
        "node": {
            "label": [label(plain(names[node % count])) for node in used],
            "color": "@edge",
            "line": {"width": 0},
            "pad": 22,
            "thickness": 14,
            "hoverinfo": "none",
        },
        "link": {
            "source": [place[left[m["from"]]] for m in moves],
            "target": [place[count + left[m["to"]]] for m in moves],
            "value": [m["count"] for m in moves],
            "color": ["@accent/45" if m["way"] == "on" else "@raise/45" for m in moves],
            "customdata": words,
            "hovertemplate": "%{customdata}<extra></extra>",
        },
        "textfont": {"color": "@ink"},
    }
    return {"data": [trace], "layout": {"margin": {"l": 4, "r": 4, "t": 8, "b": 16}}}


def shares(mine: dict[str, Any], other: dict[str, Any], names: tuple[str, str]) -> Figure:
    """How many of each of two groups are in each stage."""
    traces = []
    for found, name, colour in ((other, names[1], "@pale"), (mine, names[0], "@accent")):
        rows = found["stages"][::-1]
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": label(name),
                "y": [label(plain(stage["stage"])) for stage in rows],
                "x": [stage["share"] for stage in rows],
                "marker": {"color": colour},
                "hovertemplate": "%{y}: %{x:.1%}<extra>" + _literal(name) + "</extra>",
            }
        )
    layout = {"showlegend": True, "barmode": "group", "xaxis": {"tickformat": ".0%"}, "yaxis": {"type": "category"}}
    return {"data": traces, "layout": layout | {"legend": {"orientation": "h", "y": 1.08, "traceorder": "reversed"}}}


def timeline(events: Sequence[Event]) -> Figure:
    """A customer's events along time, a line for each channel, trouble marked."""
    kinds: dict[str, tuple[str, str, int]] = {
        "own": ("@accent", "circle", 8),
        "business": ("@pale", "square", 8),
        "friction": ("@raise", "x", 10),
    }
    words = {"own": "the customer", "business": "the business", "friction": "trouble"}
    traces = []
    for kind, (colour, symbol, size) in kinds.items():
        rows = [event for event in events if event.kind == kind]
        if rows:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": words[kind],
                    "x": [to_text(event.time) for event in rows],
                    "y": [label(event.lane) for event in rows],
                    "customdata": [label(event.words) for event in rows],
                    "marker": {"color": colour, "symbol": symbol, "size": size, "opacity": 0.8},
                    "hovertemplate": "%{customdata}<br>%{x|%-d %b %Y}<extra></extra>",
                }
            )
    lanes = sorted({event.lane for event in events})
    layout = {
        "showlegend": len(traces) > 1,
        "xaxis": {"type": "date", **_at_least_days([event.time for event in events])},
        "yaxis": {
            "type": "category",
            "categoryarray": [label(lane) for lane in lanes],
            "range": [-0.6, len(lanes) - 0.4],
        },
        "height": 150 + 38 * len(lanes),
    }
    return {"data": traces, "layout": layout}


def _at_least_days(times: Sequence[int]) -> dict[str, list[str]]:
    """An axis of days even where all events are of one instant."""
    first, last = min(times, default=0), max(times, default=0)
    return {} if not times or last - first > 2 * DAY else {"range": [to_text(first - DAY), to_text(last + DAY)]}


def volume(told: dict[str, Any]) -> Figure:
    """Events per day and type; per week where there are many days."""
    days_, types = told["days"], told["types"]
    step = 7 if len(days_) > _DAYS_APART else 1
    traces = []
    for number, one in enumerate(types):
        counts = [sum(one["by_day"][start : start + step]) for start in range(0, len(days_), step)]
        traces.append(
            {
                "type": "bar",
                "name": label(plain(one["event"])),
                "x": days_[::step],
                "y": counts,
                "marker": {"color": f"@type-{number % _TYPE_COLOURS}"},
                "hovertemplate": "%{x|%-d %b %Y}: %{y:,}<extra>" + _literal(plain(one["event"])) + "</extra>",
            }
        )
    layout = {
        "barmode": "stack",
        "bargap": 0.08,
        "showlegend": True,
        "xaxis": {"type": "date"},
        "yaxis": {"tickformat": ",", "title": {"text": f"events a {'week' if step > 1 else 'day'}"}},
    }
    return {"data": traces, "layout": layout}


def _literal(text: object) -> str:
    """A name inside a template of Plotly's."""
    return label(text).replace("%", "&#37;")


def calibration(groups: Sequence[dict[str, Any]], task: str) -> Figure:
    """What was predicted against what came true, in ten groups of equal size."""
    money = task == "cltv"
    predicted, true = [group["predicted"] for group in groups], [group["true"] for group in groups]
    end = max(*predicted, *true) * 1.05 or 1.0
    shown = ",.0f" if money else ".1%"
    diagonal = {
        "x": [0, end],
        "y": [0, end],
        "mode": "lines",
        "line": {"color": "@pale", "dash": "dash", "width": 1.5},
        "hoverinfo": "skip",
    }
    dots = {
        "x": predicted,
        "y": true,
        "mode": "lines+markers",
        "line": {"color": "@accent", "width": 1.5},
        "marker": {"size": 9, "color": "@accent"},
        "customdata": [group["rows"] for group in groups],
        "hovertemplate": f"predicted %{{x:{shown}}}, came true %{{y:{shown}}}"
        "<br>%{customdata:,} customers<extra></extra>",
    }
    form = ",.0f" if money else ".0%"
    layout = {
        "xaxis": {"title": {"text": "predicted"}, "tickformat": form, "range": [0, end]},
        "yaxis": {"title": {"text": "came true"}, "tickformat": form, "range": [0, end]},
    }
    return {"data": [diagonal, dots], "layout": layout}


def lift(groups: Sequence[dict[str, Any]]) -> Figure:
    """How many times as many churners each tenth of the list holds as all customers do, the likeliest first."""
    rows = sum(group["rows"] for group in groups)
    base = sum(group["rows"] * group["true"] for group in groups) / rows
    times = [group["true"] / base if base else 0.0 for group in reversed(groups)]
    places = [f"{number}." for number in range(1, len(times) + 1)]
    bars = {
        "type": "bar",
        "x": places,
        "y": times,
        "text": [f"{value:.1f}" for value in times],
        "textposition": "outside",
        "cliponaxis": False,
        "marker": {"color": "@accent"},
        "hovertemplate": "%{x} tenth: %{y:.2f} times as many churners<extra></extra>",
    }
    layout = {
        "xaxis": {"type": "category", "title": {"text": "tenth of the list, the likeliest first"}},
        "yaxis": {"title": {"text": "times as many churners"}, "rangemode": "tozero"},
        "margin": {"l": 8, "r": 12, "t": 24, "b": 8},
        "shapes": [
            {
                "type": "line",
                "xref": "paper",
                "x0": 0,
                "x1": 1,
                "y0": 1,
                "y1": 1,
                "line": {"color": "@edge", "width": 1},
            }
        ],
    }
    return {"data": [bars], "layout": layout}
