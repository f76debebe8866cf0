"""``avatar motion``: from sound to blendshapes, visemes, landmarks and head pose in a file."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from avatar.cli import _style
from avatar.cli._common import JSON


def motion(
    audio: Annotated[Path, typer.Argument(metavar="AUDIO", help="The sound file.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="The file to write: .npz, .json, or .csv as Live Link Face records it.",
        ),
    ],
    fps: Annotated[float, typer.Option(help="Frames a second.")] = 25.0,
    seed: Annotated[int, typer.Option(help="Of blinks, glances and head motion.")] = 0,
    emotion: _style.Emotion = None,
    intensity: _style.Intensity = 1.0,
    blink_rate: _style.BlinkRate = 1.0,
    head_motion: _style.HeadMotion = 1.0,
    gaze: _style.Gaze = None,
    gain: _style.Gain = None,
    offset: _style.Offset = None,
    landmarks: Annotated[
        bool, typer.Option(help="Write the 478 landmarks too; a .csv never has them.")
    ] = True,
    as_json: Annotated[bool, JSON] = False,
) -> None:
    """Write what a face does as it says the sound, for a game engine, Blender, or analysis."""
    from avatar.motion import track

    begun = time.perf_counter()
    style = _style.style_of(
        emotion=emotion,
        intensity=intensity,
        blink_rate=blink_rate,
        head_motion=head_motion,
        gaze=gaze,
        gain=gain,
        offset=offset,
    )
    found = track(audio, fps=fps, seed=seed, style=style)
    path = found.save(output, landmarks=landmarks)
    seconds = time.perf_counter() - begun
    if as_json:
        result = {"output": str(path), "frames": len(found), "fps": fps}
        print(json.dumps({**result, "seconds_taken": round(seconds, 3)}))
    else:
        made = f"{len(found)} frames at {fps:g} fps, {len(found) / fps:.1f} s"
        print(f"{path}: {made}, made in {seconds:.1f} s")
