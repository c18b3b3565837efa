"""Event files that people upload: read as a source of the journey is, shown as understood, stored once confirmed.

Between the two a file waits for an hour in its canonical form, in a folder that is the server's alone, under a name
that nobody can guess and that only the session it was shown to may say.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any, NamedTuple

import polars as pl

from features.canonical import canonical, columns_of
from features.errors import InputError
from features.files import PARQUET, TEXT
from features.journey import Journey, Source
from features.schema import CHANNEL, CONTACTED, CUSTOMER, EVENT, EVENT_ID, KNOWN_AT, POSITION, TIME, VALUE
from serving import bounded
from serving.arrivals import id_of
from serving.clock import now
from serving.intake import ACCEPTED, AT_ONCE, DUPLICATE, ERASED, Intake

MOST_BYTES = 25_000_000
SHOWN = 20  # rows of a preview
WAITS_SECONDS = 3600.0
_PLACE = "the file"


@dataclass(frozen=True, slots=True)
class Preview:
    """How a file was understood.

    `columns` maps canonical names to the file's, `unused` names columns that nothing reads, `left_out`
    counts rows by reason, `unseen` the events of types that no model knows. Times are microseconds.
    """

    token: str
    name: str
    read: int
    rows: pl.DataFrame
    columns: dict[str, str]
    unused: list[str]
    left_out: dict[str, int]
    notes: list[str]
    unseen: dict[str, int] = field(default_factory=dict)
    like: str = "by its column names"


class Stored(NamedTuple):
    """What became of a file's events; `other` cannot be taken: they lie too far ahead."""

    accepted: int
    duplicates: int
    erased: int
    other: int


class Waiting(NamedTuple):
    """Where files of one journey and one session wait; others know none of them."""

    folder: Path
    journey: str
    session: str

    def path(self, token: str) -> Path:
        """The file of a preview.

        Raises
        ------
        InputError
            Where there can be none of this name.
        """
        if re.fullmatch(r"[0-9a-f]{32}", token) is None:
            raise InputError(_PLACE, "is none that was uploaded", "the file of a preview", "upload it again")
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        whose = sha256(f"{self.journey}\0{self.session}\0{token}".encode()).hexdigest()
        return self.folder / f"{whose}.parquet"


def preview(journey: Journey, name: str, body: bytes, waiting: Waiting) -> Preview:
    """Read a file and let it wait.

    Parameters
    ----------
    journey
        With its declared properties; types it names are known.
    name
        What the file was called; its end says whether it is CSV or Parquet.
    waiting
        Where it waits.

    Raises
    ------
    InputError
        Where it cannot be read, misses a column that is required, or is too long.
    """
    token = token_hex(16)
    suffix, held = _suffix(name), waiting.path(token)
    tidy(waiting.folder)
    path = waiting.folder / f"{token}{suffix}"
    try:
        path.write_bytes(body)
        found = _read(journey, name, token, path)
    finally:
        path.unlink(missing_ok=True)
    told = found.rows if KNOWN_AT in found.columns else found.rows.drop(KNOWN_AT)  # else the store says when
    told.write_parquet(held)
    return found


def store(intake: Intake, journey: Journey, token: str, waiting: Waiting) -> Stored:
    """Store the events of a file that waits; those that are known already, by id or by all they say, stay single.

    Raises
    ------
    InputError
        Where no such file waits.
    """
    path = waiting.path(token)
    tidy(waiting.folder)
    if not path.exists():
        raise InputError(_PLACE, "no longer waits to be stored", "a file of the last hour", "upload it again")
    rows, letters = pl.read_parquet(path), ""
    for part in rows.iter_slices(AT_ONCE):
        letters += intake.submit(_rows(part, journey), of_file=True).result().outcomes
    path.unlink(missing_ok=True)
    accepted, duplicates, erased = (letters.count(letter) for letter in (ACCEPTED, DUPLICATE, ERASED))
    return Stored(accepted, duplicates, erased, len(letters) - accepted - duplicates - erased)


def _read(journey: Journey, name: str, token: str, path: Path) -> Preview:
    frame = bounded.read(_PLACE, path)
    source, like = _fitting(journey, frame.columns)
    columns = columns_of(source, journey, frame.columns, _PLACE)
    table = canonical(frame, source, journey, _PLACE)
    rows = table.rows.drop(POSITION, strict=False)
    if rows.is_empty():
        why = ", ".join(f"{count} rows with {reason}" for reason, count in table.left_out.items())
        raise InputError(_PLACE, f"has no usable event{': ' + why if why else ''}")
    counts = rows[EVENT].value_counts()
    known = {*journey.types, CONTACTED}
    return Preview(
        token=token,
        name=name,
        read=frame.height,
        rows=rows,
        columns=columns,
        unused=sorted(set(frame.columns) - set(columns.values())),
        left_out=table.left_out,
        notes=[note.removeprefix(f"{_PLACE}.").removeprefix(f"{_PLACE}: ") for note in table.notes],
        unseen={event: count for event, count in counts.iter_rows() if journey.types and event not in known},
        like=like,
    )


def _fitting(journey: Journey, names: list[str]) -> tuple[Source, str]:
    """The way to read a file: by canonical names, or as one of the journey's files that has such columns."""
    plain = Source(file="upload")
    if {CUSTOMER, TIME, EVENT} <= set(names):
        return plain, "by its column names"
    for number, source in enumerate(journey.events, 1):
        if source.file is None:
            continue
        try:
            columns_of(source, journey, names, _PLACE)
        except InputError:
            continue
        return source, f"as source {number} of the journey is"
    return plain, "by its column names"


def _rows(part: pl.DataFrame, journey: Journey) -> list[dict[str, Any]]:
    """Rows of the store."""
    received_at, found = now(), []
    for row in part.iter_rows(named=True):
        event = {name: row[name] for name in (CUSTOMER, TIME, EVENT, VALUE, CHANNEL)}
        event["properties"] = {n: row[n] for n in journey.properties if row.get(n) is not None} or None
        event[KNOWN_AT] = row.get(KNOWN_AT)
        event[EVENT_ID] = row.get(EVENT_ID) or id_of(event)
        found.append(event | {"journey": journey.journey, "received_at": received_at})
    return found


def _suffix(name: str) -> str:
    lower = name.lower()
    for suffix in (*PARQUET, *TEXT):
        if lower.endswith(suffix):
            return suffix
    raise InputError(_PLACE, f"{name[:80]!r} is no kind of file that is read", f"{', '.join((*TEXT, *PARQUET))}")


def tidy(folder: Path, seconds: float = WAITS_SECONDS) -> None:
    """Let go of the files that have waited so long; 0: all of them."""
    for path in folder.iterdir() if folder.is_dir() else ():
        try:
            if path.stat().st_mtime <= time.time() - seconds:
                path.unlink()
        except OSError:  # another worker was first
            continue
