"""A drift report for people: text for a terminal, and one file of HTML with its figures."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from features.schema import to_text
from training.drift_report import DriftReport, number, told, told_of_all
from training.moved import Moved
from training.signals import Signal
from training.vector_drift import FeatureDrift, TwoSamples

_SIGNALS, _FEATURES = 12, 12
_WIDTH, _HEIGHT = 260, 48


def drift_tables(report: DriftReport) -> RenderableType:
    """What changed, its causes, and what it does to what the models look at."""
    head = Text(f"Drift at {to_text(report.at)[:10]}: {'ALARM: ' if report.alarm else ''}{report.words}", style="bold")
    parts: list[RenderableType] = [head]
    if report.signals:
        table = Table(header_style="bold", title="Most surprising signals of the event log", title_justify="left")
        for title in ("signal", "now", "usual", "standard errors"):
            table.add_column(title, justify="left" if title == "signal" else "right")
        for one in report.signals[:_SIGNALS]:
            usual = f"{number(one, one.low)} to {number(one, one.high)}"
            # As text: a name from the log is no markup.
            table.add_row(Text(one.words), number(one, one.values[-1]), usual, f"{one.surprise:+.1f}")
        parts.append(table)
    if report.later:
        parts.append(Text(f"\n{_later(report)}"))
    if report.vectors.moved:
        parts.append(Text(f"\nThe newest cutoff beside {_trained(report)}", style="bold"))
    parts += [Text(f"{'UNUSUAL: ' if one.unusual else ''}{told_of_all(one)}") for one in report.vectors.moved]
    if test := report.vectors.two_samples:
        parts.append(Text(_tested(test)))
    return Group(*parts)


def _trained(report: DriftReport) -> str:
    """The cutoffs compared with, in words."""
    days = [to_text(cutoff)[:10] for cutoff in report.vectors.trained]
    return f"those the champions were trained on, {days[-1]} to {days[0]}" if days else "the cutoffs before"


def _later(report: DriftReport) -> str:
    """Whose champions had no part in it, in words."""
    return f"Left out: the champions of {', '.join(report.later)}, who know more than was known then."


def _tested(test: TwoSamples) -> str:
    return (
        f"A classifier tells the newest vectors from those with ROC AUC {test.auc:.3f} (95 %: {test.low:.3f} to "
        f"{test.high:.3f}; 0.5: not at all), mostly by {', '.join(test.by)}"
    )


def drift_html(report: DriftReport) -> str:
    """The report as one page that needs nothing else."""
    state = "Something changed" if report.alarm else "Nothing unusual" if report.signals else "Cannot tell yet"
    causes = "".join(f"<li>{escape(cause.words)}</li>" for cause in report.causes)
    signals = "".join(_signal(one) for one in report.signals[: 3 * _SIGNALS])
    moved = "".join(_moved(one) for one in report.vectors.moved)
    features = "".join(_feature(one) for one in report.vectors.features[:_FEATURES])
    test = report.vectors.two_samples
    return _PAGE.format(
        journey=escape(report.journey),
        at=to_text(report.at)[:10],
        state=state,
        words=escape(report.words[:1].upper() + report.words[1:]),
        causes=f"<ol>{causes}</ol>" if causes else "",
        signals=signals or _NOTHING,
        trained=escape(_trained(report)),
        tested=f"<p>{escape(_tested(test))}.</p>" if test else "",
        later=f"<p>{escape(_later(report))}</p>" if report.later else "",
        moved=moved or _NOTHING,
        features=features or _NOTHING,
    )


def _signal(one: Signal) -> str:
    kind = "odd" if one.unusual else ""
    title, now = told(one) if one.unusual else one.words, number(one, one.values[-1])
    line = _line(one.words, one.values, one.low, one.high)
    return (
        f'<tr class="{kind}"><th scope="row">{escape(title)}</th><td>{line}</td><td>{now}</td>'
        f"<td>{number(one, one.low)} to {number(one, one.high)}</td><td>{one.surprise:+.1f}</td></tr>"
    )


def _line(words: str, values: Sequence[float], low: float, high: float) -> str:
    """Values, oldest first, as a line; what is usual of the newest as a bar behind its point."""
    top, bottom = max(*values, min(high, 3 * max(values))), min(*values, low)
    span = (top - bottom) or 1.0

    def y(value: float) -> float:
        return _HEIGHT - 4 - (_HEIGHT - 8) * (min(max(value, bottom), top) - bottom) / span

    places = [4 + (_WIDTH - 8) * n / max(1, len(values) - 1) for n in range(len(values))]
    points = " ".join(f"{x:.1f},{y(value):.1f}" for x, value in zip(places, values, strict=True))
    upper, lower, last = y(high), y(low), y(values[-1])
    return (
        f'<svg role="img" aria-label="{escape(words)}, {len(values)} steps" viewBox="0 0 {_WIDTH} {_HEIGHT}">'
        f'<rect x="{_WIDTH - 8}" width="8" y="{upper:.1f}" height="{max(1.0, lower - upper):.1f}" class="span"/>'
        f'<polyline points="{points}"/><circle cx="{places[-1]:.1f}" cy="{last:.1f}" r="3"/></svg>'
    )


def _moved(one: Moved) -> str:
    kind, line = "odd" if one.unusual else "", _line(one.what, (*one.past[::-1], one.value), 0.0, one.limit)
    return (
        f'<tr class="{kind}"><th scope="row">{escape(one.what)}</th><td>{line}</td><td>{one.value:.3f}</td>'
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
thead th {{ text-align: right; }} th[scope=row], thead th:first-child {{ text-align: left; }}
th[scope=row] {{ font-weight: normal; }} td {{ text-align: right; }}
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
<p>The newest cutoff beside {trained}. What is usual is told by earlier cutoffs, each beside those that lie as far
before it. PSI is the population stability index, of features weighed by what each moves in the model; of outcomes, the
distance of the newest mean from the earlier ones.</p>
{later}
{tested}
<div class="scroll"><table><thead><tr><th>What</th><th>Cutoff by cutoff</th><th>Now</th><th>Usual up to</th></tr>
</thead><tbody>{moved}</tbody></table></div>
<h2>Features that moved and matter</h2>
<p>Ranked by how much farther than ever before a feature moved, times its share in the model.</p>
<div class="scroll"><table><thead><tr><th>Feature</th><th>PSI</th><th>Largest before</th>
<th>Share in the model</th></tr>
</thead><tbody>{features}</tbody></table></div>
</body></html>
"""
_NOTHING = '<tr><td colspan="5">Too few earlier cutoffs, or no models, to tell.</td></tr>'
