"""What several commands share: options that look the same everywhere, and how a clip is saved."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from avatar.errors import ConfigError

if TYPE_CHECKING:
    from avatar.avatar import Avatar
    from avatar.clip import Clip

FACE = typer.Option(help="Which face to take where there are several; 0 is the largest.")
SIZE = typer.Option(help="Longer side in pixels; the photo's own by default.")
SAVED = typer.Option("--avatar", help="An .avatar file, instead of photos.")
OUTPUT = typer.Option(
    "--output",
    "-o",
    metavar="PATH",
    help="The video file to write; FOLDER/ for numbered PNG files and the sound.",
)
BACKGROUND = typer.Option(
    metavar="keep|blur|alpha|#RRGGBB|IMAGE",
    help="What is seen behind the person; alpha needs .webm, .mov or FOLDER/.",
)
DEVICE = typer.Option(help="That draws: cpu, cuda or cuda:1.")
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


def person_of(
    photos: list[Path], face: int | None, saved: Path | None, *, beside: str, device: str = "cpu"
) -> Avatar:
    """The person in the photos or in the ``.avatar`` file; ``beside`` says what else is needed."""
    from avatar.avatar import Avatar
    from avatar.engine import Engine

    if saved is not None and photos:
        raise ConfigError("give either photos or --avatar, not both")
    for photo in photos:
        if photo.suffix.lower() == ".avatar":
            raise ConfigError(f"{photo}: is no photo; give it as --avatar {photo}")
    if saved is None and not photos:
        raise ConfigError(f"give a photo and {beside}")
    engine = Engine.on(device)
    if saved is not None:
        return Avatar.load(saved, engine=engine)
    return Avatar.from_images(photos, face=face, engine=engine)


def save_clip(clip: Clip, output: str, *, begun: float, as_json: bool) -> None:
    """Write a clip and say so; ``begun`` is when the command did, by ``time.perf_counter``."""
    with progress_bar(quiet=as_json) as progress:
        path = clip.save(output, progress=progress)
    seconds = time.perf_counter() - begun
    if as_json:
        result = {"output": str(path), **asdict(clip.info), "seconds_taken": round(seconds, 3)}
        print(json.dumps(result))
    else:
        info = clip.info
        made = f"{info.duration_seconds:.1f} s, {info.width}×{info.height} at {info.fps:g} fps"
        print(f"{path}: {made}, made in {seconds:.1f} s")
