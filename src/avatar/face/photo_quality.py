"""What can be said of a photo before it is used: how good it is, and what it shows of the face."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import uniform_filter1d

from avatar.face.rig import FaceRig
from avatar.face.topology import (
    CHIN,
    EYES,
    INNER_LIP_CORNERS,
    INNER_LIP_LOWER,
    INNER_LIP_UPPER,
    OUTER_EYE_CORNERS,
)
from avatar.types import Face, FloatArray, ImageArray

_UNIT = 100.0
"""Inter-ocular distance, in pixels, at which a face is judged."""

_SMALL, _LARGE = 24.0, 148.0
"""Pixels between the outer eye corners of a face that is just usable, and of one that all painted
patches can be cut from at full size."""

_BLURRED, _SHARP = 0.62, 0.42
"""Blur (Crété-Roffet et al. 2007) of a face with no detail left, and of one with all of it."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_CHEEKS = ((50, 101, 118, 117), (280, 330, 347, 346))
"""Right and left."""


@dataclass(frozen=True)
class PhotoQuality:
    """One photo, measured. Shares and scores are from 0 to 1.

    Attributes:
        eye_distance_pixels: between the outer eye corners.
        size, sharpness, light: how good these are.
        inside: how much of the face lies in the picture.
        lip_gap: greatest distance of the inner lips, in eye distances.
        teeth: how much of what is between the lips are teeth.
        eyes_open: least opening of the two eyes as a share of its width.
        yaw_degrees: how far the head is turned, positive towards the right of the image.
        pitch_degrees: how far it is bent, positive downwards.
        uneven_light: difference of the cheeks as a share of their brightness.
        brightness: of the face.
    """

    eye_distance_pixels: float
    size: float
    sharpness: float
    light: float
    inside: float
    lip_gap: float
    teeth: float
    eyes_open: float
    yaw_degrees: float
    pitch_degrees: float
    uneven_light: float
    brightness: float

    @property
    def quality(self) -> float:
        """Of the photo as a whole: no better than its worst side, and worse for each bad one."""
        sides = (self.size, self.sharpness, self.light, self.inside)
        return math.sqrt(min(sides) * math.prod(sides) ** 0.25)


def measure(photo: ImageArray, face: Face) -> PhotoQuality:
    """Measure a photo and the face found in it."""
    points = face.landmarks.points[:, :2]
    unit = float(np.linalg.norm(np.subtract(*points[list(OUTER_EYE_CORNERS)])))
    fit = FaceRig.load().fit(face.landmarks, face.expression)
    box, local = _face_box(photo, points, _UNIT / unit)
    luma = box @ _LUMA
    gaps = np.linalg.norm(points[list(INNER_LIP_UPPER)] - points[list(INNER_LIP_LOWER)], axis=1)
    cheeks = [_brightness(luma, local[list(cheek)]) for cheek in _CHEEKS]
    brightness = float(np.mean(cheeks))
    uneven = abs(cheeks[0] - cheeks[1]) / max(brightness, 1.0)
    height, width = photo.shape[:2]
    seen = (points >= 0).all(1) & (points[:, 0] < width) & (points[:, 1] < height)
    return PhotoQuality(
        eye_distance_pixels=unit,
        size=_ramp(unit, _SMALL, _LARGE),
        sharpness=_ramp(-_blur(luma), -_BLURRED, -_SHARP) * _ramp(unit, 0.0, 0.6 * _UNIT),
        light=_light(brightness, uneven),
        inside=_ramp(float(seen.mean()), 0.5, 1.0),
        lip_gap=float(gaps.max()) / unit,
        teeth=_teeth(box, local),
        eyes_open=_eyes_open(points),
        yaw_degrees=fit.yaw_degrees,
        pitch_degrees=fit.pitch_degrees,
        uneven_light=uneven,
        brightness=brightness,
    )


def _ramp(value: float, nothing: float, all_: float) -> float:
    return float(np.clip((value - nothing) / (all_ - nothing), 0.0, 1.0))


def _face_box(photo: ImageArray, points: FloatArray, scale: float) -> tuple[FloatArray, FloatArray]:
    """The face at a scale, float32 levels, and its landmarks in it."""
    low = np.maximum(points.min(0), 0).astype(int)
    high = np.minimum(points.max(0) + 1, photo.shape[1::-1]).astype(int)
    part = Image.fromarray(photo[low[1] : high[1], low[0] : high[0]])
    size = (max(1, round(part.width * scale)), max(1, round(part.height * scale)))
    kind = Image.Resampling.BOX if scale < 1.0 else Image.Resampling.BILINEAR
    return np.asarray(part.resize(size, kind), np.float32), (points - low + 0.5) * scale - 0.5


def _blur(luma: FloatArray) -> float:
    """0 for noise, 1 for nothing but gradients: how little blurring it again takes away."""
    blurs = []
    for axis in (0, 1):
        before = np.abs(np.diff(luma, axis=axis))
        after = np.abs(np.diff(uniform_filter1d(luma, 9, axis=axis), axis=axis))
        lost = np.maximum(before - after, 0.0).sum()
        blurs.append(1.0 - lost / max(float(before.sum()), 1e-6))
    return float(max(blurs))


def _polygon(shape: tuple[int, ...], outline: FloatArray) -> NDArray[np.bool_]:
    mask = Image.new("1", (shape[1], shape[0]))
    ImageDraw.Draw(mask).polygon([(float(x), float(y)) for x, y in outline], fill=1)
    return np.asarray(mask)


def _brightness(luma: FloatArray, outline: FloatArray) -> float:
    inside = luma[_polygon(luma.shape, outline)]
    return float(np.median(inside if inside.size else luma))


def _light(brightness: float, uneven: float) -> float:
    enough = min(_ramp(brightness, 15.0, 80.0), _ramp(-brightness, -250.0, -225.0))
    return enough * (1.0 - 0.6 * _ramp(uneven, 0.25, 0.9))


def _teeth(box: FloatArray, local: FloatArray) -> float:
    """Share of what is between the lips that is bright and less coloured than the skin."""
    right, left = INNER_LIP_CORNERS
    ring = local[[right, *INNER_LIP_UPPER, left, *INNER_LIP_LOWER[::-1]]]
    mouth = box[_polygon(box.shape, ring)]
    skin = box[_polygon(box.shape, local[[CHIN[0], *_CHEEKS[0], *_CHEEKS[1]]])]
    if len(mouth) < 30 or not len(skin):
        return 0.0
    tone = np.median(skin, axis=0)
    bright = mouth @ _LUMA > 0.55 * float(tone @ _LUMA)
    redness = (mouth[:, 0] - mouth[:, 1:].mean(1)) / np.maximum(mouth.mean(1), 1.0)
    least = (tone[0] - tone[1:].mean()) / max(float(tone.mean()), 1.0)
    return float((bright & (redness < max(0.75 * least, 0.05))).mean())


def _eyes_open(points: FloatArray) -> float:
    openings = []
    for eye in EYES:
        lids = np.linalg.norm(points[list(eye.upper)] - points[list(eye.lower)], axis=1).max()
        openings.append(float(lids / np.linalg.norm(points[eye.outer] - points[eye.inner])))
    return min(openings)
