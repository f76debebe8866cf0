"""What a session counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SessionMetrics:
    """What a session has done so far.

    Attributes:
        frames: that have left.
        idle_frames: of these, in which nothing was said.
        repeated_pictures: of these, that showed the picture before them again.
        late_frames: of these, that left more than the time of a frame after they were due.
        underruns: how often sound came too late and the face had to wait for it.
        quality: of the last frame.
        buffered_seconds: sound that was pushed and has not left.
        position_seconds: ``pts_seconds`` of the next frame.
    """

    frames: int
    idle_frames: int
    repeated_pictures: int
    late_frames: int
    underruns: int
    quality: float
    buffered_seconds: float
    position_seconds: float
