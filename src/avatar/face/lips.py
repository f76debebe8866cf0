"""The closed mouth: how to move a face so that its inner lips meet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avatar.face.topology import (
    INNER_LIP_CORNERS,
    INNER_LIP_LOWER,
    INNER_LIP_UPPER,
    OUTER_LIP_CORNERS,
    OUTER_LIP_LOWER,
    OUTER_LIP_UPPER,
)
from avatar.types import FloatArray

Points = NDArray[np.floating]

_UPPER_SHARE = 0.2
_CHIN_SHARE = 0.9
_OUTER_LIP_SHARE = 0.95
_UPPER = np.array(INNER_LIP_UPPER)
_LOWER = np.array(INNER_LIP_LOWER)


def lip_gaps(
    points: Points,  # [478, 3]
) -> Points:
    """``[9, 3]`` from each upper inner-lip point to the lower one that faces it."""
    gaps: Points = points[_LOWER] - points[_UPPER]
    return gaps


@dataclass(frozen=True, eq=False)
class LipField:
    """Smooth displacement fields over a face, one for each pair of facing inner-lip points.

    Attributes:
        weights: ``[478, 9]``: how far each point moves along a unit gap of each pair (negative:
            against it). Facing points then meet, and no pair moves another pair's points. The
            lower lip and the chin take four fifths of the way.
    """

    weights: FloatArray

    @classmethod
    def of_shape(
        cls,
        face: Points,  # [478, 3] in the face's own frame: x right, y down
        jaw_open: Points,  # [478, 3] displacement of jawOpen in the same frame
    ) -> LipField:
        """Fields that fall off below the lower lip as the jaw does, and quickly above the upper."""
        points = np.asarray(face, np.float64)
        middles = (points[_UPPER] + points[_LOWER]) / 2
        width = float(np.linalg.norm(np.subtract(*points[list(INNER_LIP_CORNERS)])))
        fall = np.asarray(jaw_open, np.float64)[:, 1]
        opened = np.clip(fall / fall[_LOWER].max(), 0.0, 1.0)[:, None]
        side = _hats(points[:, 0], middles[:, 0])
        above = _above_mouth(points, middles, width)[:, None]
        weights = (_UPPER_SHARE * above - (1 - _UPPER_SHARE) * _CHIN_SHARE * opened) * side
        return cls(_with_exact_lips(weights).astype(np.float32))

    def closing(
        self,
        gaps: Points,  # [9, 3]
    ) -> Points:
        """The displacement ``[478, 3]`` that removes ``gaps``."""
        moved: Points = self.weights @ gaps
        return moved


def _hats(
    positions: NDArray[np.float64],  # [n]
    knots: NDArray[np.float64],  # [9] rising
) -> NDArray[np.float64]:
    """Linear interpolation weights of the knots at the positions, ``[n, 9]``; 0 far beyond them."""
    step = 1.5 * abs(float(knots[-1] - knots[0])) / (len(knots) - 1)
    rising = np.maximum.accumulate(knots)
    wide = np.r_[rising[0] - step, rising, rising[-1] + step]
    hats = np.stack([np.interp(positions, wide, row) for row in np.eye(len(wide))], axis=1)
    return hats[:, 1:-1]


def _above_mouth(
    points: NDArray[np.float64], middles: NDArray[np.float64], width: float
) -> NDArray[np.float64]:
    """1 at the upper lip, decaying over the philtrum; 0 below the mouth."""
    distance = np.linalg.norm(points[:, None, :2] - middles[None, :, :2], axis=2).min(1)
    decay: NDArray[np.float64] = np.exp(-0.5 * (distance / (0.3 * width)) ** 2)
    return decay * (points[:, 1] < np.median(middles[:, 1]) + 0.05 * width)


def _with_exact_lips(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The fields with lips that follow their own pair fully and corners that stay."""
    weights = weights.copy()
    pairs = np.eye(len(_UPPER))
    weights[list(OUTER_LIP_UPPER)] = _UPPER_SHARE * _OUTER_LIP_SHARE * pairs
    weights[list(OUTER_LIP_LOWER)] = -(1 - _UPPER_SHARE) * _OUTER_LIP_SHARE * pairs
    weights[_UPPER] = _UPPER_SHARE * pairs
    weights[_LOWER] = -(1 - _UPPER_SHARE) * pairs
    weights[[*INNER_LIP_CORNERS, *OUTER_LIP_CORNERS]] = 0.0
    return weights
