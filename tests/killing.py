"""Works of `killed.py`, killed at random moments."""

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from queue import Queue
from signal import SIGKILL

import pytest


class Killing:
    """A work that begins when asked and is killed when told."""

    def __init__(self, work: str) -> None:
        script = Path(__file__).with_name("killed.py")
        self._parent = subprocess.Popen(
            [sys.executable, script, work], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def once(self, url: str, seconds: float, *, of_first: bool = False) -> list[str]:
        """Begin the work, kill it so much later (or after the first it said), and give what it acknowledged."""
        self._parent.stdin.write(f"{url}\n")
        self._parent.stdin.flush()
        process = int(self._parent.stdout.readline())
        told: Queue[list[str]] = Queue()
        first = [self._parent.stdout.readline().strip()] if of_first else []
        assert first != ["killed"], "the work ended before it had acknowledged anything"
        threading.Thread(target=lambda: told.put(self._read()), daemon=True).start()
        time.sleep(seconds)
        os.kill(process, SIGKILL)
        return first + told.get(timeout=60)

    def _read(self) -> list[str]:
        found = []
        while (line := self._parent.stdout.readline().strip()) != "killed":
            found.append(line)
        return found

    def close(self) -> None:
        self._parent.stdin.close()
        self._parent.wait(60)
        self._parent.stdout.close()


@pytest.fixture
def moments(pytestconfig):
    """Random moments at which to kill, in seconds after the beginning; the same in every session."""
    chance = random.Random(7)  # noqa: S311
    return lambda longest: [chance.uniform(0, longest) for _ in range(pytestconfig.getoption("--kills"))]
