"""Answers as files: spreadsheets for people, exact files for systems (`docs/crm.md`)."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from serving.answers import AtRiskCustomer
from serving.exports.files import Written, write_table
from serving.exports.formats import FORMATS, MEDIA_TYPES, NAMES, Format, named, of_file, preferred
from serving.exports.table import of_a_run, of_the_at_risk_list
from serving.tables import Run

if TYPE_CHECKING:
    from serving.store import Store

__all__ = [
    "FORMATS", "MEDIA_TYPES", "NAMES", "Format", "Written", "named", "of_file", "preferred",
    "render", "to_csv", "write", "write_run",
]  # fmt: skip


def write(
    customers: Iterable[AtRiskCustomer], path: Path, format: str | None = None, about: Run | None = None
) -> Written:
    """Write a list to one file, or, where a system takes no more in one, to several.

    Parameters
    ----------
    path
        Its end says the form, unless `format` names a system.
    format
        One of `NAMES`; null: what the file's name ends in.
    about
        The run the list was read from.

    Raises
    ------
    InputError
        Where the format is none of `NAMES`, or the file's name ends in another one's suffix.
    """
    form = of_file(path, format)
    return write_table(of_the_at_risk_list(customers, about), path, form)


def write_run(store: Store, journey: str, path: Path, format: str | None = None) -> Written:
    """Write all answers of the newest run; memory does not grow with their number.

    Raises
    ------
    InputError
        As `write` does.
    NoScoresError
        Where the journey has no run.
    RunGoneError
        Where the run is deleted while it is written; nothing is written then.
    """
    form = of_file(path, format)
    run = store.latest_run(journey)
    return write_table(of_a_run(store.answers(journey, run), run), path, form)


def render(customers: Iterable[AtRiskCustomer], format: str, about: Run | None = None) -> bytes:
    """A list as one body for HTTP, however long it is; its type is `MEDIA_TYPES[format]`.

    Raises
    ------
    InputError
        Where the format is none of `NAMES`.
    """
    form, table = named(format), of_the_at_risk_list(customers, about)
    if form.pieces is not None:
        return form.head(table) + b"".join(form.pieces(table))
    assert form.writes is not None  # noqa: S101 -- a form has pieces or writes itself
    body = io.BytesIO()
    form.writes(table, body)
    return body.getvalue()


def to_csv(customers: Iterable[AtRiskCustomer]) -> str:
    """The list as CSV for people."""
    return render(customers, "csv").decode("utf-8-sig")
