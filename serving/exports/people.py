"""Spreadsheets for people: text that looks like a formula is text, in CSV and in XLSX."""

from __future__ import annotations

import csv
import io
import re
from codecs import BOM_UTF8
from collections.abc import Iterator

from serving.exports.table import Row, Table, Value

# OWASP, "CSV Injection": what begins a formula, with the variants that spreadsheets read as the same.
_SIGNS = "=+@\\-\N{MINUS SIGN}＝＋－＠﹦﹢﹣﹫"
# What may begin a new cell inside a text, where a spreadsheet takes another separator than the comma.
_BREAKS = ';,|"\\t\\n\\r\\v\\f\\x00\\x1c-\\x1e\\x85\u2028\u2029'
# What a spreadsheet drops, or does not show, before a formula.
_GAPS = "\\x01-\\x08\\x0e-\\x1b\\x1f \\x7f\\xa0\\xad\u1680\u2000-\u200f\u202a-\u202f\u205f-\u2064\u3000\ufeff"
_BEGINS_A_FORMULA = re.compile(f"(^|[{_BREAKS}])(?=[{_GAPS}]*[{_SIGNS}])")
_NEVER_FIRST = ("\t", "\r", "\n", "\x00")


def neutral(text: str) -> str:
    """The text with an apostrophe before everything that a spreadsheet would take for a formula.

    That is at its beginning, and behind a character that begins a cell where a spreadsheet expects
    another separator. Other text is returned as it is.
    """
    found = _BEGINS_A_FORMULA.sub(r"\1'", text)
    return f"'{found}" if found.startswith(_NEVER_FIRST) else found


def csv_head(table: Table) -> bytes:
    """The line of names, behind the mark by which spreadsheets know UTF-8."""
    return BOM_UTF8 + _line([column.name for column in table.columns])


def csv_lines(table: Table) -> Iterator[bytes]:
    """One line per customer (RFC 4180, UTF-8); null is an empty cell, numbers are never touched."""
    return (csv_line(row) for row in table.rows())


def csv_line(row: Row) -> bytes:
    """One row as a line."""
    return _line([_cell(value) for value in row.values()])


def _cell(value: Value) -> str | float | int | None:
    if isinstance(value, str):
        return neutral(value)
    if isinstance(value, bool):
        return str(value).lower()
    return value if value is None or isinstance(value, int | float) else value.isoformat() + "Z"


def _line(cells: list[str] | list[str | float | int | None]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(cells)
    return text.getvalue().encode()
