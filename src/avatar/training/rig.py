"""Build the face rig from measured clips and the ICT face.

    python -m avatar.training.rig --tracks DIR --ict FILE -o FOLDER

The expression basis is a ridge regression from MediaPipe's ARKit-52 coefficients to the landmarks
measured with them, rigidly aligned, each person's own mean removed, people balanced, drawn towards
the shapes of the ICT face where clips say little. The identity basis is the principal components of
the ICT identities and of the measured people together. Everything is symmetrised.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from avatar.errors import InputError
from avatar.face.lips import LipField, lip_gaps
from avatar.face.rig import WEIGHTS_NAME, FaceRig
from avatar.face.topology import OUTER_EYE_CORNERS
from avatar.training.ict import IctFace
from avatar.training.rig_people import Person, align, read_people
from avatar.training.rig_report import measure
from avatar.types import ARKIT_NAMES, LANDMARK_COUNT
from avatar.weights import save_weights

Array = NDArray[np.float64]

HELD_OUT = (
    "GRID_s31", "GRID_s2", "GRID_x5", "GRID_x6", "latentsync_demo1_video",
    "liveportrait_d9", "liveportrait_d13", "liveportrait_d20", "liveportrait_s32", "stylised_c",
)  # fmt: skip
"""People the rig never sees; the report is on them."""

IDENTITY_MODES = 40
RIDGE = 12.0
"""Weight of the ICT shapes, in frames a person."""

_DATA = (
    "GRID audiovisual sentence corpus (CC BY 4.0)",
    "LatentSync demonstration clips (Apache-2.0 repository)",
    "LivePortrait demonstration clips (MIT repository)",
    "stylised demonstration clips (Apache-2.0 repository)",
    "ICT FaceKit light model (MIT)",
    "landmarks and blendshapes measured by MediaPipe Face Landmarker (Apache-2.0)",
)


def normalised(points: Array) -> Array:
    """``points [478, 3]`` with the rig's origin, unit and level eye line."""
    right, left = points[list(OUTER_EYE_CORNERS)]
    axis = left - right
    roll, turn = np.arctan2(axis[1], axis[0]), np.arctan2(axis[2], np.hypot(axis[0], axis[1]))
    about_z = np.array(
        [[np.cos(roll), np.sin(roll), 0], [-np.sin(roll), np.cos(roll), 0], [0, 0, 1]]
    )
    about_y = np.array(
        [[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]]
    )
    level: Array = (points - (right + left) / 2) @ (about_y @ about_z).T / np.linalg.norm(axis)
    return level


def mirror_order(mean: Array) -> NDArray[np.intp]:
    """For each point the index of its mirror image; an involution."""
    mirrored = mean * [-1, 1, 1]
    distance = np.linalg.norm(mean[:, None] - mirrored[None], axis=2)
    order = np.asarray(linear_sum_assignment(distance + distance.T)[1], np.intp)
    if not np.array_equal(order[order], np.arange(len(order))):
        raise InputError("the mean face has no left-right symmetry; the tracks are too few")
    return order


def mirrored(points: Array, order: NDArray[np.intp]) -> Array:
    """``points [..., 478, 3]`` seen in a mirror."""
    seen: Array = points[..., order, :] * np.array([-1.0, 1.0, 1.0])
    return seen


def mirror_names() -> list[int]:
    """For each expression the index of its left-right counterpart."""
    swap = {"Left": "Right", "Right": "Left"}
    indices = []
    for name in ARKIT_NAMES:
        side = next((s for s in swap if name.endswith(s)), None)
        other = name.removesuffix(side) + swap[side] if side else name
        indices.append(ARKIT_NAMES.index(other))
    return indices


def population_mean(people: Sequence[Person]) -> Array:
    """The symmetric mean face of the people in the rig's frame, each with equal weight."""
    facing = [np.einsum("tji,tnj->tni", p.turns, p.points).mean(0) for p in people]
    mean = np.mean([normalised(f) for f in facing], axis=0)
    for _ in range(3):
        means = [align(p.points[::5], mean).mean(0) for p in people]
        mean = normalised(np.mean(means, axis=0))
    order = mirror_order(mean)
    return normalised((mean + mirrored(mean, order)) / 2)


def expression_basis(
    people: Sequence[Person], mean: Array, prior: Array, order: NDArray[np.intp]
) -> tuple[Array, list[Array]]:
    """Ridge regression towards ``prior [52, 478, 3]``; gives the basis and each person's mean face.

    Head turn enters as a nuisance variable, so what the mesh does when a head turns is not mistaken
    for expression.
    """
    count = len(ARKIT_NAMES)
    gram = np.zeros((count + 9, count + 9))
    cross = np.zeros((count + 9, LANDMARK_COUNT * 3))
    faces = []
    names = mirror_names()
    for person in people:
        points = align(person.points, mean)
        turn = np.stack(
            [person.turns[:, 0, 2], person.turns[:, 1, 2], person.turns[:, 0, 1]], axis=1
        )
        pairs = np.column_stack([turn**2, turn[:, :1] * turn[:, 1:], turn[:, 1:2] * turn[:, 2:]])
        inputs = np.column_stack([person.weights, turn, pairs])
        both = np.column_stack([person.weights[:, names], turn * [-1, 1, -1],
                                pairs * [1, 1, 1, -1, 1, -1]])  # fmt: skip
        faces.append(points.mean(0))
        for rows, shapes in ((inputs, points), (both, mirrored(points, order))):
            rows = rows - rows.mean(0)
            shapes = (shapes - shapes.mean(0)).reshape(len(shapes), -1)
            share = 200.0 / len(rows)
            gram += share * rows.T @ rows
            cross += share * rows.T @ shapes
    penalty = np.r_[np.full(count, RIDGE), np.full(9, 1e-3)]
    towards = np.concatenate([prior.reshape(count, -1), np.zeros((9, cross.shape[1]))])
    solved = np.linalg.solve(gram + np.diag(penalty), cross + penalty[:, None] * towards)
    basis = solved[:count].reshape(count, LANDMARK_COUNT, 3)
    return (basis + mirrored(basis[names], order)) / 2, faces


def close_mouth_close(basis: Array, mean: Array) -> Array:
    """``mouthClose`` changed so that lips that meet still meet under ``jawOpen`` with it."""
    jaw, close = (ARKIT_NAMES.index(name) for name in ("jawOpen", "mouthClose"))
    field = LipField.of_shape(mean, basis[jaw])
    basis = basis.copy()
    basis[close] += field.closing(lip_gaps(basis[jaw] + basis[close]))
    return basis


def identity_basis(
    faces: Sequence[Array], ict: Array, mean: Array, order: NDArray[np.intp]
) -> Array:
    """``[IDENTITY_MODES, 478, 3]``, one standard deviation each, symmetric population."""
    people = [face - np.mean(faces, axis=0) for face in faces]
    measured = np.stack([*people, *(mirrored(p, order) for p in people)]).reshape(-1, mean.size)
    modes = np.concatenate([ict, mirrored(ict, order)]).reshape(-1, mean.size)
    rows = np.concatenate(
        [modes / np.sqrt(2.0), measured / np.sqrt(max(len(measured) / 2 - 1, 1.0) * 2.0)]
    )
    rows = without_pose(rows, mean)
    _, singular, directions = np.linalg.svd(rows, full_matrices=False)
    basis: Array = singular[:IDENTITY_MODES, None] * directions[:IDENTITY_MODES]
    return basis.reshape(-1, *mean.shape)


def without_pose(rows: Array, mean: Array) -> Array:
    """``rows [n, 478·3]`` with what a small similarity of ``mean`` does projected out."""
    generators = [np.tile(axis, (len(mean), 1)) for axis in np.eye(3)]
    generators += [np.cross(axis, mean) for axis in np.eye(3)] + [mean]
    span = np.linalg.qr(np.stack([g.ravel() for g in generators]).T)[0]
    rest: Array = rows - (rows @ span) @ span.T
    return rest


def build(people: Iterable[Person], ict_path: Path) -> FaceRig:
    """The rig from the people who are not held out."""
    train = [person for person in people if person.name not in HELD_OUT]
    mean = population_mean(train)
    order = mirror_order(mean)
    ict = IctFace.read(ict_path).on_mesh(mean)
    prior = (ict.expressions + mirrored(ict.expressions[mirror_names()], order)) / 2
    basis, faces = expression_basis(train, mean, prior, order)
    basis = close_mouth_close(basis, mean)
    neutral = [
        face - np.tensordot(person.weights.mean(0), basis, 1)
        for face, person in zip(faces, train, strict=True)
    ]
    mean_neutral = np.mean(neutral, axis=0)
    mean_neutral = normalised((mean_neutral + mirrored(mean_neutral, order)) / 2)
    identities = identity_basis(neutral, ict.identities, mean, order)
    return FaceRig(
        mean_neutral.astype(np.float32), identities.astype(np.float32), basis.astype(np.float32)
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Build, measure on the people held out, and save."""
    parser = argparse.ArgumentParser(prog="python -m avatar.training.rig", description=__doc__)
    parser.add_argument("--tracks", type=Path, required=True, help="folder of measured clips")
    parser.add_argument("--ict", type=Path, required=True, help="ict_face.npz")
    parser.add_argument("-o", "--output", type=Path, default=None, help="folder of the weights")
    options = parser.parse_args(arguments)
    people = read_people(options.tracks)
    rig = build(people, options.ict)
    report = measure(rig, [person for person in people if person.name in HELD_OUT])
    for name, value in report.items():
        print(f"{name:48} {value:.4f}")
    given = [Path(a).name if "/" in a else a for a in (arguments or sys.argv[1:])]
    config = {
        "expression_names": list(ARKIT_NAMES),
        "command": shlex.join(["python", "-m", "avatar.training.rig", *given]),
        "data": list(_DATA),
        "people_trained_on": sorted(p.name for p in people if p.name not in HELD_OUT),
        "people_held_out": sorted(p.name for p in people if p.name in HELD_OUT),
        "held_out_measurements": report,
    }
    tensors = {
        "mean": torch.from_numpy(rig.mean),
        "identity_basis": torch.from_numpy(rig.identity_basis).half(),
        "expression_basis": torch.from_numpy(rig.expression_basis).half(),
    }
    print(save_weights(WEIGHTS_NAME, tensors, config, options.output))


if __name__ == "__main__":
    main()
