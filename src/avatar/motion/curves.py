"""The curves that the voice drives: sixteen movements of mouth and jaw, left and right alike."""

from __future__ import annotations

import numpy as np

from avatar.types import ARKIT_NAMES, FloatArray

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
