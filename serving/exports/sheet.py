"""XLSX: the customers on one sheet, what the columns mean on another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO

from features.errors import InputError
from features.schema import to_text
from serving.exports.columns import Column
from serving.exports.table import Table, Value
from serving.tables import Run

if TYPE_CHECKING:
    from xlsxwriter import Workbook
    from xlsxwriter.worksheet import Worksheet

MOST_ROWS = 1_048_576 - 1  # Excel's own limit, without the line of names
_MOST_CHARACTERS = 32_767  # Excel's own limit for a cell
_WIDTHS = {"text": 16, "truth": 9, "whole": 11, "number": 12, "probability": 12, "money": 15, "time": 18}
_WIDER = {"customer_id": 20, "reason": 62, "churn_ineligible_reason": 32}
_FIRST_DATE = datetime(1900, 3, 1)  # noqa: DTZ001 -- spreadsheets count days wrongly before it
_NO_XML = {0xFFFE: "�", 0xFFFF: "�"}


def write_sheet(table: Table, target: BinaryIO) -> None:
    """Write the workbook row by row; memory does not grow with the number of customers.

    Text is stored as text, so '=1+1' is no formula and '007' no number, also after a cell is edited.

    Raises
    ------
    InputError
        Where there are more customers than a sheet has rows.
    """
    from xlsxwriter import Workbook

    with Workbook(target, {"constant_memory": True, "default_date_format": "yyyy-mm-dd hh:mm"}) as book:
        if table.run is not None:  # the same run makes the same file, byte for byte
            book.set_properties({"created": datetime.fromisoformat(to_text(table.run.scored_at))})
        customers = _customers(book, table)
        _about(book, table, customers)


def too_long(do: str) -> InputError:
    """That there are more customers than a sheet has rows, and what to do instead."""
    return InputError("XLSX", f"more than {MOST_ROWS:,} customers", "what fits one sheet", do)


def _customers(book: Workbook, table: Table) -> int:
    sheet = book.add_worksheet("customers")
    formats = [book.add_format({"num_format": number_format(column, table.run)}) for column in table.columns]
    for at, (column, form) in enumerate(zip(table.columns, formats, strict=True)):
        sheet.set_column(at, at, _WIDER.get(column.name, max(_WIDTHS[column.kind], len(column.name) + 4)), form)
    head = book.add_format({"bold": True, "bottom": 1})
    sheet.freeze_panes(1, 1)
    sheet.ignore_errors({"number_stored_as_text": "A1:XFD1048576"})
    sheet.write_row(0, 0, [column.name for column in table.columns], head)
    count = 0
    for count, row in enumerate(table.rows(), 1):
        if count > MOST_ROWS:
            raise too_long("write .csv, .parquet or .jsonl")
        for at, (value, form) in enumerate(zip(row.values(), formats, strict=True)):
            _write(sheet, (count, at), value, form)
    sheet.autofilter(0, 0, max(count, 1), len(table.columns) - 1)
    return count


def number_format(column: Column, run: Run | None) -> str:
    """How a spreadsheet shows a column's values; `@` keeps text text."""
    currency = run.currency if run else None
    sign = f"[${currency}] " if currency and re.fullmatch("[A-Za-z]{1,8}", currency) else ""
    formats = {"text": "@", "whole": "0", "number": "0.00", "probability": "0.0%", "money": f"{sign}#,##0.00"}
    return formats.get(column.kind, "yyyy-mm-dd hh:mm" if column.kind == "time" else "General")


def _write(sheet: Worksheet, at: tuple[int, int], value: Value, form: Any) -> None:
    if isinstance(value, datetime):
        value = value if value >= _FIRST_DATE else value.isoformat() + "Z"
    if isinstance(value, str):
        _write_text(sheet, at, value, form)
    elif isinstance(value, bool):
        sheet.write_boolean(*at, value, form)
    elif isinstance(value, datetime):
        sheet.write_datetime(*at, value, form)
    elif value is not None:
        sheet.write_number(*at, value, form)


def _write_text(sheet: Worksheet, at: tuple[int, int], text: str, form: Any) -> None:
    shown = text.translate(_NO_XML)
    if len(shown) > _MOST_CHARACTERS:
        shown = shown[: _MOST_CHARACTERS - 1] + "…"
    if shown.startswith("<r>") and shown.endswith("</r>"):
        # xlsxwriter takes such text for markup of its own and would write it into the file as it is.
        sheet.write_rich_string(*at, shown[:1], form, shown[1:], form)
    else:
        sheet.write_string(*at, shown, form)


def _about(book: Workbook, table: Table, customers: int) -> None:
    sheet = book.add_worksheet("about")
    bold, text = (
        book.add_format({"bold": True, "valign": "top"}),
        book.add_format({"text_wrap": True, "num_format": "@"}),
    )
    sheet.set_column(0, 0, 26)
    sheet.set_column(1, 1, 90)
    for line, (name, words) in enumerate(_facts(table, customers)):
        _write_text(sheet, (line, 0), name, bold)
        _write_text(sheet, (line, 1), words, text)


def _facts(table: Table, customers: int) -> Iterator[tuple[str, str]]:
    if (run := table.run) is not None:
        yield "journey", run.journey
        yield "run", str(run.id)
        yield "cutoff", to_text(run.cutoff)
        yield "scored at", to_text(run.scored_at)
        yield "customers scored", f"{run.customers:,}"
    yield "customers in this file", f"{customers:,}"
    if run is not None:
        yield "currency", run.currency or "none: the journey has no CLTV"
        for task, version in sorted(run.versions.items()):
            yield f"model of {task}", f"version {version}"
    yield "times", "UTC"
    yield "", ""
    for column in table.columns:
        yield column.name, column.means
