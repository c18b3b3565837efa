"""The HTTP application: routes, problem documents, limits and a documentation page of its own."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.staticfiles import StaticFiles
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp

from serving import memory, problems
from serving.access import Access, Door, is_open, needed
from serving.arrivals import Event
from serving.background import Background, Work
from serving.bodies import BodyLimit
from serving.deliverer import Deliverer
from serving.forgetting import Forgetting, HeldProfile
from serving.headers import POLICY, SecurityHeaders, policy_of
from serving.hosts import OwnHost
from serving.metrics import Metrics
from serving.observed import Observed
from serving.pages import site
from serving.rescorer import Rescorer
from serving.routes import (
    at_risk,
    campaigns,
    catalogue,
    changes,
    customers,
    events,
    health,
    journey,
    models,
    predictions,
    runs,
    webhooks,
    worklist,
)
from serving.state import ReadFile, Settings, State
from serving.steering import Helm

if TYPE_CHECKING:
    from serving.scorer import Scorer

_START_SECONDS = 2.0  # models that are loaded by then are there for the first request
_FORGET_SECONDS = 5.0  # after which nothing is held any longer of a customer who was erased
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
            _tell_of_keys(document)
        return super().openapi()

    def build_middleware_stack(self) -> ASGIApp:
        """Everything, errors of the outermost layer too, with the headers of every answer."""
        return SecurityHeaders(super().build_middleware_stack())


def _tell_of_keys(document: dict[str, Any]) -> None:
    """Say of every route which scope it needs, and how it refuses."""
    about = "A key of `journeycast keys create`. A server on loopback needs none until the first is made."
    document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "description": about}}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if is_open(path):
                operation["security"] = []
                continue
            scope = needed(method.upper(), path)
            operation["security"] = [{"key": []}]
            operation["description"] = f"{operation.get('description', '')}\n\nNeeds the scope `{scope}`.".strip()
            operation["responses"] |= {str(status): told for status, told in problems.documented(401, 403, 429).items()}


def create_app(
    settings: Settings,
    *,
    load_scorer: Callable[[], Scorer],
    list_models: Callable[[], list[dict[str, Any]]],
    read_file: ReadFile = lambda task, version, name: None,
    champions: Callable[[], dict[str, int]] = dict,
    helm: Helm | None = None,
    ended: Callable[[], None] = lambda: None,
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
    champions
        Task to the version that is champion now; the server loads others than its own. Empty: unknown.
    helm
        What promotes models and rolls them back from the pages; null: the command line alone.
    ended
        Called last of all when the server ends.
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
    state = State(settings, load_scorer, list_models, read_file, champions)
    app.state.journeycast, app.state.settings = state, settings
    app.state.metrics, app.state.ended = Metrics(state, settings.metrics), ended
    problems.install(app)
    app.add_middleware(BodyLimit, limit=settings.body_limit, larger=site.LARGER)
    door = Door(state.keys, state.rates, state.audit, settings.journey, settings.loopback)
    app.add_middleware(Access, door=door)  # around the limit: who may not ask is not read
    if settings.hosts:
        app.add_middleware(OwnHost, keys=state.keys, names=settings.hosts)
    app.add_middleware(Observed, metrics=app.state.metrics)  # around both: what is refused is counted too
    app.include_router(webhooks.registering)
    for routes in (
        customers, events, predictions, at_risk, worklist, campaigns, changes, webhooks, runs, catalogue, models,
        journey, health,
    ):  # fmt: skip
        app.include_router(routes.router)
    _add_documentation(app)
    site.install(app, state, helm, loopback=settings.loopback)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Load the models in the background: a server whose models take long answers, with 503 where it needs them."""
    state: State = app.state.journeycast
    background = Background(_works(app.state.settings, state, app.state.metrics))
    background.start()
    await asyncio.to_thread(state.champions.wait, _START_SECONDS)
    yield
    await asyncio.to_thread(background.stop)
    app.state.metrics.close(os.getpid())
    await asyncio.to_thread(state.close)
    app.state.ended()


def _works(settings: Settings, state: State, metrics: Metrics) -> list[Work]:
    """What is done beside requests."""

    def watch() -> bool:
        if state.champions.renew():
            metrics.swapped()
        return False

    def ready() -> bool:
        return state.loaded is not None

    rescorer = Rescorer(state.store, state.journey, settings.score, settings.rescore_seconds, ready)
    deliverer = Deliverer(state.store, state.journey, settings.outbound)
    return [
        Work("champions", watch, settings.watch_seconds),
        Work("scoring", rescorer.step, 1.0, rescorer.close),
        Work("webhooks", deliverer.turn, 1.0, deliverer.close),
        Work("what is left over", partial(_tidy, state), 60.0),
        Work("old deliveries", deliverer.tidy, 3600.0),
        *_forgetting(state, settings.profile),
    ]


def _forgetting(state: State, profile: HeldProfile | None) -> list[Work]:
    if profile is None:
        return []
    step = Forgetting(profile, state.champions, state.current).step
    return [Work("forgetting who was erased", step, _FORGET_SECONDS, profile.close)]


def _tidy(state: State) -> bool:
    state.tidy()
    memory.give_back()
    return False


def _add_documentation(app: FastAPI) -> None:
    # The page's scripts come with the package fastapi-offline: a server without the internet shows it too.
    app.mount("/docs/static", StaticFiles(directory=str(files("fastapi_offline") / "static")), name="docs")

    page = get_swagger_ui_html(
        openapi_url=str(app.openapi_url),
        title="Journeycast",
        swagger_js_url="/docs/static/swagger-ui-bundle.js",
        swagger_css_url="/docs/static/swagger-ui.css",
        swagger_favicon_url="/docs/static/favicon.png",
        swagger_ui_parameters={"validatorUrl": None},
    )
    page.headers[POLICY] = policy_of(bytes(page.body).decode())

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return page
