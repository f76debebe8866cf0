"""From moved landmarks to a dense backward flow.

The displacement of the landmarks is spread over the plane by normalised Gaussian interpolation at
several scales: the coarse scale carries the head, the next the skin, several times, as each time
something is left over at the landmarks; only lips and eyes take part in the finest. Far from the
face the flow decays to zero and the background stays.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from avatar.ops import spread, spread_over_grid

INNER_LIPS = (
    78,
    191,
    80,
    81,
    82,
    13,
    312,
    311,
    310,
    415,
    308,
    324,
    318,
    402,
    317,
    14,
    87,
    178,
    88,
    95,
)
OUTER_LIPS = (
    61,
    185,
    40,
    39,
    37,
    0,
    267,
    269,
    270,
    409,
    291,
    375,
    321,
    405,
    314,
    17,
    84,
    181,
    91,
    146,
)
RIGHT_EYE = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
LEFT_EYE = (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249)
RIGHT_IRIS = (469, 470, 471, 472)
LEFT_IRIS = (474, 475, 476, 477)
"""Outlines in the MediaPipe mesh. Right and left are the person's; both eyes begin at the outer
corner.
"""

_OUTLINE = (
    10, 21, 54, 58, 67, 93, 103, 109, 127, 132, 136, 148, 149, 150, 152, 162, 172, 176, 234, 251,
    284, 288, 297, 323, 332, 338, 356, 361, 365, 377, 378, 379, 389, 397, 400, 454,
)  # fmt: skip
"""The oval of the face."""

_LOWER_FACE = (
    2, 18, 36, 43, 50, 57, 83, 92, 97, 98, 101, 106, 123, 129, 135, 138, 142, 147, 164, 165, 167,
    169, 171, 175, 182, 186, 187, 192, 194, 199, 200, 201, 202, 203, 204, 205, 206, 207, 208, 210,
    211, 212, 214, 216, 266, 273, 280, 287, 313, 322, 326, 327, 330, 335, 352, 358, 364, 367, 371,
    376, 391, 393, 394, 396, 406, 410, 411, 416, 418, 421, 422, 423, 424, 425, 426, 427, 428, 430,
    431, 432, 434, 436,
)  # fmt: skip
"""Cheeks and chin, and what lies around the mouth: the skin that speech moves."""

_RINGS = INNER_LIPS + OUTER_LIPS + RIGHT_EYE + LEFT_EYE
_IRISES = RIGHT_IRIS + LEFT_IRIS
_SKIN = sorted({*range(0, 468, 3), *_OUTLINE, *_LOWER_FACE} - {*_RINGS})
FLOW_POINTS = (*_SKIN, *_RINGS, *_IRISES)
"""The landmarks that carry the flow. The last ``FINE`` are lips, lids and irises, the last
``IRISES`` irises.
"""

FINE = len(_RINGS) + len(_IRISES)
IRISES = len(_IRISES)


class Scale(NamedTuple):
    """One step from coarse to fine.

    Attributes:
        sigma: width of the Gaussian, in inter-ocular distances.
        floor: weight of "no displacement": where the landmarks' weights fall below it, the flow
            fades out.
        times: how often it is applied, each time to what is left over at the landmarks.
        careful: whether landmarks count as far as they are trusted (see ``trust``).
    """

    sigma: float
    floor: float
    times: int
    careful: bool = True


SCALES = (Scale(0.35, 0.01, 1, careful=False), Scale(0.12, 0.01, 3))
"""Those in which all landmarks but the irises take part."""

FINEST = Scale(0.045, 0.10, 1)
"""That of lips, lids and irises."""

_BRIDGE, _EARS = 168, (234, 454)
_NARROWEST = 0.05
"""Least width of a side of the face, in distances of the eyes."""

_LATERAL = (0.45, 0.85)
"""From where on landmarks lie at the side of the face, as a share of the way to the ear."""

_GROWN, _SHRUNK = (1.2, 1.5), (1.3, 1.7)
"""How many times wider, or narrower, a side of the face becomes until its outer landmarks are
followed less, and until they are followed no more.
"""

_OPEN_EYE = 0.06
"""Distance of the lids, in inter-ocular distances, from which an iris counts fully."""


def inter_ocular(points: Tensor) -> Tensor:  # [..., 478, >=2] -> [...]
    """Distance between the outer eye corners, in pixels."""
    return distance(points[..., 33, :2], points[..., 263, :2])


def distance(a: Tensor, b: Tensor) -> Tensor:  # [..., 2] each -> [...]
    length: Tensor = torch.linalg.vector_norm(a - b, dim=-1)
    return length


def landmark_flow(
    nodes: Tensor,  # [B, N, 2] pixels of the target
    target: Tensor,  # [B, 478, 2] landmarks where they shall be
    source: Tensor,  # [B, 478, 2] landmarks where they are in the photo
    unit: Tensor,  # [B] inter-ocular distance in pixels
) -> Tensor:  # [B, N, 2]
    """Displacement to add to ``nodes`` to find the place in the photo that is shown there.

    The irises count only at the finest scale, and as far as the target's eye is open: under a
    closed lid there is nothing to see of them.
    """
    scale = unit.view(-1, 1, 1)
    nodes, flow = nodes / scale, torch.zeros_like(nodes)
    near, there = (face.index_select(1, _flow_points(face.device)) for face in (target, source))
    for step in steps(target, source, near, there, unit):
        flow = flow + spread(
            nodes, step.points, step.values,
            sigma=step.scale.sigma, floor=step.scale.floor, weights=step.weights,
        )  # fmt: skip
    return flow * scale


def landmark_flow_over_grid(
    x: Tensor,  # [columns] pixels of the target
    y: Tensor,  # [rows]
    target: Tensor,  # [1, 478, 2] landmarks where they shall be
    source: Tensor,  # [1, 478, 2] landmarks where they are in the photo
    unit: Tensor,  # [1] inter-ocular distance in pixels
    around: tuple[Tensor, Tensor] | None = None,  # [1, n, 2] each
) -> Tensor:  # [2, rows, columns]
    """``landmark_flow`` at the nodes (x, y) of an upright grid, many times faster.

    ``around`` are more points, where they shall be and where they are in the photo; they count at
    all scales but the finest. Not differentiable.
    """
    scale = float(unit)
    x, y, flow = x / scale, y / scale, x.new_zeros(2, len(y), len(x))
    near, there = (face.index_select(1, _flow_points(face.device)) for face in (target, source))
    for step in steps(target, source, near, there, unit, around):
        weights = None if step.weights is None else step.weights[0]
        flow += spread_over_grid(
            x, y, step.points[0], step.values[0],
            sigma=step.scale.sigma, floor=step.scale.floor, weights=weights,
        )  # fmt: skip
    return flow * scale


@cache
def _flow_points(device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # it outlives the first call, and gradients may pass later
        return torch.tensor(FLOW_POINTS, device=device)


class Step(NamedTuple):
    """What landmarks carry at one scale, in inter-ocular distances.

    Attributes:
        scale: by which it is spread.
        points: ``[B, n, 2]`` places in the target; values: ``[B, n, 2]`` the ways from there to
            the photo that coarser steps have left over.
        weights: ``[B, n]``; None where all count alike.
    """

    scale: Scale
    points: Tensor
    values: Tensor
    weights: Tensor | None = None


def steps(
    target: Tensor,  # [B, 478, 2] landmarks where they shall be
    source: Tensor,  # [B, 478, 2] landmarks where they are in the photo
    near: Tensor,  # [B, n, 2] of the target's, the ``FLOW_POINTS``
    there: Tensor,  # [B, n, 2] of the source's
    unit: Tensor,  # [B] inter-ocular distance, in the unit of all these
    around: tuple[Tensor, Tensor] | None = None,  # [B, m, 2] each
) -> list[Step]:
    """The steps whose sum is the flow, from coarse to fine."""
    trusted = trust(target, source, there)[..., None]
    if around is not None:
        near, there = torch.cat([around[0], near], 1), torch.cat([around[1], there], 1)
        trusted = torch.cat([torch.ones_like(around[0][..., :1]), trusted], 1)
    points = near / unit.view(-1, 1, 1)
    left_over = there / unit.view(-1, 1, 1) - points
    steady, found = points[:, :-IRISES], []
    for scale in SCALES:
        values = torch.zeros_like(steady)
        for _ in range(scale.times):
            now = left_over[:, :-IRISES]
            if scale.careful:
                now = now * trusted[:, :-IRISES]
            values = values + now
            left_over = left_over - spread(
                points, steady, now, sigma=scale.sigma, floor=scale.floor
            )
        found.append(Step(scale, steady, values))
    weights = landmark_weights(target, unit)
    return [*found, Step(FINEST, points[:, -FINE:], left_over[:, -FINE:], weights)]


def trust(target: Tensor, source: Tensor, points: Tensor) -> Tensor:  # [B, n, 2] -> [B, n] in 0..1
    """How closely ``points`` of the source are followed by the careful scales.

    As a head turns, one side of the face grows and the other shrinks. The photo shows little of
    what comes into sight on the one, and drawing that out smears; on the other what goes out of
    sight would fold. So what lies far out on a side that changes much is not followed.
    """
    before, after = _sides(torch.cat([source, target])).chunk(2)
    grown = after * before.sum(1, keepdim=True) / (before * after.sum(1, keepdim=True))
    turned = torch.maximum(_step(grown, *_GROWN), _step(1.0 / grown, *_SHRUNK))
    left = _across(points, source)
    lateral = torch.stack([-left, left], 2) / before[:, None]
    return 1.0 - (_step(lateral, *_LATERAL) * turned[:, None]).sum(-1)


def _sides(face: Tensor) -> Tensor:  # [B, 478, 2] -> [B, 2]
    """How wide the face is to the right and to the left of the bridge of the nose."""
    right, left = _across(torch.stack([face[:, ear] for ear in _EARS], 1), face).unbind(1)
    return torch.stack([-right, left], 1).clamp_min(_NARROWEST)


def _across(points: Tensor, face: Tensor) -> Tensor:  # [B, n, 2], [B, 478, 2] -> [B, n]
    """How far points lie to the left of the bridge of the nose, in distances of the eyes."""
    axis = (face[:, 263] - face[:, 33])[:, None]
    along = ((points - face[:, _BRIDGE, None]) * axis).sum(-1)
    width: Tensor = along / axis.square().sum(-1).clamp_min(1e-12)
    return width


def _step(value: Tensor, low: float, high: float) -> Tensor:
    return ((value - low) / (high - low)).clamp(0.0, 1.0)


def landmark_weights(target: Tensor, unit: Tensor) -> Tensor:  # [B, FINE]
    """How much each of the last ``FINE`` points counts: 1, but for the irises the openness of their
    eye.
    """
    right = distance(target[:, 159], target[:, 145])
    left = distance(target[:, 386], target[:, 374])
    openness = (torch.stack([right, left], 1) / (_OPEN_EYE * unit.view(-1, 1))).clamp(max=1.0)
    steady = target.new_ones(len(target), FINE - IRISES)
    return torch.cat([steady, openness.repeat_interleave(IRISES // 2, 1)], 1)
