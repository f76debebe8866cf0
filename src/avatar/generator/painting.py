"""One network's parts in one frame: what its decoder is told, and the layers it paints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from avatar.generator.parts import Part, Placement, describe, share
from avatar.generator.portrait import Portrait
from avatar.ops import Layer, paint, warp


@dataclass(frozen=True, eq=False)
class Painting:
    """Parts painted together by one network.

    Attributes:
        group: the parts.
        placements: where each lies, in pixels of the photo.
        shares: ``[parts]`` how much of the paint is laid on.
        patches: ``[parts, 3, S, S]`` uint8, the warped photo.
        told: the decoder's other arguments, a batch of the parts.
    """

    group: tuple[Part, ...]
    placements: list[Placement]
    shares: Tensor
    patches: Tensor
    told: tuple[Tensor, Tensor, Tensor, Tensor]

    @classmethod
    def of(
        cls,
        group: tuple[Part, ...],
        portrait: Portrait,
        target: Tensor,  # [1, 478, 2] landmarks of the frame
        positions: Tensor,  # [2, rows, columns] where the nodes are shown from
    ) -> Painting | None:
        """None where nothing need be painted."""
        name, size = group[0].name, group[0].size
        source = portrait.points
        shares = torch.cat([share(part, target, source) for part in group])
        if not shares.any():
            return None
        placements = [Placement.of(part, target) for part in group]
        sources = [_in_photo(p.grid(size // 6), portrait, positions) for p in placements]
        near = [(s + 0.5) * portrait.near_scale - 0.5 for s in sources]
        outlines, numbers = describe_all(group, target, placements)
        grids = [
            Placement.of(part, source).grid_to_patch(s)
            for part, s in zip(group, sources, strict=True)
        ]
        features = portrait.features[name]
        side = features.shape[-1]
        carried = warp(
            features,
            (torch.cat(grids).to(features.device) + 1.0) * ((side - 1) / 2),
            (side, side),
        )
        told = (outlines, numbers, portrait.styles[name], carried)
        return cls(group, placements, shares, cut(portrait.near, near, size), told)

    @property
    def warped(self) -> Tensor:
        """The patches as the decoders know them, from -1 to 1."""
        return in_range(self.patches)

    def layers(self, answers: Sequence[Tensor], border: int) -> list[Layer]:
        """What to lay over the warped photo.

        Args:
            answers: of the decoder to each part, ``[12, S/2, S/2]`` float32.
            border: which of the outlines encloses what it paints.
        """
        layers = []
        for k, part in enumerate(self.group):
            outlines = self.told[0][k]
            # Nothing of the photo can be kept inside the lips: only the patch is shown.
            opening = None if part.opening is None else outlines[part.outlines.index(part.opening)]
            laid = paint(
                answers[k], outlines[border], self.patches[k], opening, share=float(self.shares[k])
            )
            layers.append(Layer(laid, self.placements[k].to_index(part.size)))
        return layers


def cut(image: Tensor, grids: list[Tensor], size: int) -> Tensor:
    """The patches of ``image`` under ``grids``, ``[n, 3, size, size]``."""
    return torch.cat([warp(image, grid, (size, size)) for grid in grids])


def in_range(patches: Tensor) -> Tensor:
    """From 0 to 255 to -1 to 1."""
    return patches.float().div_(127.5).sub_(1.0)


def describe_all(
    group: tuple[Part, ...], landmarks: Tensor, placements: list[Placement]
) -> tuple[Tensor, Tensor]:
    """``describe`` for the parts of one network, as one batch."""
    size = group[0].size // 2
    told = [describe(p, landmarks, at, size) for p, at in zip(group, placements, strict=True)]
    outlines, numbers = zip(*told, strict=True)
    return torch.cat(outlines), torch.cat(numbers)


def _in_photo(grid: Tensor, portrait: Portrait, positions: Tensor) -> Tensor:
    """Where in the photo the frame's positions ``grid`` [1, 2, n, n] are shown from."""
    left, top, right, bottom = portrait.region
    rows, columns = positions.shape[-2:]
    offset = grid.new_tensor([left, top]).view(1, 2, 1, 1)
    per_pixel = grid.new_tensor(
        [(columns - 1) / (right - left - 1), (rows - 1) / (bottom - top - 1)]
    )
    return warp(positions[None], (grid - offset) * per_pixel.view(1, 2, 1, 1))
