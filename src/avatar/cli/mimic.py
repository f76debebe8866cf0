"""``avatar mimic``: a photo does what a filmed face does."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from avatar.cli._common import (
    BACKGROUND,
    DEVICE,
    FACE,
    JSON,
    OUTPUT,
    SAVED,
    SIZE,
    person_of,
    save_clip,
)


def mimic(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="PHOTO... DRIVER",
            help="Photos of one person, then the video of another, or an .npz of `avatar motion`. "
            "With --avatar, only the driver.",
        ),
    ],
    # Text, since a Path forgets the trailing slash that asks for pictures.
    output: Annotated[str, OUTPUT],
    audio: Annotated[
        Path | None, typer.Option(help="The sound; the driving video's own by default.")
    ] = None,
    fps: Annotated[
        float | None, typer.Option(help="Frames a second; the driver's own by default.")
    ] = None,
    size: Annotated[int | None, SIZE] = None,
    background: Annotated[str, BACKGROUND] = "keep",
    face: Annotated[int | None, FACE] = None,
    saved: Annotated[Path | None, SAVED] = None,
    device: Annotated[str, DEVICE] = "cpu",
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Make a video of the person doing what the face in another video does."""
    from avatar.media import check_output

    photos, driver = inputs[:-1], inputs[-1]
    begun = time.perf_counter()
    check_output(output, alpha=background == "alpha")
    needed = "a video: avatar mimic PHOTO DRIVER.mp4 -o OUT.mp4"
    person = person_of(photos, face, saved, beside=needed, device=device)
    clip = person.mimic(driver, audio=audio, fps=fps, size=size, background=background)
    save_clip(clip, output, begun=begun, as_json=as_json)
