"""Eyes that close, made from the photo itself.

The decoder of the eyes learned from films of people. Over the eyes of a cartoon, of a painting and
of many a sharp photo it lays too little of a lid, and the iris looks through. There a
few more pictures are made of the photo, with the eyes half closed to shut, and the portrait keeps
them like further photos of that person (``views``).

An eye is three sheets here: the eyeball, which stays where it is; the lower lid; and the upper lid
over both. A lid that falls keeps its lashes, and shows skin that the photo does not: what lies
above its crease, mirrored, and towards its edge skin from below the eye.

All is done in the eye's own square (``parts``), x from the outer corner to the inner, y down. The
curves of an eye are heights over x.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from avatar.generator.parts import LEFT_EYE_PART, RIGHT_EYE_PART, Part, Placement
from avatar.ops import warp


class _Eye(NamedTuple):
    """Landmarks of one eye, each row from the outer corner to the inner."""

    part: Part
    crease: tuple[int, ...]
    upper: tuple[int, ...]
    lower: tuple[int, ...]
    rim: tuple[int, ...]
    brow: tuple[int, ...]


_EYES = (
    _Eye(
        RIGHT_EYE_PART,
        crease=(130, 247, 30, 29, 27, 28, 56, 190, 243),
        upper=(33, 246, 161, 160, 159, 158, 157, 173, 133),
        lower=(33, 7, 163, 144, 145, 153, 154, 155, 133),
        rim=(130, 25, 110, 24, 23, 22, 26, 112, 243),
        brow=(46, 53, 52, 65, 55),
    ),
    _Eye(
        LEFT_EYE_PART,
        crease=(359, 467, 260, 259, 257, 258, 286, 414, 463),
        upper=(263, 466, 388, 387, 386, 385, 384, 398, 362),
        lower=(263, 249, 390, 373, 374, 380, 381, 382, 362),
        rim=(359, 255, 339, 254, 253, 252, 256, 341, 463),
        brow=(276, 283, 282, 295, 285),
    ),
)

CLOSINGS = (0.35, 0.65, 1.0)
"""How far the eyes are closed in the pictures that are made."""

_MEETING = 0.85
"""Where the lids meet, from the upper one to the lower."""

_CREASE_FOLLOWS = 0.15

# Heights, in halves of the square.
_LASHES = 0.06
"""Of the lashes above the edge of the lid."""

_UNFOLDS = 0.12
"""How far below the crease the skin that was hidden has taken over."""

_OF_THE_BROW = 0.45
"""How much of the skin between crease and brow is mirrored at the most."""

_CHEEK = 0.6
"""How much the skin of the lid's edge is that from below the eye: the fold above lies in shadow."""

_BELOW_THE_RIM, _OF_THE_CHEEK = 0.12, 0.3
"""Where that begins, and how far down it is taken for one step up the lid."""

_EVENED = 0.06
"""Over which width the skin is evened out along the lid, in shares of the square."""

_DARKEST = 0.85
"""How dark the mirrored skin may be beside that from below the eye: rims of glasses are darker."""

_GRAIN_FROM, _GRAIN, _MOST_GRAIN = 0.25, 7, 15.0
"""Height of the strip below the eye whose grain the lid is given, in how many pixels it is looked
for, and how many levels are still grain.
"""

_SHADOW, _SHADOW_REACH = 0.35, 0.05
"""Of the upper lid on the eyeball."""

_SOFT = 0.13
"""Width of the edge of what is laid on."""

_LEAST = 0.02
"""Height of any lid, even of one that is hidden in its fold."""


def closed_by(points: Tensor, share: float) -> Tensor:  # [1, 478, 2] -> the same
    """The landmarks with the eyes closed by ``share``."""
    closed = points.clone()
    for eye in _EYES:
        inner = slice(1, -1)
        upper, lower = list(eye.upper[inner]), list(eye.lower[inner])
        gap = points[:, lower] - points[:, upper]
        closed[:, upper] += share * _MEETING * gap
        closed[:, lower] -= share * (1.0 - _MEETING) * gap
        closed[:, list(eye.crease[inner])] += share * _CREASE_FOLLOWS * gap
    return closed


def closing_eyes(
    near: Tensor,  # [1, 3, h, w] the photo at the scale of the patches, 0 to 255
    points: Tensor,  # [1, 478, 2] the face in it
    share: float,
) -> Tensor:  # [2, 3, S, S] in [-1, 1]
    """The squares of both eyes, right and left, closed by ``share``."""
    squares = [_Square(near, points, eye).closed(closed_by(points, share)) for eye in _EYES]
    return torch.stack(squares).div_(127.5).sub_(1.0)


class _Curves(NamedTuple):
    """Heights ``[S]`` of an eye's curves; ``brow`` is the lower edge of the brow."""

    crease: Tensor
    upper: Tensor
    lower: Tensor
    rim: Tensor
    brow: Tensor


class _Square:
    """One eye of a photo in its square."""

    def __init__(self, near: Tensor, points: Tensor, eye: _Eye) -> None:
        self._near, self._eye = near, eye
        self._place = Placement.of(eye.part, points)
        self._x = torch.linspace(-1.0, 1.0, eye.part.size)
        self._y = self._x.view(-1, 1)
        self._local = self._place.to_patch(points)[0]
        self._open = self._curves(self._local)

    def closed(self, points: Tensor) -> Tensor:  # [1, 478, 2] -> [3, S, S]
        """The square with the lids of ``points``."""
        y, old, new = self._y, self._open, self._curves(self._place.to_patch(points)[0])
        open_eye = self._shown(y.expand(-1, len(self._x)))
        pixel = 2.4 / len(self._x)
        under_lower = ((y - new.lower) / pixel + 0.5).clamp(0.0, 1.0)
        under_upper = ((y - new.upper) / pixel + 0.5).clamp(0.0, 1.0)
        fallen = ((new.upper - old.upper) / 0.1).clamp(0.0, 1.0)
        shadow = torch.exp((new.upper - y).clamp(max=0.0) / _SHADOW_REACH)
        eyeball = open_eye * (1.0 - _SHADOW * fallen * shadow)
        below = torch.lerp(eyeball, self._lower_lid(new), under_lower)
        sheets = torch.lerp(self._upper_lid(new), below, under_upper)
        inside = torch.minimum((y - new.crease) / _SOFT + 0.5, (new.rim - y) / _SOFT + 0.5)
        outer, inner = self._local[[self._eye.upper[0], self._eye.upper[-1]], 0]
        ends = torch.minimum(self._x - outer, inner - self._x) / _SOFT + 1.0
        return torch.lerp(open_eye, sheets, _smooth(torch.minimum(inside, ends)))

    def _upper_lid(self, new: _Curves) -> Tensor:
        y, old = self._y, self._open
        height, was = new.upper - new.crease, old.upper - old.crease
        below = (y - new.crease).clamp_min(0.0)
        above = (y - new.crease).clamp_max(0.0)
        stretched = self._shown(old.crease + above + below * (was / height))
        most = _OF_THE_BROW * (old.crease - old.brow)
        mirrored = self._shown(old.crease - most * (1.0 - torch.exp(-below / most)))
        up_the_lid = (new.upper - y).clamp_min(0.0)
        cheek = self._shown(old.rim + _BELOW_THE_RIM + _OF_THE_CHEEK * up_the_lid)
        mirrored, cheek = _evened(mirrored), _evened(cheek)
        mirrored = torch.maximum(mirrored, _DARKEST * cheek)
        hidden = torch.lerp(mirrored, cheek, _CHEEK * (below / height).clamp(max=1.0))
        hidden += self._grain(up_the_lid)
        share = (1.6 * (1.0 - was / height)).clamp(0.0, 1.0)
        skin = torch.lerp(stretched, hidden, share * _smooth(below / _UNFOLDS))
        lashes = _smooth(1.0 - (new.upper - y) / _LASHES)
        return torch.lerp(skin, self._shown(y - new.upper + old.upper), lashes)

    def _grain(self, up_the_lid: Tensor) -> Tensor:
        """Of the photo, canvas or stone: that of the skin below the eye."""
        back_and_forth = (up_the_lid / _GRAIN_FROM + 1.0) % 2.0 - 1.0
        strip = _BELOW_THE_RIM + _GRAIN_FROM * back_and_forth.abs()
        skin = self._shown(self._open.rim + strip)
        padded = functional.pad(skin, (_GRAIN // 2,) * 4, "replicate")
        return (skin - functional.avg_pool2d(padded, _GRAIN, 1)).clamp(-_MOST_GRAIN, _MOST_GRAIN)

    def _lower_lid(self, new: _Curves) -> Tensor:
        old = self._open
        share = (old.rim - old.lower) / (new.rim - new.lower)
        below = self._y - new.lower
        return self._shown(old.lower + torch.where(below > 0.0, below * share, below))

    def _shown(self, heights: Tensor) -> Tensor:  # [S, S] -> [3, S, S]
        """What lies at these heights in the photo, each column in its own."""
        places = torch.stack([self._x.expand_as(heights), heights]).flatten(1)
        axes = torch.stack([self._place.right[0], self._place.down[0]], 1)
        grid = (self._place.centre.T + axes @ places).view(1, 2, *heights.shape)
        shape = (heights.shape[0], heights.shape[1])
        return warp(self._near, grid, shape)[0].float()

    def _curves(self, points: Tensor) -> _Curves:  # [478, 2]
        eye = self._eye
        rows = (eye.crease, eye.upper, eye.lower, eye.rim, eye.brow)
        crease, upper, lower, rim, brow = (_height(points[list(row)], self._x) for row in rows)
        return _Curves(
            torch.minimum(crease, upper - _LEAST), upper, lower,
            torch.maximum(rim, lower + _LEAST), torch.minimum(brow, crease - _LEAST),
        )  # fmt: skip


def _height(points: Tensor, x: Tensor) -> Tensor:  # [n, 2], [S] -> [S]
    """Of the line through ``points`` at ``x``; level beyond its ends."""
    points = points[points[:, 0].argsort()]
    across, heights = points[:, 0].contiguous(), points[:, 1]
    x = x.clamp(across[0], across[-1])
    after = torch.searchsorted(across, x).clamp(1, len(across) - 1)
    before = after - 1
    share = (x - across[before]) / (across[after] - across[before]).clamp_min(1e-6)
    return torch.lerp(heights[before], heights[after], share)


def _evened(skin: Tensor) -> Tensor:  # [3, S, S]
    """Without what changes quickly along the lid: hairs, folds and the rims of glasses."""
    reach = max(1, int(skin.shape[-1] * _EVENED / 2))
    for _ in range(2):
        padded = functional.pad(skin, (reach, reach), "replicate")
        skin = functional.avg_pool1d(padded, 2 * reach + 1, 1)
    return skin


def _smooth(x: Tensor) -> Tensor:
    x = x.clamp(0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)
