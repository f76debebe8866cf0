"""The dense flow follows the landmarks where they are, and leaves the rest of the picture alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from avatar.evaluation.plain_warp import plain_flow
from avatar.generator.warping import (
    FLOW_POINTS,
    INNER_LIPS,
    IRISES,
    LEFT_IRIS,
    OUTER_LIPS,
    RIGHT_IRIS,
    inter_ocular,
    landmark_flow,
    trust,
)

UPPER_LID = (246, 161, 160, 159, 158, 157, 173)
LOWER_LID = (7, 163, 144, 145, 153, 154, 155)


@pytest.fixture(scope="module")
def points(sitter: Any) -> Tensor:  # [1, 478, 2]
    return torch.from_numpy(sitter.points[None, :, :2].copy())


def flow_at(nodes: Tensor, target: Tensor, source: Tensor) -> Tensor:
    return landmark_flow(nodes, target, source, inter_ocular(source))


def around(points: Tensor, reach: float) -> Tensor:  # [1, N, 2]
    """A grid over the face, ``reach`` inter-ocular distances beyond its landmarks."""
    unit = float(inter_ocular(points))
    low, high = points[0].amin(0) - reach * unit, points[0].amax(0) + reach * unit
    x = torch.linspace(float(low[0]), float(high[0]), 25)
    y = torch.linspace(float(low[1]), float(high[1]), 25)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).view(1, -1, 2)


def test_a_face_that_stays_moves_nothing(points: Tensor) -> None:
    flow = flow_at(around(points, 2.0), points, points)
    assert (flow == 0).all()


@settings(max_examples=20, deadline=None)
@given(
    dx=st.floats(-0.2, 0.2), dy=st.floats(-0.2, 0.2),
    turn=st.floats(-0.15, 0.15), grow=st.floats(0.93, 1.07),
)  # fmt: skip
def test_a_similarity_of_the_face_is_reproduced_on_it(
    points: Tensor, dx: float, dy: float, turn: float, grow: float
) -> None:
    unit, centre = float(inter_ocular(points)), points.mean(1, keepdim=True)
    shift = torch.tensor([dx, dy]) * unit
    c, s = grow * np.cos(turn), grow * np.sin(turn)
    matrix = torch.tensor([[c, -s], [s, c]], dtype=torch.float32)
    target = (points - centre) @ matrix.T + centre + shift
    nodes = target[:, FLOW_POINTS]
    found = nodes + flow_at(nodes, target, points)
    error = (found - points[:, FLOW_POINTS]).norm(dim=-1)[0] / unit
    assert float(error.mean()) < 0.01
    assert float(error.quantile(0.9)) < 0.02


@settings(max_examples=20, deadline=None)
@given(dx=st.floats(-0.3, 0.3), dy=st.floats(-0.3, 0.3))
def test_a_shift_of_the_face_is_reproduced_on_it(points: Tensor, dx: float, dy: float) -> None:
    unit = float(inter_ocular(points))
    shift = torch.tensor([dx, dy]) * unit
    target = points + shift
    error = (flow_at(target[:, FLOW_POINTS], target, points) + shift).norm(dim=-1) / unit
    assert float(error.max()) < 0.01


def test_the_flow_fades_out_away_from_the_face(points: Tensor) -> None:
    unit = float(inter_ocular(points))
    target = points + torch.tensor([0.3, -0.2]) * unit
    nodes = around(target, 2.5)
    low, high = target[0].amin(0) - 2.0 * unit, target[0].amax(0) + 2.0 * unit
    far = ((nodes[0] < low) | (nodes[0] > high)).any(1)
    assert far.any()
    assert float(flow_at(nodes, target, points)[0, far].norm(dim=-1).max()) < 1e-4 * unit


def closed(points: Tensor) -> Tensor:
    """The person's right eye shut, lid on lid."""
    shut = points.clone()
    shut[:, UPPER_LID] = shut[:, LOWER_LID]
    return shut


def test_an_iris_under_a_closed_lid_does_not_count(points: Tensor) -> None:
    shut, unit = closed(points), float(inter_ocular(points))
    looking = shut.clone()
    looking[:, RIGHT_IRIS] += 0.08 * unit
    nodes = around(points, 0.0)
    assert (flow_at(nodes, looking, points) == flow_at(nodes, shut, points)).all()


def test_an_iris_in_an_open_eye_moves_the_picture_there_only(points: Tensor) -> None:
    unit = float(inter_ocular(points))
    shift = torch.tensor([0.04 * unit, 0.0])
    looking = points.clone()
    looking[:, LEFT_IRIS] += shift
    moved = flow_at(looking[:, LEFT_IRIS], looking, points).norm(dim=-1)
    assert float(moved.mean()) > 0.25 * 0.04 * unit
    lips = flow_at(points[:, OUTER_LIPS], looking, points).norm(dim=-1)
    assert (lips < 1e-3 * unit).all()


@settings(max_examples=10, deadline=None)
@given(scale=st.floats(0.3, 4.0), dx=st.floats(-500, 500), dy=st.floats(-500, 500))
def test_the_flow_scales_with_the_picture(
    points: Tensor, scale: float, dx: float, dy: float
) -> None:
    target = points.clone()
    target[:, INNER_LIPS[11:]] += 0.1 * inter_ocular(points)
    nodes = around(points, 0.3)
    place = torch.tensor([dx, dy])
    there = flow_at(nodes * scale + place, target * scale + place, points * scale + place)
    here = flow_at(nodes, target, points) * scale
    assert float((there - here).norm(dim=-1).max()) < 2e-3 * scale * float(inter_ocular(points))


def test_skin_is_followed_closer_than_by_the_plain_warp(points: Tensor) -> None:
    unit = float(inter_ocular(points))
    angle = points / unit * torch.tensor([2.1, 3.3])
    target = points + 0.04 * unit * angle.flip(-1).sin()
    skin = target[:, FLOW_POINTS[:-IRISES]]
    wanted = points[:, FLOW_POINTS[:-IRISES]] - skin
    own = (flow_at(skin, target, points) - wanted).norm(dim=-1).mean()
    plain = (plain_flow(skin, target, points, inter_ocular(points)) - wanted).norm(dim=-1).mean()
    assert float(own) < 0.5 * float(plain)


def turned(sitter: Any, degrees: float) -> Tensor:  # [1, 478, 2]
    """The face, its head turned about the upright axis; it is at rest in the photo."""
    head, angle = sitter.points - sitter.points.mean(0), np.deg2rad(degrees)
    across = head[:, 0] * np.cos(angle) + head[:, 2] * np.sin(angle)
    points = np.stack([across, head[:, 1]], 1) + sitter.points.mean(0)[:2]
    return torch.from_numpy(points[None].astype(np.float32))


def test_a_face_that_talks_is_trusted(sitter: Any, points: Tensor) -> None:
    talking = turned(sitter, 5.0)
    talking[:, INNER_LIPS[11:]] += 0.1 * inter_ocular(points)
    assert float(trust(talking, points, points).min()) > 0.8


@pytest.mark.parametrize("degrees", [-35.0, 35.0])
def test_the_sides_of_a_turned_head_are_not(sitter: Any, points: Tensor, degrees: float) -> None:
    trusted = trust(turned(sitter, degrees), points, points)[0]
    assert float(trusted[[234, 454]].max()) < 0.2
    assert (trusted[[1, 4, 13, 14, 168]] == 1.0).all()


def test_faces_of_a_batch_do_not_touch_each_other(points: Tensor) -> None:
    target = points.clone()
    target[:, OUTER_LIPS] += 5.0
    nodes = around(points, 0.2)
    pair = [torch.cat([a, b]) for a, b in ((nodes, nodes), (points, target), (points, points))]
    together = flow_at(pair[0], pair[1], pair[2])
    assert (together[0] == 0).all()
    assert torch.allclose(together[1:], flow_at(nodes, target, points), atol=1e-4)
