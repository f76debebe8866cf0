"""What the rig is worth on people it has not seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from avatar.face.rig import FaceRig
from avatar.face.topology import (
    BROWS,
    CHIN,
    EYES,
    INNER_LIP_CORNERS,
    INNER_LIP_LOWER,
    INNER_LIP_UPPER,
    OUTER_EYE_CORNERS,
)
from avatar.training.rig_people import Person, align
from avatar.types import Landmarks

Array = NDArray[np.float64]

_REGIONS: dict[str, tuple[int, ...]] = {
    "inner lips": (*INNER_LIP_UPPER, *INNER_LIP_LOWER, *INNER_LIP_CORNERS),
    "eyelids": tuple(i for eye in EYES for i in (*eye.upper, *eye.lower)),
    "irises": tuple(i for eye in EYES for i in eye.iris),
    "brows": BROWS,
    "chin": CHIN,
}
_FIT_FRAMES = 12


def measure(rig: FaceRig, people: Sequence[Person]) -> dict[str, float]:
    """Shares of motion explained, and errors of fits in inter-ocular distances; people balanced."""
    left: dict[str, list[float]] = {name: [] for name in _REGIONS}
    opening: list[float] = []
    mean = rig.mean.astype(np.float64)
    basis = rig.expression_basis.astype(np.float64)
    for person in people:
        points = align(person.points, mean)
        points -= points.mean(0)
        predicted = np.tensordot(person.weights - person.weights.mean(0), basis, 1)
        for name, region in _REGIONS.items():
            index = list(region)
            error = ((points - predicted)[:, index, :2] ** 2).sum()
            left[name].append(float(error / (points[:, index, :2] ** 2).sum()))
        gap, gap_predicted = (x[:, 14, 1] - x[:, 13, 1] for x in (points, predicted))
        opening.append(float(np.corrcoef(gap, gap_predicted)[0, 1]))
    report = {
        f"share of motion explained, {name}": 1 - float(np.mean(values))
        for name, values in left.items()
    }
    report["correlation of lip opening"] = float(np.mean(opening))
    return report | _fit_errors(rig, people)


def _fit_errors(rig: FaceRig, people: Sequence[Person]) -> dict[str, float]:
    errors: dict[str, list[float]] = {"expression measured": [], "expression solved": []}
    lifted: list[float] = []
    for person in people:
        step = max(len(person.points) // _FIT_FRAMES, 1)
        for points, weights in zip(person.points[::step], person.weights[::step], strict=True):
            face = Landmarks(points.astype(np.float32))
            unit = float(np.linalg.norm(np.subtract(*points[list(OUTER_EYE_CORNERS)])))
            for name, given in (
                ("expression measured", weights.astype(np.float32)),
                ("expression solved", None),
            ):
                fit = rig.fit(face, given)
                again = rig.landmarks(
                    fit.identity, fit.expression,
                    rotation=fit.rotation, translation=fit.translation, scale=fit.scale,
                )  # fmt: skip
                errors[name].append(_distance(again, points) / unit)
            lifted.append(_distance(rig.lift(face.ibug68()[:, :2]).points, points) / unit)
    report = {
        f"round trip of fit, {name} (inter-ocular)": float(np.mean(values))
        for name, values in errors.items()
    }
    return report | {"error of 68 points lifted (inter-ocular)": float(np.mean(lifted))}


def _distance(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Mean distance of the points in the image plane."""
    return float(np.linalg.norm((a - b)[:, :2], axis=1).mean())
