"""Works of `killed.py`, killed at random moments."""

import os
import random
import threading
import time
from queue import Queue
from signal import SIGKILL

import forked
import pytest


class Killing:
    """A work that begins when asked and is killed when told."""

    def __init__(self, work: str) -> None:
        self._parent, self._asks, self._answers = forked.spoken_to("killed", work)

    def once(self, url: str, seconds: float, *, of_first: bool = False) -> list[str]:
        """Begin the work, kill it so much later (or after the first it said), and give what it acknowledged."""
        process = self.begin(url)
        told: Queue[list[str]] = Queue()
        first = [self._answers.readline().strip()] if of_first else []
        assert first != ["killed"], "the work ended before it had acknowledged anything"
        threading.Thread(target=lambda: told.put(self._read()), daemon=True).start()
        time.sleep(seconds)
        os.kill(process, SIGKILL)
        return first + told.get(timeout=60)

    def begin(self, url: str) -> int:
        """Begin the work; its process."""
        self._asks.write(f"{url}\n")
        self._asks.flush()
        return int(self._answers.readline())

    def wait_for(self, word: str, times: int = 1) -> None:
        """Read on until the work has said a word so often."""
        while times:
            line = self._answers.readline()
            assert line.strip() not in ("", "killed"), "the work ended"
            times -= line.startswith(word)

    def end(self, process: int) -> None:
        """Kill the work."""
        os.kill(process, SIGKILL)
        self._read()

    def _read(self) -> list[str]:
        found = []
        while (line := self._answers.readline().strip()) != "killed":
            found.append(line)
        return found

    def close(self) -> None:
        self._asks.close()
        self._parent.join(60)
        self._answers.close()


@pytest.fixture
def moments(pytestconfig):
    """Random moments at which to kill, in seconds after the beginning; the same in every session."""
    chance = random.Random(7)  # noqa: S311
    return lambda longest: [chance.uniform(0, longest) for _ in range(pytestconfig.getoption("--kills"))]
