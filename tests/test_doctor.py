"""The doctor: it finds what is there, and says what to do where something is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import avatar
from avatar import doctor
from avatar.cli import run


def test_a_sound_installation_is_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    found = {check["name"]: check for check in report["checks"]}
    assert found["avatar"]["found"] == avatar.__version__
    assert torch.__version__ in found["torch"]["found"]
    assert "MediaPipe" in found["detector"]["found"]
    assert found["encoder libx264"]["ok"]
    weights = (Path(avatar.__file__).parent / "weights").glob("*.safetensors")
    assert {f"model {path.stem}" for path in weights} <= set(found)


def test_it_shows_itself_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor"]) == 0
    said = capsys.readouterr().out
    for word in ("torch", "kernels", "adain", "warp", "detector", "libx264"):
        assert word in said


def test_a_damaged_model_is_found_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "rig.json").write_text(json.dumps({"sha256": "0" * 64}))
    (folder / "rig.safetensors").write_bytes(b"something else")
    (folder / "lost.json").write_text("{}")
    monkeypatch.setattr(avatar, "__file__", str(tmp_path / "__init__.py"))
    assert run(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "model rig" in said
    assert "damaged" in said
    assert "model lost" in said
    assert "reinstall" in said


def test_more_threads_than_cores_is_named_as_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    found = {check.name: check for check in doctor.examine()}
    assert "OMP_NUM_THREADS" in found["threads"].advice
    assert found["threads"].ok
