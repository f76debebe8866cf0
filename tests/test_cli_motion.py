"""``avatar motion``: a sound in, a motion file out, with the options of a style."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from avatar.cli import run
from avatar.errors import AudioError, ConfigError
from avatar.types import ARKIT_NAMES


@pytest.fixture
def sound(repository: Path, tmp_path: Path) -> Path:
    samples, rate = soundfile.read(repository / "examples" / "hello.wav", dtype="float32")
    path = tmp_path / "said.wav"
    soundfile.write(path, samples[:rate], rate)
    return path


@pytest.mark.parametrize("suffix", ["npz", "json", "csv"])
def test_a_sound_becomes_a_motion_file(
    sound: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = sound.with_name(f"said.{suffix}")
    assert run(["motion", str(sound), "-o", str(output), "--fps", "30"]) == 0
    assert output.stat().st_size > 1000
    assert f"{output}: 30 frames at 30 fps, 1.0 s" in capsys.readouterr().out


def test_the_style_options_shape_the_face(sound: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = sound.with_name("said.npz")
    options = [
        "--emotion", "happy=0.5", "--emotion", "surprised=0.2", "--intensity", "1.2",
        "--blink-rate", "0", "--head-motion", "0", "--gaze", "10,-5", "--gain", "mouthSmile=0",
        "--offset", "cheekPuff=0.25", "--seed", "3", "--no-landmarks", "--json",
    ]  # fmt: skip
    assert run(["motion", str(sound), "-o", str(output), *options]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["frames"], result["fps"]) == (25, 25.0)
    with np.load(output, allow_pickle=False) as file:
        style = json.loads(str(file["settings"]))["style"]
        shapes = file["blendshapes"]
        assert "landmarks" not in file
        assert np.allclose(np.degrees(file["gaze"]), (10, -5), atol=1e-4)
        assert (file["rotation"] == (1, 0, 0, 0)).all()
    assert style["emotion"] == {"joy": 0.5, "amazement": 0.2}
    assert style["intensity"] == 1.2
    assert not shapes[:, ARKIT_NAMES.index("mouthSmileLeft")].any()
    assert np.allclose(shapes[:, ARKIT_NAMES.index("cheekPuff")], 0.25)
    assert shapes[:, ARKIT_NAMES.index("browInnerUp")].min() > 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--emotion", "joy"], "--emotion must look like joy=0.6"),
        (["--emotion", "joy=much"], "--emotion must look like joy=0.6"),
        (["--emotion", "joi=1"], "did you mean 'joy'"),
        (["--gain", "jawOpen=1", "--gain", "jawOpen=2"], "--gain names 'jawOpen' twice"),
        (["--gaze", "10"], "--gaze must look like 10,-5"),
        (["--gaze", "up,down"], "--gaze must look like 10,-5"),
        (["--intensity", "3"], "intensity must be within 0 to 2"),
    ],
)
def test_options_that_cannot_be_are_one_line_and_their_exit_code(
    sound: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = sound.with_name("said.json")
    assert run(["motion", str(sound), "-o", str(output), *options]) == ConfigError.exit_code
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.count("\n") == 1
    assert not output.exists()


def test_a_sound_that_is_none_has_its_own_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "said.wav"
    path.write_bytes(b"not a sound")
    assert run(["motion", str(path), "-o", str(tmp_path / "x.csv")]) == AudioError.exit_code
    assert capsys.readouterr().err.startswith("error: ")
