"""What came of runs as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from features.errors import InputError

_ALONE = ("ece", "tweedie_deviance", "mae", "spearman", "coverage")  # told though nothing leads to expect them
_ARMS = (("not_contacted", "not contacted"), ("contacted", "contacted"))
_PARTS = (("bands", "risk"), ("stages", "stage"), ("reached", "reached"), ("segments", "segment"), ("deciles", "tenth"))


def outcomes_shown(
    found: Sequence[dict[str, Any]], versions: Sequence[dict[str, Any]], wanted: int | None = None
) -> Iterator[RenderableType]:
    """The versions, then one run in full (`wanted`, or the newest), then each other run in a line, the newest first.

    `found` is oldest first.

    Raises
    ------
    InputError
        Where the run that is wanted is not among them.
    """
    if wanted is not None and wanted not in {one["run_id"] for one in found}:
        there = ", ".join(str(one["run_id"]) for one in found) or "none so far"
        raise InputError("--run", str(wanted), f"a run whose horizon is over: {there}")
    if versions:
        yield versions_table(versions)
    newest = found[-1]["run_id"] if found else None
    chosen = newest if wanted is None else wanted
    yield from (outcomes_tables(one) for one in found if one["run_id"] == chosen)
    yield from (_line(one) for one in reversed(found) if one["run_id"] != chosen)


def _line(report: dict[str, Any]) -> Text:
    """A run in a line: per task its version and its grade on what happened."""
    told = (f"{name} version {task['version']} {_letter(task)}" for name, task in report["tasks"].items())
    return Text(f"Run {report['run_id']}, known before {report['cutoff'][:10]}: {', '.join(told)}")


def _letter(task: dict[str, Any]) -> str:
    if task["in_sample"]:
        return "in sample"
    return f"grade {task['grade']['letter']}" if task["grade"] else "not graded"


def outcomes_tables(report: dict[str, Any]) -> RenderableType:
    """A run: per task its grade on what happened, and expected beside realised by group."""
    head = f"Run {report['run_id']}, known before {report['cutoff'][:10]}: {report['followed']:,} customers followed up"
    parts: list[RenderableType] = [Text(head, style="bold")]
    for name, task in report["tasks"].items():
        parts.append(Text(f"{name}, version {task['version']}, next {task['horizon_days']:g} days: {_grade(task)}"))
        parts.extend(Text(line) for line in (_judged(name, task["judged"]), _metrics(task)) if line)
        parts.append(_table(name, task))
    if any(task["contacted"]["customers"] for task in report["tasks"].values()):
        parts.append(Text(f"Contacted customers stand apart: {report['why_apart']}."))
    return Group(*parts)


def _grade(task: dict[str, Any]) -> str:
    if task["in_sample"]:
        known = f"this version knew the log up to {task['knows_until'][:10]}"
        return f"in sample, which proves nothing: {known}, so it had learned from what came; neither graded nor pooled"
    if task["grade"]:
        return str(task["grade"]["words"])
    return f"not graded: {task.get('not_graded', 'too few customers or no earlier outcomes')}"


def versions_table(versions: Iterable[dict[str, Any]]) -> Table:
    """Each model version over all of its runs at hand."""
    table = Table(
        title="Versions over all of their runs at hand, as if nobody had been contacted", title_justify="left"
    )
    for title in ("task", "version", "runs", "cutoffs", "customers", "expected", "realised", "95 %", ""):
        table.add_column(title, justify="left" if title in ("task", "cutoffs", "") else "right")
    for one in versions:
        first, last = one["first_cutoff"][:10], one["last_cutoff"][:10]
        table.add_row(
            one["task"],
            str(one["version"]),
            str(one["runs"]),
            first if first == last else f"{first} to {last}",
            *_numbers(one["task"], one),
        )
    return table


def estimated_lines(found: Iterable[dict[str, Any]]) -> Iterator[str]:
    """What open runs may be expected to reach."""
    for one in found:
        for name, metrics in one["tasks"].items():
            told = [f"{metric} {v['value']:.3f} ({v['low']:.3f} to {v['high']:.3f})" for metric, v in metrics.items()]
            if told:
                yield f"Run {one['run_id']}, {one['cutoff'][:10]}, {name}, to be expected: {', '.join(told)}"
    if found:
        yield f"That holds as long as {next(iter(found))['conditions']}."


def _judged(name: str, judged: dict[str, Any]) -> str:
    """By whom the model is judged, where lists were made."""
    listed, held_out = judged["listed"], judged["held_out"]
    if not listed:
        return ""
    if not judged["stand_for_lists"]:
        few = f"{held_out:,} of {listed:,} customers on lists were held out, too few to stand for the others"
        return f"{few}: judged by those who were not contacted"
    _, expected, realised, interval, verdict = _numbers(name, judged)
    told = f"{expected} expected, {realised} realised ({interval}){f', {verdict}' if verdict else ''}"
    whom = f"{judged['customers']:,} customers who were not contacted; {held_out:,} of them, held out"
    return f"Judged by {whom}, stand for {listed:,} on lists: {told}"


def _metrics(task: dict[str, Any]) -> str:
    """What happened in the metrics of training, and what they were expected to be, where that can be told."""
    told = []
    for metric, value in task["metrics"].items():
        sure, guess = task["intervals"].get(metric), task["estimated"].get(metric)
        if value is not None and (guess or metric in _ALONE):
            interval = f" ({sure[0]:.3f} to {sure[1]:.3f})" if sure else ""
            told.append(
                f"{metric} {value:.3f}{interval}" + (f" [{guess['low']:.3f} to {guess['high']:.3f}]" if guess else "")
            )
    return f"{', '.join(told)}; in square brackets what the probabilities led to expect" if told else ""


def _table(name: str, task: dict[str, Any]) -> Table:
    table = Table(header_style="bold")
    for title in ("group", "", "customers", "expected", "realised", "95 %", ""):
        table.add_column(title, justify="right" if title in ("customers", "expected", "realised", "95 %") else "left")
    for arm, words in _ARMS:
        found = task[arm]
        if not found["customers"]:
            continue
        rows = [("all", found["all"])]
        rows += [(kind, row) for part, kind in _PARTS for row in found.get(part, [])]
        for kind, row in rows:
            table.add_row(escape(_named(kind, row)), words, *_numbers(name, row))
    return table


def _numbers(name: str, row: dict[str, Any]) -> list[str]:
    """Customers, expected, realised, its interval, and what that says."""
    low, high = _number(name, row["low"]), _number(name, row["high"])
    told = [f"{row['customers']:,}", _number(name, row["expected"]), _number(name, row["realised"])]
    return [*told, f"{low} to {high}", "" if row["verdict"] == "as expected" else row["verdict"]]


def _named(kind: str, row: dict[str, Any]) -> str:
    return "everyone" if kind == "all" else f"{row.get('segment', kind)} {row['group']}"


def _number(name: str, value: float) -> str:
    return f"{value:,.2f}" if name == "cltv" else f"{100 * value:.1f} %"
