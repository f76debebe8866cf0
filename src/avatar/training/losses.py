"""What the generator's training compares beside pixels and judges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from avatar.generator.episodes import Episode
from avatar.generator.parts import Part

_EDGE = -0.05
"""Signed distance from which a pixel counts as inside an outline."""


def region_weights(outlines: Tensor, opening: float, border: float) -> Tensor:  # [B, 1, S, S]
    """1, ``border`` more inside the second outline (lips, iris), ``opening`` more inside the first
    (the mouth's inside, the eye).
    """
    maps = functional.interpolate(outlines[:, :2], scale_factor=2.0, mode="bilinear")
    inside = maps > _EDGE
    return 1.0 + opening * inside[:, :1].float() + border * inside[:, 1:].float()


@dataclass(frozen=True)
class Squares:
    """A square about the opening of each patch of a batch.

    Attributes:
        corners: ``[B, 2]`` even pixels of the patch (right, down).
        side: in pixels, even.
        enlarged: how many times a picture of it is enlarged to be looked at.
    """

    corners: NDArray[np.int64]
    side: int
    enlarged: int = 1

    @classmethod
    def painted(cls, episode: Episode, part: Part) -> Squares:
        """What paint reaches: of a mouth two thirds of the patch."""
        side = part.size if part.opening is None else part.size * 2 // 3
        return cls(_corners(episode, part, side), side)

    @classmethod
    def close_up(cls, episode: Episode, part: Part, random: np.random.Generator) -> Squares:
        """A third of the patch, enlarged twice, up to a quarter of its side off the middle.

        VGG16 sees a tooth of six pixels as texture; enlarged, it sees its edge.
        """
        side = part.size // 3
        return cls(_corners(episode, part, side, random), side, enlarged=2)

    def of(self, maps: Tensor, part: Part) -> Tensor:  # [B, C, S, S] or half as large
        """What ``maps`` show there."""
        scale = part.size // maps.shape[-1]
        side = self.side // scale
        cut = [
            rows[:, y : y + side, x : x + side]
            for rows, (x, y) in zip(maps, self.corners // scale, strict=True)
        ]
        return torch.stack(cut).contiguous(memory_format=torch.channels_last)

    def look(self, pictures: Tensor, part: Part) -> Tensor:  # [B, 3, S, S]
        """What ``pictures`` show there, enlarged."""
        shown = self.of(pictures, part)
        if self.enlarged > 1:
            shown = functional.interpolate(shown, scale_factor=self.enlarged, mode="bilinear")
        return shown


def _corners(
    episode: Episode, part: Part, side: int, random: np.random.Generator | None = None
) -> NDArray[np.int64]:
    """With ``random`` up to a quarter of the side off the middle of the opening."""
    ring = episode.numbers[:, : 2 * len(part.outlines[0])]
    middle = ring.view(len(ring), -1, 2).float().mean(1).cpu().numpy()
    corners = (middle + 1.0) * ((part.size - 1) / 2) - side / 2
    if random is not None:
        corners = corners + random.uniform(-side / 4, side / 4, corners.shape)
    rounded: NDArray[np.int64] = corners.clip(0, part.size - side).astype(np.int64) // 2 * 2
    return rounded


def steadiness_loss(painted: Tensor, target: Tensor) -> Tensor:
    """How differently painted neighbours change from true ones.

    Rows come in pairs of neighbouring moments. A patch holds its place on the face, so what moves
    in it is the mouth, and what flickers is the paint.
    """
    change = painted[1::2] - painted[0::2]
    true = target[1::2] - target[0::2]
    return functional.l1_loss(change, true)
