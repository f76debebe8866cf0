"""What sessions of one person at one size have in common."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from avatar.face import FaceRig
from avatar.generator import Portrait
from avatar.motion import Retargeter
from avatar.types import Face, FloatArray, Landmarks, Motion

_ARTICULATION = 1.4
"""The painted mouth shows about 0.7 of the opening its landmarks ask for; this makes up for it."""


_ARTICULATION_MEASURED = 1.1
"""Of motion that was measured. MediaPipe, looking at seven portraits as drawn with 1.0, saw 0.79 to
0.99 of the change of opening that was asked for, 0.93 in the median.
"""


class MovedLandmarks(Landmarks):
    """The landmarks of one frame, worked out when somebody looks at them.

    They take a fifth of the time of a frame without pixels, and many want its curves alone.
    """

    def __init__(
        self,
        retargeter: Retargeter,
        motion: Motion,  # of one frame
    ) -> None:
        self._retargeter = retargeter
        self._motion = motion
        self._points: FloatArray | None = None

    @property
    def points(self) -> FloatArray:
        if self._points is None:
            motion = self._motion
            self._points = self._retargeter.landmarks(
                motion.expression[0], motion.rotation[0], motion.translation[0], motion.gaze[0]
            )
        return self._points

    def __reduce__(self) -> tuple[type[Landmarks], tuple[FloatArray]]:
        return Landmarks, (self.points,)


@dataclass(frozen=True, eq=False)
class Likeness:
    """One person at one size. Immutable, shared by sessions.

    Attributes:
        retargeter: moves the person's landmarks.
        portrait: what is drawn; None for a person without pixels.
    """

    retargeter: Retargeter
    portrait: Portrait | None = None

    @classmethod
    def of(cls, rig: FaceRig, face: Face, portrait: Portrait | None = None) -> Likeness:
        """The person of ``face``; its landmarks are those of the portrait's photo."""
        mover = Retargeter(rig, face.landmarks, face.expression, articulation=_ARTICULATION)
        return cls(mover, portrait)

    @cached_property
    def measured(self) -> Likeness:
        """The same person, to be moved as somebody's face was measured to move."""
        return replace(self, retargeter=self.retargeter.articulated(_ARTICULATION_MEASURED))

    @cached_property
    def half(self) -> Portrait:
        """The portrait at half the size, for when time is short."""
        assert self.portrait is not None
        return self.portrait.resized(max(self.portrait.photo.shape[:2]) // 2)

    def in_half(self, points: FloatArray) -> FloatArray:
        """``[478, 3]`` pixels of the portrait as pixels of ``half``."""
        assert self.portrait is not None
        was, half = (np.array(p.photo.shape[1::-1]) for p in (self.portrait, self.half))
        scale = np.append(half / was, (half / was).mean()).astype(np.float32)
        return (points + np.float32(0.5)) * scale - np.float32(0.5)


def scaled(face: Face, width: int, height: int, size: int) -> Face:
    """The face of a ``width`` × ``height`` photo in that photo at ``size`` on its longer side."""
    scale = size / max(width, height)
    sides = max(1, round(width * scale)) / width, max(1, round(height * scale)) / height
    points = (face.landmarks.points + 0.5) * np.array([*sides, scale], np.float32) - 0.5
    return Face(Landmarks(points.astype(np.float32)), face.expression)
