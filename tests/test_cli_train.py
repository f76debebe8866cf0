"""``avatar train``: the commands from clips to weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from avatar.cli import run
from avatar.errors import InputError
from avatar.media import VideoWriter, load_image


def test_clips_become_shards_and_the_end_says_what_was_kept(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = load_image(repository / "examples" / "grace_hopper.jpg")[:480, :416]
    clip, out = tmp_path / "clips" / "navy" / "hopper.mp4", tmp_path / "shards"
    clip.parent.mkdir(parents=True)
    with VideoWriter(clip, width=416, height=480, fps=25) as writer:
        for _ in range(40):
            writer.write(image, None)
    (tmp_path / "clips" / "navy" / "torn.mp4").write_bytes(b"no video")
    faces = tmp_path / "faces"
    arguments = ["train", "prepare", str(clip.parents[1]), "--out", str(out)]
    assert run([*arguments, "--faces", str(faces), "--held-out", "navy"]) == 0
    said = capsys.readouterr()
    assert "[1/2] navy__hopper: 40 frames, 0 without a face" in said.err
    assert "kept: 1" in said.out
    assert "torn.mp4" in " ".join(said.out.split())
    assert [path.name for path in out.glob("*.npz")] == ["navy__hopper.npz"]
    assert {path.name for path in faces.iterdir()} == {"navy__hopper.mp4", "navy__hopper.npz"}
    assert run([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kept"] == 1


def test_a_folder_without_clips_is_one_line_and_an_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["train", "prepare", str(tmp_path), "--out", str(tmp_path / "out")])
    assert code == InputError.exit_code
    assert capsys.readouterr().err.startswith("error: no clips there")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "option"),
    [("audio-to-face", "--synthetic"), ("generator", "--part"), ("rig", "--tracks")],
)
def test_each_training_shows_its_own_options(
    name: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", name, "--help"]) == 0
    assert option in capsys.readouterr().out


def test_a_training_refuses_what_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "rig", "--tracks", "x", "--ict", "y", "--nonsense", "3"]) == 2
    assert "--nonsense" in capsys.readouterr().err
