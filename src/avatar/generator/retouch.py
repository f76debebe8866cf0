"""What is put right in the picture that patches are cut from, before any is cut."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter, shift

from avatar.face.topology import INNER_LIP_LOWER, INNER_LIP_UPPER, OUTER_LIP_CORNERS
from avatar.types import FloatArray, ImageArray

_CLOSED, _OPEN = 0.06, 0.12
"""Gaps between the lips, in inter-ocular distances, up to which all is evened out, and from which
on nothing is: what is seen there are teeth.
"""

_ALONG = 0.1
"""How far along the lips it is evened out, either way, in inter-ocular distances."""

_RIM, _SOFT = 0.05, 0.01
"""Width of the line and of its edge, in inter-ocular distances."""


def even_lips(
    photo: ImageArray,  # [H, W, 3], changed
    points: FloatArray,  # [478, 2] pixels
) -> None:
    """Even out, along the lips, the line where closed lips meet.

    An opening mouth stretches that line over the whole opening, and each speck of it to a streak.
    """
    unit = float(np.linalg.norm(points[33] - points[263]))
    upper, lower = points[list(INNER_LIP_UPPER)], points[list(INNER_LIP_LOWER)]
    gap = float(np.linalg.norm(upper - lower, axis=1).max()) / unit
    share = min(max((_OPEN - gap) / (_OPEN - _CLOSED), 0.0), 1.0)
    ring = np.concatenate([upper, lower[::-1]])
    low = np.floor(ring.min(0) - _ALONG * unit).clip(0).astype(int)
    high = np.ceil(ring.max(0) + _ALONG * unit).clip(0).astype(int)
    view = photo[low[1] : high[1], low[0] : high[0]]
    if not share or not view.size:
        return
    mask = Image.new("L", (view.shape[1], view.shape[0]))
    outline = [(float(x), float(y)) for x, y in ring - low]
    width = max(1, round(_RIM * unit))
    draw = ImageDraw.Draw(mask)
    draw.polygon(outline, fill=255)
    draw.line([*outline, outline[0]], fill=255, width=width, joint="curve")
    line = gaussian_filter(np.asarray(mask, np.float32) / 255.0, _SOFT * unit)[..., None]
    right, left = points[list(OUTER_LIP_CORNERS)]
    x, y = (left - right) / np.linalg.norm(left - right) * (_ALONG * unit)
    before = view.astype(np.float32)
    moved = [
        shift(before, (step * y, step * x, 0), order=1, mode="nearest")
        for step in np.linspace(-1.0, 1.0, 17)
    ]
    view[:] = np.rint(before + (np.mean(moved, 0) - before) * (line * share))
