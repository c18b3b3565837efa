"""What every quality benchmark is told on its command line."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Options:
    """`folder` keeps what is fetched and simulated, `logs` has the logs of the next event, `out` gets the lines."""

    folder: Path
    logs: Path | None
    quick: bool
    out: Path


def options(about: str | None, name: str) -> Options:
    """The options as given; a quick run never overwrites the lines of a full one."""
    asked = argparse.ArgumentParser(description=about)
    asked.add_argument("--folder", type=Path, default=Path(".journeycast/bench"), help="where data are kept")
    asked.add_argument("--logs", type=Path, help="the folder of the next-event logs and published.csv")
    asked.add_argument("--quick", action="store_true", help="a sample: shows that it runs, its numbers mean little")
    asked.add_argument("--out", type=Path, help="the file of JSON lines")
    found = asked.parse_args()
    usual = found.folder / f"quick-{name}.jsonl" if found.quick else RESULTS / f"{name}.jsonl"
    return Options(found.folder, found.logs, found.quick, found.out or usual)
