"""The parts of the documentation that are written from the code are those the code would write now.

`python tests/test_docs.py` writes them anew.
"""

from __future__ import annotations

import re
from pathlib import Path

from features.catalogue import catalogue
from features.definition import SHIPPED
from features.definition import read as read_journey
from features.feature import REASONS
from features.log import read
from features.reason_table import reason_table

REASONS_PAGE = Path(__file__).parents[1] / "docs" / "reasons.md"
BLOCK = re.compile(r"(<!-- reason codes: [^>]*-->\n)(.*?)(<!-- end of reason codes -->)", re.DOTALL)


def demo_table() -> str:
    """The reason codes with the features of the demo journey."""
    journey, _ = read(*read_journey(SHIPPED / "complete_journey.yml"), threads=1)
    return reason_table(catalogue(journey)) + "\n"


def test_the_reason_codes_are_those_of_the_demo_journey():
    ((_, written, _),) = BLOCK.findall(REASONS_PAGE.read_text(encoding="utf-8"))
    assert written == demo_table(), "run python tests/test_docs.py"


def test_every_code_has_a_line_and_every_feature_one_place():
    lines = demo_table().splitlines()[2:]
    assert [line.split("`")[1] for line in lines] == list(REASONS)
    names = [name for line in lines for name in re.findall(r"`([^`]+)`", line)[1:]]
    assert len(names) == len(set(names)) > 80


if __name__ == "__main__":
    page = REASONS_PAGE.read_text(encoding="utf-8")
    REASONS_PAGE.write_text(BLOCK.sub(lambda found: found[1] + demo_table() + found[3], page), encoding="utf-8")
