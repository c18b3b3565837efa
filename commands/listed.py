"""What the commands of lists and campaigns check before they open anything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.errors import InputError

if TYPE_CHECKING:
    from features.journey import Journey
    from serving.filters import Filters


def filters(definition: Journey, **options: Any) -> Filters:
    """The filters of a list of this journey."""
    from serving import typed

    _known("--risk", options["risk"], ["low", "medium", "high"])
    _known("--stage", options["stage"], definition.stage_names)
    return typed.filters(**options)


def needs_file(format: str | None, output: Path | None) -> None:
    """Refuse a format without a file."""
    if format is not None and output is None:
        raise InputError("--format", f"{format}, but no file", "-o FILE with it")


def _known(option: str, given: str | None, accepted: list[str]) -> None:
    """Refuse a filter that nothing can pass; an empty list would read as good news."""
    if given is not None and accepted and given not in accepted:
        raise InputError(option, repr(given), ", ".join(accepted))
