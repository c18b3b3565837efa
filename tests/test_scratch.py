"""Folders of parts of a log live as long as their process."""

import subprocess
import sys
from pathlib import Path

from serving import scratch

HOLDS = """
import sys
from pathlib import Path
from serving import scratch
with scratch.folder(Path(sys.argv[1])) as folder:
    (folder / "part-0.parquet").write_text("c007")
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_a_folder_goes_with_its_process_or_is_swept_after_it(tmp_path):
    parent = tmp_path / "parts"
    scratch.sweep(parent)  # there is none yet
    root = Path(scratch.__file__).parent.parent
    command = [sys.executable, "-c", HOLDS, str(parent)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        left = Path(process.stdout.readline().strip())
        with scratch.folder(parent) as own:
            scratch.sweep(parent)
            assert (left / "part-0.parquet").exists()
            assert own.stat().st_mode & 0o077 == 0
            process.kill()
            process.wait()
            scratch.sweep(parent)
            assert not left.exists()
            assert own.exists()
        assert not own.exists()


def test_what_was_killed_before_it_held_its_folder_is_swept(tmp_path):
    (tmp_path / "begun").mkdir()
    scratch.sweep(tmp_path)
    assert not (tmp_path / "begun").exists()
