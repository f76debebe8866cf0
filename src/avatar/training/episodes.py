"""Batches for the generator: K source frames and a target of one person, cut to a part's patch and
augmented.

Everything after the choice of frames runs on the device of the frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from avatar.generator.parts import Part, Placement, describe, share
from avatar.generator.warping import inter_ocular, landmark_flow
from avatar.ops import warp
from avatar.training.faces import CROP, FaceClips

FLOW_NODES = 32


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


class EpisodeSampler:
    """Chooses frames: people balanced, half the targets wide open, half the sources closed."""

    def __init__(
        self, clips: FaceClips, part: Part, *, low_resolution_share: float = 0.2, seed: int = 0
    ) -> None:
        self.clips, self.part = clips, part
        self.random = np.random.default_rng(seed)
        openness = clips.openness(part.name)
        self.order = [
            start + np.argsort(openness[start:end])
            for start, end in zip(clips.starts, clips.starts[1:], strict=False)
        ]
        coarse = np.array([name.startswith("grid") for name in clips.names])
        weights = np.zeros(len(clips.names))
        for mask, portion in ((coarse, low_resolution_share), (~coarse, 1 - low_resolution_share)):
            people = np.unique(clips.people[mask])
            for person in people:
                own = mask & (clips.people == person)
                weights[own] = portion / len(people) / own.sum()
        self.weights = weights / weights.sum()

    def choose(
        self, batch: int, sources: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Returns target frames ``[B]``, source frames ``[B, K]`` and clips ``[B]``."""
        clips = self.random.choice(len(self.weights), batch, p=self.weights)
        targets, chosen = np.zeros(batch, np.int64), np.zeros((batch, sources), np.int64)
        far_target, far_source = (0.5, 0.5) if self.part.name == "mouth" else (0.35, 0.5)
        for i, clip in enumerate(clips):
            order = self.order[clip]
            n = len(order)
            target_low, target_high = (
                (2 * n // 3, n) if self.part.name == "mouth" else (0, max(1, n // 6))
            )
            source_low, source_high = (0, n // 3) if self.part.name == "mouth" else (n // 2, n)
            wide = self.random.random() < far_target
            targets[i] = order[
                self.random.integers(target_low, target_high) if wide else self.random.integers(n)
            ]
            for k in range(sources):
                narrow = self.random.random() < far_source
                at = (
                    self.random.integers(source_low, source_high)
                    if narrow
                    else self.random.integers(n)
                )
                chosen[i, k] = order[at]
        return targets, chosen, clips

    def draw(self, batch: int, sources: int, *, augment: bool = True) -> Episode:
        """A random batch."""
        targets, chosen, clips = self.choose(batch, sources)
        person = torch.from_numpy(self.clips.people[clips])
        return cut(self.clips, self.part, targets, chosen, person, self.random if augment else None)


def cut(
    clips: FaceClips,
    part: Part,
    targets: NDArray[np.int64],  # [B]
    sources: NDArray[np.int64],  # [B, K]
    person: Tensor,  # [B]
    random: np.random.Generator | None = None,
) -> Episode:
    """Cut the patches of chosen frames; ``random`` also bends, colours and coarsens them, alike in
    a row.
    """
    device = clips.frames.device
    batch, shots = sources.shape
    index = torch.from_numpy(np.concatenate([targets[:, None], sources], 1)).to(device).flatten()
    frames = clips.frames[index].permute(0, 3, 1, 2).float()
    points = clips.landmarks[index]
    unbend = torch.eye(2, device=device).expand(batch, 2, 2)
    if random is not None:
        points, unbend = _bend(points.view(batch, shots + 1, 478, 2), clips.mirror, random)
        points = points.flatten(0, 1)
        frames = _colour(frames.reshape(batch, -1, *frames.shape[2:]), random).view_as(frames)
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
    sets = torch.cat([both, patches.view(batch, -1, *patches.shape[1:])[:, 1:]], 1) / 127.5 - 1.0
    if random is not None:
        sets = _coarsen(sets, random)
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


def _bend(points: Tensor, mirror: Tensor, random: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A random stretch, shear, turn and perhaps flip of each row's faces about the middle of the
    crop.

    Returns the bent landmarks and the matrices that lead from a bent position back to the frame.
    """
    batch = len(points)
    matrix = np.eye(2) + random.normal(0, 0.05, (batch, 2, 2))
    matrix[:, 0, :] *= np.where(random.random(batch) < 0.5, -1.0, 1.0)[:, None]
    bend = torch.from_numpy(matrix.astype(np.float32)).to(points.device)
    middle = (CROP - 1) / 2
    bent = torch.einsum("bij,bkpj->bkpi", bend, points - middle) + middle
    flipped = torch.from_numpy(matrix[:, 0, 0] < 0).to(points.device)
    bent = torch.where(flipped.view(-1, 1, 1, 1), bent[:, :, mirror], bent)
    return bent, torch.linalg.inv(bend)


def _colour(rows: Tensor, random: np.random.Generator) -> Tensor:  # [B, (K+1)*3, H, W] in 0..255
    """One random gain, gamma, mixing of channels and greyness for all pictures of a row."""
    batch = len(rows)
    mix = np.eye(3) + random.normal(0, 0.04, (batch, 3, 3))
    grey = (random.random(batch) < 0.08)[:, None, None]
    mix = np.where(grey, np.array([0.3, 0.59, 0.11])[None, None].repeat(3, 1), mix)
    mix = mix * random.uniform(0.75, 1.15, (batch, 1, 1))
    gamma = np.exp(random.normal(0, 0.2, batch))
    weights = torch.from_numpy(mix.astype(np.float32)).to(rows.device)
    power = torch.from_numpy(gamma.astype(np.float32)).to(rows.device).view(-1, 1, 1, 1, 1)
    x = rows.view(batch, -1, 3, *rows.shape[2:])
    x = torch.einsum("bij,bkjhw->bkihw", weights, x).clamp(0, 255)
    return ((x / 255.0).pow(power) * 255.0).flatten(1, 2)


def _coarsen(sets: Tensor, random: np.random.Generator) -> Tensor:  # [B, n, 3, S, S]
    """Make a fifth of the rows as coarse as a small photo."""
    rows = torch.from_numpy(np.flatnonzero(random.random(len(sets)) < 0.2)).to(sets.device)
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
