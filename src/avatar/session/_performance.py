"""A performance: motion that is known beforehand, with the sound that belongs to it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from avatar.config import SessionConfig
from avatar.engine import FrameRequest
from avatar.session._likeness import Likeness
from avatar.session._picture import Pictures
from avatar.session._timeline import Slot
from avatar.types import Audio, FloatArray, ImageArray, Motion


class Performance:
    """Motion and sound as a source of frames for ``Engine.frames``; read once, from its beginning.

    Frame ``i`` begins at sample ``round(i * sample_rate / fps)``, as in a session.

    Args:
        likeness: the person, at the size to draw.
        motion: what its face does.
        sound: in pieces of any length, at the rate of ``config``; silence follows where it ends.
        config: its ``fps`` is that of ``motion``.
    """

    def __init__(
        self,
        likeness: Likeness,
        motion: Motion,
        sound: Iterator[Audio],
        config: SessionConfig,
    ) -> None:
        self._motion = motion
        self._rate, self._fps = config.sample_rate, config.fps
        self._sound = sound
        self._heard: FloatArray = np.zeros(0, np.float32)
        self._pictures = Pictures(likeness, config)
        self._index = self._position = 0

    def begin_to_hear(self) -> None:
        """There is no network to ask."""

    def end_hearing(self) -> None:
        """Never called."""

    def next_request(self) -> FrameRequest | None:
        """The next frame, all but its picture; None after the last."""
        index = self._index
        if index == len(self._motion):
            return None
        end = round((index + 1) * self._rate / self._fps)
        audio = self._cut(end - self._position)
        slot = Slot(self._motion[index : index + 1], index, self._position, audio, 0, idle=False)
        self._index, self._position = index + 1, end
        return self._pictures.request(slot, due_seconds=0.0, lag_seconds=0.0, now=0.0)

    def accept(self, request: FrameRequest, image: ImageArray | None) -> bool:
        """Every frame is shown."""
        self._pictures.remember(request, image)
        return True

    def _cut(self, count: int) -> FloatArray:
        """The next ``count`` samples."""
        parts = [self._heard]
        missing = count - len(self._heard)
        while missing > 0 and (piece := next(self._sound, None)) is not None:
            parts.append(piece.samples)
            missing -= len(piece.samples)
        heard = np.concatenate([*parts, np.zeros(max(missing, 0), np.float32)])
        self._heard = heard[count:]
        return heard[:count].copy()
