"""Writing an export to disk: whole or not at all, in as many files as the system that takes it wants."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from serving.exports.formats import Format
from serving.exports.table import Table


@dataclass(frozen=True, slots=True)
class Written:
    """The files of an export, in order, and how many customers are in them."""

    customers: int
    files: tuple[Path, ...]


def write_table(table: Table, path: Path, form: Format) -> Written:
    """Write to `path`; what one file may not hold goes on in `NAME-2`, `NAME-3` and so on.

    The files appear when all of them are complete; one that is there already is replaced then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    counted = _Counted(table.documents)
    table = Table(table.columns, counted, table.read, table.run, table.whole)
    unfinished: list[tuple[Path, Path]] = []
    with ExitStack() as undo:
        undo.callback(_remove, unfinished)
        if form.pieces is None:
            _write_whole(table, _part(path, unfinished), form)
        else:
            _write_pieces(table, path, form, unfinished)
        for part, final in unfinished:
            part.replace(final)
    return Written(counted.number, tuple(final for _, final in unfinished))


def _write_whole(table: Table, part: Path, form: Format) -> None:
    assert form.writes is not None  # noqa: S101 -- a form has pieces or writes itself
    with part.open("wb") as file:
        form.writes(table, file)


def _write_pieces(table: Table, path: Path, form: Format, unfinished: list[tuple[Path, Path]]) -> None:
    assert form.pieces is not None  # noqa: S101
    pieces = form.pieces(table)
    head = form.head(table)
    piece = next(pieces, None)
    while piece is not None or not unfinished:
        with _part(path, unfinished).open("wb") as file:
            lines, size = 0, file.write(head)
            while piece is not None and _fits(form, lines, size + len(piece)):
                size += file.write(piece)
                lines += 1
                piece = next(pieces, None)


def _fits(form: Format, lines: int, size: int) -> bool:
    """Whether one more line, with which the file has `size` bytes, goes into it; one always does."""
    within = (form.most_lines is None or lines < form.most_lines) and (
        form.most_bytes is None or size <= form.most_bytes
    )
    return lines == 0 or within


def _part(path: Path, unfinished: list[tuple[Path, Path]]) -> Path:
    """The next file, under a name that says it is not finished."""
    number = len(unfinished) + 1
    final = path if number == 1 else path.with_name(f"{path.stem}-{number}{path.suffix}")
    unfinished.append((final.with_name(f".{final.name}.{uuid4().hex}.part"), final))
    return unfinished[-1][0]


def _remove(unfinished: list[tuple[Path, Path]]) -> None:
    for part, _ in unfinished:
        part.unlink(missing_ok=True)


class _Counted(Iterator[bytes]):
    """Counts what passes."""

    def __init__(self, documents: Iterator[bytes]) -> None:
        self._documents, self.number = documents, 0

    def __next__(self) -> bytes:
        document = next(self._documents)
        self.number += 1
        return document
