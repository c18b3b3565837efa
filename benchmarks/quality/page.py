"""Write the tables of `docs/quality.md` from the JSON lines that the quality benchmarks left in `results`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.quality.options import RESULTS
from benchmarks.table import BLOCK, below, target, told

PAGE = Path(__file__).parents[2] / "docs" / "quality.md"
COLUMNS = ("published", "rule")
ORDER = (
    "next_event",
    "cdnow",
    "ta_feng",
    "complete_journey",
    "simulator",
    "drift",
    "feedback_simulated",
    "feedback_loans",
    "loop",
)


def table(file: Path) -> str:
    """A file of JSON lines: what is published, what a simple rule reaches, ours; then each fold or origin."""
    machine, *lines = (json.loads(text) for text in file.read_text(encoding="utf-8").splitlines())
    rows = [_row(line) for line in lines]
    each = [f"- {line['name']}: {_rest(line['detail'])}" for line in lines if _rest(line["detail"])]
    head = ["| what | published | simple rule | ours | target |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows, "", *each, "", below(machine)])


def _row(line: dict[str, Any]) -> str:
    known = [str(line["detail"].get(name, "—")) for name in COLUMNS]
    value, unit = line["value"], line["unit"] if line["unit"] != "share of events" else ""
    ours = f"{value:,.0f} {unit}" if abs(value) >= 1000 else f"{value:.4g} {unit}".strip()
    return f"| {line['name']} | {known[0]} | {known[1]} | {ours} | {target(line)} |"


def _rest(detail: dict[str, Any]) -> str:
    return "; ".join(_part(name, value) for name, value in detail.items() if name not in COLUMNS)


def _part(name: str, value: Any) -> str:
    if isinstance(value, dict):
        value = ", ".join(f"{key} {told(one)}" for key, one in value.items())
    return told(value) if name == "each" else f"{name.replace('_', ' ')} {told(value)}"


def main() -> None:
    """Write every benchmark's table."""
    files = [RESULTS / f"{name}.jsonl" for name in ORDER]
    parts = [f"### {file.stem.replace('_', ' ')}\n\n{table(file)}\n" for file in files if file.exists()]
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(BLOCK.sub(lambda found: found[1] + "\n" + "\n".join(parts) + found[3], page), encoding="utf-8")


if __name__ == "__main__":
    main()
