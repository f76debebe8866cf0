"""From phoneme times to mouth motion: dominance functions (Cohen and Massaro, 1993).

Each sound pulls the mouth towards its own shape, with a strength that fades exponentially before
and after it; the motion is the average of the shapes, weighted by those strengths. Rounding spreads
wider than opening, closures win over everything while they last.
"""

from __future__ import annotations

import numpy as np

from avatar.motion.curves import CURVES
from avatar.types import VISEME_NAMES, FloatArray

_SHAPES: dict[str, dict[str, float]] = {
    "sil": {},
    "PP": {"mouthPress": 0.25, "mouthRollUpper": 0.15, "mouthRollLower": 0.15},
    "FF": {"jawOpen": 0.03, "mouthRollLower": 0.3, "mouthUpperUp": 0.12},
    "TH": {"jawOpen": 0.12, "mouthLowerDown": 0.12, "mouthUpperUp": 0.05},
    "DD": {"jawOpen": 0.1, "mouthLowerDown": 0.12, "mouthUpperUp": 0.05, "mouthStretch": 0.04},
    "kk": {"jawOpen": 0.15, "mouthLowerDown": 0.08, "mouthUpperUp": 0.04},
    "CH": {"jawOpen": 0.08, "mouthFunnel": 0.25, "mouthPucker": 0.25, "mouthLowerDown": 0.1},
    "SS": {"jawOpen": 0.05, "mouthLowerDown": 0.15, "mouthUpperUp": 0.08, "mouthStretch": 0.08,
           "mouthSmile": 0.08},
    "nn": {"jawOpen": 0.12, "mouthLowerDown": 0.1, "mouthUpperUp": 0.04},
    "RR": {"jawOpen": 0.12, "mouthPucker": 0.25, "mouthFunnel": 0.12},
    "aa": {"jawOpen": 0.42, "mouthLowerDown": 0.1, "mouthUpperUp": 0.06},
    "E": {"jawOpen": 0.28, "mouthLowerDown": 0.1, "mouthUpperUp": 0.06, "mouthSmile": 0.06},
    "ih": {"jawOpen": 0.17, "mouthLowerDown": 0.08, "mouthUpperUp": 0.05, "mouthSmile": 0.1,
           "mouthStretch": 0.06},
    "oh": {"jawOpen": 0.3, "mouthFunnel": 0.25, "mouthPucker": 0.25},
    "ou": {"jawOpen": 0.12, "mouthFunnel": 0.2, "mouthPucker": 0.55},
}  # fmt: skip

_STRENGTH = {"sil": 0.7, "PP": 6.0, "FF": 4.0, "CH": 1.5, "ou": 1.6, "oh": 1.3, "kk": 0.5}
_ROUNDING = ("mouthFunnel", "mouthPucker")
_FADE_SECONDS = 0.035
_ROUNDING_FADE_SECONDS = 0.07
_SHARPNESS = 2.0


def _shape_matrix() -> FloatArray:
    matrix = np.zeros((len(VISEME_NAMES), len(CURVES)), np.float32)
    for name, shape in _SHAPES.items():
        for curve, value in shape.items():
            matrix[VISEME_NAMES.index(name), CURVES.index(curve)] = value
    return matrix


def _dominance(
    times: FloatArray, phones: list[tuple[float, float, int]], fade_seconds: float
) -> FloatArray:
    """``[T, 15]``: how strongly each viseme pulls at each time."""
    total = np.zeros((len(times), len(VISEME_NAMES)), np.float32)
    for start, end, viseme in phones:
        centre, core = (start + end) / 2, (end - start) / 4
        away = np.maximum(np.abs(times - centre) - core, 0.0)
        strength = _STRENGTH.get(VISEME_NAMES[viseme], 1.0)
        total[:, viseme] += strength * np.exp(-away / fade_seconds)
    total[:, 0] += 1e-3
    return total


def coarticulate(
    phones: list[tuple[float, float, int]], times: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Mouth curves and visemes of timed sounds.

    Args:
        phones: (start seconds, end seconds, viseme index).
        times: ``[T]`` seconds at which to say them.

    Returns:
        ``[T, 16]`` curves in the order of ``CURVES``, and ``[T, 15]`` viseme weights that sum to 1.
    """
    narrow = _dominance(times, phones, _FADE_SECONDS)
    wide = _dominance(times, phones, _ROUNDING_FADE_SECONDS)
    shapes = _shape_matrix()
    curves = (narrow / narrow.sum(1, keepdims=True)) @ shapes
    rounding = [CURVES.index(name) for name in _ROUNDING]
    curves[:, rounding] = ((wide / wide.sum(1, keepdims=True)) @ shapes)[:, rounding]
    visemes = narrow**_SHARPNESS
    return curves, visemes / visemes.sum(1, keepdims=True)
