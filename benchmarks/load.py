"""Load on a server of this machine, by wrk: its own work is a few percent of one core."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

SCRIPT = Path(__file__).with_name("requests.lua")


@dataclass(frozen=True, slots=True)
class Request:
    """One request: the body is JSON in one line, or empty."""

    path: str
    method: str = "GET"
    body: str = ""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one load came to; latencies in milliseconds."""

    rate: float
    p50: float
    p99: float
    requests: int


def load(address: str, requests: Iterable[Request], connections: int, seconds: float) -> Measured:
    """Send the requests in turn, over and over, for so long.

    Raises
    ------
    RuntimeError
        Where one was not answered with a 2xx or 3xx, or wrk is not installed.
    """
    if shutil.which("wrk") is None:
        raise RuntimeError("wrk, the load generator, is not installed: apt-get install wrk, or brew install wrk")
    with tempfile.NamedTemporaryFile("w", suffix=".tsv", encoding="utf-8") as file:
        file.writelines(f"{one.method}\t{one.path}\t{one.body}\n" for one in requests)
        file.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s"]
        command += ["-s", str(SCRIPT), address, "--", file.name]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = json.loads(next(line for line in told.splitlines() if line.startswith("RESULT ")).removeprefix("RESULT "))
    if found["failed"] or not found["requests"]:
        raise RuntimeError(f"{found['failed']} of {found['requests']} requests to {address} failed")
    return Measured(found["requests"] / found["seconds"], found["p50_ms"], found["p99_ms"], found["requests"])


def middle(found: list[Measured]) -> Measured:
    """The medians of several loads."""
    columns = ([getattr(one, name) for one in found] for name in ("rate", "p50", "p99"))
    return Measured(*map(median, columns), sum(one.requests for one in found))
