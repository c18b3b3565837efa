"""What benchmarks write: JSON lines, the first of them about the machine."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from training.cpus import usable_cpus

PACKAGES = (
    "duckdb", "lightgbm", "mlflow", "narwhals", "numpy", "pandas", "polars", "pyarrow", "pydantic", "shap", "sqlalchemy"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """One measured number.

    Attributes
    ----------
    name
        What was measured.
    value, unit
        The number.
    target
        `>= 10`, `<= 30` ...; null: measured, nothing is promised.
    detail
        What it takes to read the number: sizes, medians, what was left out.
    """

    name: str
    value: float
    unit: str
    target: str | None
    detail: dict[str, Any]

    @property
    def met(self) -> bool | None:
        """Whether the target was reached; null: there is none."""
        if self.target is None:
            return None
        sign, number = self.target.split()
        return self.value >= float(number) if sign == ">=" else self.value <= float(number)


class Lines:
    """Writes lines to a file and to standard output as they come; without `targets` nothing is promised of them."""

    def __init__(self, file: Path, targets: bool = True) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        self._file, self._targets = file, targets
        self._write(machine())

    def add(self, line: Line) -> None:
        """Write a line."""
        line = line if self._targets else replace(line, target=None)
        fields = asdict(line)
        self._write(
            {name: fields[name] for name in ("name", "value", "unit", "target")}
            | {"met": line.met, "detail": line.detail}
        )

    def _write(self, line: dict[str, Any]) -> None:
        text = json.dumps(line, ensure_ascii=False)
        print(text, flush=True)
        with self._file.open("a", encoding="utf-8") as file:
            file.write(text + "\n")


def by_seed(
    file: Path, seeds: range, sizes: dict[str, int], made: Callable[[int], dict[str, Any]]
) -> list[dict[str, Any]]:
    """A line of each seed, `made` where the file has none of these sizes: cut off, it goes on where it was."""
    file.parent.mkdir(parents=True, exist_ok=True)
    told = [json.loads(text) for text in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []
    done = {line["seed"]: line for line in told if line["sizes"] == sizes}
    for seed in seeds:
        if seed not in done:
            done[seed] = {"seed": seed, "sizes": sizes, **made(seed)}
            with file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(done[seed]) + "\n")
    return [done[seed] for seed in seeds]


def machine() -> dict[str, Any]:
    """The machine and the versions that matter."""
    return {
        "machine": _processor(),
        "cpus": usable_cpus(),
        "memory_gib": round(_memory() / 2**30, 1),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory() -> int:
    import os

    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0


def progress(text: str) -> None:
    """Say on standard error what takes long."""
    print(text, file=sys.stderr, flush=True)
