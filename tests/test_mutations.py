"""The guards guard: the code is really changed, in a copy, and tests must fail."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TESTS = ("spec.py", "histories.py", "oracle.py", "test_instants.py", "test_past.py", "test_stages.py", "test_blocks.py")
# The first test says whose code runs; without it a mutation could "fail" for want of the copy.
WHOSE = """
import features.instants
import training.blocks


def test_the_copy_is_what_runs():
    assert features.instants.__file__ == {features!r}
    assert training.blocks.__file__ == {training!r}
"""
CONFTEST = """
import hypothesis
from hypothesis import Phase

found = dict(deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate])
hypothesis.settings.register_profile("mutations", **found)
hypothesis.settings.load_profile("mutations")
"""

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Mutation:
    """A text that stands exactly once in a file, what takes its place, and the tests that must notice."""

    name: str
    file: str
    text: str
    other: str
    tests: str


MUTATIONS = [
    Mutation(
        "the cutoff itself is seen",
        "features/instants.py",
        "Places.of(times < instant)",
        "Places.of(times <= instant)",
        "test_past.py",
    ),
    Mutation(
        "the cutoff itself is seen of many customers at many cutoffs",
        "features/instants.py",
        "before = times[np.minimum(middle, len(times) - 1)] < instants",
        "before = times[np.minimum(middle, len(times) - 1)] <= instants",
        "test_instants.py",
    ),
    Mutation(
        "the cutoff itself is seen of one customer",
        "features/instants.py",
        'side="left"',
        'side="right"',
        "test_past.py",
    ),
    Mutation(
        "the cutoff itself is seen where rows are joined",
        "features/instants.py",
        "return (nw.col(TIME) < nw.col(CUTOFF))",
        "return (nw.col(TIME) <= nw.col(CUTOFF))",
        "test_instants.py",
    ),
    Mutation(
        "what was not known yet is seen",
        "features/instants.py",
        "return (nw.col(TIME) < cutoff) & (nw.col(KNOWN_AT) >= cutoff)",
        "return (nw.col(TIME) < cutoff) & (nw.col(TIME) >= cutoff)",
        "test_past.py",
    ),
    Mutation(
        "what became known at the cutoff is seen",
        "features/instants.py",
        "(nw.col(KNOWN_AT) >= cutoff)",
        "(nw.col(KNOWN_AT) > cutoff)",
        "test_past.py",
    ),
    Mutation(
        "what became known at the cutoff is seen where rows are joined",
        "features/instants.py",
        "(nw.col(KNOWN_AT) < nw.col(CUTOFF))",
        "(nw.col(KNOWN_AT) <= nw.col(CUTOFF))",
        "test_instants.py",
    ),
    Mutation(
        "a window loses its first instant",
        "features/lookups.py",
        "before + microseconds(window.length)",
        "before + microseconds(window.length) - 1",
        "test_past.py",
    ),
    Mutation(
        "the future has an instant more than its horizon",
        "features/labels.py",
        "ahead = cutoffs.select(CUSTOMER, (pl.col(CUTOFF) + length).alias(CUTOFF))",
        "ahead = cutoffs.select(CUSTOMER, (pl.col(CUTOFF) + length + 1).alias(CUTOFF))",
        "test_past.py",
    ),
    Mutation(
        "time blocks touch",
        "training/blocks.py",
        "gap = microseconds(horizon)",
        "gap = 0 * microseconds(horizon)",
        "test_blocks.py",
    ),
    Mutation(
        "a stage never expires",
        "features/stages.py",
        "            parts.append(left.select(*keys, **{**zero, name: nw.lit(-1)}))\n",
        "            del left\n",
        "test_stages.py::test_a_window_that_empties_changes_the_stage_an_instant_after_its_length",
    ),
]


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> Path:
    """A copy of the packages and of the tests that guard them."""
    copy = tmp_path_factory.mktemp("house")
    ignore = shutil.ignore_patterns("__pycache__")
    for package in ("features", "training"):
        shutil.copytree(ROOT / package, copy / package, ignore=ignore)
    (copy / "tests").mkdir()
    for name in TESTS:
        shutil.copy(ROOT / "tests" / name, copy / "tests" / name)
    whose = WHOSE.format(features=str(copy / "features" / "instants.py"), training=str(copy / "training" / "blocks.py"))
    (copy / "tests" / "test_a_whose.py").write_text(whose, encoding="utf-8")
    (copy / "tests" / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (copy / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    return copy


def run(house: Path, *tests: str) -> tuple[int, str]:
    """Exit code and output of the tests, on the code of the copy."""
    files = [f"tests/{name}" for name in ("test_a_whose.py", *tests)]
    # No bytecode: a mutation and its undoing may fall into one second and have one length.
    settings = {"PYTHONPATH": str(house), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *files],
        cwd=house,
        env=environment() | settings,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def environment() -> dict[str, str]:
    """That of this process, without what would make the inner pytest behave as part of it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}


def test_the_copy_passes_unchanged(house):
    code, said = run(house, *sorted({mutation.tests for mutation in MUTATIONS}))
    assert code == 0, said
    assert "failed" not in said


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mutation_is_noticed(house, mutation):
    file = house / mutation.file
    source = file.read_text(encoding="utf-8")
    assert source.count(mutation.text) == 1, f"{mutation.text!r} stands {source.count(mutation.text)} times"
    file.write_text(source.replace(mutation.text, mutation.other), encoding="utf-8")
    try:
        code, said = run(house, mutation.tests)
    finally:
        file.write_text(source, encoding="utf-8")
    assert code == 1, said
    assert re.search(r"\b1 failed, [1-9]\d* passed\b", said), said
    assert f"FAILED tests/{mutation.tests}" in said, said
