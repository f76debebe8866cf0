"""``avatar speak`` and ``avatar create``: from photos to a video, or to an ``.avatar`` file."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from avatar.cli import _style
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


def speak(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            metavar="PHOTO... AUDIO",
            help="Photos of one person, then the sound file. With --avatar, only the sound.",
        ),
    ],
    # Text, since a Path forgets the trailing slash that asks for pictures.
    output: Annotated[str, OUTPUT],
    fps: Annotated[float, typer.Option(help="Frames a second.")] = 25.0,
    size: Annotated[int | None, SIZE] = None,
    seed: Annotated[int, typer.Option(help="Of blinks, glances and head motion.")] = 0,
    emotion: _style.Emotion = None,
    intensity: _style.Intensity = 1.0,
    blink_rate: _style.BlinkRate = 1.0,
    head_motion: _style.HeadMotion = 1.0,
    gaze: _style.Gaze = None,
    gain: _style.Gain = None,
    offset: _style.Offset = None,
    background: Annotated[str, BACKGROUND] = "keep",
    face: Annotated[int | None, FACE] = None,
    saved: Annotated[Path | None, SAVED] = None,
    device: Annotated[str, DEVICE] = "cpu",
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Make a video of the person saying the sound."""
    from avatar.media import check_output

    photos, audio = inputs[:-1], inputs[-1]
    begun = time.perf_counter()
    check_output(output, alpha=background == "alpha")
    style = _style.style_of(
        emotion=emotion,
        intensity=intensity,
        blink_rate=blink_rate,
        head_motion=head_motion,
        gaze=gaze,
        gain=gain,
        offset=offset,
    )
    needed = "a sound file: avatar speak PHOTO AUDIO -o OUT.mp4"
    person = person_of(photos, face, saved, beside=needed, device=device)
    clip = person.speak(audio, fps=fps, size=size, seed=seed, style=style, background=background)
    save_clip(clip, output, begun=begun, as_json=as_json)


def create(
    photos: Annotated[
        list[Path], typer.Argument(metavar="PHOTO...", help="One or more photos of a person.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .avatar file to write.")],
    face: Annotated[int | None, FACE] = None,
    consent_by: Annotated[
        str | None,
        typer.Option(help="Who attests that the person agrees, or that no consent is needed."),
    ] = None,
    consent_note: Annotated[str, typer.Option(help="Anything that helps to check it.")] = "",
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Keep a person in an .avatar file, ready to speak without looking for the face again."""
    from avatar.avatar import Avatar
    from avatar.identity import check_path

    check_path(output)
    consent = {
        "attested": consent_by is not None,
        "attested_by": consent_by or "",
        "note": consent_note,
    }
    person = Avatar.from_images(photos, face=face, consent=consent)
    path = person.save(output)
    if as_json:
        print(json.dumps({"output": str(path), "photos": len(photos), "consent": consent}))
    else:
        print(f"{path}: {path.stat().st_size / 1024:.0f} KB, {len(photos)} photo(s)")
