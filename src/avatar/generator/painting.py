"""One network's parts in one frame: what its decoder is told, and the layers it paints."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from avatar.generator.inside import opening_edge
from avatar.generator.look import Look
from avatar.generator.parts import Part, Placement, describe, share
from avatar.generator.portrait import Portrait
from avatar.generator.views import blend
from avatar.generator.warping import INNER_LIPS
from avatar.ops import Layer, warp

SOME_MORE = 7
"""Pixels of a patch around the lips beyond which the edge is not seen."""


@dataclass(frozen=True, eq=False)
class Painting:
    """Parts painted together by one network.

    Attributes:
        group: the parts.
        placements: where each lies, in pixels of the photo.
        shares: ``[parts]`` how much of the paint is laid on.
        told: the decoder's arguments, a batch of the parts.
        look: what the paint must keep to.
        decoder: the person's own; None for the shipped one.
        kept: ``[parts, 1, S, S]`` how far a photo shows what is inside a mouth, so that nothing is
            painted over it; None if none does.
        replaced: ``[parts, S, S]`` how much of the warped photo gives way to other photos; None
            where they show nothing better.
    """

    group: tuple[Part, ...]
    placements: list[Placement]
    shares: Tensor
    told: tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
    look: Look
    decoder: nn.Module | None = None
    kept: Tensor | None = None
    replaced: Tensor | None = None

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
        views = portrait.views.get(name, ())
        shares = torch.cat([share(part, target, source) for part in group])
        closing = bool(shares.any())
        # What was made of the photo shows nothing new of eyes that stay open, nor of a mouth.
        if all(view.made for view in views[1:]) and not (closing and group[0].lids):
            views = ()
        if not views and not closing:
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
        warped, kept = cut(portrait.near, near, size), None
        if portrait.inside is not None and group[0].opening is not None:
            lips = placements[0].to_patch(target[:, INNER_LIPS])
            warped, kept = portrait.inside.lay(warped, outlines[:, :1], lips)
        told = (warped, outlines, numbers, portrait.styles[name], carried)
        look, decoder = portrait.look, portrait.decoders.get(name)
        if views:
            blended = blend(group, views, target, placements, outlines, (told[0], carried.cpu()))
            if blended is not None:
                told = (blended.warped, outlines, numbers, blended.style, blended.features)
                return cls(
                    group, placements, blended.shares, told, look, decoder, kept, blended.replaced
                )
        return cls(group, placements, shares, told, look, decoder, kept) if shares.any() else None

    def layers(self, residual: Tensor) -> list[Layer]:
        """What to lay over the warped photo, from the decoder's answer ``[parts, 3, S, S]``.

        The answer is used up.
        """
        warped = self.told[0]
        size = self.group[0].size
        painted = None if self.kept is None else 1.0 - self.kept
        if painted is not None:
            residual *= painted
        openings = [self._opening(k, part) for k, part in enumerate(self.group)]
        for k, opening in enumerate(openings):
            if opening is not None:
                around = self._around_opening(k)
                detail = self.look.detail((warped[k] + residual[k])[around])
                if painted is not None:
                    detail = detail * painted[k][around]
                residual[k][around] += opening[around] * detail
        residual = self.look.keep(warped, residual)
        paint = warped.new_zeros(len(self.group), size, size, 4).permute(0, 3, 1, 2)
        torch.mul(residual, 127.5 * self.shares.view(-1, 1, 1, 1), out=paint[:, :3])
        for k, opening in enumerate(openings):
            # Nothing of the photo can be kept inside the lips: only the patch is shown.
            given_up = None if opening is None else opening[0]
            if self.replaced is not None:
                own = self.replaced[k]
                given_up = own if given_up is None else torch.maximum(given_up, own)
            if given_up is not None:
                paint[k, :3] += given_up * (warped[k] + 1.0) * 127.5
                paint[k, 3] = given_up
        maps = [place.to_index(size) for place in self.placements]
        return [Layer(p, m) for p, m in zip(paint, maps, strict=True)]

    def _opening(self, k: int, part: Part) -> Tensor | None:  # [1, S, S]
        """Where nothing of the photo can be kept: there only the patch is shown."""
        if part.opening is None:
            return None
        return opening_edge(self.told[1][k : k + 1, part.outlines.index(part.opening), None])[0]

    def _around_opening(self, k: int) -> tuple[slice, slice, slice]:
        """The rows and columns of a patch that the opening may reach, and some more."""
        part = self.group[k]
        assert part.opening is not None
        lips = self.told[2][k].view(-1, 2)[[part.points.index(point) for point in part.opening]]
        low, high = (((end + 1.0) * (part.size / 2)).int() for end in torch.aminmax(lips, dim=0))
        left, top = (low - SOME_MORE).clamp_min(0).tolist()
        right, bottom = (high + SOME_MORE).clamp_min(2 * SOME_MORE).tolist()
        return slice(None), slice(top, bottom), slice(left, right)


def cut(image: Tensor, grids: list[Tensor], size: int) -> Tensor:
    """The patches of ``image`` (0 to 255) under ``grids``, ``[n, 3, size, size]`` in [-1, 1]."""
    patches = torch.cat([warp(image, grid, (size, size)) for grid in grids])
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
