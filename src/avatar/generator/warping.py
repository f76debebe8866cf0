"""From moved landmarks to a dense backward flow.

The displacement of the landmarks is spread over the plane by normalised Gaussian interpolation at
several scales: the coarse scale carries the head, each finer one what the coarser left over at the
landmarks. Only lips and eyes take part in the finest, so that the outline of the head stays smooth.
Far from the face the flow decays to zero and the background stays.
"""

from __future__ import annotations

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

_RINGS = INNER_LIPS + OUTER_LIPS + RIGHT_EYE + LEFT_EYE
_IRISES = RIGHT_IRIS + LEFT_IRIS
FLOW_POINTS = (*(k for k in range(0, 468, 3) if k not in _RINGS), *_RINGS, *_IRISES)
"""The landmarks that carry the flow. The last ``FINE`` are lips, lids and irises, the last
``IRISES`` irises.
"""

FINE = len(_RINGS) + len(_IRISES)
IRISES = len(_IRISES)

SIGMAS = (0.35, 0.12, 0.045)
"""Widths of the Gaussians, coarse to fine, in inter-ocular distances."""

FLOORS = (0.01, 0.03, 0.10)
"""Weight of "no displacement" at each scale: where the landmarks' weights fall below it, the flow
fades out.
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
    nodes, points = nodes / scale, target[:, FLOW_POINTS] / scale
    left_over = source[:, FLOW_POINTS] / scale - points
    steady, fine = slice(None, -IRISES), slice(-FINE, None)
    flow = torch.zeros_like(nodes)
    for sigma, floor in zip(SIGMAS[:2], FLOORS[:2], strict=True):
        carried = left_over[:, steady]
        flow = flow + spread(nodes, points[:, steady], carried, sigma=sigma, floor=floor)
        left_over = left_over - spread(points, points[:, steady], carried, sigma=sigma, floor=floor)
    flow = flow + spread(
        nodes, points[:, fine], left_over[:, fine],
        weights=landmark_weights(target, unit), sigma=SIGMAS[2], floor=FLOORS[2],
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
    the coarse scales. Not differentiable.
    """
    scale = float(unit)
    points, there = target[:, FLOW_POINTS], source[:, FLOW_POINTS]
    if around is not None:
        points, there = torch.cat([around[0], points], 1), torch.cat([around[1], there], 1)
    points = points / scale
    left_over = there / scale - points
    x, y = x / scale, y / scale
    steady, fine = slice(None, -IRISES), slice(-FINE, None)
    flow = x.new_zeros(2, len(y), len(x))
    for sigma, floor in zip(SIGMAS[:2], FLOORS[:2], strict=True):
        near, carried = points[:, steady], left_over[:, steady]
        flow += spread_over_grid(x, y, near[0], carried[0], sigma=sigma, floor=floor)
        left_over = left_over - spread(points, near, carried, sigma=sigma, floor=floor)
    flow += spread_over_grid(
        x, y, points[0, fine], left_over[0, fine],
        weights=landmark_weights(target, unit)[0], sigma=SIGMAS[2], floor=FLOORS[2],
    )  # fmt: skip
    return flow * scale


def landmark_weights(target: Tensor, unit: Tensor) -> Tensor:  # [B, FINE]
    """How much each of the last ``FINE`` points counts: 1, but for the irises the openness of their
    eye.
    """
    right = distance(target[:, 159], target[:, 145])
    left = distance(target[:, 386], target[:, 374])
    openness = (torch.stack([right, left], 1) / (_OPEN_EYE * unit.view(-1, 1))).clamp(max=1.0)
    steady = target.new_ones(len(target), FINE - IRISES)
    return torch.cat([steady, openness.repeat_interleave(IRISES // 2, 1)], 1)
