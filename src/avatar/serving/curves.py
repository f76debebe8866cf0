"""ARKit's blendshapes as game engines know them: in PascalCase, in Apple's order."""

from __future__ import annotations

import numpy as np

from avatar.types import ARKIT_NAMES, FloatArray

ARKIT_ORDER: tuple[str, ...] = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft",
    "eyeSquintLeft", "eyeWideLeft",
    "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight",
    "eyeSquintRight", "eyeWideRight",
    "jawForward", "jawLeft", "jawRight", "jawOpen",
    "mouthClose", "mouthFunnel", "mouthPucker", "mouthLeft", "mouthRight", "mouthSmileLeft",
    "mouthSmileRight", "mouthFrownLeft", "mouthFrownRight", "mouthDimpleLeft",
    "mouthDimpleRight", "mouthStretchLeft", "mouthStretchRight", "mouthRollLower",
    "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthPressLeft", "mouthPressRight",
    "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft", "mouthUpperUpRight",
    "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight",
    "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft", "noseSneerRight",
    "tongueOut",
)  # fmt: skip
"""The 52 names in the order that Audio2Face-3D and Live Link Face use."""

PASCAL_NAMES: tuple[str, ...] = tuple(name[0].upper() + name[1:] for name in ARKIT_ORDER)

_PLACES = np.array([ARKIT_NAMES.index(name) for name in ARKIT_ORDER])


def in_arkit_order(expression: FloatArray) -> FloatArray:
    """``[52]`` in the order of ``ARKIT_NAMES`` as ``[52]`` in that of ``ARKIT_ORDER``."""
    reordered: FloatArray = expression[_PLACES]
    return reordered
