"""Is a clip fit to learn from? Simple figures of the picture, and limits for each.

A clip is cut where the scene changes, and each piece is judged by itself. What the figures mean:

- ``face_pixels``: distance of the outer eye corners, median;
- ``lost_share``: frames in which no face is found; ``turned_share``: frames in which the face looks
  more than 45 degrees away from the camera;
- ``rival_share``: frames with a second face at least half as large;
- ``sharpness``: variance of the Laplacian over the variance of the grey values, on the face scaled
  to 64 pixels between the outer eye corners, so that size and contrast do not count; median.
  A face that is smaller than that is blurred by being enlarged: it has no finer detail;
- ``jitter``: how far points that expressions do not move stray from a straight path between three
  frames, the motion of the head as a whole left out, in inter-ocular distances; median. Grows where
  the detector guesses;
- ``covered_share``: frames in which the aligned lower half of the face looks unlike the clip's
  median (correlation of grey values below 0.1; strong grimaces stay above it): a hand, a
  microphone. It does not see what covers the face all the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from avatar.errors import ConfigError
from avatar.face.topology import OUTER_EYE_CORNERS, STABLE
from avatar.types import FloatArray, ImageArray

THUMBNAIL = 24
"""Side in pixels of the small aligned faces that are kept to find what covers a face."""

_SCENE = 32
_EYES_APART = 64.0
_CROP = 144
_RIVAL = 0.5
_TURNED_DEGREES = 45.0
_LIKE_MEDIAN = 0.1
_CHANGE, _CHANGE_AGAINST_USUAL = 0.1, 6.0
_JUMP, _RESIZED = 0.45, 1.4  # face sizes; a factor
_GAP_FRAMES = 4.5


@dataclass(frozen=True)
class Limits:
    """What a piece must be within.

    Attributes:
        least_seconds, most_seconds: of a piece; of a whole file.
        least_fps, most_fps: frames a second.
        least_face_pixels: between the outer eye corners.
        most_lost_share, most_turned_share, most_rival_share, most_covered_share: of the frames.
        least_sharpness, most_jitter: see the module.
        least_voice_share: of the sound, for it to count as speech.
    """

    least_seconds: float = 1.5
    most_seconds: float = 900.0
    least_fps: float = 15.0
    most_fps: float = 120.0
    least_face_pixels: float = 32.0
    most_lost_share: float = 0.1
    most_turned_share: float = 0.3
    most_rival_share: float = 0.1
    most_covered_share: float = 0.25
    least_sharpness: float = 0.02
    most_jitter: float = 0.02
    least_voice_share: float = 0.15

    def __post_init__(self) -> None:
        if not 0 < self.least_seconds < self.most_seconds:
            raise ConfigError(
                f"a clip's least length must be above 0 and below {self.most_seconds:g} seconds, "
                f"got {self.least_seconds:g}"
            )
        for name in ("lost", "turned", "rival", "covered"):
            value = getattr(self, f"most_{name}_share")
            if not 0 <= value <= 1:
                raise ConfigError(f"most_{name}_share must be within 0 to 1, got {value}")


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Figures:
    """What a piece of a clip measures; see the module."""

    seconds: float
    fps: float
    frames: int
    lost_share: float
    face_pixels: float = 0.0
    turned_share: float = 0.0
    rival_share: float = 0.0
    sharpness: float = 0.0
    jitter: float = 0.0
    covered_share: float = 0.0

    def faults(self, limits: Limits) -> list[str]:
        """Why the piece is not fit to learn from, in words; empty if it is."""
        checks = (
            (self.seconds < limits.least_seconds, f"too short: {self.seconds:.2f} s"),
            (self.lost_share == 1, "no face in any frame"),
            (
                limits.most_lost_share < self.lost_share < 1,
                f"face lost in {self.lost_share:.0%} of the frames",
            ),
            (
                0 < self.face_pixels < limits.least_face_pixels,
                f"face too small: {self.face_pixels:.0f} pixels between the eyes",
            ),
            (
                self.turned_share > limits.most_turned_share,
                f"turned away in {self.turned_share:.0%} of the frames",
            ),
            (
                self.rival_share > limits.most_rival_share,
                f"several faces in {self.rival_share:.0%} of the frames",
            ),
            (
                self.lost_share < 1 and self.sharpness < limits.least_sharpness,
                f"blurred: sharpness {self.sharpness:.3f}",
            ),
            (self.jitter > limits.most_jitter, f"landmarks tremble: {self.jitter:.3f}"),
            (
                self.covered_share > limits.most_covered_share,
                f"face covered in {self.covered_share:.0%} of the frames",
            ),
        )
        return [words for failed, words in checks if failed]


Track = Mapping[str, Any]


def pieces(track: Track) -> list[tuple[int, int]]:
    """Half-open ranges of frames of one scene each, without lost frames at their ends."""
    begins = [0, *np.flatnonzero(_cuts(track)).tolist(), len(track["pts"])]
    found = np.isfinite(track["landmarks"][:, 0, 0])
    whole = []
    for first, last in pairwise(begins):
        seen = np.flatnonzero(found[first:last])
        if len(seen):
            whole.append((first + int(seen[0]), first + int(seen[-1]) + 1))
    return whole or [(0, len(track["pts"]))]


def _cuts(track: Track) -> NDArray[np.bool_]:
    """``[T]`` where a frame begins a scene: the picture or the face changes at once, or time
    jumps."""
    change, pts = track["change"], track["pts"]
    usual = float(np.median(change))
    cut = change > max(_CHANGE, _CHANGE_AGAINST_USUAL * usual)
    steps = np.diff(pts, prepend=pts[:1])
    cut[1:] |= (steps[1:] <= 0) | (steps[1:] > _GAP_FRAMES / float(track["fps"]))
    points = track["landmarks"][:, :, :2]
    found = np.flatnonzero(np.isfinite(points[:, 0, 0]))
    if len(found) > 1:
        right, left = (points[found, corner] for corner in OUTER_EYE_CORNERS)
        size = np.ptp(points[found], axis=1).max(1)
        middle = (right + left) / 2
        away = np.linalg.norm(np.diff(middle, axis=0), axis=1) / size[:-1]
        resized = np.abs(np.diff(np.log(size)))
        cut[found[1:]] |= (away > _JUMP) | (resized > np.log(_RESIZED))
    cut[0] = False
    return cast(NDArray[np.bool_], cut)


def figures(track: Track, first: int, last: int) -> Figures:
    """Of frames ``[first, last)``."""
    part = slice(first, last)
    landmarks, pts, fps = track["landmarks"][part], track["pts"][part], float(track["fps"])
    found = np.isfinite(landmarks[:, 0, 0])
    seconds = float(pts[-1] - pts[0]) + 1 / fps
    lost = round(float(1 - found.mean()), 4)
    if not found.any():
        return Figures(round(seconds, 3), round(fps, 3), len(pts), lost)
    apart = _eyes_apart(landmarks[found])
    facing = np.degrees(np.arccos(np.clip(track["matrix"][part][found, 2, 2], -1, 1)))
    return Figures(
        seconds=round(seconds, 3), fps=round(fps, 3), frames=len(pts), lost_share=lost,
        face_pixels=round(float(np.median(apart)), 1),
        turned_share=round(float((facing > _TURNED_DEGREES).mean()), 4),
        rival_share=round(float((track["rivals"][part] > _RIVAL).mean()), 4),
        sharpness=round(float(np.median(track["sharpness"][part][found])), 4),
        jitter=round(_jitter(landmarks, apart), 4),
        covered_share=round(_covered(track["thumbnails"][part][found]), 4),
    )  # fmt: skip


def _eyes_apart(landmarks: FloatArray) -> FloatArray:
    right, left = (landmarks[:, corner] for corner in OUTER_EYE_CORNERS)
    return np.asarray(np.linalg.norm(right - left, axis=1), np.float32)


def _jitter(landmarks: FloatArray, apart: FloatArray) -> float:
    """Second differences of the stable points, each frame brought onto the first by a similarity;
    ``landmarks`` are those of the frames with a face."""
    points = landmarks[:, list(STABLE), :2].astype(np.float64)
    plane = points[..., 0] + 1j * points[..., 1]
    plane -= plane.mean(1, keepdims=True)
    size = np.square(np.abs(plane)).sum(1)
    onto_first = (plane.conj() * plane[0]).sum(1) * (1 / np.maximum(size, 1e-9))
    bends = np.diff(plane * onto_first[:, None], 2, axis=0)
    each = np.sqrt(np.square(np.abs(bends)).mean(1)) / 2
    return float(np.median(each) / apart[0]) if len(each) else 0.0


def _covered(thumbnails: ImageArray) -> float:
    """Share of the faces whose lower half is unlike the median face."""
    lower = thumbnails[:, THUMBNAIL // 2 :].reshape(len(thumbnails), -1).astype(np.float32)
    usual = np.median(lower, 0)
    lower, usual = lower - lower.mean(1, keepdims=True), usual - usual.mean()
    spread = np.linalg.norm(lower, axis=1) * np.linalg.norm(usual)
    return float((lower @ usual / np.maximum(spread, 1e-6) < _LIKE_MEDIAN).mean())


def small_grey(image: ImageArray) -> FloatArray:
    """The whole picture as ``[32, 32]`` grey values in [0, 1]."""
    import cv2

    small = cv2.resize(image, (_SCENE, _SCENE), interpolation=cv2.INTER_AREA)
    return np.asarray(small.mean(2) / 255, np.float32)


def picture_change(before: FloatArray, now: FloatArray) -> float:
    """Mean change of the grey values, 0 to 1; a change of the light as a whole counts little."""
    difference = now - before
    return float(np.abs(difference - 0.75 * np.median(difference)).mean())


def sharpness_and_thumbnail(
    image: ImageArray,
    points: FloatArray,  # [478, 2] pixels
) -> tuple[float, ImageArray]:
    """Of one face: see the module. The thumbnail is ``[24, 24]`` uint8, eyes level."""
    import cv2

    right, left = (points[corner] for corner in OUTER_EYE_CORNERS)
    across = left - right
    down = np.array([-across[1], across[0]])
    length = max(float(np.hypot(*across)), 1.0)
    # Scaled down first by whole pixels' means, so that a large face does not alias.
    factor = min(_EYES_APART / length, 1.0)
    if factor < 1:
        size = [max(round(side * factor), 1) for side in image.shape[1::-1]]
        image = cast(ImageArray, cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    centre = ((right + left) / 2 + 0.45 * down) * factor
    rotation = np.stack([across, down]) / length * _EYES_APART / (length * factor)
    matrix = np.concatenate([rotation, (_CROP / 2 - rotation @ centre)[:, None]], 1)
    crop = cv2.warpAffine(image, matrix, (_CROP, _CROP), borderMode=cv2.BORDER_REPLICATE)
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    inner = grey[_CROP // 8 : -_CROP // 8, _CROP // 8 : -_CROP // 8]
    laplacian = cv2.Laplacian(inner, cv2.CV_32F)
    thumbnail = cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    sharp = float(laplacian.var() / max(float(inner.var()), 25.0))
    return sharp, np.asarray(thumbnail.round(), np.uint8)
