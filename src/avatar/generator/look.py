"""What a picture looks like, so that what is painted into it looks the same.

The decoders learned from films of people. Into a grey photo, a statue or a yellowed painting they
would paint a rosy tongue, and into a picture with grain a patch without. So three things are
measured around the face, once for each picture, and kept to in every frame:

- **tones**: the darkest and the lightest of the picture;
- **colour**: in a picture of one material (silver, stone, old varnish) the chroma is nearly a
  function of the luma. Paint may leave that curve no further than the face does. A face of many
  colours sets no limit;
- **detail**: paint is made as crisp as the picture, and given its grain, made anew from the calmest
  skin (random phase noise: Galerne, Gousseau & Morel 2011).

Chroma is two differences to the luma, ``(red - luma, blue - luma)``: grey has exactly none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter
from scipy.spatial import ConvexHull
from torch import Tensor

from avatar.types import FloatArray, ImageArray

RED, GREEN, BLUE = 0.299, 0.587, 0.114
_LUMA = np.array([RED, GREEN, BLUE], np.float32)

_COARSE = 60.0
"""Inter-ocular distance, in pixels, at which colours are measured: grain is averaged away."""

_BLACK, _WHITE = -0.84, 0.84
"""A picture that is darker and lighter than these somewhere has all tones."""

_MANY_COLOURS = 17.0
"""Levels of red off the curve (99.5 % of the face) from which on a face has many colours. Of the
pictures tried, a statue and an old print have 6 to 8, photos of people 12 to 45."""

_FINE = 2.0
"""Width of the Gaussian below which detail is measured, in pixels of the paint."""

_CRISP = 12.0
"""Levels of fine detail (99 % of the face) of a picture that is as crisp as the paint can be."""

MOST_DETAIL = 24.0 / 127.5
"""What crisping may add or take away: no halos."""

APART = 3
"""Pixels of the paint between the rows that crisping compares."""

_WINDOW, _STEP = 40, 20
"""Side and distance, in pixels of the paint, of the squares in which grain is measured."""

_LEAST_GRAIN, _MOST_GRAIN = 0.4, 3.0
"""Levels of 255: less is nothing, more is not grain."""


@dataclass(frozen=True, eq=False)
class Look:
    """What paint must keep to. Luma and chroma are of colours in [-1, 1]. Immutable.

    Attributes:
        grey: red, green and blue are the same everywhere.
        tones: darkest and lightest luma; None where the picture has black and white.
        curve: ``[2, 3]`` chroma as a polynomial of the luma (1, luma, luma²); None where any
            colour will do.
        reach: ``[2]`` how far from the curve a chroma may be.
        known: the luma between which the curve was measured.
        crispness: 0 to 1, how much of the paint's own detail is added to it.
        grain: ``[S, S]`` luma to add inside the lips; None for none.
    """

    grey: bool
    tones: tuple[float, float] | None
    curve: FloatArray | None
    reach: FloatArray
    known: tuple[float, float]
    crispness: float
    grain: Tensor | None

    @classmethod
    def of(cls, photo: ImageArray, points: FloatArray, *, scale: float, size: int) -> Look:
        """Measure a picture.

        Args:
            photo: ``[H, W, 3]`` RGB.
            points: ``[478, 2]`` the face in it, in pixels.
            scale: pixels of the paint for one of the photo.
            size: side of the paint in pixels.
        """
        unit = float(np.linalg.norm(points[33] - points[263]))
        box, face = _face_at(photo, points, _COARSE / unit)
        box = box / 127.5 - 1.0
        dark, light = (float(luma) for luma in np.quantile(box @ _LUMA, (0.001, 0.999)))
        curve, reach, known = _colours(box[face])
        crispness, grain = _details(*_face_at(photo, points, scale), size)
        return cls(
            grey=bool((photo == photo[..., :1]).all()),
            tones=None if dark < _BLACK and light > _WHITE else (dark, light),
            curve=curve, reach=reach, known=known, crispness=crispness, grain=grain,
        )  # fmt: skip

    def keep(self, warped: Tensor, residual: Tensor) -> Tensor:  # [n, 3, S, S] each
        """The residual without what leaves the tones and colours of the picture.

        No more is taken back than the residual brought: where nothing is painted, nothing changes.
        """
        if self.tones is None and self.curve is None:
            return residual
        residual = residual.contiguous()
        brought = _luma(residual)
        if self.grey and self.tones is None:
            return brought.expand_as(residual)
        luma = _luma(warped.contiguous()).add_(brought)
        kept = luma
        if self.tones is not None:
            excess = _beyond(luma, *self.tones, brought.abs())
            kept, brought, residual = luma - excess, brought - excess, residual - excess
        if self.grey:
            return brought.expand_as(residual)
        if self.curve is None:
            return residual
        painted = (warped + residual).contiguous()
        known = kept.clamp(*self.known)
        out = torch.empty_like(painted)
        green = kept.clone()
        for channel, share, (a, b, c), reach in zip(
            (0, 2), (RED, BLUE), self.curve, self.reach, strict=True
        ):
            curve = (known * c).add_(b).mul_(known).add_(a)
            chroma = painted[:, channel, None] - kept
            most = (residual[:, channel, None] - brought).abs_().add_(brought.abs())
            chroma -= _beyond(chroma - curve, -reach, reach, most)
            torch.add(kept, chroma, out=out[:, channel, None])
            green.add_(chroma, alpha=-share / GREEN)
        out[:, 1, None] = green
        return out.sub_(warped)

    def detail(self, painted: Tensor) -> Tensor:  # [3, h, w] -> [h, w]
        """What to add to paint inside the lips so that it is as crisp and grainy as the picture.

        Its own detail is added down the face only: edges of teeth and tongue lie across, and what
        lies down is the photo, stretched. The first and last rows are left alone.
        """
        luma = _luma(painted[None].contiguous())[0, 0]
        detail = torch.zeros_like(luma)
        rows = luma[APART:-APART]
        crisp = torch.sub(2.0 * rows, luma[: -2 * APART]).sub_(luma[2 * APART :])
        crisp.mul_(self.crispness / 3.0).clamp_(-MOST_DETAIL, MOST_DETAIL)
        if self.grain is not None:
            height, width = crisp.shape
            # Less of it in the dark, where neither film nor paint shows any.
            crisp.addcmul_(rows.add(1.0).clamp_(max=1.0), self.grain[:height, :width])
        detail[APART:-APART] = crisp
        return detail


def _luma(colours: Tensor) -> Tensor:  # [n, 3, S, S] -> [n, 1, S, S]
    red, green, blue = (colours[:, k, None] for k in range(3))
    return (red * RED).add_(green, alpha=GREEN).add_(blue, alpha=BLUE)


def _beyond(value: Tensor, low: float, high: float, most: Tensor) -> Tensor:
    """By how much ``value`` leaves (low, high), either way at most ``most``."""
    beyond = value - value.clamp(low, high)
    return torch.minimum(torch.maximum(beyond, -most, out=beyond), most, out=beyond)


def _face_at(
    photo: ImageArray, points: FloatArray, scale: float
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """The box around the face at a scale, ``[h, w, 3]`` levels, and where in it is face."""
    low = np.maximum(points.min(0) - 4, 0).astype(int)
    high = np.minimum(points.max(0) + 5, photo.shape[1::-1]).astype(int)
    box = Image.fromarray(photo[low[1] : high[1], low[0] : high[0]])
    size = (max(1, round(box.width * scale)), max(1, round(box.height * scale)))
    outline = (points - low + 0.5) * scale - 0.5
    face = Image.new("1", size)
    hull = [(float(x), float(y)) for x, y in outline[ConvexHull(outline).vertices]]
    ImageDraw.Draw(face).polygon(hull, fill=1)
    kind = Image.Resampling.BOX if scale < 1.0 else Image.Resampling.BILINEAR
    return np.asarray(box.resize(size, kind), np.float32), np.asarray(face)


def _colours(face: FloatArray) -> tuple[FloatArray | None, FloatArray, tuple[float, float]]:
    """Curve, reach and known luma of the pixels ``[N, 3]`` of a face."""
    luma = face @ _LUMA
    chroma = face[:, [0, 2]] - luma[:, None]
    powers = np.stack([np.ones_like(luma), luma, luma * luma], 1)
    curve = np.linalg.lstsq(powers, chroma, rcond=None)[0]
    reach = np.quantile(np.abs(chroma - powers @ curve), 0.995, axis=0).astype(np.float32)
    known = float(np.quantile(luma, 0.001)), float(np.quantile(luma, 0.999))
    colourful = float(reach[0]) * 127.5 / _MANY_COLOURS
    if colourful >= 1.0:
        return None, reach, known
    # From "all of one material" to "no limit" without a step.
    return curve.T.astype(np.float32), reach * (colourful / (1.0 - colourful**2)), known


def _details(box: FloatArray, face: NDArray[np.bool_], size: int) -> tuple[float, Tensor | None]:
    """Crispness and grain of a face at the scale of the paint."""
    luma = box @ _LUMA
    fine = luma - gaussian_filter(luma, _FINE)
    crispness = min(float(np.quantile(np.abs(fine[face]), 0.99)) / _CRISP, 1.0)
    squares = []
    for top in range(0, fine.shape[0] - _WINDOW + 1, _STEP):
        for left in range(0, fine.shape[1] - _WINDOW + 1, _STEP):
            square = np.s_[top : top + _WINDOW, left : left + _WINDOW]
            if face[square].all():
                squares.append(fine[square])
    if not squares:
        return crispness, None
    calm = sorted(squares, key=lambda square: float(square.std()))[len(squares) // 8]
    strength = min(float(calm.std()), _MOST_GRAIN)
    return crispness, None if strength < _LEAST_GRAIN else _noise_like(calm, size, strength)


def _noise_like(texture: FloatArray, size: int, strength: float) -> Tensor:
    """Noise ``[size, size]`` with the spectrum of a square of texture; it can be tiled."""
    side = len(texture)
    hann = np.hanning(side)
    texton = np.zeros((size, size))
    texton[:side, :side] = (texture - texture.mean()) * np.outer(hann, hann)
    noise = np.random.default_rng(0).standard_normal((size, size))
    grain = np.fft.irfft2(np.fft.rfft2(texton) * np.fft.rfft2(noise), s=(size, size))
    return torch.from_numpy((grain * (strength / 127.5 / grain.std())).astype(np.float32))
