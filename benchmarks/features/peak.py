"""Runs a command and says how long it took and how much memory it had at most: `python peak.py COMMAND ...`.

A process of its own, and small: Linux counts what the parent held when it started a child as the child's peak.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time


def main() -> None:
    """Print seconds and GiB; the command's output goes to standard error, its exit code is ours."""
    start = time.perf_counter()
    process = subprocess.Popen(sys.argv[1:], stdout=sys.stderr)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    print(json.dumps([time.perf_counter() - start, usage.ru_maxrss * unit / 2**30]))
    sys.exit(process.returncode)


if __name__ == "__main__":
    main()
