"""Episodes: source frames and a target of one person, cut to a part's patch, and painted.

What training and personalisation share. Everything runs on the device of the frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from avatar.generator.augmentation import (
    Augmentation,
    Bend,
    coarsen,
    recolour,
    recolour_lips,
)
from avatar.generator.inside import Inside
from avatar.generator.networks import PartGenerator
from avatar.generator.parts import Part, Placement, describe, share
from avatar.generator.warping import INNER_LIPS, inter_ocular, landmark_flow
from avatar.ops import warp

CROP = 400
"""Side of an aligned face in pixels."""

CROP_EXTENT = 1.4
"""Half of that side, in inter-ocular distances."""

FLOW_NODES = 32

Flow = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""As ``warping.landmark_flow``."""


class Faces(Protocol):
    """Aligned faces.

    Attributes:
        frames: ``[N, CROP, CROP, 3]`` uint8 RGB.
        landmarks: ``[N, 478, 2]`` float32 pixels of the aligned frame.
        mirror: ``[478]`` index of each landmark's counterpart on the other side of the face.
    """

    @property
    def frames(self) -> Tensor: ...

    @property
    def landmarks(self) -> Tensor: ...

    @property
    def mirror(self) -> Tensor: ...


@dataclass(frozen=True)
class Episode:
    """One batch.

    Attributes:
        target: ``[B, 3, S, S]`` in [-1, 1], the true patch.
        warped: the same, from the first source by the landmark flow.
        outlines, numbers: what the decoder is told (see ``parts.describe``).
        source_patches: ``[B, K, 3, S, S]``; source_outlines: ``[B, K, outlines, S/2, S/2]``.
        feature_grid: ``[B, 2, n, n]`` where the target's nodes lie in the first source patch, in
            -1..1.
        share: ``[B, 1, 1 or S, 1 or S]`` how much of the paint is laid on (see ``parts.share``,
            ``inside``).
        person: ``[B]`` index of the person.
    """

    target: Tensor
    warped: Tensor
    outlines: Tensor
    numbers: Tensor
    source_patches: Tensor
    source_outlines: Tensor
    feature_grid: Tensor
    share: Tensor
    person: Tensor


def cut(
    faces: Faces,
    part: Part,
    targets: NDArray[np.int64],  # [B]
    sources: NDArray[np.int64],  # [B, K]
    person: Tensor,  # [B]
    random: np.random.Generator | None = None,
    augmentation: Augmentation = Augmentation(),  # noqa: B008, it is frozen
    flow: Flow = landmark_flow,
) -> Episode:
    """Cut the patches of chosen frames; with ``random`` they are also augmented, alike in a row.

    ``flow`` brings the source to the target.
    """
    device = faces.frames.device
    batch, shots = sources.shape
    index = torch.from_numpy(np.concatenate([targets[:, None], sources], 1)).to(device).flatten()
    frames = faces.frames[index].permute(0, 3, 1, 2).float()
    points = faces.landmarks[index]
    if random is not None:
        frames = recolour_lips(frames, points, shots + 1, random, augmentation)
    bend = None
    if random is not None:
        bend = Bend.drawn(batch, CROP, device, random, augmentation)
        points = bend.bent(points.view(batch, shots + 1, 478, 2), faces.mirror).flatten(0, 1)
    placement = Placement.of(part, points)
    patches = _sample(frames, placement.grid(), part.size, bend)
    outlines, numbers = describe(part, points, placement, part.size // 2)

    rows = torch.arange(batch, device=device) * (shots + 1)
    target_points, source_points = points[rows], points[rows + 1]
    nodes = Placement.of(part, target_points).grid(FLOW_NODES)
    flat = nodes.flatten(2).transpose(1, 2)
    way = flow(flat, target_points, source_points, inter_ocular(source_points))
    moved = (flat + way).transpose(1, 2).view_as(nodes)
    warped = _sample(frames[rows + 1], moved, part.size, bend)
    in_source = Placement.of(part, source_points).grid_to_patch(moved)
    each = patches.view(batch, shots + 1, *patches.shape[1:])
    shares = share(part, target_points, source_points).view(-1, 1, 1, 1)
    if part.opening is not None:
        lips = placement.to_patch(points[:, INNER_LIPS]).view(batch, shots + 1, -1, 2)
        inside = Inside.of(each[:, 1:], lips[:, 1:])
        warped, kept = inside.lay(warped, outlines[rows, :1], lips[:, 0])
        shares = shares * (1.0 - kept)
    sets = torch.cat([each[:, :1], warped[:, None], each[:, 1:]], 1)
    if random is not None and augmentation.colours:
        sets = recolour(sets, random, augmentation.alike)
    sets = sets / 127.5 - 1.0
    if random is not None:
        sets = coarsen(sets, random, augmentation)
    maps = outlines.view(batch, shots + 1, *outlines.shape[1:])
    return Episode(
        target=sets[:, 0], warped=sets[:, 1], outlines=maps[:, 0],
        numbers=numbers.view(batch, shots + 1, -1)[:, 0],
        source_patches=sets[:, 2:], source_outlines=maps[:, 1:],
        feature_grid=in_source,
        share=shares, person=person.to(device),
    )  # fmt: skip


def _sample(frames: Tensor, grid: Tensor, size: int, bend: Bend | None) -> Tensor:
    if bend is None:
        return warp(frames, grid, (size, size))
    return warp(frames, bend.straight(_finer(grid)), (size, size))


def _finer(grid: Tensor) -> Tensor:  # [B, 2, n, n] -> with FLOW_NODES at least
    if grid.shape[-1] >= FLOW_NODES:
        return grid
    return functional.interpolate(
        grid, (FLOW_NODES, FLOW_NODES), mode="bilinear", align_corners=True
    )


def sample_at(images: Tensor, grid: Tensor) -> Tensor:  # [B, C, h, w], [B, 2, n, n] in -1..1
    """What square images show at ``grid``; as large as they are."""
    size = images.shape[-1]
    pixels = (grid + 1.0) * ((size - 1) / 2)
    return warp(images, pixels, (size, size))


def paint(model: PartGenerator, episode: Episode) -> tuple[Tensor, Tensor]:
    """The painted patch ``[B, 3, S, S]`` and the style ``[B, style]`` of an episode."""
    batch, shots = episode.source_patches.shape[:2]
    patches = episode.source_patches.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    styles, features = model.embedder(patches, episode.source_outlines.flatten(0, 1))
    style = styles.view(batch, shots, -1).mean(1)
    first = features.view(batch, shots, *features.shape[1:])[:, 0]
    carried = sample_at(first.float(), episode.feature_grid)
    residual = model.decoder(episode.warped, episode.outlines, episode.numbers, style, carried)
    return episode.warped + residual.float() * episode.share, style
