"""Which champions were loaded last, kept beside their files: a server starts while the registry is away."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4


class Remembered:
    """The champions of one journey, by task: their versions and digests.

    Parameters
    ----------
    folder
        Where models are kept by their digest.
    """

    def __init__(self, folder: Path, journey: str) -> None:
        self._folder, self._file = folder, folder / f"{journey}.champions.json"

    def write(self, champions: dict[str, tuple[int, str]]) -> None:
        """Remember these; a reader sees them whole or those before."""
        if champions == self.read():
            return
        part = self._file.with_name(f".{self._file.name}.{uuid4().hex}.part")
        part.write_text(json.dumps(champions), encoding="utf-8")
        part.replace(self._file)

    def read(self) -> dict[str, tuple[int, str]]:
        """Those remembered; empty where there are none, or the files of one are gone."""
        try:
            told = json.loads(self._file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        found = {task: (int(version), str(digest)) for task, (version, digest) in told.items()}
        return found if all((self._folder / digest).exists() for _, digest in found.values()) else {}
