"""The squares that are painted, and the outlines that say what to paint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Polygon
from numpy.typing import NDArray
from torch import Tensor

from avatar.generator.parts import (
    LEFT_EYE_PART,
    MOUTH,
    RIGHT_EYE_PART,
    Part,
    Placement,
    describe,
)
from avatar.ops import signed_distance

PARTS = (MOUTH, RIGHT_EYE_PART, LEFT_EYE_PART)


@pytest.fixture(scope="module")
def points(sitter: Any) -> Tensor:  # [1, 478, 2]
    return torch.from_numpy(sitter.points[None, :, :2].copy())


@pytest.mark.parametrize("part", PARTS, ids=["mouth", "right eye", "left eye"])
@pytest.mark.parametrize("nodes", [2, 7])
def test_the_grid_of_a_square_lies_on_its_patch_coordinates(
    points: Tensor, part: Part, nodes: int
) -> None:
    place = Placement.of(part, points)
    local = place.to_patch(place.grid(nodes).flatten(2).transpose(1, 2))
    line = torch.linspace(-1, 1, nodes)
    expected = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).view(1, -1, 2)
    assert torch.allclose(local, expected, atol=1e-4)


@pytest.mark.parametrize("part", PARTS, ids=["mouth", "right eye", "left eye"])
def test_a_square_holds_its_outlines_and_its_anchor(points: Tensor, part: Part) -> None:
    place = Placement.of(part, points)
    local = place.to_patch(points)
    anchor = local[:, part.anchor].mean(1)
    assert torch.allclose(anchor, torch.tensor([part.anchor_at]), atol=1e-4)
    for outline in part.outlines:
        assert float(local[:, outline].abs().max()) < 1.0
    side = place.right.norm(dim=-1), place.down.norm(dim=-1)
    unit = (points[:, 33] - points[:, 263]).norm(dim=-1)
    assert torch.allclose(side[0], part.extent * unit)
    assert torch.allclose(side[1], part.extent * unit)


@settings(max_examples=20, deadline=None)
@given(
    turn=st.floats(-3.0, 3.0), scale=st.floats(0.2, 5.0),
    dx=st.floats(-300, 300), dy=st.floats(-300, 300),
)  # fmt: skip
def test_patch_coordinates_do_not_know_where_the_face_is(
    points: Tensor, turn: float, scale: float, dx: float, dy: float
) -> None:
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    matrix = torch.tensor([[c, -s], [s, c]], dtype=torch.float32)
    moved = points @ matrix.T + torch.tensor([dx, dy])
    for part in PARTS:
        there = Placement.of(part, moved).to_patch(moved)
        here = Placement.of(part, points).to_patch(points)
        assert torch.allclose(there, here, atol=5e-3)


def test_a_mirrored_face_has_the_other_eye_in_the_same_patch(points: Tensor) -> None:
    flipped = points * torch.tensor([-1.0, 1.0]) + torch.tensor([700.0, 0.0])
    swapped = flipped.clone()
    pairs = list(zip(
        RIGHT_EYE_PART.points + RIGHT_EYE_PART.outlines[2],
        LEFT_EYE_PART.points + LEFT_EYE_PART.outlines[2], strict=True,
    ))  # fmt: skip
    for right, left in pairs:
        swapped[:, right], swapped[:, left] = flipped[:, left], flipped[:, right]
    for part, mirror in ((RIGHT_EYE_PART, LEFT_EYE_PART), (LEFT_EYE_PART, RIGHT_EYE_PART)):
        maps, numbers = describe(part, points, Placement.of(part, points), 48)
        maps2, numbers2 = describe(mirror, swapped, Placement.of(mirror, swapped), 48)
        assert torch.allclose(numbers, numbers2, atol=1e-4)
        assert torch.allclose(maps, maps2, atol=1e-3)


def reference(polygon: NDArray[np.float32], size: int) -> NDArray[np.float64]:
    """Unclipped signed distances times 4, from dense samples of the border."""
    line = (np.arange(size) + 0.5) * 2 / size - 1
    at = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    ends = np.roll(polygon, -1, 0)
    along = np.linspace(0, 1, 400)[:, None, None]
    border = (polygon + along * (ends - polygon)).reshape(-1, 2)
    distance = np.concatenate([
        np.sqrt(np.square(part[:, None] - border).sum(-1).min(1)) for part in np.split(at, 8)
    ])  # fmt: skip
    inside = Polygon(np.concatenate([polygon, polygon[:1]]), closed=True).contains_points(at)
    return np.where(inside, distance, -distance).reshape(size, size) * 4


@settings(max_examples=15, deadline=None)
@given(
    radii=st.lists(st.floats(0.15, 1.2), min_size=3, max_size=20),
    x=st.floats(-0.3, 0.3), y=st.floats(-0.3, 0.3), clockwise=st.booleans(),
)  # fmt: skip
def test_signed_distances_of_star_polygons(
    radii: list[float], x: float, y: float, clockwise: bool
) -> None:
    angle = np.arange(len(radii)) * 2 * np.pi / len(radii) * (1 if clockwise else -1) + 0.1
    polygon = np.stack([x + np.cos(angle) * radii, y + np.sin(angle) * radii], 1).astype(np.float32)
    found = signed_distance(torch.from_numpy(polygon[None]), 24)[0].numpy()
    expected = reference(polygon, 24)
    assert np.abs(found - expected.clip(-1, 1)).max() < 0.02
    clear = np.abs(expected) > 0.02
    assert (np.sign(found[clear]) == np.sign(expected[clear])).all()


def test_signed_distances_of_real_lips_and_eyes(sitter: Any, points: Tensor) -> None:
    for part in PARTS:
        place = Placement.of(part, points)
        maps, numbers = describe(part, points, place, 24)
        local = place.to_patch(points)
        assert maps.shape == (1, len(part.outlines), 24, 24)
        assert torch.equal(numbers.view(1, -1, 2), local[:, part.points])
        for found, outline in zip(maps[0].numpy(), part.outlines, strict=True):
            expected = reference(local[0, outline].numpy(), 24).clip(-1, 1)
            assert np.abs(found - expected).max() < 0.02


@pytest.mark.parametrize(
    "make",
    [
        lambda x: np.stack([x, 0 * x], 1),
        lambda x: np.stack([0 * x + 0.2, x], 1),
        lambda x: np.stack([x, 0.5 * x], 1),
        lambda x: np.zeros((len(x), 2)),
    ],
    ids=["level", "upright", "slanted", "point"],
)
def test_a_closed_mouth_has_no_inside(
    make: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> None:
    """The lips of a closed mouth: out along a line, and back on it."""
    there = np.linspace(-0.5, 0.5, 11)
    polygon = make(np.concatenate([there, there[-2:0:-1]])).astype(np.float32)
    found = signed_distance(torch.from_numpy(polygon[None]), 96)[0]
    assert float(found.max()) <= 0.0 + 1e-6
    assert float(found.min()) == -1.0


def test_polygons_of_a_batch_are_apart() -> None:
    pair = torch.rand(2, 9, 2, generator=torch.Generator().manual_seed(1)) * 2 - 1
    both = signed_distance(pair, 16)
    assert torch.equal(
        both, torch.cat([signed_distance(pair[:1], 16), signed_distance(pair[1:], 16)])
    )
