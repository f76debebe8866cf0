"""What a lent machine gives back fits the way back, and the next call goes on from it."""

from __future__ import annotations

import argparse
from pathlib import Path

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
        judge = Discriminator(config.outlines, 300, config.style).state_dict()
        moments = [{name: torch.randn_like(v) for name, v in model.items()} for _ in range(3)]
        others = [{name: torch.randn_like(v) for name, v in judge.items()} for _ in range(2)]
        gpu_run.split({"model": model, "judge": judge, "rest": [*moments, *others]}, out)
        sizes = [piece.stat().st_size for piece in out.iterdir()]
        assert len(sizes) <= 5
        assert max(sizes) <= 15 * 2**20
        assert sum(sizes) <= 56 * 2**20
