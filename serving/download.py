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

_BLOCK = 1 << 18  # bytes sent at once
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
    body = _when_asked(table, form)
    if gzip and form.pieces is not None:
        headers["Content-Encoding"] = "gzip"
        body = _deflated(body)
    return StreamingResponse(body, headers=headers, media_type=form.media_type)


def blocks(table: Table, form: Format) -> Iterator[bytes]:
    """A table as the bytes of a form, in blocks; a form that a library writes is written before this returns."""
    if form.pieces is not None:
        return _joined(form.head(table), form.pieces(table))
    assert form.writes is not None  # noqa: S101 -- a form has pieces or writes itself
    file = tempfile.TemporaryFile()  # noqa: SIM115 -- closed when it is sent
    try:
        form.writes(table, file)
    except BaseException:
        file.close()
        raise
    return _read(file)


def _when_asked(table: Table, form: Format) -> Iterator[bytes]:
    yield from blocks(table, form)


def _read(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    with file:
        while block := file.read(_BLOCK):
            yield block


def _joined(head: bytes, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in larger blocks: each costs a turn of the event loop."""
    held = bytearray(head)
    for piece in pieces:
        held += piece
        if len(held) >= _BLOCK:
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
