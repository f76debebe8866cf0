"""The inside of a mouth that is open in the photo, as the mouth opens or closes further.

Lips stretch, teeth do not: the upper ones stay with the skull, and so does a part's square; the
lower ones go with the jaw. So what a photo shows between the lips is parted at its darkest line,
where no teeth are: what lies above keeps its place in the square, what lies below moves with the
lower lip, and the line is drawn out over all that opens between. What the photo's lips hide is left
as the warp shows it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from avatar.ops import warp

_EDGE = 8.0
"""Steepness of the edge inside which the photo's own pixels are given up."""

_CLOSED, _OPEN = 0.11, 0.15
"""Gaps between the lips, in patch coordinates, up to which nothing is seen of the inside, and from
which on all that there is.
"""

_LITTLE, _MUCH = 0.01, 0.04
"""Ways of the lips, in patch coordinates, up to which the inside moves with them, and from which on
with skull and jaw.
"""

_TRUST = 0.5
"""How far paint gives way to a photo that is not drawn: its light and turn are not quite alike."""

_TURN = 0.6
"""How far teeth follow the mouth's corners across the square. As the head turns, corners move most
against the philtrum, which holds the square: they lie deepest.
"""

_RIM = 0.012
"""Width of the lips' edge, in patch coordinates: what lies on it is not shown inside."""

_AT_ONCE = 1e-3
"""Gap of the lips from which on a photo's inside is shown."""

_SOFT = 0.03
"""Width of the edge of what is shown, in patch coordinates."""

_AROUND = 4
"""Pixels of a patch around the lips beyond which the edge of the opening is not seen."""

_ACROSS, _DOWN = 24, 37
"""Columns and rows in which the darkest line is looked for."""

_HIGHEST, _LOWEST = 0.1, 0.8
"""The highest it may lie, as a share of the gap, and from where on nothing lies below but the lip.
"""

NOWHERE = 10.0
"""A row that is not there."""

_EVEN = 31
"""Pixels over which the colours of the line are evened out."""


@dataclass(frozen=True, eq=False)
class Inside:
    """What photos show between the lips, or ``teeth`` draws there.

    Rows and columns are patch coordinates, and so are the lips that are given, the landmarks
    ``warping.INNER_LIPS``.

    Attributes:
        patches: ``[B, 3, S, S]`` the photos.
        columns: ``[B, S]`` of each column of the square, the nearest between the mouth's corners.
        upper, parting, beneath, lower: ``[B, S]`` rows there: of the lips' edges, and between them
            of where what stays with the skull ends and what goes with the jaw begins.
        middle: ``[B]`` column half way between the mouth's corners.
        dark: ``[B, 3, S]`` colours where the one ends and the other begins, evened out.
        gap: ``[B]`` widest gap between the lips.
        trust: ``[B]`` how far paint gives way to them.
        drawn: ``[B, 2]`` rows of the lips' middles in the photo that is drawn; it may be another.
        depth: ``[B]`` how dark it is where nothing is known; less lets the warped photo through.
        parted: ``[B]`` gap between the lips from which on all of it is shown; of a third, nothing.
    """

    patches: Tensor
    columns: Tensor
    upper: Tensor
    parting: Tensor
    beneath: Tensor
    lower: Tensor
    middle: Tensor
    dark: Tensor
    gap: Tensor
    trust: Tensor
    drawn: Tensor
    depth: Tensor
    parted: Tensor

    @classmethod
    def of(cls, patches: Tensor, lips: Tensor) -> Inside:
        """Look into the mouth of the photo that is drawn, or, if it is closed, of the widest.

        Args:
            patches: ``[B, K, 3, S, S]``, first the photos that are drawn.
            lips: ``[B, K, 20, 2]``.
        """
        gaps = gap_of(lips.flatten(0, 1)).view(lips.shape[:2])
        chosen = torch.where(gaps[:, 0] > _OPEN, 0, gaps.argmax(1))
        drawn, trust = _middles(lips[:, 0]), torch.where(chosen == 0, 1.0, _TRUST)
        people = torch.arange(len(chosen), device=chosen.device)
        patches, lips = patches[people, chosen], lips[people, chosen]
        upper, lower = _upper(lips), _lower(lips)
        line = torch.linspace(-1.0, 1.0, patches.shape[-1], device=lips.device)
        corners = upper[:, :1, 0] + _RIM, upper[:, -1:, 0] - _RIM
        columns = torch.minimum(torch.maximum(line, corners[0]), corners[1])
        above, below = _rows(upper, columns), _rows(lower, columns)
        share = _darkest(patches, upper, lower)[:, None]
        parting = torch.lerp(above, below, share)
        beneath = torch.where(share < _LOWEST, parting, NOWHERE)
        return cls(
            patches, columns, above, parting, beneath, below, _middle_column(lips),
            _along(patches, columns, parting), gap_of(lips), trust, drawn,
            depth=torch.ones_like(trust), parted=torch.full_like(trust, _AT_ONCE),
        )  # fmt: skip

    def lay(
        self,
        warped: Tensor,  # [B, 3, S, S]
        inner: Tensor,  # [B, 1, S/2, S/2] signed distance to the inner edge of the lips
        lips: Tensor,  # [B, 20, 2]
    ) -> tuple[Tensor, Tensor]:  # [B, 3, S, S], [B, 1, S, S]
        """``warped``, with what is between the ``lips``; and how far the photo shows it, so that
        nothing need be painted over.
        """
        size = warped.shape[-1]
        low, high = torch.aminmax(lips.flatten(0, 1), dim=0)
        left, top = ((low + 1.0) * (size / 2) - _AROUND).int().clamp_min(0).tolist()
        right, bottom = ((high + 1.0) * (size / 2) + _AROUND).int().clamp_min(1).tolist()
        box = slice(top, bottom), slice(left, right)
        places, known, hidden = self.places(lips, *box)
        seen = warp(self.patches, (places + 1.0) * ((size - 1) / 2))
        inside = opening_edge(inner)[:, :, *box] * (1.0 - hidden)
        mixed, kept = warped.clone(), torch.zeros_like(warped[:, :1])
        mixed[:, :, *box], kept[:, :, *box] = self.mixed(
            warped[:, :, *box], seen, known, inside, lips, box[1]
        )
        return mixed, kept

    def mixed(
        self,
        warped: Tensor,  # [B, 3, h, w]
        seen: Tensor,  # [B, 3, h, w] what ``patches`` show at the ``places``
        known: Tensor,  # [B, 1, h, w]
        inside: Tensor,  # [B, 1, h, w] in 0..1
        lips: Tensor,
        columns: slice = slice(None),
    ) -> tuple[Tensor, Tensor]:
        """What ``lay`` gives, in those columns of the square."""
        parted = _step(gap_of(lips), self.parted / 3, self.parted)
        inside = inside * (_step(self.gap, _CLOSED, _OPEN) * parted).view(-1, 1, 1, 1)
        alike = self.alike(lips).view(-1, 1, 1, 1)
        dark = self.dark[:, :, None, columns].expand_as(warped)
        shown = torch.lerp(torch.lerp(warped, dark, self.depth.view(-1, 1, 1, 1)), seen, known)
        shown = torch.lerp(warped, shown, inside * (1.0 - alike))
        return shown, inside * torch.maximum(known * self.trust.view(-1, 1, 1, 1), alike)

    def places(
        self, lips: Tensor, rows: slice = slice(None), columns: slice = slice(None)
    ) -> tuple[Tensor, Tensor, Tensor]:  # [B, 2, h, w], [B, 1, h, w], [B, 1, h, w]
        """Of each pixel between the ``lips``, the place in the patch that is shown there; how far
        that is so, as between upper and lower teeth there is nothing to show; and how far the
        photo's own lips hide it.

        Of those ``rows`` and ``columns`` of the square.
        """
        line = torch.linspace(-1.0, 1.0, self.columns.shape[-1], device=lips.device)
        turned = _TURN * (_middle_column(lips) - self.middle)
        across = line[columns] - turned[:, None]
        x, upper, parting, beneath, lower = (
            _at(each, across)[:, None]
            for each in (self.columns, self.upper, self.parting, self.beneath, self.lower)
        )
        y = line[rows].view(1, -1, 1)
        fallen = _rows(_lower(lips), line[columns].repeat(len(lips), 1))[:, None] - lower
        with_jaw = y - fallen
        known = torch.maximum(parting - y, with_jaw - beneath) / _SOFT + 1.0
        wanted = torch.where(y < parting, y, torch.maximum(with_jaw, parting))
        middle = (upper + lower) / 2
        high, low = torch.minimum(upper + _RIM, middle), torch.maximum(lower - _RIM, middle)
        shown = torch.minimum(torch.maximum(wanted, high), low)
        hidden = (torch.maximum((wanted - shown).abs(), (across[:, None] - x).abs()) - _RIM) / _SOFT
        places = torch.stack([x.expand_as(shown), shown], 1)
        return places, known.clamp(0.0, 1.0)[:, None], hidden.clamp(0.0, 1.0)[:, None]

    def alike(self, lips: Tensor) -> Tensor:  # [B, 20, 2] -> [B]
        """How far the lips lie as in the photo that is drawn: then all between them moves alike."""
        way = (_middles(lips) - self.drawn).abs().amax(1)
        gap = self.drawn[:, 1] - self.drawn[:, 0]
        return _step(gap, _CLOSED, _OPEN) * (1.0 - _step(way, _LITTLE, _MUCH))

    @property
    def empty(self) -> bool:
        """Whether the lips are closed, or nearly so, in all photos."""
        return not bool((self.gap > (_CLOSED + _OPEN) / 2).any())


def gap_of(lips: Tensor) -> Tensor:  # [B, 20, 2] -> [B]
    """Widest gap between the lips."""
    gap: Tensor = (_lower(lips) - _upper(lips))[..., 1].amax(1)
    return gap


def opening_edge(inner: Tensor) -> Tensor:  # [B, 1, h, w] signed distance -> [B, 1, 2h, 2w] in 0..1
    """Where nothing of the photo can be kept: inside the lips."""
    edge = functional.interpolate(inner * _EDGE, scale_factor=2.0, mode="bilinear")
    return edge.clamp_(0.0, 1.0)


def _upper(lips: Tensor) -> Tensor:  # [B, 20, 2] -> [B, 11, 2]
    """From the corner at the picture's left to the other."""
    return lips[:, :11]


def _lower(lips: Tensor) -> Tensor:  # [B, 20, 2] -> [B, 11, 2]
    """From the corner at the picture's left to the other."""
    return torch.cat([lips[:, :1], lips[:, 11:].flip(1), lips[:, 10:11]], 1)


def _middles(lips: Tensor) -> Tensor:  # [B, 20, 2] -> [B, 2]
    """Rows of the upper and the lower lip's middle."""
    return lips[:, 5:16:10, 1]


def _middle_column(lips: Tensor) -> Tensor:  # [B, 20, 2] -> [B]
    """Half way between the corners."""
    return (lips[:, 0, 0] + lips[:, 10, 0]) / 2


def _at(line: Tensor, columns: Tensor) -> Tensor:  # [B, S], [B, w] -> [B, w]
    """A value of each column of the square, at ``columns`` in patch coordinates."""
    last = line.shape[1] - 1
    place = ((columns + 1.0) * (last / 2)).clamp(0.0, float(last))
    before = place.long().clamp(max=last - 1)
    return torch.lerp(line.gather(1, before), line.gather(1, before + 1), place - before)


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
    light = _averaged(light[:, None], 5)[:, 0]
    return shares[(light.cummax(1).values - light).argmax(1)]


def _along(patches: Tensor, columns: Tensor, rows: Tensor) -> Tensor:  # [B, S] -> [B, 3, S]
    """The colours along a line, evened out."""
    return _averaged(_seen(patches, columns[:, None], rows[:, None])[:, :, 0], _EVEN)


def _averaged(lines: Tensor, width: int) -> Tensor:  # [B, C, N] -> the same
    around = functional.pad(lines, (width // 2, width // 2), mode="replicate")
    return functional.avg_pool1d(around, width, 1)


def _seen(patches: Tensor, columns: Tensor, rows: Tensor) -> Tensor:  # [B, h, w] -> [B, 3, h, w]
    """What patches show at patch coordinates."""
    grid = torch.stack([columns, rows], -1)
    return functional.grid_sample(patches, grid, padding_mode="border", align_corners=True)


def _step(value: Tensor, low: float | Tensor, high: float | Tensor) -> Tensor:
    return ((value - low) / (high - low)).clamp(0.0, 1.0)
