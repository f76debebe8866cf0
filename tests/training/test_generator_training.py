"""The generator learns, a stopped run goes on to the same result, and what it saves is complete."""

from __future__ import annotations

import importlib.util
import io
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatar.errors import ConfigError, DependencyError, InputError
from avatar.face import FaceRig, MediaPipeDetector
from avatar.generator import Generator
from avatar.generator.augmentation import Augmentation
from avatar.generator.episodes import cut, paint
from avatar.generator.networks import PartGenerator, paint_window
from avatar.media import VideoWriter, load_image
from avatar.motion import Retargeter
from avatar.training.board import Board
from avatar.training.discriminator import (
    Discriminator,
    feature_matching,
    hinge_discriminator,
    hinge_generator,
)
from avatar.training.episodes import EpisodeSampler
from avatar.training.faces import CROP, FaceClips, write_folder
from avatar.training.generator import PARTS, Settings, Trainer, Until, evaluate, run
from avatar.training.generator import _parser as parser
from avatar.training.generator import _settings as read_settings
from avatar.training.losses import Squares, region_weights, steadiness_loss
from avatar.training.perceptual import PerceptualFeatures
from avatar.types import ARKIT_NAMES

FRAMES = 9
JAW = ARKIT_NAMES.index("jawOpen")
BLINKS = [ARKIT_NAMES.index(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")]
QUIET = Settings(batch=2, judge_after=10**9)
JUDGED = Settings(batch=2, judge_after=0)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people who open their mouths and blink; each in one clip to learn from and one held out,
    in which they count as someone else."""
    raw, out = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("faces")
    detector, generator, rig = MediaPipeDetector(), Generator.load(), FaceRig.load()
    clips = []
    for name in ("astronaut", "grace_hopper"):
        image = load_image(repository / "examples" / f"{name}.jpg")
        face = detector.detect(image)[0]
        portrait = generator.prepare([(image, face)])
        retargeter = Retargeter(rig, face.landmarks, face.expression)
        for who, turn in ((name, 0.0), (f"{name}_later", 0.06)):
            frames, rows = [], []
            for k in range(FRAMES):
                expression = face.expression.copy()
                expression[JAW] = 0.6 * k / (FRAMES - 1)
                expression[BLINKS] = 0.8 * (k % 3) / 2
                rotation = np.array([math.cos(turn), 0, math.sin(turn), 0], np.float32)
                still, ahead = np.zeros(3, np.float32), np.zeros(2, np.float32)
                rows.append(retargeter.landmarks(expression, rotation, still, ahead))
                frames.append(generator.render(portrait, rows[-1]))
            clips.append((raw / f"{who}.mp4", raw / f"{who}.npz"))
            height, width = image.shape[:2]
            with VideoWriter(clips[-1][0], width=width, height=height, fps=25) as writer:
                for frame in frames:
                    writer.write(frame, None)
            np.savez(clips[-1][1], landmarks=np.stack(rows), size=[height, width], identity=who)
    write_folder(clips, {"astronaut_later", "grace_hopper_later"}, out)
    return out


@pytest.fixture(scope="module")
def clips(folder: Path) -> FaceClips:
    return FaceClips.load(folder, held_out=False)


@pytest.fixture(scope="module")
def unseen(folder: Path) -> FaceClips:
    return FaceClips.load(folder, held_out=True, every=2)


@pytest.fixture(scope="module")
def networks_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("networks")


@pytest.fixture(scope="module")
def networks(networks_folder: Path) -> dict[str, PerceptualFeatures]:
    """Perceptual networks with a few random channels, in files like the real ones."""
    random, made = np.random.default_rng(0), {}
    kernels = {"vgg16": [3] * 8, "alexnet": [11, 5, 3, 3, 3]}
    for net, sides in kernels.items():
        arrays, inputs = {}, 3
        for k, side in enumerate(sides):
            scale = 1.5 / np.sqrt(inputs * side * side)
            weight = random.normal(0, scale, (6, inputs, side, side))
            arrays[f"weight{k}"], inputs = weight.astype(np.float16), 6
            arrays[f"bias{k}"] = random.normal(0, 0.1, 6).astype(np.float16)
        for k in range(5):
            arrays[f"linear{k}"] = random.random(6).astype(np.float16)
        path = networks_folder / f"{net}.npz"
        np.savez(path, **arrays)  # type: ignore[arg-type]
        made[net] = PerceptualFeatures(net, path)
    return made


def trainer(
    part: str, clips: FaceClips, networks: dict[str, PerceptualFeatures], settings: Settings
) -> Trainer:
    return Trainer(part, clips, networks["vgg16"], settings, "cpu", seed=3)


def weights(model: torch.nn.Module) -> list[torch.Tensor]:
    return [value.detach().clone() for value in model.parameters()]


def moved(before: list[torch.Tensor], model: torch.nn.Module) -> int:
    return sum(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


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


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("settings", [QUIET, JUDGED], ids=["alone", "judged"])
def test_steps_move_the_weights(
    part: str, settings: Settings, clips: FaceClips, networks: dict[str, PerceptualFeatures]
) -> None:
    one = trainer(part, clips, networks, settings)
    model, smooth, judge = weights(one.model), weights(one.smooth), weights(one.judge)
    losses = [one.step() for _ in range(3)]
    assert all(math.isfinite(value) for step in losses for value in step.values())
    judged = settings is JUDGED
    for step in losses:
        assert ("perceptual" in step) != ("detail" in step)
        assert step.keys() - {"steadiness", "perceptual", "detail"} == {"pixel"} | (
            {"adversarial", "matching", "person", "judge"} if judged else set()
        )
    assert one.samples == 6
    assert moved(model, one.model) > 0.9 * len(model)
    assert moved(smooth, one.smooth) > 0.9 * len(smooth)
    assert (moved(judge, one.judge) > 0) == judged


@pytest.mark.parametrize("settings", [QUIET, JUDGED], ids=["alone", "judged"])
def test_a_stopped_run_goes_on_to_the_same_result(
    settings: Settings, clips: FaceClips, networks: dict[str, PerceptualFeatures]
) -> None:
    through = trainer("eye", clips, networks, settings)
    through.step()
    saved = io.BytesIO()
    torch.save(through.state(), saved)
    expected = [through.step() for _ in range(2)]
    saved.seek(0)
    stopped = Trainer("eye", clips, networks["vgg16"], settings, "cpu", seed=99)
    stopped.restore(torch.load(saved, weights_only=False))
    assert stopped.samples == settings.batch
    assert [stopped.step() for _ in range(2)] == expected
    for name in ("model", "smooth", "judge"):
        a, b = getattr(through, name).state_dict(), getattr(stopped, name).state_dict()
        assert all(torch.equal(a[key], b[key]) for key in a)


class Killed(Exception):  # noqa: N818
    """Stands for a process that is gone."""


def test_a_run_killed_at_any_point_goes_on_to_the_same_result(
    clips: FaceClips, unseen: FaceClips, networks: dict[str, PerceptualFeatures], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    until = Until(math.inf, steps=4, save_every=math.inf, save_steps=2)
    sheet = torch.zeros(1, 4, 3, 8, 8)
    monkeypatch.setattr("avatar.training.generator.evaluate", lambda *_: ({}, sheet))
    (tmp_path / "through").mkdir()
    through = trainer("eye", clips, networks, JUDGED)
    run(through, unseen, networks["alexnet"], tmp_path / "through", until)
    expected = torch.load(tmp_path / "through" / "last.pt", weights_only=False)

    step, save = Trainer.step, torch.save
    for moment in range(1, 4):
        out = tmp_path / f"killed_{moment}"
        out.mkdir()
        steps = iter(range(1, 5))

        def stopped(one: Trainer, left: Iterator[int] = steps, moment: int = moment) -> Any:
            if next(left) > moment:
                raise Killed
            return step(one)

        def torn(state: Any, path: Path, moment: int = moment) -> None:
            save(state, path)
            if moment == 2 and path.name == "new.pt":
                raise Killed  # written, and not yet renamed

        monkeypatch.setattr(Trainer, "step", stopped)
        monkeypatch.setattr(torch, "save", torn)
        with pytest.raises(Killed):
            run(trainer("eye", clips, networks, JUDGED), unseen, networks["alexnet"], out, until)
        monkeypatch.setattr(Trainer, "step", step)
        monkeypatch.setattr(torch, "save", save)
        again = trainer("eye", clips, networks, JUDGED)
        if (out / "last.pt").exists():
            again.restore(torch.load(out / "last.pt", weights_only=False))
        run(again, unseen, networks["alexnet"], out, until)
        ended = torch.load(out / "last.pt", weights_only=False)
        assert ended["samples"] == expected["samples"] == 8
        for name in ("model", "smooth", "judge"):
            assert all(torch.equal(ended[name][k], expected[name][k]) for k in ended[name])


def test_a_run_does_not_go_on_with_other_settings_or_another_number_of_processes(
    clips: FaceClips, networks: dict[str, PerceptualFeatures]
) -> None:
    state = trainer("eye", clips, networks, QUIET).state()
    with pytest.raises(InputError, match="judge_after"):
        trainer("eye", clips, networks, JUDGED).restore(state)
    state["random"] = state["random"] * 2
    with pytest.raises(InputError, match="2 processes"):
        trainer("eye", clips, networks, QUIET).restore(state)


def test_the_seed_decides_the_run(
    clips: FaceClips, networks: dict[str, PerceptualFeatures]
) -> None:
    first, again = (trainer("eye", clips, networks, QUIET).step() for _ in range(2))
    other = Trainer("eye", clips, networks["vgg16"], QUIET, "cpu", seed=4).step()
    assert first == again
    assert first != other


def test_the_loss_falls_on_a_few_faces(
    clips: FaceClips, networks: dict[str, PerceptualFeatures]
) -> None:
    # The LPIPS of networks that learned nothing leads nowhere. At this rate the weights swing from
    # step to step; their moving average, which is what a run is for, does not.
    settings = Settings(batch=4, judge_after=10**9, rate=1e-3, distance=0.0, average=0.85)
    one = trainer("eye", clips, networks, settings)
    episode = EpisodeSampler(clips, PARTS["eye"][0], seed=8).draw(8, 2, augment=False)

    def apart() -> float:
        with torch.no_grad():
            return float((paint(one.smooth, episode)[0] - episode.target).abs().mean())

    before = apart()
    for _ in range(24):
        one.step()
    assert apart() < 0.9 * before


@pytest.mark.parametrize("part", PARTS)
def test_figures_of_unseen_people(
    part: str, unseen: FaceClips, networks: dict[str, PerceptualFeatures]
) -> None:
    where, config = PARTS[part]
    torch.manual_seed(0)
    figures, sheet = evaluate(PartGenerator(config), unseen, where, networks["alexnet"], per_clip=2)
    assert figures["ratio"] == pytest.approx(1.0)
    assert figures["lpips_painted"] == pytest.approx(figures["lpips_warped"]) != 0
    assert {"astronaut_later", "grace_hopper_later"} <= figures.keys()
    assert sheet.shape == (4, 4, 3, where.size, where.size)


def test_a_run_leaves_a_log_a_sheet_a_checkpoint_and_weights(
    clips: FaceClips, unseen: FaceClips, networks: dict[str, PerceptualFeatures], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    one = trainer("eye", clips, networks, JUDGED)
    run(one, unseen, networks["alexnet"], tmp_path, Until(time.monotonic(), save_every=1e9))
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert line["samples"] == 2
    assert {"pixel", "judge", "ratio", "seconds"} <= line.keys()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["eye.pt", "eye_00000002.png", "last.pt"]
    model = PartGenerator(PARTS["eye"][1])
    model.load_state_dict(torch.load(tmp_path / "eye.pt"))
    state = torch.load(tmp_path / "last.pt", weights_only=False)
    assert state["samples"] == 2


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


def test_settings_come_from_a_file_and_options_win(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "settings.json"
    path.write_text('{"batch": 4, "rate": 0.001}')
    given = ["--part", "eye", "--data", "x", "--out", "y", "--networks", "z", "--config", str(path)]
    settings = read_settings(parser().parse_args([*given, "--rate", "0.002"]))
    assert settings == Settings(batch=4, rate=0.002)
    path.write_text('{"bacth": 4}')
    with pytest.raises(ConfigError, match="did you mean 'batch'"):
        read_settings(parser().parse_args(given))
    path.write_text("batch: 4")
    with pytest.raises(ConfigError, match=r"settings\.json"):
        read_settings(parser().parse_args(given))
    for wrong in ({"batch": 3}, {"precision": "fp8"}, {"shots": 0}):
        with pytest.raises(ConfigError):
            Settings(**wrong)  # type: ignore[arg-type]


CHECKED = """
from pathlib import Path

from avatar.training import generator

save = generator._save

def checked(trainer, out):
    sums = [float(value.detach().double().sum()) for value in trainer.model.parameters()]
    everywhere = trainer.ranks.gather(sums)
    assert len(everywhere) == 2 and everywhere[0] == everywhere[1]
    drawn = trainer.ranks.gather(int(trainer.sampler.random.integers(2**40)))
    assert drawn[0] != drawn[1]
    assert trainer.ranks.agree(trainer.ranks.first, "cpu")
    save(trainer, out)

generator._save = checked
generator.main()
threads = {task.joinpath("comm").read_text() for task in Path("/proc/self/task").iterdir()}
assert not [name for name in threads if "gloo" in name], threads
"""


def test_two_processes_train_one_model_on_different_batches(
    folder: Path, networks: dict[str, PerceptualFeatures], networks_folder: Path, tmp_path: Path
) -> None:
    script = tmp_path / "checked.py"
    script.write_text(CHECKED)
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d"]
    launch += ["--rdzv-endpoint", "localhost:0", str(script)]
    options = {
        "part": "eye", "data": folder, "networks": networks_folder, "out": tmp_path / "run",
        "batch": 2, "judge-after": 0, "steps": 2, "save-steps": 1, "device": "cpu",
    }  # fmt: skip
    arguments = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    environment["PYTHONFAULTHANDLER"] = "1"  # a process that aborts says where
    done = subprocess.run(
        [sys.executable, *launch, *arguments],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert [line["samples"] for line in lines] == [4, 8]
    assert len(torch.load(tmp_path / "run" / "last.pt", weights_only=False)["random"]) == 2


def test_event_files_for_tensorboard(tmp_path: Path) -> None:
    if importlib.util.find_spec("tensorboard") is None:
        with pytest.raises(DependencyError, match="tensorboard"):
            Board(tmp_path)
        return
    board = Board(tmp_path)
    board.write(3, {"pixel": 0.5, "clip": "x"}, torch.zeros(2, 4, 3, 8, 8))
    board.close()
    assert any(path.stat().st_size for path in tmp_path.iterdir())
