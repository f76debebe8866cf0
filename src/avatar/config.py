"""Settings: frozen dataclasses that validate themselves and refuse unknown names."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from typing import Any, TypeVar

from avatar.errors import ConfigError

SAMPLE_RATE = 16_000
"""The rate, in hertz, at which speech is analysed."""

T = TypeVar("T")


def from_mapping(cls: type[T], values: Mapping[str, Any]) -> T:
    """Build ``cls``, a dataclass, from ``values``; an unknown key is told the nearest valid one."""
    known = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise ConfigError(f"unknown setting {key!r} for {cls.__name__}; {hint}")
    return cls(**values)


PACINGS = ("burst", "realtime")


@dataclass(frozen=True, kw_only=True)
class SessionConfig:
    """How a session makes and paces its frames.

    Attributes:
        fps: frames a second.
        size: length in pixels of the longer side of the frames; None keeps the photo's own.
        seed: of blinks, glances and head motion: the same seed gives the same pixels.
        sample_rate: of the sound that is pushed and of the sound in the frames, in hertz.
        pixels: whether frames have pictures; without, the generator is neither loaded nor run.
        idle: whether the stream goes on with frames where nothing is said.
        pacing: ``burst``: frames leave as soon as they are known. ``realtime``: at their time.
        ahead_seconds: how long before its time a frame of speech may leave a realtime session.
    """

    fps: float = 25.0
    size: int | None = None
    seed: int = 0
    sample_rate: int = SAMPLE_RATE
    pixels: bool = True
    idle: bool = False
    pacing: str = "burst"
    ahead_seconds: float = 0.0

    def __post_init__(self) -> None:
        for name in ("size", "seed", "sample_rate"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, Integral):
                raise ConfigError(f"{name} must be a whole number, got {value!r}")
        if self.seed < 0:
            raise ConfigError(f"seed must not be negative, got {self.seed}")
        if not 1 <= self.fps <= 120:
            raise ConfigError(f"fps must be within 1 to 120, got {self.fps}")
        if self.size is not None and not 64 <= self.size <= 4096:
            raise ConfigError(f"size must be within 64 to 4096 pixels, got {self.size}")
        if not 1_000 <= self.sample_rate <= 768_000:
            raise ConfigError(
                f"sample_rate must be within 1000 to 768000 hertz, got {self.sample_rate}"
            )
        if self.pacing not in PACINGS:
            raise ConfigError(f"pacing must be one of {', '.join(PACINGS)}, got {self.pacing!r}")
        if not 0 <= self.ahead_seconds <= 10:
            raise ConfigError(f"ahead_seconds must be within 0 to 10, got {self.ahead_seconds}")
