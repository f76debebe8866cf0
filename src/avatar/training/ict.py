"""The ICT face on the MediaPipe mesh.

The two models share the 68 iBUG points. A thin-plate spline through them bends the ICT skin onto
the mesh's mean; each mesh point then takes the motion of the nearest skin around it. Lip points
only look at skin of their own lip, told apart by how far the jaw carries it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator
from scipy.spatial import cKDTree

from avatar.face.pose import similarity
from avatar.face.topology import (
    EYES,
    INNER_LIP_LOWER,
    INNER_LIP_UPPER,
    OUTER_LIP_LOWER,
    OUTER_LIP_UPPER,
)
from avatar.types import ARKIT_NAMES, IBUG68

Array = NDArray[np.float64]

_SKIN = slice(0, 9409)
_EYEBALLS = (slice(21451, 23021), slice(23021, 24591))
_NEIGHBOURS = 4


@dataclass(frozen=True, eq=False)
class IctOnMesh:
    """``expressions [52, 478, 3]`` and ``identities [modes, 478, 3]`` in rig units."""

    expressions: Array
    identities: Array


@dataclass(frozen=True, eq=False)
class IctFace:
    """The model as published, its axes turned to x right, y down, z away."""

    neutral: Array  # [V, 3]
    expressions: Array  # [52, V, 3]
    identities: Array  # [modes, V, 3]
    ibug68: NDArray[np.intp]

    @classmethod
    def read(cls, path: Path) -> IctFace:
        """Read ``ict_face.npz`` and the ``vertex_indices.json`` beside it."""
        axes = np.array([1.0, -1.0, -1.0])
        with np.load(path) as data:
            neutral = data["neutral"] * axes
            names = [str(name) for name in data["expression_names"]]
            moves = {n: d * axes for n, d in zip(names, data["expression"], strict=True)}
            identities = data["identity"] * axes
        indices = json.loads((path.parent / "vertex_indices.json").read_text())
        expressions = np.stack([_arkit(name, moves, neutral.shape) for name in ARKIT_NAMES])
        return cls(neutral, expressions, identities, np.array(indices["idx_to_landmark_verts"]))

    def on_mesh(
        self,
        mean: Array,  # [478, 3] rig units
    ) -> IctOnMesh:
        """Expressions and identities carried to the points of ``mean``."""
        landmarks = mean[list(IBUG68)]
        scale, rotation, translation = similarity(self.neutral[self.ibug68], landmarks)
        placed = scale * self.neutral @ rotation.T + translation
        bend = RBFInterpolator(placed[self.ibug68], landmarks - placed[self.ibug68], smoothing=1e-4)
        skin = placed[_SKIN] + bend(placed[_SKIN])
        index, weights = self._nearest(mean, skin)
        turn = scale * rotation.T

        def carried(moves: Array) -> Array:
            result: Array = np.einsum("ank,anki->ani", weights[None], moves[:, index]) @ turn
            return result

        expressions = carried(self.expressions)
        for eye, ball in zip(EYES, self._eyeballs(placed), strict=True):
            centre = mean[eye.iris[0]]
            distance = np.linalg.norm(placed[ball, :2] - centre[:2], axis=1)
            front = placed[ball, 2] < np.median(placed[ball, 2])
            near = ball[np.argsort(np.where(front, distance, np.inf))[:12]]
            expressions[:, eye.iris] = (self.expressions[:, near].mean(1) @ turn)[:, None]
        return IctOnMesh(expressions, carried(self.identities))

    def mesh_points(
        self,
        mean: Array,  # [478, 3] rig units
    ) -> tuple[NDArray[np.intp], Array]:
        """Where the mesh's points lie on the model: vertices ``[478, k]`` and their weights."""
        landmarks = mean[list(IBUG68)]
        scale, rotation, translation = similarity(self.neutral[self.ibug68], landmarks)
        placed = scale * self.neutral @ rotation.T + translation
        bend = RBFInterpolator(placed[self.ibug68], landmarks - placed[self.ibug68], smoothing=1e-4)
        index, weights = self._nearest(mean, placed[_SKIN] + bend(placed[_SKIN]))
        for eye, ball in zip(EYES, self._eyeballs(placed), strict=True):
            front = ball[placed[ball, 2] < np.median(placed[ball, 2])]
            middle = placed[front[np.argmin(placed[front, 2])], :2]
            for point in eye.iris:
                wanted = middle + mean[point, :2] - mean[eye.iris[0], :2]
                index[point] = front[np.square(placed[front, :2] - wanted).sum(1).argmin()]
        return index, weights

    def _eyeballs(self, placed: Array) -> list[NDArray[np.intp]]:
        """Vertices of the right (image left) and the left eyeball."""
        balls = [np.arange(part.start, part.stop) for part in _EYEBALLS]
        return sorted(balls, key=lambda ball: float(placed[ball, 0].mean()))

    def _nearest(self, mean: Array, skin: Array) -> tuple[NDArray[np.intp], Array]:
        """Skin vertices ``[478, k]`` around each mesh point and their weights."""
        jaw = self.expressions[ARKIT_NAMES.index("jawOpen"), _SKIN, 1]
        moved = jaw / np.percentile(jaw, 99)
        lower_skin = moved > 0.35
        index = np.empty((len(mean), _NEIGHBOURS), np.intp)
        distance = np.empty((len(mean), _NEIGHBOURS))
        for points, allowed in (
            (np.arange(len(mean)), np.arange(len(skin))),
            (np.array([*INNER_LIP_UPPER, *OUTER_LIP_UPPER]), np.flatnonzero(~lower_skin)),
            (np.array([*INNER_LIP_LOWER, *OUTER_LIP_LOWER]), np.flatnonzero(lower_skin)),
        ):
            found, near = cKDTree(skin[allowed]).query(mean[points], k=_NEIGHBOURS)
            distance[points], index[points] = found, allowed[near]
        weights = 1.0 / (distance + 1e-3) ** 2
        return index, weights / weights.sum(1, keepdims=True)


def _arkit(name: str, moves: dict[str, Array], shape: tuple[int, ...]) -> Array:
    """The ICT displacement of an ARKit shape; both sides together where ARKit has one."""
    if name == "tongueOut":
        return np.zeros(shape)
    for side in ("Left", "Right"):
        if name.endswith(side) and name.removesuffix(side) + f"_{side[0]}" in moves:
            return moves[name.removesuffix(side) + f"_{side[0]}"]
    if name in moves:
        return moves[name]
    return moves[f"{name}_L"] + moves[f"{name}_R"]
