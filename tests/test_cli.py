"""The commands, as a person runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import soundfile
import torch
from PIL import Image

import avatar
from avatar.cli import run
from avatar.errors import ConfigError, OutputError
from avatar.media import VideoReader, load_audio, load_image


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a photo, half a second of sound, and an avatar file."""
    folder = tmp_path_factory.mktemp("inputs")
    Image.fromarray(skimage.data.astronaut()[:300, 80:380]).save(folder / "photo.png")
    t = np.arange(11_025) / 22_050
    soundfile.write(folder / "sound.wav", 0.3 * np.sin(2 * np.pi * 150 * t), 22_050)
    assert run(["create", str(folder / "photo.png"), "-o", str(folder / "one.avatar")]) == 0
    return folder


def test_a_photo_and_a_sound_become_a_video(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.mp4"
    code = run(
        ["speak", str(inputs / "photo.png"), str(inputs / "sound.wav"), "-o", str(out),
         "--fps", "20", "--size", "96", "--seed", "7", "--json"]
    )  # fmt: skip
    said = capsys.readouterr()
    assert code == 0
    assert said.err == ""
    result = json.loads(said.out)
    assert result["output"] == str(out)
    assert (result["frames"], result["fps"], result["sample_rate"]) == (10, 20.0, 22_050)
    frames = list(VideoReader(out))
    assert len(frames) == 10
    assert frames[0][0].shape == (result["height"], result["width"], 3)
    assert load_audio(out).duration_seconds == pytest.approx(0.5, abs=0.06)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
@pytest.mark.parametrize(
    "words",
    [["speak", "a.png", "a.wav", "-o", "a.mp4"], ["mimic", "a.png", "a.mp4", "-o", "b.mp4"],
     ["serve"], ["bench"]],
    ids=lambda words: words[0],
)  # fmt: skip
def test_a_device_that_is_not_there_is_an_error(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words, "--device", "cuda"]) == ConfigError.exit_code
    assert "finds no CUDA GPU" in capsys.readouterr().err


def test_what_was_made_is_said_in_one_line_without_a_progress_bar_in_a_pipe(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.gif"
    saved = str(inputs / "one.avatar")
    assert run(["speak", str(inputs / "sound.wav"), "--avatar", saved, "-o", str(out)]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert str(out) in said.out
    assert said.out.count("\n") == 1


def test_a_trailing_slash_asks_for_numbered_pictures(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "frames"
    saved = str(inputs / "one.avatar")
    arguments = ["speak", str(inputs / "sound.wav"), "--avatar", saved, "-o", f"{out}/"]
    assert run([*arguments, "--fps", "10", "--size", "64", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["output"] == str(out)
    numbered = [f"{number:05d}.png" for number in range(5)]
    assert sorted(path.name for path in out.iterdir()) == [*numbered, "audio.wav"]
    assert max(load_image(out / numbered[0]).shape) == 64
    assert load_audio(out / "audio.wav").duration_seconds == 0.5


def test_an_avatar_file_draws_what_its_photo_draws(inputs: Path, tmp_path: Path) -> None:
    common = [str(inputs / "sound.wav"), "--size", "96", "-o"]
    photo, saved = str(inputs / "photo.png"), str(inputs / "one.avatar")
    assert run(["speak", photo, *common, str(tmp_path / "a.mp4")]) == 0
    assert run(["speak", *common, str(tmp_path / "b.mp4"), "--avatar", saved]) == 0
    for left, right in zip(
        VideoReader(tmp_path / "a.mp4"), VideoReader(tmp_path / "b.mp4"), strict=True
    ):
        np.testing.assert_array_equal(left[0], right[0])


def test_create_keeps_who_attested_consent(
    inputs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.avatar"
    photo = str(inputs / "photo.png")
    arguments = ["create", photo, photo, "-o", str(out), "--consent-by", "me", "--json"]
    assert run(arguments) == 0
    assert json.loads(capsys.readouterr().out)["photos"] == 2
    identity = avatar.Identity.load(out)
    assert identity.consent.attested
    assert identity.consent.attested_by == "me"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["speak", "sound.wav", "-o", "o.mp4"], 11, "give a photo and a sound file"),
        (["speak", "photo.png", "sound.wav", "--avatar", "one.avatar", "-o", "o.mp4"], 11, "both"),
        (["speak", "photo.png", "sound.wav", "-o", "o.mp4", "--fps", "0"], 11, "fps"),
        (["speak", "photo.png", "sound.wav", "-o", "o.mp4", "--size", "9"], 11, "size"),
        (["speak", "photo.png", "sound.wav", "-o", "o.mp4", "--face", "4"], 7, "face"),
        (["speak", "photo.png", "sound.wav", "-o", "o.doc"], 12, "o.doc"),
        (["speak", "photo.png", "sound.wav", "-o", "o.mp4", "--background", "sea"], 11, "sea"),
        (["speak", "photo.png", "sound.wav", "-o", "o.mp4", "--background", "x.jpg"], 3, "x.jpg"),
        (["speak", "photo.png", "sound.wav", "-o", "o.gif", "--background", "alpha"], 12, ".webm"),
        (["speak", "photo.png", "sound.wav", "-o", "none/o.mp4"], 12, "none"),
        (["speak", "photo.png", "sound.wav", "-o", ""], 12, "format"),
        (["speak", "photo.png", "sound.wav", "-o", "sound.wav/"], 12, "in the way"),
        (["speak", "photo.png", "photo.png", "-o", "o.mp4"], 4, "photo.png"),
        (["speak", "sound.wav", "sound.wav", "-o", "o.mp4"], 3, "sound.wav"),
        (["speak", "missing.jpg", "sound.wav", "-o", "o.mp4"], 3, "missing.jpg"),
        (["speak", "sound.wav", "--avatar", "photo.png", "-o", "o.mp4"], 10, "photo.png"),
        (["create", "photo.png", "-o", "none/x.avatar"], 12, "none"),
    ],
)
def test_a_mistake_is_one_line_and_its_own_exit_code(
    inputs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    monkeypatch.chdir(inputs)
    before = sorted(Path().iterdir())
    assert run(arguments) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert words in said.err
    assert sorted(Path().iterdir()) == before


def test_a_wrong_option_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["speak", "--nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err


def test_the_version_is_that_of_the_package(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--version"]) == 0
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert capsys.readouterr().out.strip() == avatar.__version__ == project["version"]


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=["ctrl-c", "kill", "hang-up"],
)
def test_a_stop_in_the_middle_leaves_no_file(
    inputs: Path, tmp_path: Path, number: signal.Signals, code: int, interruptible: Any
) -> None:
    sound = tmp_path / "long.wav"
    soundfile.write(sound, np.zeros(16_000 * 120), 16_000)
    folder = tmp_path / "out"
    folder.mkdir()
    command = [sys.executable, "-m", "avatar", "speak", str(sound), "-o", str(folder / "o.mp4")]
    command += ["--avatar", str(inputs / "one.avatar"), "--size", "64"]
    with interruptible(command, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not any(file.stat().st_size for file in folder.iterdir()):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(number)
        process.send_signal(number)  # the impatient do so twice
        _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert "error: interrupted" in said
    assert "Traceback" not in said
    assert list(folder.iterdir()) == []


def test_a_result_that_cannot_be_printed_is_an_error(inputs: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "avatar", "motion", str(inputs / "sound.wav"), "--json"]
    command += ["-o", str(tmp_path / "m.npz"), "--no-landmarks"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == OutputError.exit_code
    assert done.stderr.startswith("error: the result could not be printed")
    assert (tmp_path / "m.npz").exists()


def test_a_terminal_without_the_signs_gets_others(inputs: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "avatar", "speak", str(inputs / "photo.png")]
    command += [str(inputs / "sound.wav"), "-o", str(tmp_path / "o.mp4"), "--size", "64"]
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, text=True, env=ascii_only, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "64?64" in done.stdout


def test_pipes_do_as_well_as_files(inputs: Path, tmp_path: Path) -> None:
    pipes = [tmp_path / "photo.png", tmp_path / "sound.wav"]
    for pipe in pipes:
        os.mkfifo(pipe)
        data = (inputs / pipe.name).read_bytes()
        threading.Thread(target=pipe.write_bytes, args=(data,), daemon=True).start()
    out = tmp_path / "o.mp4"
    assert run(["speak", *map(str, pipes), "-o", str(out), "--size", "64"]) == 0
    assert out.exists()
