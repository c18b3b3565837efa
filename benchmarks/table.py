"""Write the table of `docs/benchmarks.md` from the JSON lines that the benchmarks left beside this file."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
BLOCK = re.compile(r"(<!-- results: [^>]*-->\n)(.*?)(<!-- end of results -->)", re.DOTALL)


def table(file: Path) -> str:
    """A file of JSON lines as a table with the machine below it."""
    machine, *lines = (json.loads(text) for text in file.read_text(encoding="utf-8").splitlines())
    rows = [f"| {line['name']} | {shown(line)} | {target(line)} |" for line in lines]
    details = [f"- {line['name']}: {_detail(line['detail'])}" for line in lines if line["detail"]]
    return "\n".join(["| what | measured | target |", "|---|---|---|", *rows, "", below(machine), "", *details])


def below(machine: dict[str, Any]) -> str:
    """The machine and the versions in one line."""
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    found = f"{machine['machine']}, {machine['cpus']} CPUs, {machine['memory_gib']:g} GiB; Python {machine['python']}"
    return f"{found}, {versions}."


def shown(line: dict[str, Any]) -> str:
    """The number as people read it."""
    value = line["value"]
    return f"{value:,.0f} {line['unit']}" if abs(value) >= 100 else f"{value:.3g} {line['unit']}"


def target(line: dict[str, Any]) -> str:
    if line["target"] is None:
        return "—"
    return f"{line['target']}: {'met' if line['met'] else '**missed**'}"


def _detail(detail: dict[str, Any]) -> str:
    return "; ".join(f"{name.replace('_', ' ')} {told(value)}" for name, value in detail.items())


def told(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(told(one) for one in value)
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def main() -> None:
    """Write every benchmark's table."""
    parts = [f"### {file.stem.replace('_', ' ')}\n\n{table(file)}\n" for file in sorted(HERE.glob("*.jsonl"))]
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(BLOCK.sub(lambda found: found[1] + "\n" + "\n".join(parts) + found[3], page), encoding="utf-8")


if __name__ == "__main__":
    main()
