"""What a lent machine gives back fits the way back, and the next call goes on from it."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from benchmarks import gpu_run

from avatar.training.discriminator import Discriminator
from avatar.training.trainer import PARTS, PartGenerator


def test_a_checkpoint_travels_in_pieces_and_comes_together_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_run, "PIECE_BYTES", 3_000)
    weights = torch.randn(40, 40)
    state = {
        "smooth": {"a": weights}, "samples": 77, "random": [{"state": 2**90}],
        "optimiser": {"state": {0: {"step": torch.tensor(4_097.0), "exp_avg": weights}}},
    }  # fmt: skip
    back = tmp_path / "back"
    back.mkdir()
    gpu_run.split(state, back)
    pieces = list(back.iterdir())
    assert len(pieces) > 1
    assert all(piece.stat().st_size <= 3_000 for piece in pieces)
    pack = tmp_path / "pack"
    assert gpu_run.take(argparse.Namespace(files=back, pack=pack)) == 0
    whole = gpu_run.joined(pack / "run")
    assert whole["samples"] == 77
    assert whole["random"] == state["random"]
    assert whole["optimiser"]["state"][0]["step"] == 4_097
    torch.testing.assert_close(whole["smooth"]["a"], weights, rtol=1e-2, atol=1e-2)
    assert whole["smooth"]["a"].dtype is torch.float32
    out = tmp_path / "mouth.pt"
    gpu_run.weights(argparse.Namespace(run_folder=pack / "run", out=out))
    assert torch.load(out)["a"].dtype is torch.float16


def test_nothing_came_back(tmp_path: Path) -> None:
    (tmp_path / "back").mkdir()
    wanted = argparse.Namespace(files=tmp_path / "back", pack=tmp_path / "pack")
    assert gpu_run.take(wanted) == 1


def test_the_whole_of_a_real_checkpoint_fits(tmp_path: Path) -> None:
    """Eight files of 16 MiB, 64 MiB in all, is what such machines give back."""
    for part, (_, config) in PARTS.items():
        out = tmp_path / part
        out.mkdir()
        model = PartGenerator(config).state_dict()
        judge = Discriminator([128, 256, 512], config.outlines, 300, config.style).state_dict()
        moments = [{name: torch.randn_like(v) for name, v in model.items()} for _ in range(3)]
        others = [{name: torch.randn_like(v) for name, v in judge.items()} for _ in range(2)]
        gpu_run.split({"model": model, "judge": judge, "rest": [*moments, *others]}, out)
        sizes = [piece.stat().st_size for piece in out.iterdir()]
        assert len(sizes) <= 5
        assert max(sizes) <= 15 * 2**20
        assert sum(sizes) <= 56 * 2**20


def test_where_packages_are_missing_stand_ins_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Path
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    environment = gpu_run.bare_environment(tmp_path, repository / "src")
    code = (
        "import av, soundfile, librosa; import avatar.bench, avatar.training.generator; "
        "from avatar.speech import mel; mel._analysis(); print(av.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env=environment, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert Path(done.stdout.strip()).is_relative_to(tmp_path)


def test_what_is_installed_has_no_stand_in(tmp_path: Path, repository: Path) -> None:
    gpu_run.bare_environment(tmp_path, repository / "src")
    assert not list(tmp_path.iterdir())


def test_the_bands_of_the_stand_in_are_those_of_librosa() -> None:
    import librosa

    for bands in (40, 80):
        arguments: Any = {"sr": 16_000, "n_fft": 512, "n_mels": bands, "fmin": 0.0, "fmax": 8_000.0}
        right = librosa.filters.mel(**arguments, norm=None)
        np.testing.assert_allclose(gpu_run.mel(**arguments, norm=None), right, atol=1e-6)


def test_drawing_is_measured_without_a_gpu_too(tmp_path: Path) -> None:
    options = ["--device", "cpu", "--seconds", "0.1", "--side", "64", "--most", "1"]
    command = ["benchmarks.gpu_draw", "--out", str(tmp_path), *options, "--not-compiled"]
    subprocess.run([sys.executable, "-W", "ignore", "-m", *command], check=True, timeout=300)
    report = json.loads((tmp_path / "gpu_draw.json").read_text())
    assert report["most_fps"] > 0
    assert report["first_frame_ms"] > 80
    assert report["call_by_call"]["1"]["fps"] > 0
    assert report["off_from_cpu"]["share_above_1"] < 0.01
    assert report["calls"]["bytes_down_per_frame"] == 64 * 64 * 3
    assert "left_out" not in report
