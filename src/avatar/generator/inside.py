"""The inside of a mouth that is open in the photo, as the mouth opens or closes further.

Lips stretch, teeth do not: the upper ones stay with the skull, and so does a part's square; the
lower ones go with the jaw. So what a photo shows between the lips is parted at its darkest line,
where no teeth are: what lies above keeps its place in the square, what lies below moves with the
lower lip, and the line is drawn out over all that opens between.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from avatar.generator.warping import INNER_LIPS
from avatar.ops import warp

UPPER = INNER_LIPS[:11]
LOWER = (INNER_LIPS[0], *reversed(INNER_LIPS[11:]), INNER_LIPS[10])
"""The edges of the lips, from the corner at the picture's left to the other."""

_EDGE = 8.0
"""Steepness of the edge inside which the photo's own pixels are given up."""

_CLOSED, _OPEN = 0.07, 0.14
"""Gaps between the lips, in patch coordinates, up to which nothing is seen of the inside, and from
which on all that there is.
"""

_LITTLE, _MUCH = 0.03, 0.09
"""Changes of the gap, in patch coordinates, up to which the inside moves with the lips, and from
which on with skull and jaw.
"""

_RIM = 0.012
"""Width of the lips' edge, in patch coordinates: what lies on it is not shown inside."""

_SOFT = 0.03
"""Width of the edge of what is shown, in patch coordinates."""

_AROUND = 4
"""Pixels of a patch around the lips beyond which the edge of the opening is not seen."""

_ACROSS, _DOWN = 24, 37
"""Columns and rows in which the darkest line is looked for."""

_HIGHEST, _LOWEST = 0.1, 0.8
"""The highest it may lie, as a share of the gap, and from where on nothing lies below but the lip.
"""

_NOWHERE = 10.0
"""A row that is not there."""

_EVEN = 31
"""Pixels over which the colours of the line are evened out."""


@dataclass(frozen=True, eq=False)
class Inside:
    """What photos show between the lips. Rows and columns are patch coordinates.

    Attributes:
        patches: ``[B, 3, S, S]`` the photos.
        columns: ``[B, S]`` of each column of the square, the nearest between the mouth's corners.
        upper, parting, beneath, lower: ``[B, S]`` rows there: of the lips' edges, and between them
            of where what stays with the skull ends and what goes with the jaw begins.
        dark: ``[B, 3, S]`` colours of that line, evened out.
        gap: ``[B]`` widest gap between the lips.
        drawn: ``[B]`` the gap in the photo that is drawn, which may be another.
    """

    patches: Tensor
    columns: Tensor
    upper: Tensor
    parting: Tensor
    beneath: Tensor
    lower: Tensor
    dark: Tensor
    gap: Tensor
    drawn: Tensor

    @classmethod
    def of(cls, patches: Tensor, points: Tensor) -> Inside:
        """Of some people's photos, look into the widest mouth of each.

        Args:
            patches: ``[B, K, 3, S, S]``, first the photos that are drawn.
            points: ``[B, K, 478, 2]`` landmarks, in patch coordinates.
        """
        gaps = gap_of(points.flatten(0, 1)).view(points.shape[:2])
        widest = gaps.argmax(1)
        people = torch.arange(len(widest), device=widest.device)
        patches, points = patches[people, widest], points[people, widest]
        upper, lower = points[:, UPPER], points[:, LOWER]
        line = torch.linspace(-1.0, 1.0, patches.shape[-1], device=points.device)
        corners = upper[:, :1, 0] + _RIM, upper[:, -1:, 0] - _RIM
        columns = torch.minimum(torch.maximum(line, corners[0]), corners[1])
        above, below = _rows(upper, columns), _rows(lower, columns)
        share = _darkest(patches, upper, lower)[:, None]
        parting = torch.lerp(above, below, share)
        beneath = torch.where(share < _LOWEST, parting, _NOWHERE)
        dark = _along(patches, columns, parting)
        return cls(
            patches, columns, above, parting, beneath, below, dark, gap_of(points), gaps[:, 0]
        )

    def lay(
        self,
        warped: Tensor,  # [B, 3, S, S]
        inner: Tensor,  # [B, 1, S/2, S/2] signed distance to the inner edge of the lips
        points: Tensor,  # [B, 478, 2] patch coordinates
    ) -> tuple[Tensor, Tensor]:  # [B, 3, S, S], [B, 1, S, S]
        """``warped``, with what is inside a mouth at ``points``; and how far the photo shows it, so
        that nothing need be painted over.
        """
        size = warped.shape[-1]
        low, high = torch.aminmax(points[:, INNER_LIPS].flatten(0, 1), dim=0)
        left, top = ((low + 1.0) * (size / 2) - _AROUND).int().clamp_min(0).tolist()
        right, bottom = ((high + 1.0) * (size / 2) + _AROUND).int().clamp_min(1).tolist()
        box = slice(top, bottom), slice(left, right)
        places, known = self.places(points, *box)
        seen = warp(self.patches, (places + 1.0) * ((size - 1) / 2))
        mixed, kept = warped.clone(), torch.zeros_like(warped[:, :1])
        mixed[:, :, *box], kept[:, :, *box] = self.mixed(
            warped[:, :, *box], seen, known, opening_edge(inner)[:, :, *box], points, box[1]
        )
        return mixed, kept

    def mixed(
        self,
        warped: Tensor,  # [B, 3, h, w]
        seen: Tensor,  # [B, 3, h, w] what ``patches`` show at the ``places``
        known: Tensor,  # [B, 1, h, w]
        inside: Tensor,  # [B, 1, h, w] in 0..1
        points: Tensor,
        columns: slice = slice(None),
    ) -> tuple[Tensor, Tensor]:
        """What ``lay`` gives, in those columns of the square."""
        inside = inside * _step(self.gap, _CLOSED, _OPEN).view(-1, 1, 1, 1)
        alike = self.alike(points).view(-1, 1, 1, 1)
        shown = torch.lerp(self.dark[:, :, None, columns], seen, known)
        shown = torch.lerp(warped, shown, inside * (1.0 - alike))
        return shown, inside * torch.maximum(known, alike)

    def places(
        self, points: Tensor, rows: slice = slice(None), columns: slice = slice(None)
    ) -> tuple[Tensor, Tensor]:  # [B, 2, h, w], [B, 1, h, w]
        """Of each pixel inside a mouth at ``points``, the place in the patch that is shown there,
        and how far that is so: between upper and lower teeth there is nothing to show.

        Of those ``rows`` and ``columns`` of the square.
        """
        line = torch.linspace(-1.0, 1.0, self.columns.shape[-1], device=points.device)
        x, upper, parting, beneath, lower = (
            each[:, None, columns]
            for each in (self.columns, self.upper, self.parting, self.beneath, self.lower)
        )
        y = line[rows].view(1, -1, 1)
        fallen = _rows(points[:, LOWER], line[columns].repeat(len(points), 1))[:, None] - lower
        with_jaw = y - fallen
        known = torch.maximum(parting - y, with_jaw - beneath) / _SOFT + 1.0
        shown = torch.where(y < parting, y, torch.maximum(with_jaw, parting))
        middle = (upper + lower) / 2
        high, low = torch.minimum(upper + _RIM, middle), torch.maximum(lower - _RIM, middle)
        shown = torch.minimum(torch.maximum(shown, high), low)
        places = torch.stack([x.expand_as(shown), shown], 1)
        return places, known.clamp(0.0, 1.0)[:, None]

    def alike(self, points: Tensor) -> Tensor:  # [B, 478, 2] -> [B]
        """How far a mouth at ``points`` is open as it is in the photo that is drawn: then the lips
        and all between them move alike.
        """
        changed = (gap_of(points) - self.drawn).abs()
        return _step(self.drawn, _CLOSED, _OPEN) * (1.0 - _step(changed, _LITTLE, _MUCH))

    @property
    def empty(self) -> bool:
        """Whether the lips are closed in all photos."""
        return not bool((self.gap > _CLOSED).any())


def gap_of(points: Tensor) -> Tensor:  # [B, 478, 2] -> [B]
    """Widest gap between the lips; in the unit of the points, which stand upright."""
    gap: Tensor = (points[:, LOWER, 1] - points[:, UPPER, 1]).amax(1)
    return gap


def opening_edge(inner: Tensor) -> Tensor:  # [B, 1, h, w] signed distance -> [B, 1, 2h, 2w] in 0..1
    """Where nothing of the photo can be kept: inside the lips."""
    edge = functional.interpolate(inner * _EDGE, scale_factor=2.0, mode="bilinear")
    return edge.clamp_(0.0, 1.0)


def _rows(lip: Tensor, columns: Tensor) -> Tensor:  # [B, 11, 2], [B, S] -> [B, S]
    """Rows of the edge of a lip at ``columns``."""
    x, y = lip[..., 0].cummax(1).values, lip[..., 1]
    after = torch.searchsorted(x, columns).clamp(1, x.shape[1] - 1)
    left, right = x.gather(1, after - 1), x.gather(1, after)
    way = ((columns - left) / (right - left).clamp_min(1e-4)).clamp(0.0, 1.0)
    return torch.lerp(y.gather(1, after - 1), y.gather(1, after), way)


def _darkest(patches: Tensor, upper: Tensor, lower: Tensor) -> Tensor:  # [B]
    """Where between the lips it is darkest below what is bright, as a share of the gap from above.

    The shade of the upper lip may be as dark, but nothing above it is bright.
    """
    across = torch.linspace(0.0, 1.0, _ACROSS, device=upper.device)
    columns = torch.lerp(upper[:, 2:3, 0], upper[:, 8:9, 0], across)
    shares = torch.linspace(_HIGHEST, 1.0, _DOWN, device=upper.device)
    above, below = (_rows(lip, columns)[:, None] for lip in (upper, lower))
    rows = torch.lerp(above, below, shares.view(1, -1, 1))
    light = _seen(patches, columns[:, None].expand_as(rows), rows).mean((1, 3))
    light = functional.avg_pool1d(functional.pad(light[:, None], (2, 2), mode="replicate"), 5, 1)[
        :, 0
    ]
    return shares[(light.cummax(1).values - light).argmax(1)]


def _along(patches: Tensor, columns: Tensor, rows: Tensor) -> Tensor:  # [B, S] -> [B, 3, S]
    """The colours along a line, evened out."""
    colours = _seen(patches, columns[:, None], rows[:, None])[:, :, 0]
    around = functional.pad(colours, (_EVEN // 2, _EVEN // 2), mode="replicate")
    return functional.avg_pool1d(around, _EVEN, 1)


def _seen(patches: Tensor, columns: Tensor, rows: Tensor) -> Tensor:  # [B, h, w] -> [B, 3, h, w]
    """What patches show at patch coordinates."""
    grid = torch.stack([columns, rows], -1)
    return functional.grid_sample(patches, grid, padding_mode="border", align_corners=True)


def _step(value: Tensor, low: float, high: float) -> Tensor:
    return ((value - low) / (high - low)).clamp(0.0, 1.0)
