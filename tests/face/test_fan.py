"""The face-alignment adapter works with a checkpoint and says what is missing without one."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.errors import DependencyError, WeightsError
from avatar.face import FaceAlignmentDetector, FaceDetector, MediaPipeDetector
from avatar.face.fan import WEIGHTS_FILE
from avatar.types import ImageArray

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A 2D-FAN-4 checkpoint with random weights under the published name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from face_alignment.models import FAN
    torch.manual_seed(0)
    home = tmp_path_factory.mktemp("torch_home")
    path = home / "hub" / "checkpoints" / WEIGHTS_FILE
    path.parent.mkdir(parents=True)
    torch.save(FAN(4).state_dict(), path)
    return path


def test_a_checkpoint_gives_a_mesh_within_the_face(
    checkpoint: Path, astronaut: ImageArray, detector: MediaPipeDetector
) -> None:
    own = FaceAlignmentDetector(checkpoint, boxes=detector)
    assert isinstance(own, FaceDetector)
    (face,) = own.detect(astronaut)
    assert np.isfinite(face.landmarks.points).all()
    assert ((face.expression >= 0) & (face.expression <= 1)).all()
    left, top, right, bottom = detector.detect(astronaut)[0].box
    middle = face.landmarks.ibug68()[:, :2].mean(0)
    assert left - 50 < middle[0] < right + 50
    assert top - 50 < middle[1] < bottom + 50


def test_the_torch_cache_is_looked_into(
    checkpoint: Path,
    astronaut: ImageArray,
    detector: MediaPipeDetector,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(checkpoint.parents[2]))
    assert len(FaceAlignmentDetector(boxes=detector).detect(astronaut)) == 1


def test_absent_weights_are_named_and_nothing_is_downloaded(
    tmp_path: Path, astronaut: ImageArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsError, match=WEIGHTS_FILE):
        FaceAlignmentDetector().detect(astronaut)
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("content", ["text", "other"])
def test_a_file_of_something_else_is_refused(
    content: str, tmp_path: Path, astronaut: ImageArray
) -> None:
    path = tmp_path / "fan.pth"
    if content == "text":
        path.write_text("not a checkpoint")
    else:
        torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match=r"fan\.pth"):
        FaceAlignmentDetector(path).detect(astronaut)


def test_a_missing_package_is_named(astronaut: ImageArray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "face_alignment.models", None)
    with pytest.raises(DependencyError, match="face-alignment"):
        FaceAlignmentDetector().detect(astronaut)
