"""What several commands share: options that look the same everywhere, and the progress bar."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

FACE = typer.Option(help="Which face to take where there are several; 0 is the largest.")
JSON = typer.Option("--json", help="Print the result as JSON.")


@contextmanager
def progress_bar(
    *, quiet: bool, what: str = "frames"
) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on stderr that counts ``what``, only where a person sees it."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), what, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
