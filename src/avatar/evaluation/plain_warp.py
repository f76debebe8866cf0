"""The plain warp of landmarks: what every painted picture is measured against, whatever this
package's own warp (``generator.warping``) has learnt since.

Every third landmark carries its displacement, spread once by each of three Gaussians, coarse to
fine, as the first probes of this generator did; lips, lids and irises alone take part in the last.
"""

from __future__ import annotations

import torch
from torch import Tensor

from avatar.generator.portrait import Portrait
from avatar.generator.warping import (
    INNER_LIPS,
    LEFT_EYE,
    LEFT_IRIS,
    OUTER_LIPS,
    RIGHT_EYE,
    RIGHT_IRIS,
    inter_ocular,
    landmark_weights,
)
from avatar.ops import compose, spread
from avatar.types import FloatArray, ImageArray

_RINGS = INNER_LIPS + OUTER_LIPS + RIGHT_EYE + LEFT_EYE
_IRISES = RIGHT_IRIS + LEFT_IRIS
_SKIN = tuple(k for k in range(0, 468, 3) if k not in _RINGS)
_STEADY, _FINE = _SKIN + _RINGS, _RINGS + _IRISES
_COARSE = ((0.35, 0.01), (0.12, 0.03))
"""Width, and weight of "no displacement", of the scales of all landmarks but the irises."""

_FINEST = (0.045, 0.10)


def plain_flow(
    nodes: Tensor,  # [B, N, 2] pixels of the target
    target: Tensor,  # [B, 478, 2] landmarks where they shall be
    source: Tensor,  # [B, 478, 2] landmarks where they are in the photo
    unit: Tensor,  # [B] inter-ocular distance in pixels
    around: tuple[Tensor, Tensor] | None = None,  # [B, n, 2] each
) -> Tensor:  # [B, N, 2]
    """As ``generator.warping.landmark_flow``; ``around`` are more points for the coarse scales."""
    scale = unit.view(-1, 1, 1)
    nodes, target, there = nodes / scale, target / scale, source / scale
    if around is not None:
        target, there = (
            torch.cat([known, more / scale], 1)
            for known, more in ((target, around[0]), (there, around[1]))
        )
    steady = [*_STEADY, *range(478, target.shape[1])]
    left_over, flow = there - target, torch.zeros_like(nodes)
    for sigma, floor in _COARSE:
        points, carried = target[:, steady], left_over[:, steady]
        flow = flow + spread(nodes, points, carried, sigma=sigma, floor=floor)
        left_over = left_over - spread(target, points, carried, sigma=sigma, floor=floor)
    weights = landmark_weights(target * scale, unit)
    flow = flow + spread(
        nodes, target[:, _FINE], left_over[:, _FINE],
        weights=weights, sigma=_FINEST[0], floor=_FINEST[1],
    )  # fmt: skip
    return flow * scale


@torch.inference_mode()
def plain_picture(portrait: Portrait, landmarks: FloatArray) -> ImageArray:
    """The photo, moved to ``landmarks`` ``[478, 2 or 3]`` by the plain warp."""
    nodes = portrait.nodes
    target = torch.from_numpy(landmarks[None, :, :2].copy())
    flow = plain_flow(
        nodes.flatten(2).transpose(1, 2), target, portrait.points, inter_ocular(portrait.points),
        portrait.head.moved(landmarks),
    )  # fmt: skip
    positions = portrait.shown_from(flow.transpose(1, 2).view_as(nodes)[0])
    image = compose(portrait.planes[0].permute(1, 2, 0), positions, portrait.region, [])
    drawn: ImageArray = image.numpy()
    return drawn
