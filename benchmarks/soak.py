"""A server under mixed load for as long as asked: does it grow, does it fail? A JSON line each minute.

`python -m benchmarks.soak --home HOME --minutes 30`, with a home in which the demo was trained and scored.
Linux alone: memory, files and threads are read from /proc.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Lock, Thread
from urllib.parse import quote, urlsplit
from uuid import uuid4

from standardwebhooks import Webhook

from benchmarks.servers import environment, watched
from benchmarks.stores import KINDS, store_url
from benchmarks.writing import JOURNEY
from serving.messages import RISK_CHANGED, RUN_COMPLETED

LIMIT_SECONDS = 60.0  # of a request


class Counts:
    """What came of all requests, by threads at once."""

    def __init__(self) -> None:
        self._lock, self._found, self._slowest = Lock(), Counter[str](), 0.0

    def add(self, name: str, number: int = 1, seconds: float = 0.0) -> None:
        with self._lock:
            self._found[name] += number
            self._slowest = max(self._slowest, seconds)

    def taken(self) -> dict[str, object]:
        """Everything since the last time."""
        with self._lock:
            found, slowest = self._found, self._slowest
            self._found, self._slowest = Counter(), 0.0
        told = {name: found[name] for name in ("requests", "events", "runs", "messages")}
        errors = {name: number for name, number in sorted(found.items()) if name not in told}
        return {**told, "slowest_ms": round(1000 * slowest), "errors": errors}


class Client:
    """One connection to the server, opened anew where it was closed."""

    def __init__(self, address: str, counts: Counts) -> None:
        self._host, self._counts = urlsplit(address).netloc, counts
        self._connection = http.client.HTTPConnection(self._host, timeout=LIMIT_SECONDS)

    def ask(self, method: str, path: str, body: object = None, expected: tuple[int, ...] = ()) -> bytes:
        """The answer's body; whatever is neither 2xx nor expected is counted as an error."""
        sent = None if body is None else json.dumps(body)
        begun = time.perf_counter()
        try:
            self._connection.request(method, path, sent, {"Content-Type": "application/json"} if sent else {})
            answer = self._connection.getresponse()
            told = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            self._counts.add(type(error).__name__)
            return b""
        self._counts.add("requests", 1, time.perf_counter() - begun)
        if answer.status >= 300 and answer.status not in expected:
            self._counts.add(f"{method} {path.partition('?')[0][:20]} {answer.status}")
        return told


@contextmanager
def receiver(counts: Counts, secret: list[str]) -> Iterator[str]:
    """Takes messages and checks their signatures; yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                Webhook(secret[0]).verify(body, {name.lower(): value for name, value in self.headers.items()})
                counts.add("messages")
            except Exception:
                counts.add("messages with a wrong signature")
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/hook"
    server.shutdown()


READ = (
    *("/v1/at-risk?limit=50", "/v1/at-risk?limit=50&sort=profit", "/v1/changes?limit=100", "/v1/journey", "/v1/runs"),
    *("/", "/journey", "/readyz", "/metrics", "/v1/models", "/v1/customers/nobody", "/customers/{}"),
)


def reads(client: Client, customers: list[str], chance: random.Random) -> None:
    """What people and integrations ask for."""
    customer = quote(chance.choice(customers), safe="")
    client.ask("GET", f"/v1/customers/{customer}")
    client.ask("GET", chance.choice(READ).format(customer), expected=(303, 404))


def predictions(client: Client, at: Callable[[], str]) -> None:
    """Answers for customers that nobody stored."""
    events = [{"time": at(), "event": "purchase", "value": 9.5} for _ in range(5)]
    client.ask("POST", "/v1/predictions", {"customers": [{"customer_id": "n", "events": events}]})


def events_in(client: Client, customers: list[str], at: Callable[[], str], counts: Counts) -> None:
    """One event, or a batch."""
    size, event = random.choice((1, 1, 20)), {"event": "purchase", "value": 12.5}  # noqa: S311
    of = random.choices(customers, k=size)  # noqa: S311
    told = [{**event, "customer_id": customer, "time": at(), "event_id": uuid4().hex} for customer in of]
    client.ask("POST", "/v1/events", told[0] if size == 1 else {"events": told})
    counts.add("events", size)


def over_and_over(step: Callable[[], None], rest: float, end: Event) -> Thread:
    """A thread that does it until the end."""

    def run() -> None:
        while not end.wait(rest):
            step()

    thread = Thread(target=run, daemon=True)
    thread.start()
    return thread


def state_of(process: int) -> dict[str, float]:
    """Memory in MB, open files and threads of a process."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    )
    return {
        "rss_mb": round(int(status["VmRSS"].split()[0]) / 1024, 1),
        "open_files": len(list(Path(f"/proc/{process}/fd").iterdir())),
        "threads": int(status["Threads"]),
    }


def soak(address: str, process: int, minutes: float, out: Callable[[dict[str, object]], None]) -> None:
    """Load the server for so long, and tell what it takes each minute."""
    counts, end, secret = Counts(), Event(), [""]
    first = Client(address, counts)
    _wait(first)
    customers = [one["customer_id"] for one in json.loads(first.ask("GET", "/v1/at-risk?limit=500"))["items"]]
    cutoff = datetime.fromisoformat(json.loads(first.ask("GET", "/v1/runs"))["runs"][0]["cutoff"])
    begun = time.monotonic()

    def at() -> str:
        return (cutoff + timedelta(seconds=time.monotonic() - begun)).isoformat()

    with receiver(counts, secret) as url:
        hook = json.loads(first.ask("POST", "/v1/webhooks", {"url": url, "types": [RISK_CHANGED, RUN_COMPLETED]}))
        secret[0] = hook["secret"]
        threads = [
            *_readers(address, counts, customers, end),
            over_and_over(_with(predictions, Client(address, counts), at), 0.2, end),
            over_and_over(_with(events_in, Client(address, counts), customers, at, counts), 0.1, end),
            over_and_over(_with(_score, address, counts), 60.0, end),
        ]
        out({"minute": 0, **state_of(process), **counts.taken()})
        for minute in range(1, max(1, round(minutes)) + 1):
            time.sleep(max(0.0, begun + 60 * minute - time.monotonic()))
            out({"minute": minute, **state_of(process), **counts.taken()})
        end.set()
        for thread in threads:
            thread.join(LIMIT_SECONDS)


def _readers(address: str, counts: Counts, customers: list[str], end: Event) -> list[Thread]:
    clients = [(Client(address, counts), random.Random(number)) for number in range(3)]  # noqa: S311
    return [over_and_over(_with(reads, client, customers, chance), 0.05, end) for client, chance in clients]


def _with(do: Callable[..., None], *given: object) -> Callable[[], None]:
    return lambda: do(*given)


def _score(address: str, counts: Counts) -> None:
    """Everyone anew; the server has closed a connection that was idle for a minute."""
    if Client(address, counts).ask("POST", "/v1/runs"):
        counts.add("runs")


def _wait(client: Client) -> None:
    until = time.monotonic() + 120
    while b'"ready"' not in client.ask("GET", "/readyz", expected=(503,)):
        if time.monotonic() > until:
            raise RuntimeError("the server never was ready")
        time.sleep(0.5)


def main() -> None:
    """Soak a server."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--home", type=Path, required=True, help=f"a home in which {JOURNEY} was trained and scored")
    asked.add_argument("--minutes", type=float, default=30)
    asked.add_argument("--store", choices=KINDS, default="sqlite")
    asked.add_argument("--out", type=Path, help="lines are added to this file, too")
    options = asked.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the server ends with its soak

    def out(line: dict[str, object]) -> None:
        text = json.dumps(line)
        print(text, flush=True)
        if options.out is not None:
            with options.out.open("a", encoding="utf-8") as file:
                file.write(text + "\n")

    with tempfile.TemporaryDirectory() as name, store_url(options.store) as url:
        home = Path(name) / "home"
        shutil.copytree(options.home, home)
        settings = {"JOURNEYCAST_HOME": str(home), "JOURNEYCAST_STORE": url}
        command = [sys.executable, "-m", "journeycast", "score", JOURNEY]
        subprocess.run(command, check=True, stdout=sys.stderr, env=environment(settings))
        allowed = ("--webhook-http", "--webhook-network", "127.0.0.0/8")
        with watched(JOURNEY, home, settings, *allowed) as (address, process):
            soak(address, process, options.minutes, out)


if __name__ == "__main__":
    main()
