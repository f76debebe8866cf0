"""The parts of a face that are painted, each in its own normalised square.

A part's square is laid by a similarity from points that speech does not move (outer eye corners for
size and roll; philtrum or eye corners for the place), so a mouth is always at the same spot and
size whatever the photo. Patch coordinates run from -1 to 1, right and down; the person's left eye
is mirrored onto the right one, so one network paints both.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from avatar.generator.warping import (
    INNER_LIPS,
    LEFT_EYE,
    LEFT_IRIS,
    OUTER_LIPS,
    RIGHT_EYE,
    RIGHT_IRIS,
    distance,
    inter_ocular,
)  # fmt: skip
from avatar.ops import signed_distance

CHIN = (152, 148, 377, 176, 400, 149, 378)
RIGHT_SOCKET = (130, 247, 30, 29, 27, 28, 56, 190, 243, 112, 26, 22, 23, 24, 110, 25)
LEFT_SOCKET = (359, 467, 260, 259, 257, 258, 286, 414, 463, 341, 256, 252, 253, 254, 339, 255)
RIGHT_BROW = (70, 63, 105, 66, 107)
LEFT_BROW = (300, 293, 334, 296, 336)


@dataclass(frozen=True)
class Part:
    """One painted square of the face.

    Attributes:
        name: of the part.
        size: side of the patch in pixels.
        extent: half the side, in inter-ocular distances.
        anchor: landmarks whose mean holds the square in place.
        anchor_at: where the anchor lies, in patch coordinates (right, down).
        outlines: polygons drawn for the decoder.
        opening: the polygon inside which nothing of the photo can be kept; None if there is none.
        points: landmarks given to the decoder as numbers.
        lids: upper and lower lid, for a part that is painted only as far as it closes.
        mirrored: the square is flipped left to right.
    """

    name: str
    size: int
    extent: float
    anchor: tuple[int, ...]
    anchor_at: tuple[float, float]
    outlines: tuple[tuple[int, ...], ...]
    opening: tuple[int, ...] | None
    points: tuple[int, ...]
    lids: tuple[int, int] | None = None
    mirrored: bool = False

    @property
    def likeness(self) -> tuple[int, ...]:
        """Landmarks by which two states of the part are compared."""
        return self.outlines[0] + self.outlines[1]


MOUTH = Part(
    name="mouth", size=192, extent=0.65, anchor=(164,), anchor_at=(0.0, -0.42),
    outlines=(INNER_LIPS, OUTER_LIPS), opening=INNER_LIPS, points=INNER_LIPS + OUTER_LIPS + CHIN,
)  # fmt: skip
RIGHT_EYE_PART = Part(
    name="eye", size=96, extent=0.31, anchor=(33, 133), anchor_at=(0.0, 0.2),
    outlines=(RIGHT_EYE, RIGHT_IRIS, RIGHT_SOCKET), opening=None,
    points=(*RIGHT_EYE, *RIGHT_IRIS, *RIGHT_BROW), lids=(159, 145),
)  # fmt: skip
LEFT_EYE_PART = Part(
    name="eye", size=96, extent=0.31, anchor=(263, 362), anchor_at=(0.0, 0.2),
    outlines=(LEFT_EYE, LEFT_IRIS, LEFT_SOCKET), opening=None,
    points=(*LEFT_EYE, 476, 475, 474, 477, *LEFT_BROW), lids=(386, 374), mirrored=True,
)  # fmt: skip


@dataclass(frozen=True)
class Placement:
    """Where a part's square lies: ``position = centre + u * right + v * down``.

    Attributes:
        centre, right, down: ``[B, 2]`` pixels.
    """

    centre: Tensor
    right: Tensor
    down: Tensor

    @classmethod
    def of(cls, part: Part, landmarks: Tensor) -> Placement:  # [B, 478, 2] pixels
        return cls.at(part, landmarks, landmarks[:, part.anchor].mean(1))

    @classmethod
    def at(cls, part: Part, landmarks: Tensor, anchor: Tensor) -> Placement:  # [B, 2] pixels
        """Of the part whose anchor lies there."""
        across = (landmarks[:, 263] - landmarks[:, 33]) * part.extent
        down = torch.stack([-across[:, 1], across[:, 0]], -1)
        right = -across if part.mirrored else across
        u, v = part.anchor_at
        return cls(anchor - u * right - v * down, right, down)

    def grid(self, nodes: int = 2) -> Tensor:  # [B, 2, nodes, nodes]
        """Pixel positions of ``nodes × nodes`` control nodes that span the square."""
        line = torch.linspace(-1.0, 1.0, nodes, device=self.centre.device)
        u, v = line.view(1, 1, 1, -1), line.view(1, 1, -1, 1)
        c, a, b = (t.view(-1, 2, 1, 1) for t in (self.centre, self.right, self.down))
        return c + u * a + v * b

    def grid_to_patch(self, grid: Tensor) -> Tensor:  # [B, 2, n, n] pixels -> patch coordinates
        return self.to_patch(grid.flatten(2).transpose(1, 2)).transpose(1, 2).view_as(grid)

    def to_patch(self, points: Tensor) -> Tensor:  # [B, ..., 2] pixels -> patch coordinates
        shape = (-1,) + (1,) * (points.dim() - 2) + (2,)
        offset = points - self.centre.view(shape)
        right, down = self.right.view(shape), self.down.view(shape)
        u = (offset * right).sum(-1) / right.square().sum(-1)
        v = (offset * down).sum(-1) / down.square().sum(-1)
        return torch.stack([u, v], -1)

    def to_index(self, size: int) -> Tensor:  # [2, 3]
        """Takes a pixel (x, y, 1) to the column and row of a patch of ``size``; of one placement.

        The first and last pixel of the patch lie at -1 and 1.
        """
        axes = torch.cat([self.right, self.down])
        half = (size - 1) / 2
        turn = axes * (half / axes.square().sum(1, keepdim=True))
        return torch.cat([turn, half - turn @ self.centre.T], 1)


def share(part: Part, target: Tensor, source: Tensor) -> Tensor:  # [B, 478, 2] each -> [B]
    """How much of the paint is laid on: an eye that stays open keeps the photo's own pixels."""
    if part.lids is None:
        return target.new_ones(len(target))
    upper, lower = part.lids
    wanted = distance(target[:, upper], target[:, lower]) / inter_ocular(target)
    given = distance(source[:, upper], source[:, lower]) / inter_ocular(source)
    return ((0.85 - wanted / given.clamp_min(1e-6)) / 0.35).clamp(0.0, 1.0)


def describe(
    part: Part, landmarks: Tensor, placement: Placement, size: int
) -> tuple[Tensor, Tensor]:
    """What the decoder is told of the wanted shape.

    Returns:
        the outlines as signed distances ``[B, outlines, size, size]``, and the points as
        patch coordinates ``[B, 2 * points]``.
    """
    local = placement.to_patch(landmarks)
    maps = [signed_distance(local[:, outline], size) for outline in part.outlines]
    return torch.stack(maps, 1), local[:, part.points].flatten(1)
