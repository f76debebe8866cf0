"""What drives a face: a filmed one, its landmarks, or motion that was made before.

Whatever is given becomes landmarks with their times (``Seen``) or finished motion (``Motion``). Of
a film, only the landmarks and the blendshapes of each picture are kept, 6 KB a frame.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np
from numpy.typing import NDArray

from avatar.errors import ConfigError, InputError, NoFaceError
from avatar.motion.track import MotionTrack
from avatar.types import LANDMARK_COUNT, Face, FloatArray, ImageArray, Motion

if TYPE_CHECKING:
    from avatar.media import ByteSource

DriverSource = Union["ByteSource", MotionTrack, Motion, tuple[NDArray[Any], float]]
"""A video; an ``.npz`` of ``avatar motion``; motion; or landmarks ``[T, 478, 3]`` and their fps."""


@dataclass(frozen=True, eq=False)
class Seen:
    """A face as it was seen to move, where it was seen.

    Attributes:
        landmarks: ``[N, 478, 3]`` pixels.
        times_seconds: ``[N]``, rising, from the beginning of the recording.
        duration_seconds: of the recording.
        fps: its frames a second.
        expression: ``[N, 52]`` as measured; None where only landmarks are known.
        sound_begins_seconds: when its sound begins; None where it has none.
    """

    landmarks: FloatArray
    times_seconds: NDArray[np.float64]
    duration_seconds: float
    fps: float
    expression: FloatArray | None = None
    sound_begins_seconds: float | None = None


def read_driver(
    source: DriverSource,
    detect: Callable[[ImageArray], list[Face]],
    *,
    progress: Callable[[int], None] | None = None,
) -> Seen | Motion:
    """What ``source`` holds.

    Args:
        source: see ``DriverSource``.
        detect: finds the faces of a picture, the largest first.
        progress: called with the number of pictures looked at so far.

    Raises:
        VideoError: not a video, or damaged.
        NoFaceError: there is no face in any of its pictures.
        InputError: landmarks of another shape, or an ``.npz`` without motion.
    """
    if isinstance(source, MotionTrack):
        return source.motion
    if isinstance(source, Motion):
        return source
    if isinstance(source, tuple):
        return _from_landmarks(source)
    from avatar.media import is_byte_source

    if isinstance(source, str | os.PathLike) and Path(source).suffix.lower() == ".npz":
        return MotionTrack.load(source).motion
    if not is_byte_source(source):
        raise InputError(
            f"a face cannot be driven by {type(source).__name__}; give a video, an .npz of `avatar "
            "motion`, a MotionTrack, or (landmarks [T, 478, 3], fps)"
        )
    return _watch(source, detect, progress)


def _watch(
    source: ByteSource,
    detect: Callable[[ImageArray], list[Face]],
    progress: Callable[[int], None] | None,
) -> Seen:
    from avatar.media import VideoReader

    faces: list[Face] = []
    times: list[float] = []
    last = first = 0.0
    with VideoReader(source) as reader:
        for count, (image, pts_seconds) in enumerate(reader, start=1):
            first = pts_seconds if count == 1 else first
            last = pts_seconds
            face = _same_person(detect(image), faces[-1] if faces else None)
            if face is not None:
                faces.append(face)
                times.append(pts_seconds - first)
            if progress is not None:
                progress(count)
    if not faces:
        raise NoFaceError(
            f"no human face found in any frame of {reader.name}; "
            "drive with a video that shows one face clearly"
        )
    return Seen(
        landmarks=np.stack([face.landmarks.points for face in faces]),
        expression=np.stack([face.expression for face in faces]),
        times_seconds=np.array(times),
        duration_seconds=last - first + 1.0 / reader.fps,
        fps=reader.fps,
        sound_begins_seconds=(
            None if reader.sound_begins_seconds is None else reader.sound_begins_seconds - first
        ),
    )


def _same_person(faces: list[Face], before: Face | None) -> Face | None:
    """The face that lies where the driver's was, or else the largest."""
    if before is None or not faces:
        return faces[0] if faces else None
    centre = before.landmarks.points[:, :2].mean(0)
    size = float(np.ptp(before.landmarks.points[:, 0]))
    apart = [float(np.linalg.norm(f.landmarks.points[:, :2].mean(0) - centre)) for f in faces]
    nearest = int(np.argmin(apart))
    return faces[nearest] if apart[nearest] < size else faces[0]


def _from_landmarks(source: tuple[NDArray[Any], float]) -> Seen:
    if len(source) != 2:
        raise InputError(f"a driver tuple must be (landmarks, fps), got {len(source)} items")
    points, fps = np.asarray(source[0]), float(source[1])
    shape = (len(points), LANDMARK_COUNT, 3) if points.ndim else ()
    if points.shape != shape or points.dtype.kind not in "fiu" or not len(points):
        raise InputError(
            "driving landmarks must be [T, 478, 3] pixels with T of at least 1 (MediaPipe face "
            f"mesh, rows of NaN where there is no face), got {points.dtype} of shape "
            f"{list(points.shape)}"
        )
    if not 1 <= fps <= 1000:
        raise ConfigError(f"the fps of driving landmarks must be within 1 to 1000, got {fps}")
    found = np.isfinite(points).all((1, 2))
    if not found.any():
        raise NoFaceError("the driving landmarks hold no frame without NaN or infinity")
    return Seen(
        landmarks=points[found].astype(np.float32),
        times_seconds=np.flatnonzero(found) / fps,
        duration_seconds=len(points) / fps,
        fps=fps,
    )
