"""Gaze and the eight ``eyeLook`` blendshapes say the same; this is how they correspond.

``Motion.gaze`` moves the eyes of the pixels. The blendshapes mirror it for those who read ARKit,
and ``Retargeter`` leaves them alone. The ranges are those that ARKit's own eye rotations and
weights have in recordings of Apple's face tracking: they are linear there.
"""

from __future__ import annotations

from avatar.types import ARKIT_NAMES, FloatArray

OUT_RADIANS, IN_RADIANS, UP_RADIANS, DOWN_RADIANS = 0.715, 0.51, 0.457, 0.612
"""How far an eye has turned where its ``eyeLook`` blendshape is 1."""

EYE_LOOKS: tuple[int, ...] = tuple(
    i for i, name in enumerate(ARKIT_NAMES) if name.startswith("eyeLook")
)
"""Their places in ``ARKIT_NAMES``: down, in, out, up; each left, then right."""


def look_weights(right: float, down: float) -> tuple[float, ...]:
    """The eight weights, in the order of ``EYE_LOOKS``, not yet clipped to 1.

    Args:
        right: radians to the right of the image, where the person's left eye turns outwards.
        down: radians downwards.
    """
    rightwards, leftwards = max(right, 0.0), max(-right, 0.0)
    downwards, upwards = max(down, 0.0) / DOWN_RADIANS, max(-down, 0.0) / UP_RADIANS
    return (
        downwards, downwards, leftwards / IN_RADIANS, rightwards / IN_RADIANS,
        rightwards / OUT_RADIANS, leftwards / OUT_RADIANS, upwards, upwards,
    )  # fmt: skip


def gaze_of(expression: FloatArray) -> tuple[float, float]:
    """Gaze in radians (right, down) from an expression ``[52]``, the mean of both eyes."""
    down = (expression[EYE_LOOKS[0]] + expression[EYE_LOOKS[1]]) / 2 * DOWN_RADIANS
    up = (expression[EYE_LOOKS[6]] + expression[EYE_LOOKS[7]]) / 2 * UP_RADIANS
    left_eye = expression[EYE_LOOKS[4]] * OUT_RADIANS - expression[EYE_LOOKS[2]] * IN_RADIANS
    right_eye = expression[EYE_LOOKS[3]] * IN_RADIANS - expression[EYE_LOOKS[5]] * OUT_RADIANS
    return float(left_eye + right_eye) / 2, float(down - up)
