"""The processes of one server: one that dies is noticed and replaced at once."""

from __future__ import annotations

from uvicorn.supervisors import Multiprocess


class Workers(Multiprocess):
    """Uvicorn's workers.

    It asks each whether it lives, and waits for the answer as long as a busy one may need. While its own copy of a
    worker's end of the pipe is open, it would wait as long for one that was killed in between.
    """

    def keep_subprocess_alive(self) -> None:
        """Replace workers that died."""
        for process in self.processes:
            process.child_conn.close()
        super().keep_subprocess_alive()
