"""Episodes: source frames and a target of one person, cut to a part's patch, and painted.

What training and personalisation share. Everything runs on the device of the frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from avatar.generator.networks import PartGenerator
from avatar.generator.parts import Part, Placement, describe, share
from avatar.generator.warping import INNER_LIPS, OUTER_LIPS, inter_ocular, landmark_flow
from avatar.ops import signed_distance, warp

CROP = 400
"""Side of an aligned face in pixels."""

CROP_EXTENT = 1.4
"""Half of that side, in inter-ocular distances."""

FLOW_NODES = 32

_LIP_EDGE = 6.0
"""Slope of the edge of coloured lips, by the signed distance to their outline."""


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
class Augmentation:
    """How the rows of a batch are changed, alike for all pictures of a row.

    Attributes:
        bend: spread of stretch, shear and turn.
        flips: share of the rows that are mirrored.
        colours: whether gain, gamma and mixing of the channels vary.
        lips: share of the rows whose lips get another colour.
        coarse: share of the rows made as coarse as a small photo.
        alike: how many rows that follow each other are changed alike.
    """

    bend: float = 0.05
    flips: float = 0.5
    colours: bool = True
    lips: float = 0.5
    coarse: float = 0.2
    alike: int = 1


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
        share: ``[B]`` how much of the paint is laid on (see ``parts.share``).
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
    augmentation: Augmentation = Augmentation(),
) -> Episode:
    """Cut the patches of chosen frames; with ``random`` they are also augmented, alike in a row."""
    device = faces.frames.device
    batch, shots = sources.shape
    index = torch.from_numpy(np.concatenate([targets[:, None], sources], 1)).to(device).flatten()
    frames = faces.frames[index].permute(0, 3, 1, 2).float()
    points = faces.landmarks[index]
    if random is not None:
        frames = _lipstick(frames, points, shots + 1, random, augmentation)
    unbend = torch.eye(2, device=device).expand(batch, 2, 2)
    if random is not None:
        points, unbend = _bend(
            points.view(batch, shots + 1, 478, 2), faces.mirror, random, augmentation
        )
        points = points.flatten(0, 1)
    unbend_all = unbend.repeat_interleave(shots + 1, 0)
    placement = Placement.of(part, points)
    patches = _sample(frames, placement.grid(), part.size, unbend_all)
    outlines, numbers = describe(part, points, placement, part.size // 2)

    rows = torch.arange(batch, device=device) * (shots + 1)
    target_points, source_points = points[rows], points[rows + 1]
    nodes = Placement.of(part, target_points).grid(FLOW_NODES)
    flat = nodes.flatten(2).transpose(1, 2)
    flow = landmark_flow(flat, target_points, source_points, inter_ocular(source_points))
    moved = (flat + flow).transpose(1, 2).view_as(nodes)
    warped = _sample(frames[rows + 1], moved, part.size, unbend)
    in_source = Placement.of(part, source_points).grid_to_patch(moved)
    both = torch.stack([patches.view(batch, -1, *patches.shape[1:])[:, 0], warped], 1)
    sets = torch.cat([both, patches.view(batch, -1, *patches.shape[1:])[:, 1:]], 1)
    if random is not None and augmentation.colours:
        sets = _colour(sets, random, augmentation.alike)
    sets = sets / 127.5 - 1.0
    if random is not None:
        sets = _coarsen(sets, random, augmentation)
    maps = outlines.view(batch, shots + 1, *outlines.shape[1:])
    return Episode(
        target=sets[:, 0], warped=sets[:, 1], outlines=maps[:, 0],
        numbers=numbers.view(batch, shots + 1, -1)[:, 0],
        source_patches=sets[:, 2:], source_outlines=maps[:, 1:],
        feature_grid=in_source,
        share=share(part, target_points, source_points), person=person.to(device),
    )  # fmt: skip


def _sample(frames: Tensor, grid: Tensor, size: int, unbend: Tensor) -> Tensor:
    middle = (CROP - 1) / 2
    straight = torch.einsum("bij,bjhw->bihw", unbend, grid - middle) + middle
    return warp(frames, straight, (size, size))


def _bend(
    points: Tensor, mirror: Tensor, random: np.random.Generator, augmentation: Augmentation
) -> tuple[Tensor, Tensor]:
    """A random stretch, shear, turn and perhaps flip of each row's faces about the middle of the
    crop.

    Returns the bent landmarks and the matrices that lead from a bent position back to the frame.
    """
    drawn = len(points) // augmentation.alike
    matrix = np.eye(2) + random.normal(0, augmentation.bend, (drawn, 2, 2))
    matrix[:, 0, :] *= np.where(random.random(drawn) < augmentation.flips, -1.0, 1.0)[:, None]
    matrix = matrix.repeat(augmentation.alike, 0)
    bend = torch.from_numpy(matrix.astype(np.float32)).to(points.device)
    middle = (CROP - 1) / 2
    bent = torch.einsum("bij,bkpj->bkpi", bend, points - middle) + middle
    flipped = torch.from_numpy(matrix[:, 0, 0] < 0).to(points.device)
    bent = torch.where(flipped.view(-1, 1, 1, 1), bent[:, :, mirror], bent)
    return bent, torch.linalg.inv(bend)


def _lipstick(
    frames: Tensor,  # [B * each, 3, CROP, CROP] in 0..255
    points: Tensor,  # [B * each, 478, 2]
    each: int,
    random: np.random.Generator,
    augmentation: Augmentation,
) -> Tensor:
    """Another colour of lips for a share of the rows, alike for all pictures of a row.

    A few people's lips are all alike; without this a stranger's lipstick fades as the mouth opens.
    """
    drawn = len(frames) // each // augmentation.alike
    tint = random.uniform((0.55, 0.5, 0.8), (1.15, 1.15, 1.2), (drawn, 3))
    tint = np.stack([tint[:, 0], tint[:, :2].prod(1), tint.prod(1)], 1)
    tint[random.random(drawn) >= augmentation.lips] = 1.0
    tint = tint.repeat(augmentation.alike * each, 0)
    rows = torch.from_numpy(np.flatnonzero((tint != 1.0).any(1))).to(frames.device)
    if len(rows) == 0:
        return frames
    local = points[rows] * (2.0 / CROP) - 1.0
    lips = _soft_inside(local[:, OUTER_LIPS]) * (1.0 - _soft_inside(local[:, INNER_LIPS]))
    gains = torch.from_numpy(tint.astype(np.float32)).to(frames.device)[rows].view(-1, 3, 1, 1)
    frames[rows] = (frames[rows] * (1.0 + lips * (gains - 1.0))).clamp(0, 255)
    return frames


def _soft_inside(outline: Tensor) -> Tensor:  # [B, N, 2] in -1..1 -> [B, 1, CROP, CROP] in 0..1
    distances = signed_distance(outline, CROP // 2)[:, None]
    inside = (0.5 + _LIP_EDGE * distances).clamp(0, 1)
    return functional.interpolate(inside, (CROP, CROP), mode="bilinear")


def _colour(rows: Tensor, random: np.random.Generator, alike: int) -> Tensor:
    """One random gain, gamma, mixing of channels and greyness for all pictures of a row.

    ``rows``: ``[B, n, 3, S, S]`` in 0..255.
    """
    drawn = len(rows) // alike
    mix = np.eye(3) + random.normal(0, 0.05, (drawn, 3, 3))
    grey = (random.random(drawn) < 0.08)[:, None, None]
    mix = np.where(grey, np.array([0.3, 0.59, 0.11])[None, None].repeat(3, 1), mix)
    mix = (mix * random.uniform(0.65, 1.2, (drawn, 1, 1))).repeat(alike, 0)
    gamma = np.exp(random.normal(0, 0.25, drawn)).repeat(alike)
    weights = torch.from_numpy(mix.astype(np.float32)).to(rows.device)
    power = torch.from_numpy(gamma.astype(np.float32)).to(rows.device).view(-1, 1, 1, 1, 1)
    x = torch.einsum("bij,bkjhw->bkihw", weights, rows).clamp(0, 255)
    return (x / 255.0).pow(power) * 255.0


def _coarsen(sets: Tensor, random: np.random.Generator, augmentation: Augmentation) -> Tensor:
    """Make a share of the rows ``[B, n, 3, S, S]`` as coarse as a small photo."""
    alike = augmentation.alike
    chosen = (random.random(len(sets) // alike) < augmentation.coarse).repeat(alike)
    rows = torch.from_numpy(np.flatnonzero(chosen)).to(sets.device)
    if len(rows) == 0:
        return sets
    size = sets.shape[-1]
    small = int(size * random.uniform(0.3, 0.8))
    x = sets[rows].flatten(0, 1)
    x = functional.interpolate(x, (small, small), mode="area")
    x = functional.interpolate(x, (size, size), mode="bilinear")
    sets = sets.clone()
    sets[rows] = x.view(len(rows), *sets.shape[1:])
    return sets


def warp_features(features: Tensor, grid: Tensor) -> Tensor:  # [B, C, h, w], grid in -1..1
    """Carry source features to the wanted shape; ``grid`` as ``Episode.feature_grid``."""
    size = features.shape[-1]
    pixels = (grid + 1.0) * ((size - 1) / 2)
    return warp(features, pixels, (size, size))


def paint(model: PartGenerator, episode: Episode) -> tuple[Tensor, Tensor]:
    """The painted patch ``[B, 3, S, S]`` and the style ``[B, style]`` of an episode."""
    batch, shots = episode.source_patches.shape[:2]
    patches = episode.source_patches.flatten(0, 1).contiguous(memory_format=torch.channels_last)
    styles, features = model.embedder(patches, episode.source_outlines.flatten(0, 1))
    style = styles.view(batch, shots, -1).mean(1)
    first = features.view(batch, shots, *features.shape[1:])[:, 0]
    carried = warp_features(first.float(), episode.feature_grid)
    residual = model.decoder(episode.warped, episode.outlines, episode.numbers, style, carried)
    return episode.warped + residual.float() * episode.share.view(-1, 1, 1, 1), style
