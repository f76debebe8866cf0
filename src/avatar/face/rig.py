"""``FaceRig``: a linear 3-D model of the 478 landmarks.

A face is ``mean + identity · identity_basis + expression · expression_basis``, turned, scaled and
placed in the image. The rig's own frame has the axes of landmarks (x right, y down, z away from the
camera), the distance between the outer eye corners of the mean as its unit, and the midpoint of
those corners as its origin. Identity coefficients are standard deviations of a population; the
expression is ARKit-52 as MediaPipe measures it.

The mesh of MediaPipe is weakly perspective with z in pixels, so the pose is a similarity and solves
in closed form (Umeyama, 1991).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar.errors import InputError, WeightsError
from avatar.face.pose import matrix_from_quaternion, quaternion_from_matrix, similarity
from avatar.types import ARKIT_NAMES, IBUG68, LANDMARK_COUNT, FloatArray, Landmarks
from avatar.weights import load_weights

WEIGHTS_NAME = "face_rig"

_IDENTITY_PRIOR = 1e-5
_EXPRESSION_PRIOR = 1e-4
"""Weights of the priors against squared distances in rig units, per point."""
_ROUNDS = 6


@dataclass(frozen=True, eq=False)
class RigFit:
    """A face in the terms of the rig.

    Attributes:
        identity: ``[K]`` float32, standard deviations.
        expression: ``[52]`` float32 in [0, 1].
        rotation: ``[4]`` unit quaternion wxyz from the rig's frame to the image's.
        translation: ``[3]`` pixels, where the rig's origin lies.
        scale: pixels per unit of the rig.
    """

    identity: FloatArray
    expression: FloatArray
    rotation: FloatArray
    translation: FloatArray
    scale: float

    @property
    def yaw_degrees(self) -> float:
        """How far the head is turned sideways, positive towards the right of the image."""
        forward = -matrix_from_quaternion(self.rotation)[:, 2]
        return float(np.degrees(np.arctan2(forward[0], -forward[2])))

    @property
    def pitch_degrees(self) -> float:
        """How far the head is bent, positive downwards."""
        forward = -matrix_from_quaternion(self.rotation)[:, 2]
        return float(np.degrees(np.arctan2(forward[1], np.hypot(forward[0], forward[2]))))


@dataclass(frozen=True, eq=False)
class FaceRig:
    """The linear face model; immutable.

    Attributes:
        mean: ``[478, 3]`` float32.
        identity_basis: ``[K, 478, 3]`` float32, one standard deviation each.
        expression_basis: ``[52, 478, 3]`` float32, the order of ``ARKIT_NAMES``.
    """

    mean: FloatArray
    identity_basis: FloatArray
    expression_basis: FloatArray

    def __post_init__(self) -> None:
        face = (LANDMARK_COUNT, 3)
        modes = len(self.identity_basis)
        for name, shape in (
            ("mean", face),
            ("identity_basis", (modes, *face)),
            ("expression_basis", (len(ARKIT_NAMES), *face)),
        ):
            found = np.shape(getattr(self, name))
            if found != shape:
                raise WeightsError(f"rig.{name} must be {list(shape)}, got {list(found)}")

    @staticmethod
    def load(folder: Path | str | None = None) -> FaceRig:
        """The rig this package ships, or the one in ``folder``.

        Raises:
            WeightsError: the files are missing or damaged.
        """
        return _load(None if folder is None else str(folder))

    def displacement(
        self,
        expression: FloatArray,  # [52]
    ) -> FloatArray:
        """How an expression moves the points, ``[478, 3]`` in rig units."""
        weights = _coefficients(expression, len(self.expression_basis), "expression")
        moved = weights @ self.expression_basis.reshape(len(self.expression_basis), -1)
        return moved.reshape(LANDMARK_COUNT, 3)

    def shape(self, identity: FloatArray | None = None) -> FloatArray:
        """The neutral face of an identity, ``[478, 3]`` in rig units."""
        if identity is None:
            return self.mean
        weights = _coefficients(identity, len(self.identity_basis), "identity")
        own = weights @ self.identity_basis.reshape(len(self.identity_basis), -1)
        return self.mean + own.reshape(LANDMARK_COUNT, 3)

    def landmarks(
        self,
        identity: FloatArray | None = None,  # [K]
        expression: FloatArray | None = None,  # [52]
        *,
        rotation: FloatArray | None = None,  # [4] wxyz
        translation: FloatArray | None = None,  # [3] pixels
        scale: float = 1.0,
    ) -> FloatArray:
        """The points ``[478, 3]`` float32 of a face; the mean face in rig units by default."""
        points = self.shape(identity)
        if expression is not None:
            points = points + self.displacement(expression)
        if rotation is not None:
            points = points @ matrix_from_quaternion(rotation).T
        points = points * np.float32(scale)
        if translation is not None:
            points = points + np.asarray(translation, np.float32)
        return points.astype(np.float32)

    def fit(
        self,
        landmarks: Landmarks,
        expression: FloatArray | None = None,  # [52]
    ) -> RigFit:
        """The identity, pose and (unless given) expression that explain ``landmarks`` best.

        Alternates the closed-form pose with a linear solve of the coefficients, identity under a
        Gaussian prior and expression within [0, 1].
        """
        target = np.asarray(landmarks.points, np.float64)
        if not np.isfinite(target).all():
            raise InputError("landmarks hold NaN or infinity; detect the face again")
        solver = _Solver(self, np.arange(LANDMARK_COUNT), expression)
        points = solver.points()
        for _ in range(_ROUNDS):
            scale, rotation, translation = similarity(points, target)
            solver.update((target - translation) @ rotation / scale)
            points = solver.points()
        scale, rotation, translation = similarity(points, target)
        return solver.result(scale, rotation, translation)

    def lift(
        self,
        points68: FloatArray,  # [68, 2 | 3] pixels, iBUG order
    ) -> Landmarks:
        """The full mesh from the 68 iBUG points of another detector.

        Depth comes from the rig alone, so a third column is ignored. What the rig does not explain
        of the 68 points is carried to their neighbours smoothly.

        Raises:
            InputError: the points are not ``[68, 2]`` or ``[68, 3]``, or are not finite.
        """
        given = np.asarray(points68, np.float64)
        if given.shape not in ((68, 2), (68, 3)) or not np.isfinite(given).all():
            raise InputError(f"expected finite points [68, 2] or [68, 3], got {list(given.shape)}")
        target = given[:, :2]
        index = np.array(IBUG68)
        solver = _Solver(self, index, None)
        depth = self.mean[index, 2].astype(np.float64) * _spread(target) / _spread(self.mean[index])
        for _ in range(4 * _ROUNDS):
            lifted = np.column_stack([target, depth])
            scale, rotation, translation = similarity(solver.points(), lifted)
            solver.update((lifted - translation) @ rotation / scale)
            depth = (solver.points() @ rotation.T * scale + translation)[:, 2]
        fitted = solver.result(scale, rotation, translation)
        mesh = self.landmarks(
            fitted.identity, fitted.expression,
            rotation=fitted.rotation, translation=fitted.translation, scale=fitted.scale,
        )  # fmt: skip
        residual = target - mesh[index, :2]
        mesh[:, :2] += _carry(self.mean, index, residual)
        return Landmarks(mesh)


class _Solver:
    """The coefficients of a fit over some of the points, in the rig's frame."""

    def __init__(
        self, rig: FaceRig, index: NDArray[np.intp], expression: FloatArray | None
    ) -> None:
        identity = rig.identity_basis[:, index].reshape(len(rig.identity_basis), -1)
        moves = rig.expression_basis[:, index].reshape(len(rig.expression_basis), -1)
        self._modes = len(identity)
        self._basis = np.concatenate([identity, moves]).astype(np.float64)
        self._mean = rig.mean[index].astype(np.float64).ravel()
        self._prior = (
            len(index)
            * np.r_[np.full(self._modes, _IDENTITY_PRIOR), np.full(len(moves), _EXPRESSION_PRIOR)]
        )
        self._gram = self._basis @ self._basis.T
        self._known = expression is not None
        self._weights = np.zeros(len(self._basis))
        if expression is not None:
            given = _coefficients(expression, len(moves), "expression")
            self._weights[self._modes :] = np.clip(given, 0.0, 1.0)

    def points(self) -> NDArray[np.float64]:
        return (self._mean + self._weights @ self._basis).reshape(-1, 3)

    def update(self, target: NDArray[np.float64]) -> None:
        """Solve for the coefficients that bring ``points()`` to ``target`` ``[n, 3]``."""
        wanted = self._basis @ (target.ravel() - self._mean)
        free = np.ones(len(self._weights), bool)
        free[self._modes :] = not self._known
        weights = self._weights.copy()
        for _ in range(4):
            wanted_free = wanted[free] - self._gram[np.ix_(free, ~free)] @ weights[~free]
            gram = self._gram[np.ix_(free, free)] + np.diag(self._prior[free])
            weights[free] = np.linalg.solve(gram, wanted_free)
            outside = free & ((weights < 0) | (weights > 1))
            outside[: self._modes] = False
            if not outside.any():
                break
            weights[outside] = np.clip(weights[outside], 0.0, 1.0)
            free &= ~outside
        weights[self._modes :] = np.clip(weights[self._modes :], 0.0, 1.0)
        self._weights = weights

    def result(
        self, scale: float, rotation: NDArray[np.float64], translation: NDArray[np.float64]
    ) -> RigFit:
        return RigFit(
            identity=self._weights[: self._modes].astype(np.float32),
            expression=self._weights[self._modes :].astype(np.float32),
            rotation=quaternion_from_matrix(rotation),
            translation=translation.astype(np.float32),
            scale=float(scale),
        )


@lru_cache(maxsize=4)
def _load(folder: str | None) -> FaceRig:
    tensors, config = load_weights(WEIGHTS_NAME, folder=folder)
    if tuple(config.get("expression_names", ())) != ARKIT_NAMES:
        raise WeightsError("the rig's expressions are not the 52 of ARKIT_NAMES; reinstall avatar")
    arrays: dict[str, FloatArray] = {}
    for name in ("mean", "identity_basis", "expression_basis"):
        if name not in tensors:
            raise WeightsError(f"the rig holds no {name!r}; reinstall avatar")
        arrays[name] = tensors[name].float().numpy()
        arrays[name].setflags(write=False)
    return FaceRig(**arrays)


def _coefficients(values: FloatArray, count: int, name: str) -> FloatArray:
    if np.shape(values) != (count,):
        raise InputError(f"{name} must be [{count}], got {list(np.shape(values))}")
    return np.asarray(values, np.float32)


def _spread(points: NDArray[np.floating]) -> float:
    """Root-mean-square distance of the points' x, y from their centre."""
    flat = points[:, :2] - points[:, :2].mean(0)
    return float(np.sqrt((flat**2).sum(1).mean()))


def _carry(
    mean: FloatArray, index: NDArray[np.intp], residual: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Spread the residual of the points ``index`` over the mesh, exact at those points."""
    width = 0.12
    distance = np.linalg.norm(mean[:, None, :] - mean[None, index, :], axis=2)
    kernel = np.exp(-0.5 * (distance.astype(np.float64) / width) ** 2)
    weights = np.linalg.solve(kernel[index] + 1e-6 * np.eye(len(index)), residual)
    carried: NDArray[np.float64] = kernel @ weights
    return carried
