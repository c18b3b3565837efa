"""The command that serves."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Timer
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import typer

from commands import models, opened
from commands.options import JourneyArgument
from commands.settings import Settings, current, use
from features.errors import InputError

if TYPE_CHECKING:
    from polars import DataFrame

    from features.erased import Erased

_Given = ParamSpec("_Given")
_Told = TypeVar("_Told")
GRACE_SECONDS = 30  # for requests in flight when the server is told to stop
_LEAVE_SECONDS = 5.0  # for the process to end once everything is closed


class LogFormat(StrEnum):
    """How log lines are written."""

    text = "text"
    json = "json"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options of `serve` say; `rescore` is a duration such as 24h (null: only on request)."""

    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    log_vectors: float = 0.0
    rescore: str | None = None
    log_format: str = "text"
    webhook_networks: tuple[str, ...] = ()
    webhook_http: bool = False
    rate: float = 100.0


def serve(
    journey: JourneyArgument = "complete_journey",
    *,
    host: Annotated[str, typer.Option(help="A loopback address; others need keys.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that answer.")] = 1,
    rescore: Annotated[
        str | None, typer.Option(help="How old scores may get, such as 24h; default: scored on request alone.")
    ] = None,
    log_vectors: Annotated[
        float, typer.Option(min=0, max=1, help="The share of predictions whose vector is kept for `parity`.")
    ] = 0.01,
    rate: Annotated[float, typer.Option(min=0.01, help="Requests a second of each key, to all workers.")] = 100.0,
    log_format: Annotated[LogFormat, typer.Option(help="Lines for people, or for machines.")] = LogFormat.text,
    webhook_network: Annotated[
        list[str] | None, typer.Option(help="A network that webhooks may be in though it is not public; repeatable.")
    ] = None,
    webhook_http: Annotated[bool, typer.Option("--webhook-http", help="Allow webhooks without TLS.")] = False,
) -> None:
    """Serve scores and predictions over HTTP.

    Without keys it answers this machine alone: make some by `journeycast keys create` to listen elsewhere.

    Example: journeycast serve complete_journey --port 8000 --rescore 24h
    """
    asked = Asked(
        host, port, workers, log_vectors, rescore, log_format.value, tuple(webhook_network or ()), webhook_http, rate
    )
    run(journey, asked)


def run(journey: str, asked: Asked, example: str = "ID") -> None:
    """Serve until told to stop, then let requests in flight end; `example` is a customer to show an address of."""
    import uvicorn

    from serving.workers import Workers

    definition, _ = opened.journey(journey)
    _rules(asked)
    _seconds(asked.rescore)
    bound = _bound(asked.host, asked.port)
    current().home.mkdir(parents=True, exist_ok=True)
    for route in ("/", f"/v1/customers/{example}", "/v1/at-risk", "/docs"):
        print(f"  http://{asked.host}:{bound.getsockname()[1]}{route}", flush=True)
    with TemporaryDirectory(prefix=f"{definition.journey}-") as folder, suppress(KeyboardInterrupt):
        counts = Path(folder) if asked.workers > 1 else None
        current().before_serving(counts)
        config = uvicorn.Config(
            partial(application, journey, asked, current(), counts),
            factory=True,
            workers=asked.workers,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
            timeout_worker_healthcheck=60,
        )
        if asked.workers > 1:
            Workers(config, sockets=[bound]).run()
        else:
            uvicorn.Server(config).run(sockets=[bound])


def application(journey: str, asked: Asked, found: Settings, counts: Path | None) -> Any:
    """The application of one worker, which may be a process of its own."""
    from features.labels import tasks
    from features.profile import read_profile
    from serving import logs, memory, registry
    from serving.app import create_app
    from serving.database import StoreError
    from serving.forgetting import HeldProfile
    from serving.scorer import Scorer
    from serving.state import Settings as ServerSettings
    from serving.steering import Helm
    from serving.store import Store

    use(found)
    memory.bound()
    logs.install("json" if asked.log_format == "json" else "text")
    definition, base = opened.journey(journey)
    name, uri, asked_of = definition.journey, found.tracking_uri, tuple(tasks(definition))

    def read(erased: Erased | None) -> DataFrame | None:
        return read_profile(definition, base, erased=erased)

    profile = HeldProfile(Store(found.store_url, hurried=True), name, _under(found, read))
    with suppress(StoreError):  # then it is read with the models, once the store says who was erased
        profile.now()

    def load() -> Scorer:
        loaded = registry.load(name, uri, found.models, profile.now().rows, own=definition.own, tasks=asked_of)
        memory.set_aside()
        return loaded

    told = ServerSettings(
        name,
        found.store_url,
        campaign=definition.campaign,
        log_vectors=asked.log_vectors,
        definition=definition,
        loopback=is_loopback(asked.host),
        hosts=(asked.host, "localhost", "127.0.0.1", "::1") if is_loopback(asked.host) else (),
        rate=asked.rate / asked.workers,  # each counts alone
        score=(sys.executable, "-m", "journeycast", "score", journey),
        rescore_seconds=_seconds(asked.rescore),
        outbound=_rules(asked),
        metrics=counts,
        uploads=found.uploads(name),
        parts=found.parts,
        profile=profile,
    )
    return create_app(
        told,
        load_scorer=load,
        list_models=partial(registry.models, name, uri),
        read_file=partial(registry.file_of, name, uri),
        champions=partial(registry.champions, name, uri, asked_of),
        helm=Helm(_under(found, partial(_promoted, journey)), _under(found, partial(models.roll_back, journey))),
        ended=_leave,
    )


def _leave() -> None:
    """End this process soon, even if a thread of a request waits for a store that hangs: Python would wait for it."""
    timer = Timer(_LEAVE_SECONDS, os._exit, args=[0])
    timer.daemon = True  # where nothing hangs, it never comes to that
    timer.start()


def _under(found: Settings, do: Callable[_Given, _Told]) -> Callable[_Given, _Told]:
    """The same in whatever thread it is called: a new one knows no settings."""

    def done(*args: _Given.args, **named: _Given.kwargs) -> _Told:
        use(found)
        return do(*args, **named)

    return done


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _refuse_without_keys(host: str) -> None:
    from serving.database import StoreError
    from serving.keys import Keys

    try:
        with opened.store() as store:
            required = Keys(store).required
    except StoreError:
        return  # whoever asks is told so until it is back; without a key nobody gets in
    if not required:
        do = "make a key first: journeycast keys create NAME --scope read"
        raise InputError("--host", f"{host}, but there are no keys", "127.0.0.1, localhost or ::1", do)


def _bound(host: str, port: int) -> socket.socket:
    """The socket that requests come in at, open before anything slow begins."""
    if not is_loopback(host):
        _refuse_without_keys(host)
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen()  # until then another server could bind the port too
    except OSError:
        bound.close()
        raise InputError("--port", f"{port} is taken by another server", "a free port", f"--port {port + 1}") from None
    bound.set_inheritable(True)
    return bound


def _seconds(rescore: str | None) -> float | None:
    from features.journey import read_duration

    try:
        return None if rescore is None else read_duration(rescore).total_seconds()
    except ValueError as error:
        raise InputError("--rescore", repr(rescore), "a duration such as 24h", str(error)) from None


def _rules(asked: Asked) -> Any:
    from serving.outbound import Rules

    return Rules(asked.webhook_networks, asked.webhook_http).checked()


def _promoted(name: str, task: str, version: int) -> str:
    """Promote a version if its grade and lead allow it, and say so."""
    from training.promote import Accepted

    return models.decide(name, task, version, Accepted()).told
