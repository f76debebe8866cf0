"""Teeth that are drawn where the photo shows none: in the picture's colours, fixed to the skull."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from avatar.generator import Generator
from avatar.generator.inside import Inside
from avatar.generator.look import Look
from avatar.generator.parts import MOUTH
from avatar.generator.teeth import drawn_teeth
from avatar.ops import signed_distance
from avatar.types import Face, ImageArray, Landmarks

SIZE = MOUTH.size
SKIN, LIP, LINE = 0.2, -0.2, -0.1
MIDDLE = SIZE // 2
ANY_LOOK = Look(False, None, None, np.zeros(2, np.float32), (-1.0, 1.0), 1.0, None)


def lips(gap: float, raised: float = 0.0) -> Tensor:
    """``[1, 20, 2]``: parted by ``gap`` from the line they had, the upper one raised."""
    across = torch.linspace(-0.45, 0.45, 11)
    height = (1.0 - (across / 0.45).square()).clamp(min=0.0).sqrt()
    upper = torch.stack([across, LINE - raised * height], 1)
    lower = torch.stack([across, LINE + gap * height], 1)
    return torch.cat([upper, lower[1:-1].flip(0)])[None]


def teeth(look: Look = ANY_LOOK, enlarged: float = 1.0) -> Inside:
    patch = torch.full((1, 3, SIZE, SIZE), SKIN)
    patch[:, :, 80:100] = LIP
    return drawn_teeth(patch, lips(0.0), look, enlarged=enlarged)


def shown(inside: Inside, now: Tensor) -> tuple[Tensor, Tensor]:
    """The mouth over a grey ground, and what may not be painted over; the middle column."""
    ground = torch.zeros(1, 3, SIZE, SIZE)
    picture, kept = inside.lay(ground, signed_distance(now, SIZE // 2)[:, None], now)
    return picture[0, :, :, MIDDLE - 6].mean(0), kept[0, 0, :, MIDDLE - 6]


def test_a_row_of_light_teeth_hangs_above_the_dark() -> None:
    column, kept = shown(teeth(), lips(0.4, raised=0.05))
    below = 10  # rows from the line of the lips, about 6 mm
    line = round((LINE + 1.0) * (SIZE - 1) / 2)
    assert column[line : line + 3].min() > 0.0
    assert column[line + below] < -0.3
    assert kept[line] == pytest.approx(0.7)
    assert kept[line + below] == 0.0
    assert (column[: line - 10] == 0.0).all()


def test_single_teeth_can_be_told_apart_in_a_sharp_picture_only() -> None:
    def contrast(enlarged: float) -> float:
        row = teeth(enlarged=enlarged).patches[0, :, 82, MIDDLE - 20 : MIDDLE + 20].mean(0)
        return float((row[1:] - row[:-1]).abs().sum())

    assert contrast(1.0) > 0.2
    assert contrast(4.0) < 0.6 * contrast(1.0)


def test_they_stay_with_the_skull_as_the_jaw_falls() -> None:
    inside = teeth()
    little, much = (shown(inside, lips(gap, raised=0.05)) for gap in (0.2, 0.6))
    line = round((LINE + 1.0) * (SIZE - 1) / 2)
    torch.testing.assert_close(little[0][line - 2 : line + 3], much[0][line - 2 : line + 3])


def test_lips_that_hardly_part_show_none() -> None:
    column, kept = shown(teeth(), lips(0.03))
    assert (column == 0.0).all()
    assert (kept == 0.0).all()


def test_they_keep_to_the_tones_of_the_picture() -> None:
    inside = teeth(replace(ANY_LOOK, tones=(-0.3, 0.3)))
    for drawn in (inside.patches, inside.dark):
        assert drawn.min() > -0.301
        assert drawn.max() < 0.301


def asked(generator: Generator, image: ImageArray, face: Face) -> Inside | None:
    return generator.prepare([(image, face)]).inside


def test_a_closed_mouth_gets_them_an_open_one_or_a_small_soft_face_does_not(
    generator: Generator, hopper: Any, collins: Any
) -> None:
    portrait = hopper.portrait
    assert portrait.inside is not None
    assert portrait.inside.trust < 1.0
    assert collins.portrait.inside.trust == 1.0  # her own
    small = np.ascontiguousarray(hopper.image[::2, ::2])
    soft = gaussian_filter(small, (2.0, 2.0, 0.0))
    points = (hopper.points + 0.5) * np.float32(0.5) - 0.5
    landmarks = Landmarks(points.astype(np.float32))
    face = Face(landmarks, portrait.expression)
    assert asked(generator, small, face) is not None
    assert asked(generator, soft, face) is None


def test_a_portrait_that_speaks_shows_them(generator: Generator, hopper: Any) -> None:
    portrait, pose = hopper.portrait, hopper.pose(jawOpen=0.4, mouthUpperUp=0.4)
    (x, top), (_, bottom) = pose[[13, 14], :2].round().astype(int)
    above = slice(top + 2, top + (bottom - top) // 3), slice(x - 5, x + 6)

    def redness(drawn: Any) -> float:
        """Of what shows between the lips, in its upper third."""
        red, green, _ = generator.render(drawn, pose)[above].reshape(-1, 3).mean(0)
        return float(red - green)

    assert redness(portrait) < 0.6 * redness(replace(portrait, inside=None))


def test_a_grey_photo_gets_grey_teeth(generator: Generator, hopper: Any) -> None:
    grey = np.repeat(hopper.image.mean(2, keepdims=True).astype(np.uint8), 3, 2)
    inside = asked(generator, grey, hopper.face)
    assert inside is not None
    assert (inside.patches - inside.patches.mean(1, keepdim=True)).abs().max() < 1e-5
