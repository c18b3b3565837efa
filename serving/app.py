"""The HTTP application: routes, problem documents, limits and a documentation page of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.staticfiles import StaticFiles
from starlette.responses import HTMLResponse

from features.errors import InputError
from serving import problems
from serving.arrivals import Event
from serving.bodies import BodyLimit
from serving.pages import site
from serving.routes import (
    at_risk,
    campaigns,
    catalogue,
    customers,
    events,
    health,
    journey,
    models,
    predictions,
    worklist,
)
from serving.state import ReadFile, Settings, State
from serving.steering import Helm

if TYPE_CHECKING:
    from serving.scorer import Scorer

_ABOUT = (
    "Scores of customers from the history of their events: churn, next stage and CLTV, each with its reasons. "
    "Errors are problem documents (RFC 9457) with a stable `code`."
)


_SCHEMAS = (problems.Problem, Event, events.EventList)  # that no route tells FastAPI of


class _Application(FastAPI):
    """FastAPI with the problem document among its schemas."""

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, made once."""
        if self.openapi_schema is None:
            document = super().openapi()
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            for model in _SCHEMAS:
                told = model.model_json_schema(ref_template="#/components/schemas/{model}")
                schemas.update({**told.pop("$defs", {}), model.__name__: told})
        return super().openapi()


def create_app(
    settings: Settings,
    *,
    load_scorer: Callable[[], Scorer],
    list_models: Callable[[], list[dict[str, Any]]],
    read_file: ReadFile = lambda task, version, name: None,
    helm: Helm | None = None,
) -> FastAPI:
    """The application; nothing is opened before it starts.

    Parameters
    ----------
    load_scorer
        Loads the champions; called when the server starts, and again later where it fails.
    list_models
        Every registered version of the journey's models.
    read_file
        A file that was logged with a version: its card, its plots; by default there are none.
    helm
        What promotes models and rolls them back from the pages; null: the command line alone.
    """
    app = _Application(
        title="Journeycast",
        description=_ABOUT,
        version=version("journeycast"),
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.journeycast = State(settings, load_scorer, list_models, read_file)
    problems.install(app)
    app.add_middleware(BodyLimit, limit=settings.body_limit, larger=site.LARGER)
    for routes in (customers, events, predictions, at_risk, worklist, campaigns, catalogue, models, journey, health):
        app.include_router(routes.router)
    _add_documentation(app)
    site.install(app, app.state.journeycast, helm)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Load the models in the background: the server answers at once, with 503 where it needs them."""
    state: State = app.state.journeycast
    loading = asyncio.create_task(asyncio.to_thread(_load, state))
    yield
    await loading
    await asyncio.to_thread(state.close)


def _load(state: State) -> None:
    with suppress(InputError):  # told by /readyz and to whoever needs a model
        state.scorer()


def _add_documentation(app: FastAPI) -> None:
    # The page's scripts come with the package fastapi-offline: a server without the internet shows it too.
    app.mount("/docs/static", StaticFiles(directory=str(files("fastapi_offline") / "static")), name="docs")

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url=str(app.openapi_url),
            title="Journeycast",
            swagger_js_url="/docs/static/swagger-ui-bundle.js",
            swagger_css_url="/docs/static/swagger-ui.css",
            swagger_favicon_url="/docs/static/favicon.png",
            swagger_ui_parameters={"validatorUrl": None},
        )
