"""Servers of this machine for as long as they are measured: ours and MLflow's, one worker each."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 120


@contextmanager
def ours(journey: str, home: Path, settings: dict[str, str] | None = None, *options: str) -> Iterator[str]:
    """`journeycast serve JOURNEY` with this home, these settings and options; yields its address."""
    with watched(journey, home, settings, *options) as (address, _):
        yield address


@contextmanager
def watched(
    journey: str, home: Path, settings: dict[str, str] | None = None, *options: str
) -> Iterator[tuple[str, int]]:
    """The same; yields the process's number too."""
    port = _free_port()
    command = [sys.executable, "-m", "journeycast", "serve", journey, "--port", str(port), *options]
    told = {"JOURNEYCAST_HOME": str(home), **(settings or {})}
    with _running(command, told, home / "ours.log", f"http://127.0.0.1:{port}", "/healthz") as number:
        yield f"http://127.0.0.1:{port}", number


@contextmanager
def mlflows(model: str, tracking_uri: str, log: Path) -> Iterator[str]:
    """`mlflow models serve` of a registered model; yields its address."""
    port = _free_port()
    command = [_beside("mlflow"), "models", "serve", "-m", model, "--env-manager", "local"]
    command += ["--workers", "1", "--host", "127.0.0.1", "--port", str(port)]
    with _running(command, {"MLFLOW_TRACKING_URI": tracking_uri}, log, f"http://127.0.0.1:{port}", "/ping"):
        yield f"http://127.0.0.1:{port}"


def environment(settings: dict[str, str]) -> dict[str, str]:
    """This process's environment with these settings, and the commands beside its Python."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "OMP_WAIT_POLICY": "PASSIVE", **settings}


@contextmanager
def _running(command: list[str], settings: dict[str, str], log: Path, address: str, ready: str) -> Iterator[int]:
    """The process and those it starts, in a group of their own that is ended as a whole; yields its number."""
    with log.open("w", encoding="utf-8") as told:
        process = subprocess.Popen(command, env=environment(settings), stdout=told, stderr=told, start_new_session=True)
        try:
            _wait(process, address + ready, log)
            yield process.pid
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=30)


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    raise RuntimeError(f"{address} does not answer: {log.read_text(encoding='utf-8')[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _beside(command: str) -> str:
    return str(Path(sys.executable).with_name(command))
