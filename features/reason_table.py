"""The reason codes of a journey as a table of Markdown, for `docs/reasons.md`."""

from __future__ import annotations

from collections.abc import Iterable

from features.feature import REASONS, Feature


def reason_table(features: Iterable[Feature]) -> str:
    """A line per code, in the order of `REASONS`: its meaning and the names of its features, if there are any."""
    of: dict[str, list[str]] = {code: [] for code in REASONS}
    for feature in features:
        of[feature.reason].append(f"`{feature.name}`")
    lines = [f"| `{code}` | {REASONS[code]} | {', '.join(names) or '—'} |" for code, names in of.items()]
    return "\n".join(["| code | what it is about | features |", "|---|---|---|", *lines])
