"""A picture keeps its look: paint takes the tones, colours and grain of what it is painted into."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from avatar.generator import Generator
from avatar.generator.look import Look
from avatar.generator.portrait import NEAR_INTER_OCULAR
from avatar.generator.retouch import even_lips
from avatar.generator.warping import INNER_LIPS, LEFT_EYE, OUTER_LIPS, RIGHT_EYE
from avatar.types import Face, FloatArray, ImageArray, Landmarks

LUMA = np.array([0.299, 0.587, 0.114])
SEPIA = np.array([1.0, 0.86, 0.66])

Change = Callable[[ImageArray], ImageArray]


def grey(photo: ImageArray) -> ImageArray:
    return np.repeat(np.rint(photo @ LUMA).astype(np.uint8)[..., None], 3, axis=2)


def tinted(photo: ImageArray) -> ImageArray:
    return np.rint(grey(photo) * SEPIA).astype(np.uint8)


def posterised(photo: ImageArray) -> ImageArray:
    return np.rint((photo // 64 * 64 + 32) @ LUMA[:, None] * SEPIA).astype(np.uint8)


def faded(photo: ImageArray) -> ImageArray:
    return np.rint(60 + grey(photo) * (130 / 255)).astype(np.uint8)


def drawing(shape: tuple[int, ...], points: FloatArray) -> ImageArray:
    """Blue lines on yellowish paper, along the landmarks."""
    page = Image.new("RGB", shape[1::-1], (236, 226, 200))
    pen = ImageDraw.Draw(page)
    for outline in (INNER_LIPS, OUTER_LIPS, RIGHT_EYE, LEFT_EYE):
        line = [(float(x), float(y)) for x, y in points[[*outline, outline[0]], :2]]
        pen.line(line, fill=(30, 42, 88), width=2)
    return np.asarray(page)


def talking(generator: Generator, sitter: Any, change: Change) -> tuple[ImageArray, ImageArray]:
    """The changed photo, and the same saying "a" with eyes shut."""
    photo = change(sitter.image)
    portrait = generator.prepare([(photo, sitter.face)])
    pose = sitter.pose(jawOpen=0.5, mouthLowerDown=0.3, mouthUpperUp=0.3, eyeBlink=1.0)
    return photo, generator.render(portrait, pose)


def inside_lips(image: ImageArray, points: FloatArray) -> Any:
    mask = Image.new("1", image.shape[1::-1])
    lips = [(float(x), float(y)) for x, y in points[list(INNER_LIPS), :2]]
    ImageDraw.Draw(mask).polygon(lips, fill=1)
    return np.asarray(mask)


def chroma(pixels: Any) -> Any:
    return pixels[..., [0, 2]] - (pixels @ LUMA)[..., None]


def test_a_grey_photo_gives_exactly_grey_frames(generator: Generator, sitter: Any) -> None:
    _, frame = talking(generator, sitter, grey)
    assert (frame == frame[..., :1]).all()


@pytest.mark.parametrize("change", [tinted, posterised])
def test_paint_has_no_colour_that_the_picture_lacks(
    generator: Generator, sitter: Any, change: Change
) -> None:
    photo, frame = talking(generator, sitter, change)
    painted = np.abs(frame.astype(int) - photo).max(axis=2) > 8
    assert painted.sum() > 500
    # Of sepia all colours lie on one line: chroma is proportional to luma.
    slope = chroma(SEPIA) / (SEPIA @ LUMA)
    off = chroma(frame[painted].astype(float)) - (frame[painted] @ LUMA)[:, None] * slope
    assert np.abs(off).max() < 4.0


def test_colours_would_leave_the_picture_without_it(generator: Generator, hopper: Any) -> None:
    """The test above can fail: the decoder alone paints a rosy mouth."""
    photo = tinted(hopper.image)
    portrait = generator.prepare([(photo, hopper.face)])
    free = Look(False, None, None, np.zeros(2, np.float32), (-1.0, 1.0), 0.0, None)
    object.__setattr__(portrait, "look", free)
    frame = generator.render(portrait, hopper.pose(jawOpen=0.5))
    mouth = frame[inside_lips(frame, hopper.pose(jawOpen=0.5))].astype(float)
    slope = chroma(SEPIA) / (SEPIA @ LUMA)
    assert np.abs(chroma(mouth) - (mouth @ LUMA)[:, None] * slope).max() > 8.0


def test_a_drawing_stays_ink_on_paper(generator: Generator, hopper: Any) -> None:
    page, frame = talking(generator, hopper, lambda photo: drawing(photo.shape, hopper.points))
    paper, ink = np.array([236.0, 226.0, 200.0]), np.array([30.0, 42.0, 88.0])
    line = paper - ink
    share = ((frame - ink) @ line / (line @ line)).clip(-0.1, 1.1)
    off = np.abs(frame - (ink + share[..., None] * line)).max(axis=2)
    mouth = inside_lips(page, hopper.pose(jawOpen=0.5, mouthLowerDown=0.3, mouthUpperUp=0.3))
    assert (frame != page).any(axis=2)[mouth].sum() > 500
    assert np.quantile(off[mouth], 0.98) < 8.0


def test_a_faded_picture_stays_faded(generator: Generator, hopper: Any) -> None:
    photo, frame = talking(generator, hopper, faded)
    # The grain of the picture may add its own few levels.
    assert frame.min() > photo.min() - 12
    assert frame.max() < photo.max() + 12


def test_a_face_of_many_colours_sets_no_limit(sitter: Any) -> None:
    warped, residual = torch.rand(2, 1, 3, 8, 8)
    assert sitter.portrait.look.curve is None
    assert torch.equal(sitter.portrait.look.keep(warped, residual), residual)


@pytest.mark.parametrize("change", [grey, tinted, faded])
def test_where_nothing_is_painted_nothing_changes(sitter: Any, change: Change) -> None:
    look = measured(change(sitter.image), sitter)
    warped = torch.rand(1, 3, 16, 16) * 2 - 1
    if look.grey:
        warped = warped[:, :1].expand_as(warped)
    kept = look.keep(warped, torch.zeros(1, 3, 16, 16))
    assert kept.abs().max() < 1e-6


def measured(photo: ImageArray, sitter: Any) -> Look:
    scale = NEAR_INTER_OCULAR / sitter.unit
    return Look.of(photo, sitter.points[:, :2], scale=scale, size=192)


def test_grain_is_that_of_the_picture(hopper: Any) -> None:
    smooth = np.full_like(hopper.image, 128)
    noise = np.random.default_rng(1).normal(0, 6, (*smooth.shape[:2], 1))
    film = np.rint(smooth + noise).clip(0, 255).astype(np.uint8)
    assert measured(smooth, hopper).grain is None
    grain = measured(film, hopper).grain
    assert grain is not None
    assert 0.5 < 127.5 * float(grain.std()) < 3.01


def test_paint_is_no_crisper_than_the_picture(hopper: Any) -> None:
    small = Image.fromarray(hopper.image).resize((40, 48), Image.Resampling.BOX)
    soft = np.asarray(small.resize(hopper.image.shape[1::-1], Image.Resampling.BICUBIC))
    assert measured(soft, hopper).crispness < 0.5 * measured(hopper.image, hopper).crispness


def test_specks_where_lips_meet_do_not_become_streaks(hopper: Any) -> None:
    points = hopper.points[:, :2].copy()
    line = (points[[81, 82, 13, 312, 311]] + points[[178, 87, 14, 317, 402]]) / 2
    x = np.arange(round(line[0, 0]), round(line[-1, 0]))
    y = np.rint(np.interp(x, *line.T)).astype(int)
    specked = hopper.image.copy()
    specked[y[::4], x[::4]] = 255
    evened = specked.copy()
    even_lips(evened, points)
    assert evened[y, x].std(axis=0).max() < 0.3 * specked[y, x].std(axis=0).max()
    away = np.abs(evened.astype(int) - specked).max(axis=2)
    assert away[: round(points[164, 1])].max() == 0


def test_teeth_between_open_lips_are_left_alone(hopper: Any) -> None:
    photo = hopper.image.copy()
    open_mouth = hopper.pose(jawOpen=0.6)[:, :2]
    even_lips(photo, open_mouth)
    assert (photo == hopper.image).all()


def test_a_face_at_the_edge_of_the_picture_has_a_look(generator: Generator, hopper: Any) -> None:
    left = round(float(hopper.points[:, 0].mean()))
    half = np.ascontiguousarray(hopper.image[:, left:])
    points = hopper.points - np.array([left, 0, 0], np.float32)
    portrait = generator.prepare([(half, Face(Landmarks(points), hopper.face.expression))])
    assert portrait.look.curve is None
