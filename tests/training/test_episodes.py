"""A folder of talking people gives episodes that fit the networks and show one person each."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.errors import InputError
from avatar.generator.augmentation import Augmentation
from avatar.generator.episodes import cut
from avatar.training.episodes import EpisodeSampler
from avatar.training.faces import CROP, FaceClips, write_folder
from avatar.training.trainer import PARTS

pytestmark = pytest.mark.usefixtures("one_thread")

FRAMES = 9
"""Of each clip of the training folder."""


def test_a_folder_gives_back_the_frames_and_the_landmarks(
    folder: Path, clips: FaceClips, unseen: FaceClips
) -> None:
    assert clips.names == ("astronaut", "grace_hopper")
    assert unseen.names == ("astronaut_later", "grace_hopper_later")
    assert clips.frames.shape == (2 * FRAMES, CROP, CROP, 3)
    assert unseen.frames.shape == (2 * math.ceil(FRAMES / 2), CROP, CROP, 3)
    assert clips.starts.tolist() == [0, FRAMES, 2 * FRAMES]
    assert clips.people.tolist() == [0, 1]
    corners = clips.landmarks[:, [33, 263]]
    assert torch.allclose(corners[:, 0, 1], corners[:, 1, 1], atol=0.1)
    assert torch.allclose((corners[:, 1] - corners[:, 0])[:, 0], torch.tensor(CROP / 2.8), atol=0.1)
    assert (clips.mirror[clips.mirror] == torch.arange(478)).all()
    assert clips.mirror[33] == 263
    mouth = clips.openness("mouth").reshape(2, FRAMES)
    assert (np.diff(mouth, axis=1) > 0).all()


def test_a_folder_without_such_clips_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no clips"):
        FaceClips.load(tmp_path, held_out=False)


def test_clips_with_lost_faces_are_left_out(tmp_path: Path) -> None:
    landmarks = np.zeros((2, 478, 3), np.float32)
    landmarks[1] = np.nan
    np.savez(tmp_path / "x.npz", landmarks=landmarks, size=[10, 10], identity="x")
    write_folder([(tmp_path / "x.mp4", tmp_path / "x.npz")], set(), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("part", PARTS)
def test_an_episode_fits_the_networks_and_shows_one_person(part: str, clips: FaceClips) -> None:
    where, config = PARTS[part]
    episode = EpisodeSampler(clips, where, seed=1).draw(4, 3)
    size, half = where.size, where.size // 2
    assert episode.target.shape == episode.warped.shape == (4, 3, size, size)
    assert episode.outlines.shape == (4, config.outlines, half, half)
    assert episode.numbers.shape == (4, config.numbers)
    assert episode.source_patches.shape == (4, 3, 3, size, size)
    assert episode.source_outlines.shape == (4, 3, config.outlines, half, half)
    assert episode.feature_grid.shape[:2] == (4, 2)
    for value in vars(episode).values():
        assert torch.isfinite(value).all()
    assert float(episode.target.abs().max()) <= 1.001
    unmoved = (episode.source_patches[:, 0] - episode.target).abs().mean((1, 2, 3))
    warped = (episode.warped - episode.target).abs().mean((1, 2, 3))
    assert float(warped.mean()) <= float(unmoved.mean()) + 0.01


def test_neighbours_follow_each_other_and_are_changed_alike(clips: FaceClips) -> None:
    sampler = EpisodeSampler(clips, PARTS["mouth"][0], seed=2)
    episode = sampler.draw(6, 2, neighbours=True)
    assert episode.target.shape[0] == 6
    first, second = episode.source_patches[0::2], episode.source_patches[1::2]
    assert torch.equal(first, second)
    apart = (episode.target[0::2] - episode.target[1::2]).abs().mean((1, 2, 3))
    assert (apart > 0).all()
    assert (episode.person[0::2] == episode.person[1::2]).all()


def test_frames_that_were_made_are_sources_but_no_targets(clips: FaceClips) -> None:
    filmed = np.zeros(len(clips.frames), bool)
    filmed[[0, FRAMES + 3]] = True
    sampler = EpisodeSampler(replace(clips, filmed=filmed), PARTS["mouth"][0], seed=2)
    targets, sources, chosen = sampler.choose(40, 2)
    assert set(targets.tolist()) == {0, FRAMES + 3}
    assert len(np.unique(sources)) > 4
    assert all(sampler._next(t, c) == t for t, c in zip(targets, chosen, strict=True))


def test_lips_get_another_colour_alike_in_all_pictures_of_a_row(clips: FaceClips) -> None:
    part = PARTS["mouth"][0]
    targets, sources = np.array([FRAMES - 1, 2]), np.array([[1, 0], [1, 0]])
    person = torch.zeros(2, dtype=torch.int64)
    only_lips = Augmentation(bend=0.0, waves=0.0, flips=0.0, colours=False, lips=1.0, coarse=0.0)
    plain = cut(clips, part, targets, sources, person)
    made = cut(clips, part, targets, sources, person, np.random.default_rng(3), only_lips)
    for was, now, outlines in (
        (plain.target, made.target, plain.outlines),
        (plain.source_patches[:, 0], made.source_patches[:, 0], plain.source_outlines[:, 0]),
    ):
        maps = torch.nn.functional.interpolate(outlines, scale_factor=2.0, mode="bilinear")
        ratio = (now + 1.02) / (was + 1.02)
        lips = (maps[:, 1:] > 0.25) & (maps[:, :1] < -0.25)
        away = (maps[:, 1:] < -0.3).expand_as(ratio)
        assert torch.allclose(ratio[away], torch.ones(()), atol=0.02)
        for row in range(2):
            painted = ratio[row][:, lips[row, 0]]
            assert float((painted.mean(1) - 1).abs().max()) > 0.1
            assert float(painted.std(1).max()) < 0.1
    opened = torch.nn.functional.interpolate(plain.outlines[:1, :1], scale_factor=2.0) > 0.3
    inside = opened.expand(1, 3, -1, -1)
    assert torch.allclose(made.target[:1][inside], plain.target[:1][inside], atol=0.02)


def test_made_up_people_take_a_fifth_of_the_draws(clips: FaceClips) -> None:
    named = replace(clips, names=("synthetic_0_0000", "grace_hopper"))
    assert EpisodeSampler(named, PARTS["mouth"][0]).weights.tolist() == [
        pytest.approx(0.25), pytest.approx(0.75)
    ]  # fmt: skip
    assert EpisodeSampler(clips, PARTS["mouth"][0]).weights.tolist() == [0.5, 0.5]
