"""docs/features.md: its catalogue is the present one, and what it shows works."""

from __future__ import annotations

import re
from pathlib import Path

from spec import SHOP

from features.catalogue import catalogue, columns
from features.definition import read
from features.families.lifetime import MODELLED
from features.reference import page, replaced

PAGE = Path(__file__).parent.parent / "docs" / "features.md"
NAMES = re.compile(r"^\| `(\w+)` \|", re.MULTILINE)


def simulated():
    """The shipped journey, which names its types and channels itself: no log is needed."""
    journey, _ = read("simulated")
    assert journey.types
    assert journey.channels
    return journey


def test_the_page_tells_the_present_catalogue():
    text = PAGE.read_text(encoding="utf-8")
    assert text == replaced(text, simulated()), "write it anew: make docs"


def test_every_column_stands_in_it_once():
    found = NAMES.findall(page(simulated()))
    assert sorted(found) == sorted(column.name for column in columns(simulated()))
    assert found[-2:] == [column.name for column in MODELLED]


def test_the_simulated_journey_has_120_features_and_more():
    assert len(catalogue(simulated())) >= 120


def test_a_journey_without_a_family_has_no_heading_of_it():
    assert "### Sessions" in page(SHOP)
    assert "### Sessions" not in page(SHOP.model_copy(update={"session_gap": None}))


def test_what_the_page_shows_works(tmp_path, monkeypatch):
    text = PAGE.read_text(encoding="utf-8")
    definition, module, test = (match[1] for match in re.finditer(r"```(?:yaml|python)\n(.*?)```", text, re.DOTALL))
    (tmp_path / "shop.yml").write_text(definition, encoding="utf-8")
    (tmp_path / "own_features.py").write_text(module, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert "assert vector" in test
    exec(compile(test, "docs/features.md", "exec"), {})  # noqa: S102 - the page's own example


if __name__ == "__main__":
    PAGE.write_text(replaced(PAGE.read_text(encoding="utf-8"), simulated()), encoding="utf-8")
