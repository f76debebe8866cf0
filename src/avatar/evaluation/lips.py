"""How far the mouth is open, from landmarks, and how that follows the sound."""

from __future__ import annotations

from typing import cast

import numpy as np

from avatar.types import Audio, FloatArray, Landmarks

_UPPER, _LOWER = (82, 13, 312), (87, 14, 317)
_FOREHEAD, _CHIN = 10, 152
_LARGEST_OFFSET_SECONDS = 0.2


def lip_opening(landmarks: Landmarks) -> float:
    """Distance between the inner lips, as a share of the height of the face."""
    points = landmarks.points[:, :2]
    gap = np.linalg.norm(points[list(_LOWER)] - points[list(_UPPER)], axis=1).mean()
    return float(gap / np.linalg.norm(points[_CHIN] - points[_FOREHEAD]))


def loudness(audio: Audio, frames: int, fps: float) -> FloatArray:
    """Root mean square of the sound of each frame, ``[frames]``."""
    edges = np.rint(np.arange(frames + 1) * audio.sample_rate / fps).astype(int)
    power = np.concatenate([[0.0], np.cumsum(audio.samples.astype(np.float64) ** 2)])
    edges = np.minimum(edges, len(audio.samples))
    length = np.maximum(np.diff(edges), 1)
    mean = np.maximum(np.diff(power[edges]), 0) / length
    return cast(FloatArray, np.sqrt(mean).astype(np.float32))


def lag(opening: FloatArray, sound: FloatArray, fps: float) -> tuple[float, float]:
    """How the mouth follows the sound: ``(offset_seconds, correlation)``.

    The offset is the one within 0.2 s at which the two correlate best; positive where the mouth
    comes after the sound. Both are 0 where one of them does not change.
    """
    reach = min(round(_LARGEST_OFFSET_SECONDS * fps), len(opening) - 2)
    best = (0.0, 0.0)
    for offset in range(-reach, reach + 1):
        mouth = opening[max(offset, 0) : len(opening) + min(offset, 0)]
        voice = sound[max(-offset, 0) : len(sound) - max(offset, 0)]
        if mouth.std() < 1e-6 or voice.std() < 1e-6:
            continue
        value = float(np.corrcoef(mouth, voice)[0, 1])
        if value > best[1]:
            best = (offset / fps, value)
    return best
