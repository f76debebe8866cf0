"""``avatar bench``: how fast this machine is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from avatar.cli._common import DEVICE, JSON

if TYPE_CHECKING:
    from avatar.bench import Figures


def bench(
    photo: Annotated[
        Path | None,
        typer.Argument(metavar="[PHOTO]", help="Of the person to draw; an example by default."),
    ] = None,
    device: Annotated[str, DEVICE] = "cpu",
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Measure latency, frames a second and live sessions on this machine, in under a minute."""
    from avatar import bench as benchmark

    def say(part: str) -> None:
        if not as_json and sys.stderr.isatty():
            print(f"measuring: {part}", file=sys.stderr)

    figures = benchmark.measure(photo, device=device, progress=say)
    if as_json:
        print(benchmark.as_json(figures))
    else:
        _show(figures)


def _show(figures: Figures) -> None:
    from rich.console import Console
    from rich.table import Table

    from avatar.bench import in_words

    table = Table(box=None, pad_edge=False)
    for heading in ("stage", "p50 ms", "p95 ms", "p99 ms"):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for name, times in figures.frame_ms.items():
        table.add_row(name, *(f"{value:.2f}" for value in (times.p50, times.p95, times.p99)))
    console = Console(highlight=False)
    console.print(table)
    for line in in_words(figures):
        console.print(line, soft_wrap=True, markup=False)
