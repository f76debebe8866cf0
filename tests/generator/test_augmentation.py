"""Training pictures are bent so that their landmarks stay on what they mark."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from avatar.generator.augmentation import Augmentation, Bend
from avatar.generator.episodes import CROP

MIRROR = torch.arange(477, -1, -1)


def landmarks(rows: int, each: int) -> Tensor:
    spread = torch.rand(rows, each, 478, 2, generator=torch.Generator().manual_seed(0))
    return 60.0 + spread * (CROP - 120.0)


def drawn(rows: int, augmentation: Augmentation) -> Bend:
    return Bend.drawn(rows, CROP, torch.device("cpu"), np.random.default_rng(5), augmentation)


def test_bent_landmarks_are_where_the_bent_picture_shows_them() -> None:
    points = landmarks(4, 2)
    bend = drawn(4, Augmentation(bend=0.1, waves=3.0, flips=0.5))
    assert set(bend.flipped.tolist()) == {False, True}
    bent = bend.bent(points, MIRROR)
    assert float((bent - points).abs().max()) > 5.0
    grid = bent.flatten(0, 1).transpose(1, 2)[..., None]
    back = bend.straight(grid)[..., 0].transpose(1, 2).view_as(points)
    wanted = torch.where(bend.flipped.view(-1, 1, 1, 1), points[:, :, MIRROR], points)
    torch.testing.assert_close(back, wanted, atol=0.1, rtol=0)


def test_waves_make_shapes_that_no_turn_or_stretch_makes() -> None:
    points = landmarks(1, 1)

    def left_over(waves: float) -> float:
        bent = drawn(1, Augmentation(bend=0.1, waves=waves, flips=0.0)).bent(points, MIRROR)[0, 0]
        affine = torch.cat([points[0, 0], torch.ones(478, 1)], 1)
        return float((affine @ torch.linalg.lstsq(affine, bent).solution - bent).abs().max())

    assert left_over(0.0) < 0.01
    assert left_over(2.5) > 1.0


def test_rows_that_follow_each_other_can_be_bent_alike() -> None:
    bend = drawn(4, Augmentation(alike=2))
    assert torch.equal(bend.matrix[::2], bend.matrix[1::2])
    assert torch.equal(bend.waves[::2], bend.waves[1::2])
    assert not torch.equal(bend.matrix[0], bend.matrix[2])
