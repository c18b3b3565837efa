"""A process that writes one run, and ends with the server that began it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from threading import Thread
from typing import IO

from serving.runs import STOPPED

_STOP_SECONDS = 10.0
_TOLD = 2_000  # characters of what a run said at its end that are kept
_KILLED = {130, *(-one for one in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)))}


class Child:
    """A process that writes the run `run_id` under the lease of the number `fence`.

    Parameters
    ----------
    command
        What scores, to which `--fence N --run ID` is added.

    Raises
    ------
    OSError
        Where no process can be started.
    """

    def __init__(self, command: tuple[str, ...], run_id: int, fence: int) -> None:
        self.run_id, self.fence = run_id, fence
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 -- closed when the process has ended
        self._ended: str | None = None
        try:
            self._process = subprocess.Popen(  # noqa: S603 -- our own command line
                [*command, "--fence", str(fence), "--run", str(run_id)],
                stdin=subprocess.PIPE,  # which ends with this process, however it ends
                stdout=subprocess.DEVNULL,
                stderr=self._said,
                start_new_session=True,  # Ctrl+C in the server's terminal is the server's
            )
        except OSError:
            self._said.close()
            raise

    def ended(self) -> str | None:
        """Null: it runs. Empty: it went well. Else what it said of its failure."""
        if self._ended is None and (code := self._process.poll()) is not None:
            self._ended = self._told() if code else ""
            self._close()
        return self._ended

    @property
    def killed(self) -> bool:
        """Whether it ended because somebody ended it: a person, what looks after the server, a lack of memory."""
        return self._process.poll() in _KILLED

    def stop(self) -> None:
        """End it and wait for its end."""
        if self._ended is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._ended = STOPPED
        self._close()

    def _told(self) -> str:
        """Of a message for people, its first line says what; of a bug, the last."""
        self._said.seek(0)
        said = self._said.read().decode(errors="replace").strip()[-_TOLD:]
        lines = said.splitlines()
        return (lines[-1] if "Traceback" in said else " ".join(lines)) if lines else STOPPED

    def _close(self) -> None:
        self._said.close()
        if self._process.stdin is not None:
            self._process.stdin.close()


def end_with_parent() -> None:
    """Stop this process, as by SIGTERM, when the one that holds the other end of its standard input is gone."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    Thread(target=watch, name="parent", daemon=True).start()
