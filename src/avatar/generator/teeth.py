"""Upper teeth for a mouth that is closed in the photo.

The decoder of the mouth learned teeth from films of people. Into paintings, cartoons and many a
sharp photo it paints a smear instead. Teeth are stiff, much alike, and stay with the skull, so a
row of them is drawn once, in the picture's own colours, and kept as if a photo had shown it
(``inside``). Below their edges all is left to the decoder.

Sizes are those of an adult's teeth, in millimetres.
"""

from __future__ import annotations

import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn import functional

from avatar.generator.inside import NOWHERE, Inside
from avatar.generator.look import Look

_SMALL, _SOFT = 80.0, 0.95
"""Inter-ocular distance in pixels, and crispness, below both of which a face is like those of the
films that the decoder learned from: it paints their teeth itself.
"""

_UNIT = 1.0 / 58.0
"""A millimetre in patch coordinates, where a corner of the mouth is ``_CORNER`` from its middle.
Wider mouths have larger teeth, within limits.
"""
_CORNER = 26.0
_SCALES = (0.75, 1.2)

_WIDTHS = (8.4, 6.6, 7.6, 6.9, 6.6, 9.0)
"""From the middle outwards, along the jaw."""

_RAISED = (0.0, 0.5, 0.2, 0.8, 1.3, 1.8)
"""How much higher than the first each ends."""

_ROUNDED = (0.55, 0.55, 1.0, 0.55, 0.55, 0.55)
"""How much higher the corners of their edges lie."""

_JAW = 24.0
"""Radius of the row."""

_BELOW = 3.0
"""How far the first tooth reaches below the line of the closed lips."""

_HEIGHT, _GUM_EDGE = 11.0, 1.0

_SKIN = ((0.5, 0.7), (0.5, 0.29), (0.18, 0.35), (0.82, 0.35))
"""Where skin is looked at, in shares of the square, right and down."""

_WARM, _BRIGHT = 0.4, 1.12
"""How much of the skin's colour teeth have, and their light beside it."""

_GUM, _THROAT = 0.75, 0.12
"""Light beside the lips'."""

_SIDE, _BETWEEN, _EACH, _ROOT, _CORNERS = 0.12, 0.4, 0.11, 0.15, 0.65
"""Light that is lost towards the sides of a tooth, between two, with each further back, towards the
root, and in the corners of the mouth.
"""

_BETWEEN_FROM = 0.86
"""How near the side of a tooth, of its half width, its neighbour takes light away."""

_SHARPEST, _SOFTEST, _OF_A_PIXEL = 0.5, 1.4, 0.5
"""Blur, in pixels of the patch: in the crispest picture, in one without detail, and at least of one
pixel of the photo.
"""

_PER_PIXEL = 4
"""Samples across each pixel of the patch."""

_TRUST, _DEPTH, _PARTED = 0.7, 0.5, 0.1


def paints_itself(eyes: float, look: Look) -> bool:
    """Whether the decoder is at home in such a picture; ``eyes``: inter-ocular distance, pixels."""
    return eyes < _SMALL and look.crispness < _SOFT


def drawn_teeth(
    patch: Tensor,  # [1, 3, S, S] in [-1, 1] the mouth in the photo
    lips: Tensor,  # [1, 20, 2] its ``INNER_LIPS`` in patch coordinates
    look: Look,
    *,
    enlarged: float,
) -> Inside:
    """What would show between the lips.

    Args:
        look: of the picture, which teeth keep to.
        enlarged: pixels of the patch for one of the photo.
    """
    size = patch.shape[-1]
    skin, lip = (colour.view(3, 1, 1) for colour in _colours(patch[0] + 1.0, lips[0]))
    throat = _THROAT * lip
    x, y = _places(size, _PER_PIXEL), _places(size, 1)
    left, right = lips[0, 0, 0], lips[0, 10, 0]
    middle, line = (lips[0, 5] + lips[0, 15]) / 2
    to_corner = torch.where(x < middle, middle - left, right - middle).clamp_min(_UNIT)
    unit = _UNIT * (to_corner / (_CORNER * _UNIT)).clamp(*_SCALES)
    ends, light = _row((x - middle).abs() / unit)
    inwards = (1.0 - (x - middle).abs() / to_corner).clamp_min(0.0).sqrt()
    light = light * (1.0 - _CORNERS * (1.0 - inwards))
    ends = line + unit * ends
    above = (ends - y.view(-1, 1)) / unit  # millimetres from the edge
    enamel = (_BRIGHT * torch.lerp(skin.mean(), skin, _WARM)).clamp(max=1.95)
    enamel = enamel * (1.0 - _ROOT * (above / _HEIGHT).clamp(0.0, 1.0))
    gum = ((above - _HEIGHT) / _GUM_EDGE).clamp(0.0, 1.0)
    teeth = light * torch.lerp(enamel, _GUM * lip, gum)
    shown = (above * unit * (size / 2) + 0.5).clamp(0.0, 1.0)
    drawn = functional.avg_pool2d(torch.lerp(throat, teeth, shown), (1, _PER_PIXEL))
    blur = max(_SOFTEST + (_SHARPEST - _SOFTEST) * look.crispness, _OF_A_PIXEL * enlarged)
    drawn = torch.from_numpy(gaussian_filter(drawn.numpy(), (0.0, blur, blur)))[None]
    throat, skin = throat.expand_as(drawn), skin.expand_as(drawn)
    drawn, throat = (look.keep(skin - 1.0, c - skin) + skin - 1.0 for c in (drawn, throat))

    def everywhere(row: float) -> Tensor:
        return torch.full((1, size), row)

    return Inside(
        drawn, y[None],
        upper=everywhere(-1.0), parting=functional.avg_pool1d(ends[None], _PER_PIXEL),
        beneath=everywhere(NOWHERE), lower=everywhere(1.0), middle=((left + right) / 2).view(1),
        dark=throat[:, :, 0].contiguous(), gap=torch.ones(1),
        trust=torch.tensor([_TRUST]), drawn=lips[:, 5:16:10, 1], depth=torch.tensor([_DEPTH]),
        parted=torch.tensor([_PARTED]),
    )  # fmt: skip


def _row(across: Tensor) -> tuple[Tensor, Tensor]:  # [n] mm from the middle -> [n], [n]
    """How far below the line of the lips the teeth end, and how light they are."""
    widths = torch.tensor(_WIDTHS)
    sides = widths.cumsum(0)
    along = _JAW * torch.asin((across / _JAW).clamp(max=1.0))
    tooth = torch.searchsorted(sides, along).clamp(max=len(widths) - 1)
    off = (2.0 * (sides[tooth] - along) / widths[tooth] - 1.0).abs()  # 1 at a side of the tooth
    ends = _BELOW - torch.tensor(_RAISED)[tooth] - torch.tensor(_ROUNDED)[tooth] * off**5
    between = ((off - _BETWEEN_FROM) / (1.0 - _BETWEEN_FROM)).clamp(0.0, 1.0)
    light = (1.0 - _SIDE * off**2.5) * (1.0 - _BETWEEN * between**1.5) * (1.0 - _EACH * tooth)
    return ends, light


def _colours(patch: Tensor, lips: Tensor) -> tuple[Tensor, Tensor]:  # [3, S, S], [20, 2]
    """Of the skin around the mouth and of the lips, in [0, 2].

    Of chin, upper lip and cheeks the skin's is the lightest but one: some may lie in shadow, be
    bearded, or be no face at all where the head is turned.
    """
    size = patch.shape[-1]

    def seen(middle: tuple[float, float]) -> Tensor:
        column, row = (int(share * size) for share in middle)
        reach = size // 20
        part = patch[:, row - reach : row + reach, column - reach : column + reach]
        return part.flatten(1).median(1).values

    skin = torch.stack([seen(place) for place in _SKIN])
    below_the_line = lips[2:9] + torch.tensor([0.0, 0.05])
    column, row = ((below_the_line + 1.0) * ((size - 1) / 2)).long().clamp(0, size - 1).unbind(1)
    return skin[skin.mean(1).argsort()[-2]], patch[:, row, column].mean(1)


def _places(size: int, samples: int) -> Tensor:
    """Of so many samples of each pixel of a side, in patch coordinates."""
    pixels = (torch.arange(size * samples) + 0.5) / samples - 0.5
    return pixels * (2.0 / (size - 1)) - 1.0
