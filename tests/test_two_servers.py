"""Two real servers on one PostgreSQL, one of them killed while it scores (`make harden`)."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path
from signal import SIGTERM

import pytest
from receiver import receiver
from sqlalchemy import func, select, text, update
from stores import execute

from serving.tables import changes, scores

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def scores_url(database) -> str:
    """A database without tables."""
    return database.bare()


class Server:
    """`journeycast serve`, as a user starts it."""

    def __init__(self, journey: Path, environment: dict[str, str]) -> None:
        options = ["--port", "0", "--rescore", "24h", "--webhook-http", "--webhook-network", "127.0.0.0/8"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "journeycast", "serve", str(journey), *options],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._at = self.process.stdout.readline().strip()

    def ask(self, path: str, method: str = "GET", body: object = None) -> dict:
        """The answer to a request, as JSON."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._at + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def status(self, run_id: int) -> str:
        return self.ask(f"v1/runs/{run_id}")["status"]

    def children(self) -> list[int]:
        """The processes that it began."""
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        every = [*found.parent.parent.glob("*/children")]
        return [int(one) for file in every for one in file.read_text().split()]

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(SIGTERM)
        self.process.wait(120)
        self.process.stdout.close()


def wait_for(condition, seconds: float = 180.0):
    until = time.monotonic() + seconds
    while True:
        with suppress(OSError):
            if found := condition():
                return found
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.1)


def test_of_two_servers_one_is_killed_while_it_scores_and_the_run_goes_on_once(request, tmp_path):
    if request.config.getoption("--kills") < 10 or not Path("/proc/self/task").exists():
        pytest.skip("takes a minute, and needs /proc: make harden")
    # Asked for here, so that nothing is trained for a test that is skipped.
    url, business, champions = (request.getfixturevalue(name) for name in ("scores_url", "business", "champions"))
    environment = os.environ | {
        "JOURNEYCAST_HOME": str(tmp_path),
        "JOURNEYCAST_STORE": url,
        "MLFLOW_TRACKING_URI": champions.uri,
        "PYTHONPATH": str(ROOT),
    }
    with ExitStack() as stack:
        hook = stack.enter_context(receiver())
        servers = [Server(business.file, environment) for _ in range(2)]
        for server in servers:
            stack.callback(server.end)
        first = wait_for(lambda: servers[0].ask("v1/runs")["runs"])[0]["run"]
        wait_for(lambda: servers[0].status(first) == "complete")
        types = ["customer.risk_changed", "run.completed"]
        servers[0].ask("v1/webhooks", "POST", {"url": hook.url, "types": types})
        execute(url, update(scores).values(risk=text("CASE risk WHEN 'low' THEN 'high' ELSE 'low' END")))
        asked = servers[1].ask("v1/runs", "POST")["run"]
        wait_for(lambda: servers[0].status(asked) == "running")
        killed, other = servers if servers[0].children() else reversed(servers)
        (child,) = killed.children()
        killed.process.kill()
        wait_for(lambda: not Path(f"/proc/{child}/exe").exists())  # it ends with its server
        wait_for(lambda: other.status(asked) == "complete")
        assert [run["run"] for run in other.ask("v1/runs")["runs"]] == [asked, first]
        count = execute(url, select(func.count()).select_from(changes).where(changes.c.run_id == asked)).scalar()
        assert count > 100
        wait_for(lambda: len(hook.got) > count)
    told = [json.loads(body) for _, body in hook.got]
    assert len({one["data"].get("id") for one in told}) == len(told) == count + 1
    assert len(set(hook.ids)) == len(told)
