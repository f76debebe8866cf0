"""The curves that the voice drives: sixteen movements of mouth and jaw, left and right alike."""

from __future__ import annotations

import numpy as np

from avatar.types import ARKIT_NAMES, VISEME_NAMES, FloatArray

CURVES: tuple[str, ...] = (
    "jawOpen", "jawForward", "mouthClose", "mouthFunnel", "mouthPucker", "mouthRollLower",
    "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthPress", "mouthSmile",
    "mouthFrown", "mouthStretch", "mouthDimple", "mouthLowerDown", "mouthUpperUp",
)  # fmt: skip
"""ARKit names; one that ARKit has for each side stands here without ``Left`` and ``Right``."""


def curve_matrix() -> FloatArray:
    """``[16, 52]``: which blendshapes each curve moves, each with weight one."""
    matrix = np.zeros((len(CURVES), len(ARKIT_NAMES)), np.float32)
    for i, curve in enumerate(CURVES):
        for side in ("", "Left", "Right"):
            if curve + side in ARKIT_NAMES:
                matrix[i, ARKIT_NAMES.index(curve + side)] = 1.0
    return matrix


OPENING: tuple[str, ...] = ("jawOpen", "mouthLowerDown", "mouthUpperUp", "mouthFunnel")
"""The curves that part the lips; they fade as far as the voice presses the lips together."""
OPENS = np.array([name in OPENING for name in CURVES], np.float32)

PARTED = np.array([0.03 * (name == "mouthLowerDown") for name in CURVES], np.float32)
"""What is added where sounds of speech keep the lips apart: only m, b, p, f and v do not.

Without it the lips also meet in t, s and n, where a camera hardly sees them part.
"""
_NOT_PARTED = {"sil": 1.0, "PP": 1.5, "FF": 1.5}
NOT_PARTED = np.array([_NOT_PARTED.get(name, 0.0) for name in VISEME_NAMES], np.float32)
"""How surely each viseme takes that away."""
PRESSED = VISEME_NAMES.index("PP")
