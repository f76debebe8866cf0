"""The motion of a whole recording, without a photo: for game engines, Blender, and analysis.

>>> import avatar.motion
>>> motion = avatar.motion.track("hello.wav", fps=30)  # doctest: +SKIP
>>> motion.save("hello.csv")  # doctest: +SKIP
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from avatar.config import SAMPLE_RATE
from avatar.errors import ConfigError
from avatar.face import FaceRig
from avatar.motion.audio_to_face import AudioToFace
from avatar.motion.retarget import Retargeter
from avatar.motion.stream import MotionStream
from avatar.motion.style import NEUTRAL, Style, checked
from avatar.types import ARKIT_NAMES, LANDMARK_COUNT, VISEME_NAMES, FloatArray, Landmarks, Motion

if TYPE_CHECKING:
    from avatar.media.audio import AudioSource

_CHUNK_SECONDS = 10.0
_BLOCK_FRAMES = 256


@dataclass(frozen=True, eq=False)
class MotionTrack:
    """The motion of one utterance, frame by frame, of a face that is nobody's.

    About 0.3 KB a frame: an hour at 25 fps takes 27 MB. The landmarks, 17 KB a frame, are worked
    out when they are asked for.

    Attributes:
        motion: ``Motion``: expression, rotation, translation, gaze and visemes, ``[T, …]`` each.
        seed: of blinks, glances and head motion.
        style: how it speaks.
    """

    motion: Motion
    seed: int = 0
    style: Style = NEUTRAL

    blendshape_names = ARKIT_NAMES
    viseme_names = VISEME_NAMES

    def __len__(self) -> int:
        return len(self.motion)

    @property
    def fps(self) -> float:
        return self.motion.fps

    @property
    def times_seconds(self) -> NDArray[np.float64]:
        """``[T]`` float64, when each frame is shown, from the first sample of the sound."""
        return np.arange(len(self)) / self.fps

    @property
    def blendshapes(self) -> FloatArray:
        """``[T, 52]`` float32 in [0, 1], the order of ``blendshape_names``."""
        return self.motion.expression

    @property
    def visemes(self) -> FloatArray:
        """``[T, 15]`` float32 in [0, 1], the order of ``viseme_names``."""
        return self.motion.visemes

    @property
    def landmarks(self) -> FloatArray:
        """``[T, 478, 3]`` float32 of the rig's neutral face, moved as the frames say.

        In distances between the outer eye corners, from the point between them: x right, y down,
        z away from the camera.
        """
        blocks = list(self.iter_landmarks())
        return np.concatenate(blocks) if blocks else np.zeros((0, LANDMARK_COUNT, 3), np.float32)

    def iter_landmarks(self) -> Iterator[FloatArray]:
        """``landmarks`` in blocks of frames, for tracks too long to hold them all."""
        face, motion = _neutral_face(), self.motion
        for start in range(0, len(self), _BLOCK_FRAMES):
            frames = range(start, min(start + _BLOCK_FRAMES, len(self)))
            yield np.stack(
                [
                    face.landmarks(
                        motion.expression[i],
                        motion.rotation[i],
                        motion.translation[i],
                        motion.gaze[i],
                    )
                    for i in frames
                ]
            )

    def save(self, path: str | os.PathLike[str], *, landmarks: bool = True) -> Path:
        """Write the track; the suffix says how: ``.npz``, ``.json`` or ``.csv`` (Live Link Face).

        The file appears whole or not at all. ``docs/motion-export.md`` describes the formats.

        Args:
            path: the file; one that is there is replaced.
            landmarks: write them too, which makes most of the size; a CSV never has them.

        Raises:
            ConfigError: another suffix.
            OutputError: it cannot be written.
        """
        from avatar.motion.export import save

        return save(self, Path(path), landmarks=landmarks)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> MotionTrack:
        """Read an ``.npz`` that ``save`` wrote.

        Raises:
            InputError: it is none, is damaged, or was written by a newer version.
        """
        from avatar.motion.export import load

        return load(Path(path))


def track(
    audio: AudioSource,
    *,
    fps: float = 25.0,
    seed: int = 0,
    style: Style = NEUTRAL,
    model: AudioToFace | None = None,
) -> MotionTrack:
    """The motion that a recording makes; no photo and nothing of the generator is needed.

    The sound is read in pieces, so its length costs no memory. The frames are the same bits as
    those of a ``MotionStream`` with the same settings.

    Args:
        audio: path, bytes, binary file, ``(samples, sample_rate)`` or ``Audio``.
        fps: frames a second, 1 to 120.
        seed: of blinks, glances and head motion.
        style: how it speaks.
        model: the network; the one shipped by default.

    Raises:
        AudioError: it cannot be read, is empty or not finite.
        ConfigError: ``fps`` out of range, ``seed`` negative, or ``style`` is none.
    """
    from avatar.media.audio import iter_audio
    from avatar.media.resample import StreamResampler

    if seed < 0:
        raise ConfigError(f"seed must not be negative, got {seed}")
    stream = MotionStream(model or _shipped_model(), fps=fps, seed=seed, style=checked(style))
    resampler: StreamResampler | None = None
    parts: list[Motion] = []
    for chunk in iter_audio(audio, chunk_seconds=_CHUNK_SECONDS):
        resampler = resampler or StreamResampler(chunk.sample_rate, SAMPLE_RATE)
        parts.append(stream.push(resampler.push(chunk.samples)))
    if resampler is not None:
        parts.append(stream.push(resampler.flush()))
    parts.append(stream.flush())
    return MotionTrack(_concatenated(parts), seed, style)


def _concatenated(parts: list[Motion]) -> Motion:
    names = ("expression", "rotation", "translation", "gaze", "visemes")
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return Motion(**arrays, fps=parts[0].fps)


@cache
def _shipped_model() -> AudioToFace:
    return AudioToFace.load()


@cache
def _neutral_face() -> Retargeter:
    rig = FaceRig.load()
    return Retargeter(rig, Landmarks(rig.mean), np.zeros(len(ARKIT_NAMES), np.float32))
