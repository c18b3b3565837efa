"""Which champions were loaded last, kept beside their files: a server starts while the registry is away."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Annotated
from uuid import uuid4

from pydantic import Field, TypeAdapter

_log = logging.getLogger(__name__)
_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_SHAPE = TypeAdapter(dict[str, tuple[int, _Digest]])


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
        """Remember these; a reader sees them whole or those before. Where that fails, the log says so."""
        if champions == self.read():
            return
        part = self._file.with_name(f".{self._file.name}.{uuid4().hex}.part")
        try:
            with part.open("w", encoding="utf-8") as file:
                json.dump(champions, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._file)
        except OSError as problem:
            _log.warning("the champions cannot be remembered, and are not there when the registry is away: %s", problem)

    def read(self) -> dict[str, tuple[int, str]]:
        """Those remembered; empty where there are none, or the files of one are gone.

        A file that does not say champions is passed over, and the log says so.
        """
        try:
            found = _SHAPE.validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as problem:
            _log.warning("%s does not say which champions there were, and is passed over: %s", self._file, problem)
            return {}
        return found if all((self._folder / digest).exists() for _, digest in found.values()) else {}
