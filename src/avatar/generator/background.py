"""What is seen behind a person instead of what the photo shows there.

The photo is taken apart once: the person, with the colours of the old background taken out of the
edge of the hair, and a share for each pixel. In each frame the share is warped like the photo, so
whatever the head uncovers shows the new background.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps
from torch import Tensor
from torch.nn import functional

from avatar.errors import ConfigError
from avatar.generator.portrait import Cutout, Portrait, planes
from avatar.media import ImageSource, load_image
from avatar.types import FloatArray, ImageArray

BackgroundSource = str | Sequence[int] | ImageSource
"""``keep``, ``blur``, ``alpha``, ``#rrggbb``, (red, green, blue), or any image."""

_WORDS = ("keep", "blur", "alpha")
_HEX = re.compile(r"#([0-9a-fA-F]{6}|[0-9a-fA-F]{3})")

_BLUR = 0.025
"""Width of the Gaussian in sides of the picture."""

_PERSON, _BEHIND = 0.98, 0.02
"""Shares from which on a pixel shows the person alone, and up to which what is behind alone."""

_LEAST_SHARE = 0.1
"""Below this share the person's colour cannot be told from what is behind."""


@dataclass(frozen=True, eq=False)
class Background:
    """What to show behind a person; made by ``Background.of``.

    Attributes:
        key: the same for the same background.
        kind: ``blur``, ``alpha``, ``colour`` or ``image``.
        colour: of ``colour``.
        image: ``[H, W, 3]`` of ``image``; it is cut to the frame's shape about its middle.
    """

    key: str
    kind: str
    colour: tuple[int, int, int] = (0, 0, 0)
    image: ImageArray | None = None

    @classmethod
    def of(cls, source: BackgroundSource) -> Background | None:
        """Read what a caller asks for; None for ``keep``.

        Raises:
            ConfigError: neither a word, a colour nor a file.
            ImageError: the image cannot be read.
        """
        if isinstance(source, str) and source in _WORDS:
            return None if source == "keep" else cls(source, source)
        if isinstance(source, str) and source.startswith("#"):
            return cls._of_colour(_hex(source))
        if isinstance(source, tuple | list):
            return cls._of_colour(_rgb(source))
        if isinstance(source, str) and not Path(source).suffix and not Path(source).exists():
            raise ConfigError(
                f"background must be {', '.join(_WORDS)}, a colour like #1e90ff or (30, 144, 255), "
                f"or an image; {source!r} is none of these, and there is no such file"
            )
        image = load_image(cast(ImageSource, source))
        digest = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()
        return cls(digest, "image", image=image)

    @classmethod
    def _of_colour(cls, colour: tuple[int, int, int]) -> Background:
        return cls("#{:02x}{:02x}{:02x}".format(*colour), "colour", colour)

    def behind(self, portrait: Portrait, mask: FloatArray) -> Portrait:
        """The person in front of this.

        Args:
            portrait: the person as photographed.
            mask: ``[h, w]`` share of the person in each pixel of the photo, at any size.
        """
        height, width = portrait.photo.shape[:2]
        fitted = Image.fromarray(mask).resize((width, height), Image.Resampling.BILINEAR)
        mask = np.asarray(fitted)
        photo = portrait.photo.astype(np.float32)
        old = _filled(photo, mask <= _BEHIND)
        person = _colours_alone(photo, mask, old)
        picture: ImageArray | None
        if self.kind == "alpha":
            picture = None
        elif self.kind == "image":
            assert self.image is not None
            picture = np.asarray(ImageOps.fit(Image.fromarray(self.image), (width, height)))
        elif self.kind == "blur":
            soft = ImageFilter.GaussianBlur(_BLUR * max(height, width))
            picture = np.asarray(Image.fromarray(_bytes(old)).filter(soft))
        else:
            picture = np.broadcast_to(np.array(self.colour, np.uint8), portrait.photo.shape)
        alone = _bytes(person)
        alone.setflags(write=False)
        cutout = Cutout.of(_bytes(mask * 255.0), picture)
        return replace(portrait, photo=alone, planes=planes(alone), cutout=cutout)


def _hex(text: str) -> tuple[int, int, int]:
    found = _HEX.fullmatch(text)
    if found is None:
        raise ConfigError(f"background: a colour looks like #1e90ff or #19f, got {text!r}")
    digits = found[1] if len(found[1]) == 6 else "".join(2 * digit for digit in found[1])
    return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)


def _rgb(values: Sequence[int]) -> tuple[int, int, int]:
    whole = all(isinstance(v, int | np.integer) and 0 <= v <= 255 for v in values)
    if len(values) != 3 or not whole:
        raise ConfigError(
            f"background: a colour is three whole numbers from 0 to 255, got {tuple(values)}"
        )
    red, green, blue = (int(value) for value in values)
    return red, green, blue


def _colours_alone(photo: FloatArray, mask: FloatArray, old: FloatArray) -> FloatArray:
    """The person's own colours, and theirs carried on where the person ends.

    A pixel of the edge is ``share * person + (1 - share) * old``.
    """
    share = mask[..., None]
    solved = (old + (photo - old) / np.maximum(share, _LEAST_SHARE)).clip(0.0, 255.0)
    carried = _filled(photo, mask >= _PERSON)
    return np.where(share >= _PERSON, photo, carried + (solved - carried) * share)


def _filled(colours: FloatArray, known: NDArray[np.bool_]) -> FloatArray:
    """``colours`` with what is not known filled in smoothly from around it (push and pull)."""
    if not known.any():
        return colours
    share = torch.from_numpy(np.asarray(known, np.float32))[None, None]
    told = torch.from_numpy(colours).permute(2, 0, 1)[None] * share
    filled: FloatArray = _pulled(told, share)[0].permute(1, 2, 0).numpy()
    return filled


def _pulled(told: Tensor, share: Tensor) -> Tensor:
    """What is told, ``[1, 3, h, w]`` already times its share, and the rest from a coarser copy."""
    size = told.shape[-2:]
    if max(size) == 1:
        return told / share
    pooled = [functional.avg_pool2d(x, 2, ceil_mode=True) for x in (told, share)]
    # A quarter known is enough to know the coarser pixel.
    more = (4.0 * pooled[1]).clamp(max=1.0) / pooled[1].clamp_min(1e-6)
    coarse = _pulled(pooled[0] * more, pooled[1] * more)
    return told + (1.0 - share) * functional.interpolate(coarse, size, mode="bilinear")


def _bytes(values: FloatArray) -> ImageArray:
    return np.rint(values).clip(0, 255).astype(np.uint8)
