"""The command that serves."""

from __future__ import annotations

import socket
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from commands import opened
from commands.options import JourneyArgument
from commands.settings import current
from features.errors import InputError

if TYPE_CHECKING:
    pass


def serve(
    journey: JourneyArgument = "complete_journey",
    host: Annotated[str, typer.Option(help="A loopback address; others need keys.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
    log_vectors: Annotated[
        float, typer.Option(min=0, max=1, help="The share of predictions whose vector is kept for `parity`.")
    ] = 0.01,
) -> None:
    """Serve scores and predictions over HTTP.

    Example: journeycast serve complete_journey --port 8000
    """
    run(journey, host, port, log_vectors=log_vectors)


def run(name: str, host: str, port: int, example: str = "", log_vectors: float = 0.0) -> None:
    """Serve until told to stop; `example` is a customer to show in the first address."""
    import uvicorn

    from features.profile import read_profile
    from serving import registry
    from serving.app import create_app
    from serving.state import Settings as ServerSettings
    from serving.steering import Helm

    definition, base = opened.journey(name)

    if host not in ("127.0.0.1", "localhost", "::1"):
        raise InputError("--host", host, "127.0.0.1, localhost or ::1", "without keys the server stays on loopback")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if probe.connect_ex((host, port)) == 0:
            raise InputError("--port", f"{port} is taken by another server", "a free port", f"--port {port + 1}")
    found = current()
    found.home.mkdir(parents=True, exist_ok=True)
    profile = read_profile(definition, base)
    load = partial(registry.load, definition.journey, found.tracking_uri, found.models, profile, own=definition.own)
    told = ServerSettings(
        definition.journey,
        found.store_url,
        campaign=definition.campaign,
        log_vectors=log_vectors,
        definition=definition,
    )
    server = create_app(
        told,
        load_scorer=load,
        list_models=partial(registry.models, definition.journey, found.tracking_uri),
        read_file=partial(registry.file_of, definition.journey, found.tracking_uri),
        helm=Helm(partial(_promoted, name), partial(_rolled_back, name)),
    )
    for route in ("/", f"/v1/customers/{example}" if example else "/v1/customers/ID", "/v1/at-risk", "/docs"):
        print(f"  http://{host}:{port}{route}")
    uvicorn.run(server, host=host, port=port, log_level="warning")


def _promoted(name: str, task: str, version: int) -> str:
    """Promote a version if its grade and lead allow it, and say so."""
    from training.cpus import usable_cpus
    from training.promote import promote

    definition, _ = opened.journey(name)
    read = partial(opened.log, name)
    done = promote(opened.tracking(), definition.journey, read, task, version, False, usable_cpus())
    return f"{done.name} version {done.version or '-'} {'promoted' if done.promoted else 'not promoted'}: {done.words}"


def _rolled_back(name: str, task: str) -> str:
    """Make the champion before champion again, and say so."""
    definition, _ = opened.journey(name)
    version = opened.tracking().rollback(definition.journey, task)
    return f"{definition.journey}.{task}: version {version} is champion again"
