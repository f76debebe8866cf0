"""Any still picture becomes upright RGB; anything else becomes a clear error."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image, ImageCms

from avatar.errors import ImageError
from avatar.media import load_image

Pixels = NDArray[np.uint8]


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP", "PPM", "TGA"])
def test_lossless_formats_keep_every_pixel(picture: Pixels, kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(Image.fromarray(picture), kind, **options)
    np.testing.assert_array_equal(load_image(data), picture)


@pytest.mark.parametrize("kind", ["JPEG", "GIF", "AVIF"])
def test_lossy_formats_are_read(picture: Pixels, kind: str) -> None:
    image = load_image(saved(Image.fromarray(picture), kind))
    assert image.shape == picture.shape
    assert image.dtype == np.uint8
    assert np.abs(image.astype(int) - picture).mean() < 8


def test_every_kind_of_source_gives_the_same(picture: Pixels, tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    Image.fromarray(picture).save(path)
    data = path.read_bytes()
    with path.open("rb") as file:
        sources = [path, str(path), data, bytearray(data), io.BytesIO(data), file]
        sources += [Image.fromarray(picture), picture]
        for source in sources:
            np.testing.assert_array_equal(load_image(source), picture)


def test_the_result_is_the_callers_own(picture: Pixels) -> None:
    given_array = picture.copy()
    image = load_image(given_array)
    image[:] = 0
    np.testing.assert_array_equal(given_array, picture)
    assert image.flags.c_contiguous
    assert image.flags.writeable


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_applied(picture: Pixels, orientation: int) -> None:
    upright = Image.fromarray(picture)
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(load_image(saved(stored, "PNG", exif=exif)), picture)


def test_transparency_is_laid_on_white_or_kept(picture: Pixels) -> None:
    cover = np.zeros(picture.shape[:2], np.uint8)
    cover[:60], cover[60:80] = 255, 51
    rgba = np.dstack([picture, cover])
    data = saved(Image.fromarray(rgba), "PNG")
    image = load_image(data)
    np.testing.assert_array_equal(image[:60], picture[:60])
    assert (image[80:] == 255).all()
    expected = picture[60:80] * 0.2 + 255 * 0.8
    assert np.abs(image[60:80] - expected).max() <= 1
    np.testing.assert_array_equal(load_image(data, alpha=True), rgba)


def test_alpha_of_an_opaque_picture_is_full(picture: Pixels) -> None:
    image = load_image(picture, alpha=True)
    assert image.shape[2] == 4
    assert (image[..., 3] == 255).all()


def test_palette_with_transparency(picture: Pixels) -> None:
    palette = Image.fromarray(picture).quantize(16)
    palette.info["transparency"] = palette.getpixel((0, 0))
    image = load_image(saved(palette, "PNG", transparency=palette.getpixel((0, 0))))
    assert tuple(image[0, 0]) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["L", "1", "LA", "P", "CMYK", "YCbCr", "LAB", "HSV"])
def test_every_mode_becomes_rgb(picture: Pixels, mode: str) -> None:
    if mode == "LAB":
        image = ImageCms.profileToProfile(
            Image.fromarray(picture),
            ImageCms.createProfile("sRGB"),
            ImageCms.createProfile("LAB"),
            outputMode="LAB",
        )
    else:
        image = Image.fromarray(picture).convert(mode)
    result = load_image(image)
    assert result.shape == picture.shape
    assert result.dtype == np.uint8
    if mode in ("CMYK", "YCbCr", "HSV", "LAB"):
        assert np.abs(result.astype(int) - picture).mean() < 6


def test_cmyk_jpeg(picture: Pixels) -> None:
    image = load_image(saved(Image.fromarray(picture).convert("CMYK"), "JPEG", quality=95))
    assert np.abs(image.astype(int) - picture).mean() < 4


def test_sixteen_bits_are_scaled(picture: Pixels, tmp_path: Path) -> None:
    grey = picture[..., 0]
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    for kind in ("PNG", "TIFF"):
        np.testing.assert_array_equal(load_image(saved(deep, kind))[..., 1], grey)
    np.testing.assert_array_equal(load_image(grey.astype(np.uint16) * 257)[..., 2], grey)


def test_a_colour_profile_is_converted_to_srgb() -> None:
    red = Image.new("RGB", (8, 8), (200, 60, 60))
    swapped = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    np.testing.assert_allclose(
        load_image(saved(red, "PNG", icc_profile=swapped.tobytes()))[0, 0], (200, 60, 60), atol=1
    )
    damaged = saved(red, "PNG", icc_profile=b"not a profile at all")
    assert tuple(load_image(damaged)[0, 0]) == (200, 60, 60)


def test_float_and_bool_arrays(picture: Pixels) -> None:
    np.testing.assert_array_equal(load_image(picture / np.float64(255)), picture)
    mask = picture[..., 0] > 100
    assert set(np.unique(load_image(mask))) == {0, 255}


def test_an_animation_gives_its_first_picture() -> None:
    first, second = (Image.new("RGB", (9, 7), colour) for colour in ("red", "blue"))
    data = saved(first, "GIF", save_all=True, append_images=[second])
    assert tuple(load_image(data)[3, 3]) == (255, 0, 0)


@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.uint16, np.bool_]),
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12).flatmap(
            lambda size: st.sampled_from([size, (*size, 1), (*size, 3), (*size, 4)])
        ),
    ),
    st.booleans(),
)
def test_any_image_array_is_accepted(values: NDArray[np.generic], alpha: bool) -> None:
    image = load_image(values, alpha=alpha)
    assert image.shape == (*values.shape[:2], 4 if alpha else 3)
    assert image.dtype == np.uint8


# Bad input


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"])
def test_a_truncated_image_is_refused_by_name(picture: Pixels, tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"cut.{kind.lower()}"
    data = saved(Image.fromarray(picture), kind)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match=r"cut\.\w+: .*(damaged|not an image)"):
        load_image(path)


@given(st.integers(0, 2000), st.binary(min_size=1, max_size=40))
def test_a_corrupt_image_never_raises_anything_else(place: int, junk: bytes) -> None:
    data = bytearray(_CORRUPTIBLE)
    place %= len(data)
    data[place : place + len(junk)] = junk
    try:
        image = load_image(bytes(data))
    except ImageError:
        return
    assert image.ndim == 3


_CORRUPTIBLE = saved(
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)), "PNG"
)


def test_a_text_file_called_jpg(tmp_path: Path) -> None:
    path = tmp_path / "face.jpg"
    path.write_text("hello, I am a face")
    with pytest.raises(ImageError, match=r"face\.jpg: not an image.*give a JPEG"):
        load_image(path)


def bomb() -> bytes:
    """A PNG of 60 bytes that says it is 60000×60000."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b""))


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb())
    with pytest.raises(ImageError, match=r"bomb\.png: .*limit of 89 megapixels; scale it down"):
        load_image(path)


def test_the_limit_holds_for_pil_images_and_arrays() -> None:
    with pytest.raises(ImageError, match="9000×10000 pixels is over the limit"):
        load_image(Image.new("1", (9000, 10_000)))
    huge = np.broadcast_to(np.zeros((1, 1), np.uint8), (10_000, 9000))
    with pytest.raises(ImageError, match="9000×10000 pixels is over the limit"):
        load_image(huge)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("gone.jpg", "no such file; check the path"),
        (".", "is a folder"),
        ("https://example.org/face.jpg", "nothing is fetched, download it first"),
        ("nul\0.jpg", "cannot be opened"),
    ],
)
def test_paths_that_are_no_file(tmp_path: Path, name: str, match: str) -> None:
    source = name if "://" in name else f"{tmp_path}/{name}"
    with pytest.raises(ImageError, match=match):
        load_image(source)


def test_empty_and_text_mode_files(tmp_path: Path) -> None:
    path = tmp_path / "empty.png"
    path.touch()
    with pytest.raises(ImageError, match=r"empty\.png: the file is empty"):
        load_image(path)
    with pytest.raises(ImageError, match="empty"):
        load_image(b"")
    with path.open() as file, pytest.raises(ImageError, match="open it with mode 'rb'"):
        load_image(file)  # type: ignore[arg-type]


def test_heic_says_what_to_install(tmp_path: Path) -> None:
    path = tmp_path / "phone.heic"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64))
    with pytest.raises(ImageError, match=r"phone\.heic: "):
        load_image(path)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        (np.zeros((3, 20, 30), np.uint8), "channels come last"),
        (np.zeros((0, 5, 3), np.uint8), "channels come last"),
        (np.zeros(5, np.uint8), "channels come last"),
        (np.zeros((4, 4, 3), np.int32), "must be uint8"),
        (np.full((4, 4), 128.0), "within 0 to 1"),
        (np.full((4, 4), np.nan), "within 0 to 1"),
        (["abc"], "channels come last"),
    ],
)
def test_arrays_that_are_no_image(values: object, match: str) -> None:
    with pytest.raises(ImageError, match=match):
        load_image(values)  # type: ignore[arg-type]
