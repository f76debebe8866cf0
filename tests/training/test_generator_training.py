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
from pathlib import Path
from typing import Any

import pytest
import torch

from avatar.errors import ConfigError, DependencyError, InputError
from avatar.generator.episodes import paint
from avatar.generator.networks import PartGenerator
from avatar.training.board import Board
from avatar.training.episodes import EpisodeSampler
from avatar.training.faces import FaceClips
from avatar.training.generator import PARTS, Settings, Trainer, Until, evaluate, run
from avatar.training.generator import _parser as parser
from avatar.training.generator import _settings as read_settings
from avatar.training.perceptual import PerceptualFeatures

pytestmark = pytest.mark.usefixtures("one_thread")

QUIET = Settings(batch=2, judge_after=10**9)
JUDGED = Settings(batch=2, judge_after=0)


def trainer(
    part: str, clips: FaceClips, networks: dict[str, PerceptualFeatures], settings: Settings
) -> Trainer:
    return Trainer(part, clips, networks["vgg16"], settings, "cpu", seed=3)


def weights(model: torch.nn.Module) -> list[torch.Tensor]:
    return [value.detach().clone() for value in model.parameters()]


def moved(before: list[torch.Tensor], model: torch.nn.Module) -> int:
    return sum(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


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
    assert figures["ratio_to_warped"] == pytest.approx(1.0)
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
