"""How processes share the tests (`make test`): file by file, and what is dear to set up in one of them.

All files with Spark in them are one share, as are all that need the trained models of the simulated business:
there is one Spark and one training, whatever the number of processes. The longest shares are begun first, so
that all processes end at about the same time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

MODELS = {
    *("test_batch", "test_events_http", "test_feedback_http", "test_parity", "test_scorer", "test_shap_values"),
    *("test_stored_histories", "test_realised", "test_retraining", "test_signals", "test_tracking", "test_training"),
}
LONGEST = (
    *("test_readme", "spark", "models", "test_code", "test_pages_browser", "test_cli", "test_promote"),
    *("test_features_agree", "test_mutations", "test_hardening", "test_notebooks", "test_outage", "test_openapi"),
)
_ON_SPARK = re.compile(r"test_spark\.py|[\[-]spark[\]-]")


class Shares:
    """The share of every test."""

    def __init__(self, ids: Iterable[str]) -> None:
        self._spark = {_file(one) for one in ids if _ON_SPARK.search(one)}

    def of(self, nodeid: str) -> str:
        """The name of a test's share."""
        file = _file(nodeid)
        return "spark" if file in self._spark else "models" if file in MODELS else file

    def place(self, nodeid: str) -> int:
        """Where among others its share is begun."""
        share = self.of(nodeid)
        return LONGEST.index(share) if share in LONGEST else len(LONGEST)


class ByShare(LoadFileScheduling):
    """Gives each process whole shares."""

    shares: Shares | None = None

    def _split_scope(self, nodeid: str) -> str:
        if self.shares is None:  # by now every process has said which tests it found
            self.shares = Shares(next(iter(self.registered_collections.values())))
        return self.shares.of(nodeid)


def _file(nodeid: str) -> str:
    return PurePath(nodeid.partition("::")[0]).stem


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByShare | None:
    """Of `--dist loadfile`: shares instead of files, begun in the order of the tests."""
    if config.getoption("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return ByShare(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The order in which shares are begun; within a share it stays."""
    if hasattr(config, "workerinput"):
        shares = Shares(item.nodeid for item in items)
        items.sort(key=lambda item: shares.place(item.nodeid))
