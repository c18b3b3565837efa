"""A whole run as one body, sent while it is read: memory does not grow with the run."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterable, Iterator
from typing import IO

from starlette.responses import Response, StreamingResponse

from serving.clock import now
from serving.exports.formats import Format, named
from serving.exports.table import Table, of_a_run
from serving.store import Store
from serving.suppression import Moment, reasons
from serving.tables import Run

_PIECE = 1 << 18  # bytes sent at once
_GZIP = zlib.MAX_WBITS | 16  # zlib's word for gzip's head and tail


def download(store: Store, run: Run, format: str, rest_days: float, *, gzip: bool) -> Response:
    """A response with every answer of a run; its form is one of `serving.exports.NAMES`.

    Parameters
    ----------
    rest_days
        How long a contacted customer is suppressed, which the forms for people tell.
    gzip
        Whether a form made of lines is deflated.

    Raises
    ------
    RunGoneError
        While the body is sent, where the run is deleted meanwhile: the body breaks off then.
    """
    form = named(format)
    with store.transaction() as connection:
        suppressed = reasons(connection, run.journey, Moment(now(), rest_days))
    table = of_a_run(store.answers(run.journey, run), run, suppressed)
    headers = {
        "Content-Disposition": f'attachment; filename="{run.journey}-{run.id}{form.suffix}"',
        "Vary": "Accept-Encoding",
    }
    if form.pieces is None:
        return StreamingResponse(_file(table, form), headers=headers, media_type=form.media_type)
    body = _joined(_lines(table, form))
    if gzip:
        headers["Content-Encoding"] = "gzip"
        body = _deflated(body)
    return StreamingResponse(body, headers=headers, media_type=form.media_type)


def _lines(table: Table, form: Format) -> Iterator[bytes]:
    yield form.head(table)
    if form.pieces is not None:
        yield from form.pieces(table)


def _file(table: Table, form: Format) -> Iterator[bytes]:
    """A form that a library writes needs a file to write to."""
    with tempfile.TemporaryFile() as file:
        if form.writes is not None:
            form.writes(table, file)
        file.seek(0)
        yield from _read(file)


def _read(file: IO[bytes]) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece


def _joined(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in larger pieces: each costs a turn of the event loop."""
    held = bytearray()
    for piece in pieces:
        held += piece
        if len(held) >= _PIECE:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


def _deflated(pieces: Iterable[bytes]) -> Iterator[bytes]:
    squeeze = zlib.compressobj(level=5, wbits=_GZIP)
    for piece in pieces:
        if found := squeeze.compress(piece):
            yield found
    yield squeeze.flush()
