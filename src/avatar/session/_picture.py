"""What is drawn for a slot: the whole picture, a smaller one, or the last one again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avatar.config import SessionConfig
from avatar.engine import FrameRequest
from avatar.session._likeness import Likeness, MovedLandmarks
from avatar.session._pacing import FULL, Effort, EffortLadder
from avatar.session._timeline import Slot
from avatar.types import Audio, FloatArray, Frame, ImageArray


@dataclass(frozen=True, eq=False)
class _Drawn:
    """The last picture, to be shown again."""

    points: FloatArray
    scale: float
    image: ImageArray

    def shows(self, points: FloatArray, effort: Effort) -> bool:
        return self.scale == effort.scale and np.array_equal(points, self.points)


class Pictures:
    """Turns slots into requests, and remembers the last picture. Not thread-safe."""

    def __init__(self, likeness: Likeness, config: SessionConfig) -> None:
        self._likeness = likeness
        self._config = config
        self._drawn: _Drawn | None = None
        self._points: FloatArray | None = None  # of the last picture drawn
        self._ladder: EffortLadder | None = None
        if config.pacing == "realtime" and likeness.portrait is not None:
            side = max(likeness.portrait.photo.shape[:2])
            self._ladder = EffortLadder(fps=config.fps, longer_side=side)

    def request(
        self, slot: Slot, *, due_seconds: float, lag_seconds: float, now: float
    ) -> FrameRequest:
        """The frame of ``slot``, which leaves ``lag_seconds`` late, and how to draw it."""
        quality: float = FULL.quality
        effort: Effort | None = FULL
        if self._ladder is not None:
            quality, effort = self._ladder.judge(lag_seconds, now)
        motion = slot.motion
        frame = Frame(
            index=slot.index,
            pts_seconds=slot.begin / self._config.sample_rate,
            image=None,
            audio=Audio(slot.audio, self._config.sample_rate),
            landmarks=MovedLandmarks(self._likeness.retargeter, motion),
            expression=motion.expression[0].copy(),
            visemes=motion.visemes[0].copy(),
            utterance_id=slot.utterance_id,
            idle=slot.idle,
            quality=quality,
            rotation=motion.rotation[0].copy(),
            translation=motion.translation[0].copy(),
        )
        return self._how(frame, effort, due_seconds)

    def remember(self, request: FrameRequest, image: ImageArray | None) -> None:
        """Keep a picture where the next frame may show it again.

        That is where the face stands still, and wherever time may be too short to draw.
        """
        if image is None or request.picture is not None:
            return
        points = request.frame.landmarks.points
        still = self._points is not None and np.array_equal(points, self._points)
        self._points = points
        scale = 0.5 if request.enlarge_to else 1.0
        keep = still or self._ladder is not None
        self._drawn = _Drawn(points, scale, image.copy()) if keep else None

    def forget(self) -> None:
        """Let go of the last picture."""
        self._drawn = self._points = None

    def _how(self, frame: Frame, effort: Effort | None, due: float) -> FrameRequest:
        portrait = self._likeness.portrait
        if portrait is None:
            return FrameRequest(frame=frame, due_seconds=due)
        points = frame.landmarks.points
        if self._drawn is not None and (effort is None or self._drawn.shows(points, effort)):
            return FrameRequest(frame=frame, due_seconds=due, picture=self._drawn.image)
        if effort is None or effort.scale == 1.0:
            return FrameRequest(frame=frame, due_seconds=due, portrait=portrait, points=points)
        return FrameRequest(
            frame=frame,
            due_seconds=due,
            portrait=self._likeness.half,
            points=self._likeness.in_half(points),
            enlarge_to=(portrait.photo.shape[0], portrait.photo.shape[1]),
        )
