"""Rotations and similarities of points: quaternions are wxyz, matrices act on column vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from avatar.types import FloatArray


def matrix_from_quaternion(
    quaternion: FloatArray,  # [4] wxyz, unit
) -> FloatArray:
    """The rotation matrix ``[3, 3]`` float32."""
    w, x, y, z = (float(v) for v in quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ],
        np.float32,
    )


def quaternion_from_matrix(
    matrix: NDArray[np.floating],  # [3, 3] rotation
) -> FloatArray:
    """The unit quaternion wxyz with ``w >= 0``, ``[4]`` float32.

    It is the eigenvector of the largest eigenvalue of a symmetric form (Bar-Itzhack, 2000), which
    has no special cases.
    """
    m = np.asarray(matrix, np.float64)
    form = np.array(
        [
            [m[0, 0] + m[1, 1] + m[2, 2], m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]],
            [m[2, 1] - m[1, 2], m[0, 0] - m[1, 1] - m[2, 2], m[0, 1] + m[1, 0], m[0, 2] + m[2, 0]],
            [m[0, 2] - m[2, 0], m[0, 1] + m[1, 0], m[1, 1] - m[0, 0] - m[2, 2], m[1, 2] + m[2, 1]],
            [m[1, 0] - m[0, 1], m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], m[2, 2] - m[0, 0] - m[1, 1]],
        ]
    )
    quaternion = np.linalg.eigh(form)[1][:, -1]
    if quaternion[0] < 0:
        quaternion = -quaternion
    return quaternion.astype(np.float32)


def similarity(
    source: NDArray[np.floating],  # [n, 3]
    target: NDArray[np.floating],  # [n, 3]
) -> tuple[float, NDArray[np.float64], NDArray[np.float64]]:
    """Scale, rotation ``[3, 3]`` and translation ``[3]`` that bring ``source`` onto ``target``.

    Least squares in closed form, reflections excluded (Umeyama, 1991).
    """
    a, b = np.asarray(source, np.float64), np.asarray(target, np.float64)
    a_mean, b_mean = a.mean(0), b.mean(0)
    a, b = a - a_mean, b - b_mean
    u, singular, vt = np.linalg.svd(b.T @ a)
    sign = np.ones(3)
    sign[2] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    rotation = (u * sign) @ vt
    scale = float((singular * sign).sum() / (a**2).sum())
    return scale, rotation, b_mean - scale * rotation @ a_mean
