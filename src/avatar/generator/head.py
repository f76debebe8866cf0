"""The head behind the face: hair and skull, which have no landmarks.

The landmarks end at the hairline. What lies beyond would be carried along with the nearest of them
and fly off where the head turns. A ring of points around the face, some way behind the eyes, moves
as a rigid head does: hair lags where the face turns, and comes along where the head is moved or
tilted. Depth and reach were chosen by eye: a deeper or nearer ring uncovers the forehead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from avatar.face.pose import similarity
from avatar.face.topology import STABLE
from avatar.types import FloatArray

OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
    148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
"""Outline of the mesh, from the top of the forehead to the right of the image."""

_DEPTH = 0.35
"""Of the ring behind the eyes, in inter-ocular distances."""

_REACH = 1.6
"""How far the ring lies around the outline, as a factor from its centre."""

RING_EVERY = 2
"""Each such point of the outline has one in the ring."""


@dataclass(frozen=True, eq=False)
class Head:
    """The ring around one face.

    Attributes:
        stable: ``[18, 3]`` points of the face in the photo that no expression moves.
        ring: ``[n, 3]`` pixels of the photo.
    """

    stable: FloatArray
    ring: FloatArray

    @classmethod
    def around(cls, points: FloatArray) -> Head:  # [478, 3]
        """The ring around a face in its photo."""
        oval = points[list(OVAL[::RING_EVERY])]
        centre = oval.mean(0)
        ring = centre + _REACH * (oval - centre)
        eyes = points[[33, 263]]
        unit = np.linalg.norm(np.subtract(*eyes[:, :2]))
        ring[:, 2] = eyes[:, 2].mean() + _DEPTH * unit
        return cls(points[list(STABLE)], ring.astype(np.float32))

    def moved(self, points: FloatArray) -> tuple[Tensor, Tensor]:  # [478, 3]
        """``[1, n, 2]`` where the ring is when the face is at ``points``, and in the photo."""
        scale, turn, shift = similarity(self.stable, points[list(STABLE)])
        ring = (scale * self.ring @ turn.T + shift).astype(np.float32)
        there = [np.ascontiguousarray(points[None, :, :2]) for points in (ring, self.ring)]
        return torch.from_numpy(there[0]), torch.from_numpy(there[1])
