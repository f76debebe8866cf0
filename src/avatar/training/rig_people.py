"""The measured people the rig is built from and judged on.

Tracks are ``*.npz`` files, one a clip: ``landmarks [T, 478, 3]`` pixels, ``blendshapes [T, 52]`` in
MediaPipe's order (``_neutral`` first), ``matrix [T, 4, 4]``, ``identity``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar.errors import InputError
from avatar.face.pose import similarity
from avatar.face.topology import STABLE

Array = NDArray[np.float64]

_FRAMES_PER_PERSON = 600
_TURN_LIMIT_DEGREES = 35.0


@dataclass(frozen=True, eq=False)
class Person:
    """The measured frames of one person: ``points [T, 478, 3]`` px, ``weights [T, 52]`` ours."""

    name: str
    points: Array
    weights: Array
    turns: Array  # [T, 3, 3] head rotation in the landmarks' axes


def read_people(folder: Path) -> list[Person]:
    """The people of all tracks in ``folder``, at most a few hundred frames each, near-frontal."""
    gathered: dict[str, list[tuple[Array, Array, Array]]] = {}
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise InputError(f"no tracks (*.npz) in {folder}")
    for path in paths:
        with np.load(path) as track:
            found = np.isfinite(track["landmarks"][:, 0, 0])
            matrix = track["matrix"][found, :3, :3].astype(np.float64)
            points, measured = track["landmarks"][found], track["blendshapes"][found]
            name = str(track["identity"])
        matrix /= np.cbrt(np.linalg.det(matrix))[:, None, None]
        flip = np.diag([1.0, -1.0, -1.0])
        turns = flip @ matrix @ flip
        facing = np.degrees(np.arccos(np.clip(turns[:, 2, 2], -1, 1)))
        good = facing < _TURN_LIMIT_DEGREES
        ours = np.column_stack([measured[:, 1:], np.zeros(len(measured))])
        gathered.setdefault(name, []).append(
            (points[good].astype(np.float64), ours[good].astype(np.float64), turns[good])
        )
    people = []
    for name, parts in sorted(gathered.items()):
        points, weights, turns = (np.concatenate(column) for column in zip(*parts, strict=True))
        keep = np.unique(np.linspace(0, len(points) - 1, _FRAMES_PER_PERSON).astype(int))
        if len(points) >= 20:
            people.append(Person(name, points[keep], weights[keep], turns[keep]))
    return people


def align(points: Array, reference: Array) -> Array:
    """Every frame of ``points [T, 478, 3]`` brought onto ``reference`` by its stable points."""
    stable = list(STABLE)
    aligned = np.empty_like(points)
    for index, frame in enumerate(points):
        scale, rotation, translation = similarity(frame[stable], reference[stable])
        aligned[index] = scale * frame @ rotation.T + translation
    return aligned
