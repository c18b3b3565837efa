"""A trained model as text and JSON: trees, encoding, link, and what it was made of.

The folder of a model holds `model.json` and LightGBM text files, nothing else: reading it executes
nothing and unpickles nothing. Its digest is that of the files' bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import lightgbm as lgb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from features.errors import InputError
from features.schema import to_microseconds
from training.encoding import Encoding
from training.line import Line, margins
from training.links import Link, read_link
from training.shap_values import contributions

Array = NDArray[np.float64]
SETTINGS = "model.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Model:
    """One task's model.

    Attributes
    ----------
    task
        `churn`, `next_stage` or `cltv`.
    boosters
        One (churn; next stage, with a margin per class) or two (CLTV: spends at all, how much).
    encoding
        Vectors to the trees' matrix.
    link
        Margins to predictions.
    lines
        What each booster starts from; None: nothing.
    about
        JSON: the resolved journey, classes, horizon, grade, metrics, intervals, digests ...
    """

    task: str
    boosters: tuple[lgb.Booster, ...]
    encoding: Encoding
    link: Link
    about: dict[str, Any]
    lines: tuple[Line | None, ...] = ()

    def __post_init__(self) -> None:
        if not self.lines:
            object.__setattr__(self, "lines", (None,) * len(self.boosters))

    def margins(self, matrix: Array, threads: int = 1) -> Array:
        """What the lines and the trees add up to, shape (rows, margins)."""
        return margins(self.boosters, self.lines, matrix, threads)

    def predict(self, vectors: pl.DataFrame, threads: int = 1) -> Array:
        """Predictions of shape (rows, 1), or (rows, classes) for the next stage."""
        return self.link.predict(self.margins(self.encoding.matrix(vectors), threads))

    def contributions(self, matrix: Array, threads: int = 1) -> tuple[Array, Array]:
        """SHAP values of every margin, shape (rows, margins, features), and the base margins, shape (margins,).

        Of one row or more. The rows stand innermost in memory.
        """
        told = [contributions(booster, matrix, threads) for booster in self.boosters]
        for number, line in enumerate(self.lines):
            if line is not None:
                of_trees, start = told[number]
                told[number] = of_trees + line.contributions(matrix), start + line.intercept
        values, base = zip(*told, strict=True)
        every = values[0] if len(values) == 1 else np.concatenate(values)
        return np.moveaxis(every, 2, 0), np.concatenate(base)

    def save(self, folder: Path) -> str:
        """Write the model's files and give their digest."""
        folder.mkdir(parents=True, exist_ok=True)
        for number, booster in enumerate(self.boosters):
            (folder / f"trees_{number}.txt").write_text(booster.model_to_string(), encoding="utf-8")
        written = {
            "format": FORMAT,
            "task": self.task,
            "boosters": len(self.boosters),
            "lines": [None if line is None else line.to_json() for line in self.lines],
            "encoding": self.encoding.to_json(),
            "link": self.link.to_json(),
            "about": self.about,
        }
        text = json.dumps(written, ensure_ascii=False, indent=1, allow_nan=False)
        (folder / SETTINGS).write_text(text, encoding="utf-8")
        return digest(folder)

    @classmethod
    def load(cls, folder: Path, expected_digest: str | None = None) -> Self:
        """Read a model's files.

        Raises
        ------
        InputError
            Where files are missing, changed since they were registered, or of another format.
        """
        if expected_digest is not None and (found := digest(folder)) != expected_digest:
            raise InputError(
                str(folder),
                f"the model's files have digest {found[:12]}, registered was {expected_digest[:12]}",
                do="train and promote again; the files were changed",
            )
        written = _settings(folder)
        boosters = tuple(lgb.Booster(model_file=folder / f"trees_{n}.txt") for n in range(written["boosters"]))
        encoding, link = Encoding.read(written["encoding"]), read_link(written["link"])
        told = written.get("lines") or [None] * len(boosters)  # models of before had none
        lines = tuple(None if line is None else Line.read(line) for line in told)
        return cls(written["task"], boosters, encoding, link, written["about"], lines)


def _settings(folder: Path) -> dict[str, Any]:
    try:
        written = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise InputError(str(folder / SETTINGS), f"cannot be read: {problem}", do="train again") from problem
    if not isinstance(written, dict) or written.get("format") != FORMAT:
        raise InputError(str(folder / SETTINGS), "another format of model", f"format {FORMAT}", "train again")
    return written


def knows_until(about: Mapping[str, Any]) -> int:
    """The instant up to which a model knows the log, in microseconds, by what it says of itself."""
    return to_microseconds(datetime.fromisoformat(about["journey"]["observed_until"]))


def digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of a model's files."""
    total = hashlib.sha256()
    for path in sorted([*folder.glob("trees_*.txt"), *folder.glob(SETTINGS)]):
        total.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()
