"""A drift report for people: text for a terminal, and one file of HTML with its figures."""

from __future__ import annotations

from html import escape

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from features.schema import to_text
from training.drift_report import DriftReport, told
from training.signals import Signal
from training.vector_drift import FeatureDrift, Moved

_SIGNALS, _FEATURES = 12, 12
_WIDTH, _HEIGHT = 260, 48


def drift_tables(report: DriftReport) -> RenderableType:
    """What changed, its causes, and what it does to what the models look at."""
    head = Text(f"Drift at {to_text(report.at)[:10]}: {'ALARM, ' if report.alarm else ''}{report.words}", style="bold")
    parts: list[RenderableType] = [head]
    if report.signals:
        table = Table(header_style="bold", title="Most surprising signals", title_justify="left")
        for title in ("signal", "now", "usual", "standard errors"):
            table.add_column(title, justify="left" if title == "signal" else "right")
        for one in report.signals[:_SIGNALS]:
            usual = f"{one.low:,.4g} to {one.high:,.4g}"
            table.add_row(one.words, f"{one.values[-1]:,.4g}", usual, f"{one.surprise:+.1f}")
        parts.append(table)
    for moved in report.vectors.moved:
        odd = ", UNUSUAL" if moved.unusual else ""
        parts.append(Text(f"{moved.what}: {moved.value:.3f}, usual up to {moved.limit:.3f}{odd}"))
    return Group(*parts)


def drift_html(report: DriftReport) -> str:
    """The report as one page that needs nothing else."""
    state = "Something changed" if report.alarm else "Nothing unusual" if report.signals else "Cannot tell yet"
    causes = "".join(f"<li>{escape(cause.words)}</li>" for cause in report.causes)
    signals = "".join(_signal(one) for one in report.signals[: 3 * _SIGNALS])
    moved = "".join(_moved(one) for one in report.vectors.moved)
    features = "".join(_feature(one) for one in report.vectors.features[:_FEATURES])
    return _PAGE.format(
        journey=escape(report.journey),
        at=to_text(report.at)[:10],
        state=state,
        words=escape(report.words),
        causes=f"<ol>{causes}</ol>" if causes else "",
        signals=signals,
        moved=moved,
        features=features,
    )


def _signal(one: Signal) -> str:
    kind = "odd" if one.unusual else ""
    title = told(one) if one.unusual else one.words
    return (
        f'<tr class="{kind}"><th scope="row">{escape(title)}</th><td>{_line(one)}</td>'
        f"<td>{one.values[-1]:,.4g}</td><td>{one.low:,.4g} to {one.high:,.4g}</td><td>{one.surprise:+.1f}</td></tr>"
    )


def _line(one: Signal) -> str:
    """The signal's steps as a line, the usual span of the newest as a bar behind its point."""
    top, bottom = max(*one.values, min(one.high, 3 * max(one.values))), min(*one.values, one.low)
    span = (top - bottom) or 1.0

    def y(value: float) -> float:
        return _HEIGHT - 4 - (_HEIGHT - 8) * (min(max(value, bottom), top) - bottom) / span

    places = [4 + (_WIDTH - 8) * n / (len(one.values) - 1) for n in range(len(one.values))]
    points = " ".join(f"{x:.1f},{y(value):.1f}" for x, value in zip(places, one.values, strict=True))
    high, low, last = y(one.high), y(one.low), y(one.values[-1])
    return (
        f'<svg role="img" aria-label="{escape(one.words)}, {len(one.values)} steps" viewBox="0 0 {_WIDTH} {_HEIGHT}">'
        f'<rect x="{_WIDTH - 8}" width="8" y="{high:.1f}" height="{max(1.0, low - high):.1f}" class="span"/>'
        f'<polyline points="{points}"/><circle cx="{places[-1]:.1f}" cy="{last:.1f}" r="3"/></svg>'
    )


def _moved(one: Moved) -> str:
    kind = "odd" if one.unusual else ""
    past = f"{min(one.past):.3f} to {max(one.past):.3f}"
    return (
        f'<tr class="{kind}"><th scope="row">{escape(one.what)}</th><td>{one.value:.3f}</td><td>{past}</td>'
        f"<td>{one.limit:.3f}</td></tr>"
    )


def _feature(one: FeatureDrift) -> str:
    share = f'<svg viewBox="0 0 100 8" aria-hidden="true"><rect width="{100 * one.importance:.1f}" height="8"/></svg>'
    return (
        f'<tr><th scope="row">{escape(one.name)}</th><td>{one.psi:.3f}</td><td>{one.usual:.3f}</td>'
        f"<td>{100 * one.importance:.1f} % {share}</td></tr>"
    )


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Drift of {journey} at {at}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24; }}
table {{ border-collapse: collapse; width: 100%; }} th, td {{ padding: .3rem .6rem; border-bottom: 1px solid #d8dee4; }}
thead th, th[scope=row] {{ text-align: left; }} th[scope=row] {{ font-weight: normal; }} td {{ text-align: right; }}
tr.odd th {{ font-weight: 600; }} tr.odd th::before {{ content: "\\25B2 "; color: #b3261e; }}
svg {{ height: 2.4rem; vertical-align: middle; }} polyline {{ fill: none; stroke: #57606a; stroke-width: 1.5; }}
circle {{ fill: #0b57d0; }} .odd circle {{ fill: #b3261e; }} .span {{ fill: #c8dcf5; }} td svg rect {{ fill: #0b57d0; }}
td svg[viewBox="0 0 100 8"] {{ height: .6rem; width: 6rem; }}
.scroll {{ overflow-x: auto; }}
</style></head><body>
<h1>Drift of {journey} at {at}</h1>
<p><strong>{state}.</strong> {words}.</p>
{causes}
<h2>Signals of the event log</h2>
<p>Each is compared with where the journey's own earlier steps lead to expect it; the bar at the right end is the span
that is usual for all signals together.</p>
<div class="scroll"><table><thead><tr><th>Signal</th><th>Step by step</th><th>Now</th><th>Usual</th>
<th>Standard errors</th></tr></thead><tbody>{signals}</tbody></table></div>
<h2>Vectors, predictions and outcomes</h2>
<p>Population stability index against the cutoffs before, weighed by what each feature moves in the model; of outcomes,
the distance of the newest mean from the earlier ones in their spread.</p>
<div class="scroll"><table><thead><tr><th>What</th><th>Now</th><th>At earlier cutoffs</th><th>Unusual beyond</th></tr>
</thead><tbody>{moved}</tbody></table></div>
<h2>Features that moved and matter</h2>
<div class="scroll"><table><thead><tr><th>Feature</th><th>PSI</th><th>Largest before</th>
<th>Share in the model</th></tr>
</thead><tbody>{features}</tbody></table></div>
</body></html>
"""
