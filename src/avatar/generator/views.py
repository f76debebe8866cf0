"""Several photos of one person: each part is shown from the photo that saw it most as it shall be.

A mouth that opens takes its teeth from a photo that shows them, a lid that falls the skin of a lid
that was down. Photos are weighed by how near the landmarks of the part lie to those wanted, in the
part's own square, where place and size are gone; the weights change smoothly with the landmarks, so
nothing pops. The first photo is preferred: only its pixels have the resolution and the light of the
picture around. What another photo shows is not painted over, or the decoder, which learned to
invent the inside of a mouth, would put its teeth over the person's own. What was made of the first
photo is painted over by half.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from avatar.generator.networks import paint_window
from avatar.generator.parts import Part, Placement, share
from avatar.generator.warping import landmark_flow_over_grid
from avatar.ops import warp

SHARPNESS = {"mouth": 0.005, "eye": 0.0025}
"""Difference of distances, in inter-ocular distances, that makes a photo e times less wanted."""

PREFERRED = {"mouth": 0.004, "eye": 0.03}
"""By how much nearer another photo must be than the first."""

NEAR, FAR = 0.03, 0.07
"""Distance, in inter-ocular distances, up to which another photo may replace the first wholly, and
from which not at all.
"""

_POSE_COUNTS, _OPENING_COUNTS = 0.3, 0.3
"""How much the place of a part in its square, and its height and width, count beside its shape."""

LEAST = 0.03
"""Weights below this are none."""

_ON_MADE = 0.5
"""How much of the paint is laid on what was made of the first photo: it has the photo's pixels, the
paint has the light of a lid that is down.
"""

_UNPAINTED = 0.1
"""Weight of the first photo up to which nothing of it is painted over, which spares the decoder."""

FLOW_NODES = 32
_OUT_OF_REACH = 100.0
"""How far, in halves of the square, the landmarks of what never counts are moved away."""

_GAINS = (0.6, 1.6)
"""How much a photo may be darkened or lightened to fit the first."""


@dataclass(frozen=True, eq=False)
class View:
    """The parts that one network paints, as one photo shows them.

    Attributes:
        patches: ``[parts, 3, S, S]`` in [-1, 1], in the light of the first photo.
        points: ``[parts, 478, 2]`` landmarks in patch coordinates.
        features, style: of the embedder, ``[parts, …]``.
        made: from the first photo (``lids``), not taken.
    """

    patches: Tensor
    points: Tensor
    features: Tensor
    style: Tensor
    made: bool = False

    def out_of_reach(self) -> View:
        """A view that is like nothing and never counts."""
        return replace(self, points=self.points + _OUT_OF_REACH, made=True)


@dataclass(frozen=True, eq=False)
class Blend:
    """What all photos together show of the parts in one frame.

    Attributes:
        warped: ``[parts, 3, S, S]`` in [-1, 1].
        features: ``[parts, C, S/4, S/4]``.
        style: ``[parts, style]``.
        shares: ``[parts]`` how much of the paint is laid on.
        replaced: ``[parts, S, S]`` how much of the first photo's own pixels is given up.
    """

    warped: Tensor
    features: Tensor
    style: Tensor
    shares: Tensor
    replaced: Tensor


def in_the_light_of(
    first: Tensor,  # [parts, 3, S, S] in [-1, 1]
    first_outlines: Tensor,  # [parts, outlines, S/2, S/2]
    patches: Tensor,
    outlines: Tensor,
) -> Tensor:
    """``patches`` with the mean colour of their skin brought to that of ``first``."""
    wanted, given = _skin(first, first_outlines), _skin(patches, outlines)
    gain = (wanted / given.clamp_min(1e-3)).clamp(*_GAINS)
    return ((patches + 1.0) * gain - 1.0).clamp(-1.0, 1.0)


def _skin(patches: Tensor, outlines: Tensor) -> Tensor:
    """Mean colour ``[parts, 3, 1, 1]`` in [0, 2] of what lies around the last outline."""
    around = (outlines[:, -1:] < -0.3).float()
    small = functional.avg_pool2d(patches + 1.0, 2)
    return (small * around).sum((2, 3), keepdim=True) / around.sum((2, 3), keepdim=True).clamp_min(
        1.0
    )


def weigh(
    group: tuple[Part, ...],
    views: tuple[View, ...],
    wanted: Tensor,  # [parts, 478, 2] patch coordinates
) -> Tensor:  # [parts, views], summing to 1
    """How much each photo counts for each part."""
    rows = []
    for k, part in enumerate(group):
        shapes = torch.stack([wanted[k], *[view.points[k] for view in views]]) * part.extent
        distances = apart(shapes[:, part.likeness], len(part.outlines[0]))
        near = ((FAR - distances) / (FAR - NEAR)).clamp(0.0, 1.0)
        near = near * near * (3.0 - 2.0 * near)
        distances[0] -= PREFERRED[part.name]
        weights = torch.softmax(-distances / SHARPNESS[part.name], 0)
        weights[1:] = torch.relu(weights[1:] * near[1:] - LEAST) / (1.0 - LEAST)
        weights[0] = 1.0 - weights[1:].sum()
        rows.append(weights)
    return torch.stack(rows)


def apart(
    points: Tensor,  # [..., 1 + views, n, 2] in inter-ocular distances
    ring: int,
) -> Tensor:  # [..., views]
    """How unlike the first shape each other is, in inter-ocular distances.

    What is shown depends on the shape, less on where it lies in the square, which is the pose.

    Args:
        ring: how many of the points, from the first on, are the outline whose sides are compared.
    """
    middles = points.mean(-2, keepdim=True)
    around = points - middles
    others = around[..., 1:, :, :] - around[..., :1, :, :]
    shape = torch.linalg.vector_norm(others, dim=-1).mean(-1)
    moved = (middles[..., 1:, :, :] - middles[..., :1, :, :])[..., 0, :]
    pose = torch.linalg.vector_norm(moved, dim=-1)
    sides = points[..., :ring, :].amax(-2) - points[..., :ring, :].amin(-2)
    opening = (sides[..., 1:, :] - sides[..., :1, :]).abs().sum(-1)
    distances: Tensor = shape + _POSE_COUNTS * pose + _OPENING_COUNTS * opening
    return distances


def paint_share(
    weights: Tensor,  # [parts, views]
    made: Tensor,  # [parts, views] 1 for those that were made of the first, else 0
) -> Tensor:  # [parts]
    """How much of the paint is laid on."""
    counted = weights[:, 0] + _ON_MADE * (weights * made).sum(1)
    return ((counted - _UNPAINTED) / (1.0 - _UNPAINTED)).clamp(min=0.0)


def blend(
    group: tuple[Part, ...],
    views: tuple[View, ...],
    target: Tensor,  # [1, 478, 2] landmarks of the frame
    placements: list[Placement],
    outlines: Tensor,  # [parts, outlines, S/2, S/2]
    own: tuple[Tensor, Tensor],
) -> Blend | None:
    """The parts of a frame from all photos; None where the first alone counts.

    Args:
        own: the first photo's patches and features, warped to the frame.
    """
    wanted = torch.cat([place.to_patch(target) for place in placements])
    weights = weigh(group, views, wanted)
    if not weights[:, 1:].any():
        return None
    warped, features = (tensor * weights[:, :1, None, None] for tensor in own)
    style = torch.einsum("pv,vps->ps", weights, torch.stack([view.style for view in views]))
    shares = paint_share(weights, torch.tensor([[float(view.made) for view in views]]))
    for k, part in enumerate(group):
        shares[k] *= float(share(part, wanted[k : k + 1], views[0].points[k : k + 1]))
        for v in range(1, len(views)):
            if weights[k, v] > 0.0:
                patch, feature = _warped(part, views[v], k, wanted[k : k + 1])
                warped[k] += weights[k, v] * patch
                features[k] += weights[k, v] * feature
    window = paint_window(outlines[:, -1:])
    warped = own[0] + window * (warped - own[0])
    return Blend(
        warped, features, style, shares, window[:, 0] * (1.0 - weights[:, 0]).view(-1, 1, 1)
    )


def _warped(part: Part, view: View, k: int, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """One part of a photo, and its features, brought to the landmarks ``wanted``."""
    line = torch.linspace(-1.0, 1.0, FLOW_NODES)
    unit = torch.tensor([1.0 / part.extent])
    flow = landmark_flow_over_grid(line, line, wanted, view.points[k : k + 1], unit)
    flow[0] += line
    flow[1] += line.view(-1, 1)
    found = []
    for image in (view.patches[k : k + 1], view.features[k : k + 1].float()):
        side = image.shape[-1]
        found.append(warp(image, (flow[None] + 1.0) * ((side - 1) / 2), (side, side))[0])
    return found[0], found[1]
