"""What the generator's training compares and judges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from avatar.generator.networks import paint_window
from avatar.training.discriminator import (
    Discriminator,
    feature_matching,
    hinge_discriminator,
    hinge_generator,
)
from avatar.training.episodes import EpisodeSampler
from avatar.training.faces import FaceClips
from avatar.training.losses import Squares, region_weights, steadiness_loss
from avatar.training.perceptual import PerceptualFeatures
from avatar.training.trainer import PARTS

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_judge_answers_with_maps_for_each_person() -> None:
    torch.manual_seed(0)
    judge = Discriminator([6, 10], outlines=2, people=5, style=16, width=8)
    seen = [torch.rand(2, 6, 32, 32), torch.rand(2, 10, 16, 16)]
    maps = torch.randn(2, 2, 48, 48)
    scores, features = judge(seen, maps, torch.tensor([0, 4]))
    assert [score.shape for score in scores] == [(2, 1, 32, 32), (2, 1, 16, 16)]
    assert [f.shape for f in features] == [(2, 8, 32, 32), (2, 8, 16, 16)]
    with torch.no_grad():
        judge.people.weight[3] += 1.0
        other = judge.eval()(seen, maps, torch.tensor([0, 3]))[0]
        same = judge(seen, maps, torch.tensor([0, 4]))[0]
        elsewhere = judge(seen, -maps, torch.tensor([0, 4]))[0]
        brighter = judge([3.0 * level for level in seen], maps, torch.tensor([0, 4]))[0]
    assert torch.equal(other[0], same[0])
    assert torch.equal(other[1][0], same[1][0])
    assert not torch.allclose(other[1][1], same[1][1])
    for told, at_first, elsewhere_, brighter_ in zip(
        scores, same, elsewhere, brighter, strict=True
    ):
        assert told.shape == at_first.shape
        assert not torch.allclose(elsewhere_, at_first)
        assert torch.allclose(brighter_, at_first, atol=1e-4)


def test_the_judge_is_content_when_it_tells_true_from_painted() -> None:
    score: Any = torch.full((2, 1, 3, 3), 1.5)
    assert hinge_discriminator([score, score], [-score, -score]) == 0
    assert hinge_discriminator([-score, score], [score, -score]) == 2.5
    assert hinge_generator([score, -score / 3]) == -0.5
    assert feature_matching([score], [score]) == 0
    assert feature_matching([score], [score + 2]) == 2


def test_paint_that_changes_as_the_truth_does_is_steady() -> None:
    target = torch.rand(4, 3, 8, 8)
    assert float(steadiness_loss(target + 0.3, target)) == pytest.approx(0, abs=1e-6)
    flicker = target + torch.tensor([0.3, -0.3, 0.3, -0.3]).view(4, 1, 1, 1)
    assert float(steadiness_loss(flicker, target)) == pytest.approx(0.6, abs=1e-5)


def test_pixels_inside_the_lips_weigh_most(clips: FaceClips) -> None:
    episode = EpisodeSampler(clips, PARTS["mouth"][0], seed=2).draw(2, 1, augment=False)
    weights = region_weights(episode.outlines, 4.0, 0.5)
    assert weights.shape == (2, 1, 192, 192)
    assert set(weights.unique().tolist()) <= {1.0, 1.5, 5.0, 5.5}
    assert float(weights[:, 0, 0, 0].max()) == 1.0
    ring = episode.numbers[:, :40].view(2, 20, 2).mean(1)
    for row, (x, y) in enumerate(((ring + 1) * 95.5).round().long().tolist()):
        assert float(weights[row, 0, y, x]) >= 5.0


@pytest.mark.parametrize("part", PARTS)
def test_squares_hold_what_is_painted(part: str, clips: FaceClips) -> None:
    where, config = PARTS[part]
    episode = EpisodeSampler(clips, where, seed=2).draw(4, 1, augment=False)
    squares = Squares.painted(episode, where)
    kept = torch.zeros(4, 1, where.size, where.size)
    for row, (x, y) in enumerate(squares.corners):
        kept[row, :, y : y + squares.side, x : x + squares.side] = 1
    window = paint_window(episode.outlines[:, config.border : config.border + 1])
    assert float((window * (1 - kept)).sum() / window.sum()) < 0.02
    assert torch.equal(squares.of(kept, where), torch.ones(4, 1, squares.side, squares.side))
    assert squares.of(episode.outlines, where).shape[-1] == squares.side // 2


@pytest.mark.parametrize("part", PARTS)
def test_detail_is_compared_about_the_opening_alone(
    part: str, clips: FaceClips, networks: dict[str, PerceptualFeatures]
) -> None:
    where, _ = PARTS[part]
    episode = EpisodeSampler(clips, where, seed=2).draw(2, 1, augment=False)
    vgg = networks["vgg16"]
    squares = Squares.close_up(episode, where, np.random.default_rng(0))
    shown = squares.look(episode.target, where)
    assert shown.shape[-1] == 2 * squares.side == where.size * 2 // 3
    border = episode.target.clone()
    border[..., : where.size // 12, :] += 1.0
    assert torch.equal(squares.look(border, where), shown)
    seen, other = vgg(shown), vgg(squares.look(episode.target + 0.2, where))
    assert vgg.channels == [level.shape[1] for level in seen]
    for distance in (0.0, 4.0):
        assert float(vgg.apart(seen, seen, distance)) == 0
    assert 1e-4 < float(vgg.apart(seen, other)) < float(vgg.apart(seen, other, 4.0))
