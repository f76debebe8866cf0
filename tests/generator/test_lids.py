"""Eyes that close: lids over the eye, made from the photo where the decoder lays none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from avatar.generator import Generator, Portrait
from avatar.generator.lids import CLOSINGS, closed_by, closing_eyes
from avatar.generator.painting import cut
from avatar.generator.parts import LEFT_EYE_PART, RIGHT_EYE_PART, Placement
from avatar.types import Face, FloatArray

EYES = (RIGHT_EYE_PART, LEFT_EYE_PART)
LIDS = ((159, 145), (386, 374))
SKIN, EYE = 180.0, 20.0


@pytest.fixture(scope="module")
def drawn_eyes(sitter: Any) -> tuple[Tensor, Tensor]:
    """A face of one colour with black eyes, and its landmarks."""
    portrait = sitter.portrait
    points = (portrait.points + 0.5) * portrait.near_scale - 0.5
    near = torch.full_like(portrait.near, SKIN, dtype=torch.float32)
    rows, columns = near.shape[2:]
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    for part in EYES:
        ring = points[0, list(part.outlines[0])]
        centre, reach = ring.mean(0), (ring.amax(0) - ring.amin(0)) / 2
        away = ((x - centre[0]) / reach[0]) ** 2 + ((y - centre[1]) / reach[1]) ** 2
        near[0, :, away < 0.8] = EYE
    return near, points


def test_an_eye_closed_by_nothing_is_as_it_was(drawn_eyes: tuple[Tensor, Tensor]) -> None:
    near, points = drawn_eyes
    grids = [Placement.of(part, points).grid() for part in EYES]
    as_it_was = cut(near, grids, EYES[0].size)
    off = (closing_eyes(near, points, 0.0) - as_it_was).abs()
    # Edges of the lids are a pixel wide.
    assert off.mean() < 0.02
    assert (off > 0.2).float().mean() < 0.02


def test_a_shut_lid_is_skin_with_a_line_of_lashes(drawn_eyes: tuple[Tensor, Tensor]) -> None:
    near, points = drawn_eyes
    dark = []
    for share in (0.0, *CLOSINGS):
        patches = (closing_eyes(near, points, share) + 1.0) * 127.5
        dark.append(float((patches < 0.5 * (SKIN + EYE)).float().mean()))
    open_eye, *_, shut = dark
    assert dark == sorted(dark, reverse=True)
    assert 0.3 * open_eye < dark[1] < 0.8 * open_eye
    assert shut < 0.2 * open_eye
    lid = (closing_eyes(near, points, 1.0) + 1.0) * 127.5
    assert lid.median() == pytest.approx(SKIN, abs=2)


def test_closing_moves_lids_together_and_nothing_else(drawn_eyes: tuple[Tensor, Tensor]) -> None:
    _, points = drawn_eyes
    shut = closed_by(points, 1.0)
    for upper, lower in LIDS:
        torch.testing.assert_close(shut[:, upper], shut[:, lower])
        assert (points[0, lower, 1] - points[0, upper, 1]) > 1
    moved = (shut != points).any(-1)[0]
    assert 0 < moved.sum() < 50
    assert not moved[[33, 133, 263, 362, 468, 473, 1, 13, 152]].any()


def prepared(generator: Generator, sitter: Any) -> Portrait:
    face = Face(sitter.portrait.landmarks, sitter.portrait.expression)
    return generator.prepare([(sitter.image, face)])


@pytest.fixture
def helpless(monkeypatch: pytest.MonkeyPatch) -> Generator:
    """A generator whose decoder of the eyes paints nothing."""
    generator = Generator.load()
    decode = generator._decode

    def nothing(name: str, painting: Any) -> Tensor:
        residual = decode(name, painting)
        return residual * 0 if name == "eye" else residual

    monkeypatch.setattr(generator, "_decode", nothing)
    return generator


def test_lids_are_made_where_the_decoder_lays_none(helpless: Generator, sitter: Any) -> None:
    portrait = prepared(helpless, sitter)
    assert len(portrait.views["eye"]) == 1 + len(CLOSINGS)
    shut = sitter.pose(eyeBlinkLeft=0.78, eyeBlinkRight=0.78)
    with_lids = helpless.render(portrait, shut)
    without = helpless.render(replace(portrait, views={}), shut)
    for part in EYES:
        darkest = [_darkest(picture, shut, part) for picture in (without, with_lids)]
        assert darkest[1] > darkest[0] + 5


def test_a_decoder_that_closes_the_eyes_is_left_alone(
    sitter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = Generator.load()

    def perfect(name: str, painting: Any) -> Tensor:
        portrait = sitter.portrait
        points = (portrait.points + 0.5) * portrait.near_scale - 0.5
        return closing_eyes(portrait.near, points, 1.0) - painting.told[0]

    monkeypatch.setattr(generator, "_decode", perfect)
    assert not prepared(generator, sitter).views


def test_made_lids_change_nothing_of_open_eyes_nor_of_the_mouth(
    helpless: Generator, sitter: Any
) -> None:
    portrait = prepared(helpless, sitter)
    for pose in (sitter.points, sitter.pose(jawOpen=0.6, mouthSmile=0.4)):
        alone = helpless.render(replace(portrait, views={}), pose)
        np.testing.assert_array_equal(helpless.render(portrait, pose), alone)


def _darkest(picture: Any, points: FloatArray, part: Any) -> float:
    """How dark the darkest fifth of an eye is, in levels."""
    place = Placement.of(part, torch.from_numpy(points[None, :, :2]))
    planes = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float()
    patch = cut(planes, [place.grid()], part.size)
    inner = patch[..., 30:70, 20:76]
    return float(inner.quantile(0.2)) * 127.5
