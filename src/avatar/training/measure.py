"""One clip of a talking person → its measured track; the inside of ``avatar train prepare``.

One ``<name>.npz`` for each clip, from a single pass over it; rows of frames without a face are NaN:

- ``landmarks`` ``[T, 478, 3]`` pixels, ``pts`` ``[T]`` seconds, ``fps``, ``size`` (height, width);
- ``expression`` ``[T, 52]`` in the order of ``ARKIT_NAMES``; ``blendshapes`` ``[T, 52]`` the same
  in MediaPipe's order (``_neutral`` first, no ``tongueOut``);
- ``matrix`` ``[T, 4, 4]``: the head's rotation in the axes of MediaPipe's pose matrix (x right,
  y up, z toward the camera), found by the face rig, without its place and size;
- ``audio`` ``[N]`` 16 kHz mono, empty for a silent clip, begins at ``audio_start`` seconds;
- ``identity`` and ``group``;
- to judge the clip by (``clip_quality``): ``sharpness`` ``[T]``, ``thumbnails`` ``[T, 24, 24]``,
  ``rivals`` ``[T]``, ``change`` ``[T]``, ``voice`` of each 32 ms of sound, and ``bytes``, the size
  of the file that was measured.

Only complete tracks take their name, and clips that have one are skipped: a stopped run goes on.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np

from avatar.config import SAMPLE_RATE
from avatar.errors import InputError
from avatar.face import FaceRig, MediaPipeDetector
from avatar.face.pose import matrix_from_quaternion
from avatar.media import VideoReader, load_audio
from avatar.training.clip_quality import (
    DEFAULT_LIMITS,
    THUMBNAIL,
    Limits,
    picture_change,
    sharpness_and_thumbnail,
    small_grey,
)
from avatar.training.clip_sources import ClipSource
from avatar.training.voice_activity import voice_probability
from avatar.types import ARKIT_NAMES, LANDMARK_COUNT, Face, FloatArray, ImageArray

_AXES = np.diag([1.0, -1.0, -1.0]).astype(np.float32)
"""Between the axes of landmarks and those of MediaPipe's pose matrix."""


@dataclass(frozen=True)
class Measured:
    """What became of one clip.

    Attributes:
        source: the clip.
        frames: pictures in it.
        missed: of these, pictures without a face.
        dropped: why there is no track; empty if there is one.
    """

    source: ClipSource
    frames: int = 0
    missed: int = 0
    dropped: str = ""


def measure(
    sources: list[ClipSource], out: Path, *, jobs: int = 1, limits: Limits = DEFAULT_LIMITS
) -> Iterator[Measured]:
    """Measure clips in ``jobs`` processes; yields each as it is done."""
    out.mkdir(parents=True, exist_ok=True)
    if jobs == 1:
        yield from (measure_clip(source, out, limits) for source in sources)
        return
    # MediaPipe's threads do not survive a fork.
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        futures = [pool.submit(measure_clip, source, out, limits) for source in sources]
        try:
            yield from (future.result() for future in as_completed(futures))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def measure_clip(source: ClipSource, out: Path, limits: Limits = DEFAULT_LIMITS) -> Measured:
    """Write the track of one clip, unless it is there; a clip that cannot be read is dropped."""
    path = out / f"{source.name}.npz"
    if path.exists():
        with np.load(path) as track:
            if int(track["bytes"]) == source.path.stat().st_size:
                found = np.isfinite(track["landmarks"][:, 0, 0])
                return Measured(source, len(found), int((~found).sum()))
    try:
        track = _measure(source, limits)
    except InputError as error:
        return Measured(source, dropped=str(error))
    write_atomically(path, track)
    frames, missed = len(track["pts"]), int(np.isnan(track["landmarks"][:, 0, 0]).sum())
    return Measured(source, frames, missed)


def write_atomically(path: Path, arrays: dict[str, Any]) -> None:
    """Save an npz that is either there whole or not at all."""
    partial = path.with_name(path.name + ".part")
    with partial.open("wb") as file:
        np.savez(file, **arrays)
    partial.replace(path)


def _measure(source: ClipSource, limits: Limits) -> dict[str, Any]:
    _check_length(source.path, limits)
    rows: list[tuple[Any, ...]] = []
    before = None
    with VideoReader(source.path) as reader:
        if not limits.least_fps <= reader.fps <= limits.most_fps:
            span = f"{limits.least_fps:g} to {limits.most_fps:g}"
            raise InputError(f"{source.path.name}: {reader.fps:.3g} frames a second, not {span}")
        for image, pts_seconds in reader:
            faces = _detector().detect(image)
            now = small_grey(image)
            change = 0.0 if before is None else picture_change(before, now)
            before = now
            face = faces[0] if faces else None
            rows.append((*_row(face), *_look(image, faces), change, pts_seconds))
        width, height = reader.size
    landmarks, expression, matrix, sharpness, thumbnails, rivals, change_rows, pts = (
        np.stack(column) for column in zip(*rows, strict=True)
    )
    audio, audio_start = _sound(source.path)
    return {
        "landmarks": landmarks, "expression": expression,
        "blendshapes": np.concatenate([0 * expression[:, :1], expression[:, :-1]], 1),
        "matrix": matrix, "audio": audio, "audio_start": np.float32(audio_start),
        "pts": pts.astype(np.float32), "fps": reader.fps, "size": np.array([height, width]),
        "identity": source.identity, "group": source.group,
        "sharpness": sharpness.astype(np.float32), "thumbnails": thumbnails,
        "rivals": rivals.astype(np.float32), "change": change_rows.astype(np.float32),
        "voice": voice_probability(audio), "bytes": source.path.stat().st_size,
    }  # fmt: skip


def _check_length(path: Path, limits: Limits) -> None:
    """Before a film of hours is decoded."""
    try:
        with av.open(str(path)) as container:
            seconds = (container.duration or 0) / av.time_base
    except av.FFmpegError:
        return  # the reader says it better
    if seconds > limits.most_seconds:
        most = f"more than {limits.most_seconds:g}; split it into clips"
        raise InputError(f"{path.name}: {seconds:.0f} seconds, {most}")


@cache
def _detector() -> MediaPipeDetector:
    """One for each process."""
    return MediaPipeDetector()


def _row(face: Face | None) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Landmarks, expression and pose matrix of one frame."""
    if face is None:
        lost = np.full((LANDMARK_COUNT, 3), np.nan, np.float32)
        return lost, lost[: len(ARKIT_NAMES), 0], lost[:4, :1].repeat(4, 1)
    fit = FaceRig.load().fit(face.landmarks, face.expression)
    matrix = np.eye(4, dtype=np.float32)
    matrix[:3, :3] = _AXES @ matrix_from_quaternion(fit.rotation) @ _AXES
    return face.landmarks.points, face.expression, matrix


def _look(image: ImageArray, faces: list[Face]) -> tuple[float, ImageArray, float]:
    """Sharpness and thumbnail of the largest face, and how large the next is against it."""
    if not faces:
        return float("nan"), np.zeros((THUMBNAIL, THUMBNAIL), np.uint8), 0.0
    sides = [float(np.ptp(face.landmarks.points[:, :2], axis=0).max()) for face in faces[:2]]
    sharpness, thumbnail = sharpness_and_thumbnail(image, faces[0].landmarks.points[:, :2])
    return sharpness, thumbnail, sides[1] / sides[0] if len(sides) > 1 else 0.0


def _sound(path: Path) -> tuple[FloatArray, float]:
    """The clip's sound and the time it begins, in seconds; no samples where it has no track."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return np.zeros(0, np.float32), 0.0
        samples = load_audio(path, sample_rate=SAMPLE_RATE).samples
        first = next(container.decode(container.streams.audio[0]))
    return samples, first.time or 0.0
