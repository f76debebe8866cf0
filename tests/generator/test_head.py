"""What lies beyond the landmarks moves as a head does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from avatar.generator.head import Head


def ring_moved(sitter: Any, points: np.ndarray) -> np.ndarray:
    moved, there = Head.around(sitter.points).moved(points.astype(np.float32))
    assert moved.shape == there.shape
    return (moved - there)[0].numpy()


def test_a_face_that_stays_leaves_its_head_where_it_is(sitter: Any) -> None:
    assert np.abs(ring_moved(sitter, sitter.points)).max() < 0.05


def test_a_head_comes_along_with_its_face(sitter: Any) -> None:
    shift = np.array([14.0, -9.0, 0.0])
    assert np.abs(ring_moved(sitter, sitter.points + shift) - shift[:2]).max() < 0.1


def test_hair_lags_where_the_face_turns(sitter: Any) -> None:
    unit = float(np.linalg.norm(sitter.points[33, :2] - sitter.points[263, :2]))
    pivot = sitter.points.mean(0) + np.array([0, 0, 1.2 * unit])
    turn = Rotation.from_euler("y", 20, degrees=True).as_matrix()
    turned = (sitter.points - pivot) @ turn.T + pivot
    nose = (turned - sitter.points)[4, 0]
    ring = ring_moved(sitter, turned)[:, 0].mean()
    assert 0.2 < ring / nose < 0.9


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_a_picture_whose_edge_is_left_is_stretched_there(
    hopper: Any, sit: Callable[..., Any], sign: float
) -> None:
    """What would be sampled outside the picture is drawn into it; the middle moves in full."""
    left, top = (max(int(v), 0) for v in hopper.points[:, :2].min(0) - 0.3 * hopper.unit)
    right, bottom = (int(v) for v in hopper.points[:, :2].max(0) + 0.3 * hopper.unit)
    portrait = sit(np.ascontiguousarray(hopper.image[top:bottom, left:right])).portrait
    assert portrait.region == (0, 0, right - left, bottom - top)
    distance = sign * 0.3 * hopper.unit
    nodes = portrait.nodes[0]
    shown = portrait.shown_from(torch.full_like(nodes, distance))
    far = torch.tensor([right - left - 1.0, bottom - top - 1.0]).view(2, 1, 1)
    assert float(shown.min()) > -0.01
    assert float((far - shown).min()) > -0.01
    middle = (nodes - far / 2).abs().amax(0) < 0.2 * hopper.unit
    assert torch.allclose((shown - nodes)[:, middle], torch.tensor(distance), atol=0.01)
