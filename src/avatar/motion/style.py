"""How a face speaks: its emotion, how wide it articulates, how lively it is.

A ``Style`` is a plain value that checks itself. What its emotions look like stands in
``emotion``; how speech, emotion and life become one face stands in ``blend``.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import SupportsFloat

import numpy as np

from avatar.errors import ConfigError
from avatar.motion.emotion import EMOTIONS, sides
from avatar.types import ARKIT_NAMES

_PLAIN_WORDS = {
    "afraid": "fear", "angry": "anger", "amazed": "amazement", "breathless": "outofbreath",
    "cheeky": "cheekiness", "disgusted": "disgust", "fearful": "fear", "grieving": "grief",
    "happiness": "joy", "happy": "joy", "hurt": "pain", "joyful": "joy", "mad": "anger",
    "out of breath": "outofbreath", "out_of_breath": "outofbreath", "playful": "cheekiness",
    "sad": "sadness", "scared": "fear", "surprise": "amazement", "surprised": "amazement",
}  # fmt: skip

_MOST_LIVELY, _MOST_INTENSE = 3.0, 2.0
_MOST_GAIN = 4.0
MOST_GAZE_RADIANS = math.radians(40)


@dataclass(frozen=True)
class Style:
    """How a face speaks.

    Attributes:
        emotion: weight in [0, 1] by name: ``amazement, anger, cheekiness, disgust, fear, grief,
            joy, outofbreath, pain, sadness``; plain words such as ``happy`` or ``sad`` too.
        intensity: how far speech moves the mouth, 0 to 2; lips that close for m, b and p stay
            closed at any.
        blink_rate: factor on how often the eyes blink, 0 to 3; 0 for never.
        head_motion: factor on head motion, 0 to 3; 0 holds the head still.
        gaze: None for eyes that live, or ``(right, down)`` in radians where they are held,
            relative to the photo.
        gain: factor in [0, 4] by ARKit blendshape; a name without ``Left`` or ``Right`` means both.
        offset: added after the gain, in [-1, 1]; the result is clipped to [0, 1].

    Raises:
        ConfigError: an unknown name, or a value out of its range.

    >>> Style(emotion={"happy": 0.6}).emotion
    {'joy': 0.6}
    >>> Style(gain={"mouthSmile": 1.2}).gain
    {'mouthSmileLeft': 1.2, 'mouthSmileRight': 1.2}
    """

    emotion: Mapping[str, float] = field(default_factory=dict)
    intensity: float = 1.0
    blink_rate: float = 1.0
    head_motion: float = 1.0
    gaze: tuple[float, float] | None = None
    gain: Mapping[str, float] = field(default_factory=dict)
    offset: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, most in (
            ("intensity", _MOST_INTENSE), ("blink_rate", _MOST_LIVELY),
            ("head_motion", _MOST_LIVELY),
        ):  # fmt: skip
            object.__setattr__(self, name, _number(name, getattr(self, name), 0.0, most))
        for name, find, low, high in (
            ("emotion", _emotion, 0.0, 1.0), ("gain", _blendshapes, 0.0, _MOST_GAIN),
            ("offset", _blendshapes, -1.0, 1.0),
        ):  # fmt: skip
            object.__setattr__(self, name, _named(name, getattr(self, name), find, low, high))
        if self.gaze is not None:
            object.__setattr__(self, "gaze", _gaze(self.gaze))


def checked(style: object) -> Style:
    """What was given as a style, where it is one.

    Raises:
        ConfigError: it is not.
    """
    if not isinstance(style, Style):
        raise ConfigError(f"style must be an avatar.Style, got {type(style).__name__}")
    return style


def _named(
    setting: str, values: object, find: Callable[[str], tuple[str, ...]], low: float, high: float
) -> dict[str, float]:
    """The values by their full names, each named once and within its range."""
    if not isinstance(values, Mapping):
        raise ConfigError(
            f"{setting} must be a mapping from names to numbers, got {type(values).__name__}"
        )
    found: dict[str, float] = {}
    for key, value in values.items():
        number = _number(f"{setting} {key!r}", value, low, high)
        for name in find(str(key)):
            if name in found:
                raise ConfigError(f"{setting} names {name!r} twice, the second time as {key!r}")
            found[name] = number
    return found


def _number(what: str, value: object, low: float, high: float) -> float:
    if not isinstance(value, SupportsFloat) or isinstance(value, str | bytes):
        raise ConfigError(f"{what} must be a number, got {value!r}")
    number = float(value)
    if not low <= number <= high:
        raise ConfigError(f"{what} must be within {low:g} to {high:g}, got {number:g}")
    return number


def _gaze(value: object) -> tuple[float, float]:
    most = MOST_GAZE_RADIANS
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str) or len(value) != 2:
        raise ConfigError(f"gaze must be None or (right, down) in radians, got {value!r}")
    right, down = (_number("gaze, in radians,", part, -most, most) for part in value)
    return right, down


def _emotion(name: str) -> tuple[str, ...]:
    plain = name.strip().lower()
    plain = _PLAIN_WORDS.get(plain, plain)
    if plain not in EMOTIONS:
        raise _unknown("emotion", name, (*EMOTIONS, *_PLAIN_WORDS), EMOTIONS)
    return (plain,)


def _blendshapes(name: str) -> tuple[str, ...]:
    found = sides(name)
    if not found:
        raise _unknown("blendshape", name, ARKIT_NAMES, ())
    return found


def _unknown(kind: str, name: str, valid: Iterable[str], listed: Iterable[str]) -> ConfigError:
    near = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.5)
    known = f"known: {', '.join(listed)}" if listed else "they are in avatar.types.ARKIT_NAMES"
    hint = f"did you mean {near[0]!r}?" if near else known
    return ConfigError(f"unknown {kind} {name!r}; {hint}")


NEUTRAL = Style()
"""The style of who asks for none."""
