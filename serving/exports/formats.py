"""The forms an export can have: what a file of each is called and what it is over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from features.errors import InputError
from serving.exports import crm, people, sheet, systems
from serving.exports.table import Table


def _no_head(_: Table) -> bytes:
    return b""


@dataclass(frozen=True, slots=True)
class Format:
    """One form of a file: written either piece by piece (`pieces`) or by a library (`writes`).

    Attributes
    ----------
    name, suffix
        `--format` and the end of the file's name that it goes with.
    media_type
        `Content-Type` over HTTP.
    pieces
        The lines, each whole; null: the form is not made of lines.
    writes
        Writes everything into an open file; null: the form is made of lines.
    head
        What every file begins with.
    most_lines, most_bytes
        What one file may hold for the system to take it; null: any number.
    """

    name: str
    suffix: str
    media_type: str
    pieces: Callable[[Table], Iterator[bytes]] | None = None
    writes: Callable[[Table, BinaryIO], None] | None = None
    head: Callable[[Table], bytes] = _no_head
    most_lines: int | None = None
    most_bytes: int | None = None


_CSV, _LINES = "text/csv", "application/x-ndjson"
_SHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
FORMATS = (
    Format("csv", ".csv", _CSV, people.csv_lines, head=people.csv_head),
    Format("xlsx", ".xlsx", _SHEET, writes=sheet.write_sheet),
    Format("jsonl", ".jsonl", _LINES, systems.json_lines),
    Format("parquet", ".parquet", "application/vnd.apache.parquet", writes=systems.write_parquet),
    Format(
        "hubspot",
        ".csv",
        _CSV,
        crm.hubspot_lines,
        head=crm.hubspot_head,
        most_lines=crm.HUBSPOT_ROWS,
        most_bytes=crm.HUBSPOT_BYTES,
    ),
    Format("hubspot", ".jsonl", _LINES, crm.hubspot_requests),
    Format("salesforce", ".csv", _CSV, crm.salesforce_lines, head=crm.salesforce_head, most_bytes=crm.SALESFORCE_BYTES),
    Format("klaviyo", ".jsonl", _LINES, crm.klaviyo_requests),
)
NAMES = tuple(dict.fromkeys(form.name for form in FORMATS))
MEDIA_TYPES = {form.name: form.media_type for form in reversed(FORMATS)}  # of two forms of a name, the first


def named(name: str) -> Format:
    """The form of that name; of HubSpot's two, the file for its import tool.

    Raises
    ------
    InputError
        Where there is none.
    """
    found = [form for form in FORMATS if form.name == name]
    if not found:
        raise InputError("format", repr(name), ", ".join(NAMES))
    return found[0]


def of_file(path: Path, name: str | None = None) -> Format:
    """The form of a file: that of `name`, or, where it is null, the one its own name ends in.

    Raises
    ------
    InputError
        Where there is no such form, or a file of this form ends otherwise.
    """
    wanted = name or path.suffix.lower().removeprefix(".")
    fitting = [form for form in FORMATS if form.name == wanted]
    if not fitting and name is not None:
        raise InputError("--format", repr(name), ", ".join(NAMES))
    for form in fitting:
        if path.suffix.lower() == form.suffix:
            return form
    suffixes = [form.suffix for form in fitting] or [form.suffix for form in FORMATS[:4]]
    accepted = f"{', '.join(suffixes[:-1])} or {suffixes[-1]}" if len(suffixes) > 1 else suffixes[0]
    raise InputError(str(path), "a list cannot be written in this form", f"a name that ends in {accepted}")


def preferred(accept: str) -> str | None:
    """The first form that an `Accept` header names of those without a system of their own.

    Returns
    -------
    str or None
        Null: JSON, because it is named before them or none of them is named.
    """
    known: dict[str, str | None] = {form.media_type: form.name for form in reversed(FORMATS[:4])}
    known["application/json"] = None
    named_there = (part.partition(";")[0].strip().lower() for part in accept.split(","))
    return next((known[kind] for kind in named_there if kind in known), None)
