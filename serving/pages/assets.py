"""Scripts and styles under addresses that name their content, so that a browser fetches each once."""

from __future__ import annotations

import gzip
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from typing import NamedTuple

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import Response

router = APIRouter(include_in_schema=False)

_KINDS = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
# Everything that is served, and the package it ships in: nothing else can be asked for.
_SHIPPED = {
    "pages.css": ("serving.pages", "static/pages.css"),
    "pages.js": ("serving.pages", "static/pages.js"),
    "figures.js": ("serving.pages", "static/figures.js"),
    "icon.svg": ("serving.pages", "static/icon.svg"),
    "plotly.min.js": ("plotly", "package_data/plotly.min.js"),
}


class _Asset(NamedTuple):
    body: bytes
    packed: bytes
    digest: str


@cache
def _asset(name: str) -> _Asset:
    package, path = _SHIPPED[name]
    body = files(package).joinpath(path).read_bytes()
    return _Asset(body, gzip.compress(body, 6, mtime=0), blake2b(body, digest_size=8).hexdigest())


def address(name: str) -> str:
    """Where an asset is served; another address for other content."""
    return f"/assets/{_asset(name).digest}/{name}"


@router.get("/assets/{digest}/{name}")
def asset(request: Request, digest: str, name: str) -> Response:
    """An asset, to be kept for a year: its address changes with its content."""
    if name not in _SHIPPED or _asset(name).digest != digest:
        raise HTTPException(404, "no such asset")
    packed = "gzip" in request.headers.get("accept-encoding", "")
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
    headers |= {"Content-Encoding": "gzip"} if packed else {}
    headers["X-Content-Type-Options"] = "nosniff"
    found = _asset(name)
    kind = _KINDS["." + name.rpartition(".")[2]]
    return Response(found.packed if packed else found.body, headers=headers, media_type=kind)
