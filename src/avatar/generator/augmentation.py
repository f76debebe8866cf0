"""Changes of training pictures, alike for all pictures of a row.

A few filmed people have few shapes, lips and colours; strangers have others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from avatar.generator.warping import INNER_LIPS, OUTER_LIPS
from avatar.ops import signed_distance

_WAVES, _WAVE_LENGTHS = 3, (130.0, 400.0)
"""How many waves bend a face, and their lengths in pixels."""

_TRIES = 6
"""Steps to a place that waves lead elsewhere; each is some fifth as far off as the last."""

_LIP_EDGE = 6.0
"""Slope of the edge of coloured lips, by the signed distance to their outline."""


@dataclass(frozen=True)
class Augmentation:
    """How the rows of a batch are changed, alike for all pictures of a row.

    Attributes:
        bend: spread of stretch, shear and turn.
        waves: spread of a smooth displacement, in pixels: faces of other shapes.
        flips: share of the rows that are mirrored.
        colours: whether gain, gamma and mixing of the channels vary.
        lips: share of the rows whose lips get another colour.
        coarse: share of the rows made as coarse as a small photo.
        alike: how many rows that follow each other are changed alike.
    """

    bend: float = 0.05
    waves: float = 2.5
    flips: float = 0.5
    colours: bool = True
    lips: float = 0.5
    coarse: float = 0.2
    alike: int = 1


@dataclass(frozen=True, eq=False)
class Bend:
    """A change of each row's faces: a stretch, shear and turn about the middle of the crop, perhaps
    a flip, and waves, which make faces of other shapes.

    Attributes:
        matrix: ``[B, 2, 2]`` from a bent position to the frame.
        waves: ``[B, waves, 2, 2]`` their directions and heights, in radians per pixel and pixels.
        phases: ``[B, waves]``.
        flipped: ``[B]``.
        middle: of a crop, in pixels.
    """

    matrix: Tensor
    waves: Tensor
    phases: Tensor
    flipped: Tensor
    middle: float

    @classmethod
    def drawn(
        cls, rows: int, side: int, device: torch.device, random: np.random.Generator,
        augmentation: Augmentation,
    ) -> Bend:  # fmt: skip
        """For ``rows`` of crops of ``side`` pixels."""
        alike = augmentation.alike
        drawn = rows // alike
        matrix = np.eye(2) + random.normal(0, augmentation.bend, (drawn, 2, 2))
        matrix[:, 0, :] *= np.where(random.random(drawn) < augmentation.flips, -1.0, 1.0)[:, None]
        length = random.uniform(*_WAVE_LENGTHS, (drawn, _WAVES, 1))
        turn = random.uniform(0, 2 * np.pi, (drawn, _WAVES))
        direction = np.stack([np.cos(turn), np.sin(turn)], -1) * (2 * np.pi / length)
        height = random.normal(0, augmentation.waves, (drawn, _WAVES, 2))
        phases = random.uniform(0, 2 * np.pi, (drawn, _WAVES))
        matrix = matrix.repeat(alike, 0)
        wave = np.stack([direction, height], 2).repeat(alike, 0)
        flipped = torch.from_numpy(matrix[:, 0, 0] < 0)
        back, waves, starts = (
            torch.from_numpy(found.astype(np.float32)).to(device)
            for found in (np.linalg.inv(matrix), wave, phases.repeat(alike, 0))
        )
        return cls(back, waves, starts, flipped.to(device), (side - 1) / 2)

    def bent(self, points: Tensor, mirror: Tensor) -> Tensor:  # [B, n, 478, 2]
        """Where landmarks of the frames lie in the bent faces."""
        straight = (points - self.middle).flatten(1, 2)
        turned = torch.einsum("bij,bpj->bpi", torch.linalg.inv(self.matrix), straight)
        bent = turned
        for _ in range(_TRIES):
            bent = turned - self._waves(bent)
        bent = bent.view_as(points) + self.middle
        return torch.where(self.flipped.view(-1, 1, 1, 1), bent[:, :, mirror], bent)

    def straight(self, grid: Tensor) -> Tensor:  # [B * each, 2, n, n] bent -> in the frame
        each = len(grid) // len(self.matrix)
        bent = (grid - self.middle).flatten(2).transpose(1, 2).reshape(len(self.matrix), -1, 2)
        turned = torch.einsum("bij,bpj->bpi", self.matrix, bent + self._waves(bent)) + self.middle
        return turned.view(len(self.matrix) * each, -1, 2).transpose(1, 2).view_as(grid)

    def _waves(self, places: Tensor) -> Tensor:  # [B, P, 2] from the middle -> [B, P, 2]
        directions, heights = self.waves.unbind(2)
        angle = torch.einsum("bwj,bpj->bpw", directions, places) + self.phases[:, None]
        return torch.einsum("bpw,bwj->bpj", angle.sin(), heights)


def recolour_lips(
    frames: Tensor,  # [B * each, 3, side, side] in 0..255
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
    side = frames.shape[-1]
    local = points[rows] * (2.0 / side) - 1.0
    outer, inner = (_soft_inside(local[:, ring], side) for ring in (OUTER_LIPS, INNER_LIPS))
    lips = outer * (1.0 - inner)
    gains = torch.from_numpy(tint.astype(np.float32)).to(frames.device)[rows].view(-1, 3, 1, 1)
    frames[rows] = (frames[rows] * (1.0 + lips * (gains - 1.0))).clamp(0, 255)
    return frames


def _soft_inside(outline: Tensor, side: int) -> Tensor:  # [B, N, 2] -> [B, 1, side, side] in 0..1
    distances = signed_distance(outline, side // 2)[:, None]
    inside = (0.5 + _LIP_EDGE * distances).clamp(0, 1)
    return functional.interpolate(inside, (side, side), mode="bilinear")


def recolour(rows: Tensor, random: np.random.Generator, alike: int) -> Tensor:
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


def coarsen(sets: Tensor, random: np.random.Generator, augmentation: Augmentation) -> Tensor:
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
