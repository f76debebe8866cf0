"""Settings: frozen dataclasses that validate themselves and refuse unknown names."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class RenderConfig:
    """How frames are made.

    Attributes:
        fps: frames a second.
        size: length in pixels of the longer side of the output; None keeps the photo's own.
        seed: of blinks, glances and head motion: the same seed gives the same pixels.
    """

    fps: float = 25.0
    size: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.fps <= 120:
            raise ConfigError(f"fps must be within 1 to 120, got {self.fps}")
        if self.size is not None and not 64 <= self.size <= 4096:
            raise ConfigError(f"size must be within 64 to 4096 pixels, got {self.size}")
