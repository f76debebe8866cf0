"""Read any still picture as RGB, upright, in sRGB, eight bits a channel."""

from __future__ import annotations

import io
import os
import struct
import zlib
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from avatar.errors import ImageError
from avatar.media._source import ByteSource, is_byte_source, opened, source_name
from avatar.types import FloatArray, ImageArray

ImageSource = ByteSource | Image.Image | NDArray[Any]

MAX_PIXELS = 89_000_000
"""Larger pictures are refused before they are decoded (267 MB as RGB)."""

_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)


def load_image(source: ImageSource, *, alpha: bool = False) -> ImageArray:
    """Read a picture.

    EXIF rotation is applied, an embedded colour profile is converted to sRGB, sixteen bits are
    scaled to eight, and of an animation the first picture is taken.

    Args:
        source: path, bytes, binary file object, PIL image, or array: ``[H, W]``, ``[H, W, 1]``,
            ``[H, W, 3]`` or ``[H, W, 4]``; uint8, uint16, bool, or float in [0, 1]; RGB order.
        alpha: return four channels; otherwise transparent parts are laid on white.

    Returns:
        ``[H, W, 3]`` uint8 RGB, or ``[H, W, 4]`` RGBA with ``alpha``.

    Raises:
        ImageError: no such file, not a picture, damaged, empty, or over ``MAX_PIXELS``.

    Example:
        >>> load_image("portrait.jpg").shape
        (1024, 768, 3)
    """
    if isinstance(source, Image.Image):
        return _from_pil(source, source_name(source), alpha)
    if is_byte_source(source):
        name = source_name(source)
        with opened(cast(ByteSource, source), ImageError) as file:
            return _decode(file, name, alpha)
    return _finish(_from_array(source), alpha)


def _decode(file: BinaryIO, name: str, alpha: bool) -> ImageArray:
    head = file.read(32)
    file.seek(-len(head), os.SEEK_CUR)
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        _enable_heif(name)
    try:
        with Image.open(file) as picture:
            return _from_pil(picture, name, alpha)
    except UnidentifiedImageError:
        raise ImageError(
            f"{name}: not an image this package can read (it begins with {head[:8]!r}); "
            "give a JPEG, PNG, WebP, TIFF, BMP or AVIF file"
        ) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise _too_large(name) from None
    except ImageError:
        raise
    except _DAMAGE as reason:
        raise _damaged(name, reason) from None


def _from_pil(picture: Image.Image, name: str, alpha: bool) -> ImageArray:
    width, height = picture.size
    if width < 1 or height < 1:
        raise ImageError(f"{name}: the image is empty ({width}×{height} pixels)")
    if width * height > MAX_PIXELS:
        raise _too_large(name, width, height)
    try:
        picture.load()
        upright = ImageOps.exif_transpose(picture)
        if _is_deep(upright):
            return _finish(_from_array(_deep(upright)), alpha)
        return _finish(np.asarray(_to_srgb(upright)), alpha)
    except ImageError:
        raise
    except _DAMAGE as reason:
        raise _damaged(name, reason) from None


def _damaged(name: str, reason: Exception) -> ImageError:
    return ImageError(
        f"{name}: the image is damaged or cut short ({reason}); "
        "open it in a picture editor and save it again, or fetch it anew"
    )


def _too_large(name: str, width: int = 0, height: int = 0) -> ImageError:
    size = f"{width}×{height} pixels" if width else "far too many pixels"
    return ImageError(
        f"{name}: {size} is over the limit of {MAX_PIXELS // 10**6} megapixels; "
        "scale it down first, a face needs no more than a few hundred pixels"
    )


def _enable_heif(name: str) -> None:
    """Let PIL read HEIC where pillow-heif is installed."""
    try:
        import pillow_heif  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        raise ImageError(
            f"{name}: HEIC images need another package; pip install pillow-heif, "
            "or save the picture as JPEG"
        ) from None
    pillow_heif.register_heif_opener()


def _is_deep(picture: Image.Image) -> bool:
    """Whether it holds more than eight bits a channel."""
    return picture.mode == "F" or picture.mode.startswith("I")


def _deep(picture: Image.Image) -> NDArray[Any]:
    """Sixteen-bit, 32-bit or float greyscale as an array that ``_from_array`` scales."""
    values = np.asarray(picture)
    if picture.mode == "F":
        white = 1.0 if np.nanmax(values) <= 1 else 255.0
        return cast(FloatArray, (values / white).astype(np.float32))
    if values.dtype == np.uint16:
        return values
    narrow = np.uint16 if values.max() > 255 else np.uint8
    return cast(NDArray[Any], np.clip(values, 0, 65535).astype(narrow))


def _to_srgb(picture: Image.Image) -> Image.Image:
    """``picture`` as sRGB, with its alpha where it has one."""
    transparent = picture.has_transparency_data
    profile = picture.info.get("icc_profile")
    if not profile or picture.mode not in ("RGB", "RGBA", "CMYK"):
        return picture.convert("RGBA" if transparent else "RGB")
    try:
        converted = ImageCms.profileToProfile(
            picture,
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            outputMode="RGBA" if picture.mode == "RGBA" else "RGB",
        )
    except (ImageCms.PyCMSError, OSError):
        # A broken or foreign profile says nothing about the pixels: take them as sRGB.
        return picture.convert("RGBA" if transparent else "RGB")
    return cast(Image.Image, converted)


def _from_array(source: object) -> ImageArray:
    values = np.asarray(source)
    kind = f"{values.dtype} of shape {list(values.shape)}"
    flat = values.ndim == 2
    if not (flat or (values.ndim == 3 and values.shape[2] in (1, 3, 4))) or values.size == 0:
        raise ImageError(
            f"an image array must be [H, W], [H, W, 1], [H, W, 3] or [H, W, 4], got {kind}; "
            "channels come last, in the order red, green, blue"
        )
    if values.shape[0] * values.shape[1] > MAX_PIXELS:
        raise _too_large("array", values.shape[1], values.shape[0])
    if flat:
        values = values[:, :, None]
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.uint16:
        return cast(ImageArray, ((values.astype(np.uint32) + 128) // 257).astype(np.uint8))
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype.kind != "f":
        raise ImageError(f"an image array must be uint8, uint16, bool or float, got {kind}")
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise ImageError(
            f"a float image array must lie within 0 to 1, got {kind} from "
            f"{values.min():.3g} to {values.max():.3g}; divide by its white, or convert to uint8"
        )
    return cast(ImageArray, np.rint(values * 255).astype(np.uint8))


def _finish(pixels: ImageArray, alpha: bool) -> ImageArray:
    """Grey, RGB or RGBA ``[H, W, C]`` to the channels asked for, contiguous and not shared."""
    if pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    if alpha:
        if pixels.shape[2] == 4:
            return np.array(pixels, order="C")
        opaque = np.full((*pixels.shape[:2], 1), 255, np.uint8)
        return np.concatenate([pixels, opaque], axis=2)
    if pixels.shape[2] == 3:
        return np.array(pixels, order="C")
    cover = pixels[:, :, 3:].astype(np.uint32)
    mixed = pixels[:, :, :3] * cover + 255 * (255 - cover) + 127
    return cast(ImageArray, (mixed // 255).astype(np.uint8))
