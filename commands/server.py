"""The command that serves."""

from __future__ import annotations

import socket
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands import opened
from commands.options import JourneyArgument
from commands.settings import current
from features.errors import InputError

if TYPE_CHECKING:
    from features.journey import Journey


def serve(
    journey: JourneyArgument = "complete_journey",
    host: Annotated[str, typer.Option(help="A loopback address; others need keys.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8000,
    log_vectors: Annotated[
        float, typer.Option(min=0, max=1, help="The share of predictions whose vector is kept for `parity`.")
    ] = 0.01,
    rate: Annotated[float, typer.Option(min=0.01, help="Requests a second that each key may send.")] = 100.0,
) -> None:
    """Serve scores and predictions over HTTP.

    Without keys it answers this machine alone: make some by `journeycast keys create` to listen elsewhere.

    Example: journeycast serve complete_journey --port 8000
    """
    definition, base = opened.journey(journey)
    run(definition, base, host, port, log_vectors=log_vectors, rate=rate)


def run(
    definition: Journey,
    base: Path,
    host: str,
    port: int,
    example: str = "",
    *,
    log_vectors: float = 0.0,
    rate: float = 100.0,
) -> None:
    """Serve until told to stop; `example` is a customer to show in the first address."""
    import uvicorn

    from features.profile import read_profile
    from serving import registry
    from serving.app import create_app
    from serving.state import Settings as ServerSettings

    if not is_loopback(host):
        _refuse_without_keys(host)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if probe.connect_ex((host, port)) == 0:
            raise InputError("--port", f"{port} is taken by another server", "a free port", f"--port {port + 1}")
    found = current()
    found.home.mkdir(parents=True, exist_ok=True)
    profile = read_profile(definition, base, erased=opened.erased(definition))
    load = partial(registry.load, definition.journey, found.tracking_uri, found.models, profile, own=definition.own)
    told = ServerSettings(
        definition.journey,
        found.store_url,
        campaign=definition.campaign,
        log_vectors=log_vectors,
        definition=definition,
        loopback=is_loopback(host),
        rate=rate,
    )
    server = create_app(
        told,
        load_scorer=load,
        list_models=partial(registry.models, definition.journey, found.tracking_uri),
        read_file=partial(registry.file_of, definition.journey, found.tracking_uri),
    )
    for route in (f"/v1/customers/{example}" if example else "/v1/customers/ID", "/v1/at-risk", "/docs"):
        print(f"  http://{host}:{port}{route}")
    uvicorn.run(server, host=host, port=port, log_level="warning")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _refuse_without_keys(host: str) -> None:
    from serving.keys import Keys

    with opened.store() as store:
        if not Keys(store).required:
            do = "make a key first: journeycast keys create NAME --scope read"
            raise InputError("--host", f"{host}, but there are no keys", "127.0.0.1, localhost or ::1", do)
