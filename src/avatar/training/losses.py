"""What the generator's training compares beside pixels and judges."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from avatar.generator.episodes import Episode
from avatar.generator.parts import Part
from avatar.training.perceptual import PerceptualFeatures

_EDGE = -0.05
"""Signed distance from which a pixel counts as inside an outline."""


def region_weights(outlines: Tensor, opening: float, border: float) -> Tensor:  # [B, 1, S, S]
    """1, ``border`` more inside the second outline (lips, iris), ``opening`` more inside the first
    (the mouth's inside, the eye).
    """
    maps = functional.interpolate(outlines[:, :2], scale_factor=2.0, mode="bilinear")
    inside = maps > _EDGE
    return 1.0 + opening * inside[:, :1].float() + border * inside[:, 1:].float()


def detail_loss(
    painted: Tensor, episode: Episode, part: Part, vgg: PerceptualFeatures,
    random: np.random.Generator,
) -> Tensor:  # fmt: skip
    """Perceptual loss of a small square of each patch, enlarged twice.

    VGG16 sees a tooth of six pixels as texture; enlarged, it sees its edge. The square, a third of
    the patch, lies about the part's opening.
    """
    size = painted.shape[-1]
    side = size // 3
    ring = episode.numbers[:, : 2 * len(part.outlines[0])].view(len(painted), -1, 2).float()
    middle = (ring.mean(1).cpu().numpy() + 1.0) * ((size - 1) / 2)
    corner = middle - side / 2 + random.uniform(-side / 4, side / 4, middle.shape)
    corner = corner.clip(0, size - side).astype(int)
    squares = [
        image[:, :, y : y + side, x : x + side]
        for k, (x, y) in enumerate(corner)
        for image in (painted[k : k + 1], episode.target[k : k + 1])
    ]
    large = functional.interpolate(torch.cat(squares), scale_factor=2.0, mode="bilinear")
    large = large.contiguous(memory_format=torch.channels_last)
    return vgg.loss(large[0::2].clamp(-1, 1), large[1::2])


def steadiness_loss(painted: Tensor, target: Tensor) -> Tensor:
    """How differently painted neighbours change from true ones.

    Rows come in pairs of neighbouring moments. A patch holds its place on the face, so what moves
    in it is the mouth, and what flickers is the paint.
    """
    change = painted[1::2] - painted[0::2]
    true = target[1::2] - target[0::2]
    return functional.l1_loss(change, true)
