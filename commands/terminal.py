"""How commands speak: tables on standard output, progress on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from serving.exports import Written

out = Console(width=None if sys.stdout.isatty() else 110, highlight=False)


@contextmanager
def progress(total: int | None) -> Iterator[Callable[..., None]]:
    """A progress bar on a terminal; elsewhere a line for each step. Yields `report(text, done, of)`."""
    errors = Console(stderr=True)
    columns = (SpinnerColumn(), BarColumn(24), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        step = bar.add_task("starting", total=total)

        def report(text: str, done: int | None = None, of: int | None = None) -> None:
            bar.update(step, advance=1 if done is None else None, completed=done, total=of or total, description=text)
            if not errors.is_terminal and (done is None or done == of):
                print(f"... {text}", file=sys.stderr)

        yield report


def tell(written: Written) -> None:
    """Say what was written where."""
    print(f"{written.customers:,} customers in {', '.join(map(str, written.files))}")
