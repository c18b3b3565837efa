"""The catalogue as a page: a table per family, for `docs/features.md`."""

from __future__ import annotations

from collections.abc import Iterable

from features.catalogue import FAMILIES, columns, modelled
from features.feature import Described
from features.journey import Journey

BEGIN, END = "<!-- catalogue -->", "<!-- end of catalogue -->"


def page(journey: Journey) -> str:
    """The features of a resolved journey in Markdown: a family's heading, what it tells, its table."""
    parts, told = [], set()
    for family in FAMILIES:
        found = family.features(journey)
        title, _, sentence = (family.__doc__ or "").partition("\n")[0].partition(": ")
        parts.append(_section(title, sentence, found))
        told |= {feature.name for feature in found}
    own = [column for column in columns(journey) if column.name not in told]
    added = {column.name for column in modelled(journey)}
    parts.append(_section("Own", "the business's own module.", [c for c in own if c.name not in added]))
    parts.append(
        _section("Added by models", "by parameters each model learned and keeps.", [c for c in own if c.name in added])
    )
    return "\n".join(part for part in parts if part)


def replaced(text: str, journey: Journey) -> str:
    """A page's text with the part between the marks written anew."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{page(journey)}{END}{rest.partition(END)[2]}"


def _section(title: str, sentence: str, found: Iterable[Described]) -> str:
    rows = [f"| `{f.name}` | {f.unit} | {f.reason} | {_cell(f.description)} |" for f in found]
    if not rows:
        return ""
    said = sentence[:1].upper() + sentence[1:]
    head = ["| name | unit | reason | what it says |", "|---|---|---|---|"]
    return "\n".join([f"### {title}", "", said, "", *head, *rows, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
