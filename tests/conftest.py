"""What every test file shares."""

from __future__ import annotations

from typing import Any

import hypothesis
import pytest
from spec import approx

# Fixtures: the simulated business with models and answers; stores; the engines that spec tests run on.
pytest_plugins = ["trained", "stores", "engines", "killing", "shares"]

# The same examples on every machine; no deadline, because others may use the machine.
hypothesis.settings.register_profile("journeycast", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("journeycast")


def pytest_assertrepr_compare(op: str, left: Any, right: Any) -> list[str] | None:
    """Name the features that differ, not the whole vector."""
    if op == "==" and isinstance(right, approx) and isinstance(left, dict):
        return ["the vector is not as wanted", *right.differences(left)]
    return None


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where screenshots go, and how hard `tests/test_hardening.py` tries (`make harden` tries harder)."""
    parser.addoption("--screenshots", default=None, help="The folder that the browser tests write screenshots to.")
    parser.addoption("--kills", type=int, default=1, help="processes killed per work and database")
    parser.addoption("--bodies", type=int, default=100, help="malformed bodies sent")
