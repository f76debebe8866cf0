"""The options that say how a face speaks, the same wherever a command makes it speak."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from avatar.errors import ConfigError

if TYPE_CHECKING:
    from avatar.motion import Style

Emotion = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=WEIGHT",
        help="An emotion and its weight from 0 to 1, such as joy=0.6; several may be given.",
    ),
]
Intensity = Annotated[float, typer.Option(help="How far speech moves the mouth, 0 to 2.")]
BlinkRate = Annotated[float, typer.Option(help="Factor on how often the eyes blink, 0 to 3.")]
HeadMotion = Annotated[float, typer.Option(help="Factor on head motion, 0 to 3; 0 holds it still.")]
Gaze = Annotated[
    str | None,
    typer.Option(
        metavar="RIGHT,DOWN",
        help="Hold the eyes there, in degrees from where the photo looks, to 40; else they live.",
    ),
]
Gain = Annotated[
    list[str] | None,
    typer.Option(metavar="SHAPE=FACTOR", help="Scale a blendshape, such as mouthSmileLeft=1.2."),
]
Offset = Annotated[
    list[str] | None,
    typer.Option(metavar="SHAPE=VALUE", help="Add to a blendshape, such as browInnerUp=0.1."),
]


def style_of(
    *,
    emotion: list[str] | None = None,
    intensity: float = 1.0,
    blink_rate: float = 1.0,
    head_motion: float = 1.0,
    gaze: str | None = None,
    gain: list[str] | None = None,
    offset: list[str] | None = None,
) -> Style:
    """The style that the options ask for.

    Raises:
        ConfigError: an option that cannot be read, an unknown name, or a value out of range.
    """
    from avatar.motion import Style

    return Style(
        emotion=_pairs("--emotion", emotion, "joy=0.6"),
        intensity=intensity,
        blink_rate=blink_rate,
        head_motion=head_motion,
        gaze=None if gaze is None else _directions(gaze),
        gain=_pairs("--gain", gain, "mouthSmileLeft=1.2"),
        offset=_pairs("--offset", offset, "browInnerUp=0.1"),
    )


def _pairs(option: str, given: list[str] | None, example: str) -> dict[str, float]:
    pairs: dict[str, float] = {}
    for text in given or []:
        name, equals, value = text.partition("=")
        try:
            number = float(value)
        except ValueError:
            equals = ""
        if not equals or not name.strip():
            raise ConfigError(f"{option} must look like {example}, got {text!r}")
        if name.strip() in pairs:
            raise ConfigError(f"{option} names {name.strip()!r} twice")
        pairs[name.strip()] = number
    return pairs


def _directions(text: str) -> tuple[float, float]:
    from avatar.motion.style import MOST_GAZE_RADIANS

    try:
        right, down = (math.radians(float(part)) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--gaze must look like 10,-5 (degrees right, down), got {text!r}") from (
            error
        )
    if not max(abs(right), abs(down)) <= MOST_GAZE_RADIANS:
        most = math.degrees(MOST_GAZE_RADIANS)
        raise ConfigError(f"--gaze must be within -{most:g} to {most:g} degrees, got {text!r}")
    return right, down
