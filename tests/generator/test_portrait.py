"""What is kept of a person: the picture, the face in it, and the part of it that may move."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.errors import InputError
from avatar.generator import Generator, Portrait
from avatar.types import Face, Landmarks


def test_the_region_lies_in_the_picture_and_holds_the_face(sitter: Any) -> None:
    left, top, right, bottom = sitter.portrait.region
    height, width = sitter.image.shape[:2]
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    low, high = sitter.points[:, :2].min(0), sitter.points[:, :2].max(0)
    assert left <= low[0]
    assert top <= low[1]
    assert right >= high[0]
    assert bottom >= high[1]


def test_the_nodes_span_the_region(sitter: Any) -> None:
    left, top, right, bottom = sitter.portrait.region
    nodes = sitter.portrait.nodes[0]
    assert nodes[:, 0, 0].tolist() == [left, top]
    assert nodes[:, -1, -1].tolist() == [right - 1, bottom - 1]
    spacing = float(nodes[0, 0, 1] - nodes[0, 0, 0])
    assert spacing == pytest.approx(0.05 * sitter.unit, rel=0.1)


@settings(max_examples=12, deadline=None)
@given(size=st.integers(40, 1200))
def test_a_resized_person_is_the_same_person(sitter: Any, size: int) -> None:
    portrait = sitter.portrait
    small = portrait.resized(size)
    height, width = small.photo.shape[:2]
    assert max(height, width) == size
    before = sitter.image.shape[1] / sitter.image.shape[0]
    assert width == pytest.approx(height * before, abs=1)
    share = (portrait.landmarks.points[:, :2] + 0.5) / [sitter.image.shape[1::-1]]
    now = (small.landmarks.points[:, :2] + 0.5) / [width, height]
    assert np.abs(share - now).max() < 1e-4
    depth = size / max(sitter.image.shape[:2])
    assert np.allclose(
        small.landmarks.points[:, 2] + 0.5, (sitter.points[:, 2] + 0.5) * depth, atol=0.01
    )
    left, top, right, bottom = small.region
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert small.planes.shape == (1, 3, height, width)
    assert small.near_scale <= 1.0 or small.near.shape == portrait.near.shape
    assert small.styles is portrait.styles
    assert small.features is portrait.features
    near = small.near.shape[-1] / width
    assert small.near_scale == pytest.approx(near, rel=0.02)


def test_to_its_own_size_is_itself(sitter: Any) -> None:
    assert sitter.portrait.resized(max(sitter.image.shape[:2])) is sitter.portrait


def test_resizing_leaves_the_first_one_alone(sitter: Any) -> None:
    before = (sitter.portrait.photo.copy(), sitter.points.copy(), sitter.portrait.region)
    sitter.portrait.resized(100)
    assert (sitter.portrait.photo == before[0]).all()
    assert (sitter.portrait.landmarks.points == before[1]).all()
    assert sitter.portrait.region == before[2]


@pytest.mark.parametrize("name", ["photo", "landmarks", "styles", "region", "near"])
def test_nothing_of_a_portrait_can_be_exchanged(sitter: Any, name: str) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(sitter.portrait, name, None)


def test_a_large_photo_is_kept_small_for_the_patches(hopper: Any) -> None:
    large = hopper.portrait.resized(1800)
    points = large.landmarks.points
    fresh = Portrait.of(
        large.photo, large.landmarks, large.expression, large.styles, large.features
    )
    unit = float(np.linalg.norm(points[33, :2] - points[263, :2]))
    assert fresh.near_scale * unit == pytest.approx(148, rel=0.01)
    assert fresh.near.shape[-1] < fresh.photo.shape[1]


def test_more_photos_bring_views_and_leave_the_first_ones_picture(
    generator: Generator, hopper: Any, collins: Any
) -> None:
    mirrored = np.ascontiguousarray(hopper.image[:, ::-1])
    points = hopper.points * np.array([-1, 1, 1], np.float32)
    points[:, 0] += hopper.image.shape[1] - 1
    second = (mirrored, Face(Landmarks(points), hopper.face.expression))
    photos = [(hopper.image, hopper.face), second, (collins.image, collins.face)]
    made = [generator.prepare(photos[: k + 1]) for k in range(3)]
    for photo_count, portrait in enumerate(made, 1):
        taken = [view for view in portrait.views.get("mouth", ()) if not view.made]
        assert max(1, len(taken)) == photo_count
    for name in ("mouth", "eye"):
        alone = generator.prepare([second])
        assert torch.equal(made[1].views[name][1].style, alone.styles[name])
        assert torch.equal(made[1].views[name][1].features, alone.features[name])
        for portrait in made:
            assert torch.equal(portrait.styles[name], made[0].styles[name])
            assert torch.equal(portrait.features[name], made[0].features[name])
    for portrait in made:
        assert (portrait.photo == hopper.image).all()
        drawn = generator.render(portrait, hopper.pose(jawOpen=0.4))
        assert drawn.shape == hopper.image.shape


def test_no_photo_is_refused(generator: Generator) -> None:
    with pytest.raises(InputError, match="at least one photo"):
        generator.prepare([])


def test_two_preparations_are_equal(generator: Generator, sitter: Any) -> None:
    again = generator.prepare([(sitter.image, sitter.face)])
    for name, style in again.styles.items():
        assert torch.equal(style, sitter.portrait.styles[name])
        assert torch.equal(again.features[name], sitter.portrait.features[name])


def test_a_face_at_the_edge_of_the_picture_can_be_kept(
    hopper: Any, sit: Callable[..., Any], generator: Generator
) -> None:
    left, top = (int(v) for v in hopper.points[:, :2].min(0))
    cut = np.ascontiguousarray(hopper.image[top - 4 :, left - 4 :])
    points = hopper.points - np.array([left - 4, top - 4, 0], np.float32)
    portrait = generator.prepare([(cut, Face(Landmarks(points), hopper.face.expression))])
    assert portrait.region[:2] == (0, 0)
