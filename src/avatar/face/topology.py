"""Where things lie in the 478-point face mesh.

"Left" and "right" are the person's own, as in the ARKit names: the person's left is on the right of
the image. Paired tuples run from the person's right to the person's left, or from the outer to the
inner corner of an eye; equal positions of an upper and a lower tuple face each other.
"""

from __future__ import annotations

from typing import NamedTuple

INNER_LIP_UPPER = (191, 80, 81, 82, 13, 312, 311, 310, 415)
INNER_LIP_LOWER = (95, 88, 178, 87, 14, 317, 402, 318, 324)
INNER_LIP_CORNERS = (78, 308)
OUTER_LIP_UPPER = (185, 40, 39, 37, 0, 267, 269, 270, 409)
OUTER_LIP_LOWER = (146, 91, 181, 84, 17, 314, 405, 321, 375)
OUTER_LIP_CORNERS = (61, 291)


class Eye(NamedTuple):
    """Points of one eye: corners, paired lid margins, and the iris with its centre first."""

    outer: int
    inner: int
    upper: tuple[int, ...]
    lower: tuple[int, ...]
    iris: tuple[int, ...]


RIGHT_EYE = Eye(
    33, 133, (246, 161, 160, 159, 158, 157, 173), (7, 163, 144, 145, 153, 154, 155),
    (468, 469, 470, 471, 472),
)  # fmt: skip
LEFT_EYE = Eye(
    263, 362, (466, 388, 387, 386, 385, 384, 398), (249, 390, 373, 374, 380, 381, 382),
    (473, 474, 475, 476, 477),
)  # fmt: skip
EYES = (RIGHT_EYE, LEFT_EYE)

OUTER_EYE_CORNERS = (33, 263)
BROWS = (
    46, 53, 52, 65, 55, 70, 63, 105, 66, 107,
    276, 283, 282, 295, 285, 300, 293, 334, 296, 336,
)  # fmt: skip
CHIN = (152, 148, 377, 176, 400, 149, 378, 175, 199, 200, 171, 396, 208, 428)
NOSE_BASE = 2
CHIN_TIP = 152

STABLE = (33, 133, 362, 263, 168, 6, 197, 195, 5, 127, 356, 162, 389, 234, 454, 21, 251, 10)
"""Points that expressions hardly move: eye corners, bridge of the nose, temples, hairline."""
