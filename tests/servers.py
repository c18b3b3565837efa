"""A server of the shop that has no models, for whatever needs none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from spec import SHOP
from starlette.testclient import TestClient

from features.errors import NoModelError
from serving.app import create_app
from serving.state import Settings


def untrained() -> NoReturn:
    raise NoModelError("shop", "no champion", "", "run journeycast train shop")


@contextmanager
def serving(url: str, base_url: str = "http://testserver", **settings: Any) -> Iterator[TestClient]:
    told = Settings("shop", url, **{"definition": SHOP, **settings})
    app = create_app(told, load_scorer=untrained, list_models=list)
    with TestClient(app, base_url=base_url, raise_server_exceptions=False) as client:
        yield client
