"""Heads and stills that teach the generator: what is drawn is where the landmarks say."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from avatar.engine import Engine
from avatar.errors import DependencyError, InputError, NoFaceError
from avatar.face import MediaPipeDetector
from avatar.generator.warping import INNER_LIPS, inter_ocular
from avatar.media import load_image
from avatar.training import pack, stills
from avatar.training.faces import FaceClips
from avatar.training.head_renderer import SIZE, project
from avatar.training.heads import _TEETH, FRAMES, Film, Heads, _motion, _within, film, write
from avatar.types import ARKIT_NAMES


def test_what_lies_within_a_ring() -> None:
    ring = np.array([[0, 0], [4, 0], [4, 4], [0, 4.0]])
    points = np.array([[2, 2], [5, 2], [-1, 2], [2, 5], [3.9, 0.1]])
    assert _within(points, ring).tolist() == [True, False, False, False, True]


def test_the_axis_of_the_camera_is_the_middle_of_the_picture() -> None:
    points = np.array([[0, 0, 0], [0, 0, 9], [5, 0, 0], [5, 0, 30], [0, 5, 0.0]])
    seen = project(points, distance=60, focal=5)
    assert seen[0].tolist() == seen[1].tolist() == [SIZE / 2 - 0.5] * 2
    assert seen[2, 0] > seen[3, 0] > seen[0, 0]
    assert seen[4, 1] > seen[0, 1]


def test_made_up_motion_speaks_and_blinks() -> None:
    weights = _motion(np.random.default_rng(0), FRAMES)
    assert weights.shape == (FRAMES, len(ARKIT_NAMES))
    assert 0 <= weights.min() <= weights.max() <= 1
    jaw = weights[:, ARKIT_NAMES.index("jawOpen")]
    assert np.ptp(jaw) > 0.15
    assert np.abs(np.diff(jaw)).max() < 0.5
    assert weights[:, ARKIT_NAMES.index("eyeBlinkLeft")].max() == 1


@pytest.fixture(scope="module")
def heads(shared_data: Path) -> Heads:
    if importlib.util.find_spec("moderngl") is None:
        pytest.skip("moderngl is not installed")
    try:
        return Heads(shared_data / "ict_face" / "ict_face.npz")
    except DependencyError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def made(heads: Heads) -> Film:
    return film(heads, np.random.default_rng((0, 3)), 10)


def test_a_drawn_head_is_where_its_landmarks_are(made: Film) -> None:
    """A detector that knows nothing of the model finds them within a few hundredths."""
    detector, errors = MediaPipeDetector(), []
    for frame, points in zip(made.frames[::3], made.landmarks[::3], strict=True):
        found = detector.detect(frame)
        assert found, "no face to be seen"
        apart = np.linalg.norm(found[0].landmarks.points[:, :2] - points, axis=1)
        errors.append(apart / float(inter_ocular(torch.from_numpy(points)[None])))
    error = np.stack(errors)
    assert np.median(error) < 0.05
    assert np.median(error[:, list(INNER_LIPS)]) < 0.05


def test_the_upper_teeth_stay_and_the_molars_lie_in_the_dark(heads: Heads) -> None:
    jaw_open = heads.face.expressions[ARKIT_NAMES.index("jawOpen")]
    assert np.abs(jaw_open[heads.upper_jaw]).max() < 0.1 * np.abs(jaw_open[:, 1]).max()
    teeth = np.intersect1d(heads.upper_jaw, np.arange(_TEETH.start, _TEETH.stop))
    assert 0.3 < len(teeth) / (_TEETH.stop - _TEETH.start) < 0.7
    light, depth = heads._shade()[teeth, 1], heads.face.neutral[teeth, 2]
    front, back = depth < np.quantile(depth, 0.05), depth > np.quantile(depth, 0.9)
    assert light[front].mean() > 0.6
    assert light[back].mean() < 0.1


def test_the_same_seed_gives_the_same_head_and_another_another(heads: Heads, made: Film) -> None:
    again = film(heads, np.random.default_rng((0, 3)), 2)
    assert np.abs(again.frames[0].astype(int) - made.frames[0]).max() <= 2
    other = film(heads, np.random.default_rng((0, 4)), 1)
    assert np.abs(other.frames[0].astype(int) - made.frames[0]).mean() > 5


def test_drawn_heads_are_a_training_clip(made: Film, tmp_path: Path) -> None:
    write(made, "synthetic_0_0003", tmp_path)
    clips = FaceClips.load(tmp_path, held_out=False)
    assert clips.names == ("synthetic_0_0003",)
    assert len(clips.frames) == len(made.frames)
    assert clips.filmed.all()
    assert np.ptp(clips.openness("mouth")) > 0.1


def test_a_still_is_a_target_and_its_moved_copies_are_sources(
    repository: Path, tmp_path: Path
) -> None:
    image = load_image(repository / "examples" / "grace_hopper.jpg")
    random = np.random.default_rng(0)
    pictures, points = stills.moved(Engine.default(), image, 4, random)
    stills.write(pictures, points, "still_hopper", tmp_path)
    clips = FaceClips.load(tmp_path, held_out=False)
    assert clips.filmed.tolist() == [True, False, False, False]
    assert np.ptp(clips.openness("mouth")) > 0.05
    with pytest.raises(NoFaceError):
        stills.moved(Engine.default(), np.full((90, 90, 3), 99, np.uint8), 4, random)


def test_a_pack_is_small_and_reads_like_the_folder(repository: Path, tmp_path: Path) -> None:
    image = load_image(repository / "examples" / "grace_hopper.jpg")
    for k, name in enumerate(("ada", "eve", "mia")):
        pictures, points = stills.moved(Engine.default(), image, 8, np.random.default_rng(k))
        stills.write(pictures, points, name, tmp_path)
        with np.load(tmp_path / f"{name}.npz") as track:
            changed = {**track, "held_out": np.array(name == "mia")}
        np.savez(tmp_path / f"{name}.npz", **changed)
    taken = pack.write_pack(tmp_path, tmp_path / "whole", megabytes=9)
    assert taken == 24
    for held_out in (False, True):
        folder = FaceClips.load(tmp_path, held_out=held_out)
        packed = FaceClips.load(tmp_path / "whole", held_out=held_out)
        assert packed.names == folder.names
        assert packed.starts.tolist() == folder.starts.tolist()
        assert packed.filmed.tolist() == folder.filmed.tolist()
        assert float((packed.landmarks - folder.landmarks).abs().max()) < 0.01
        assert float((packed.frames.float() - folder.frames.float()).abs().mean()) < 4
    with pytest.raises(InputError, match="no clips"):
        pack.write_pack(tmp_path / "nothing", tmp_path / "x", megabytes=1)


def test_the_first_frames_taken_are_neighbours_and_both_ends() -> None:
    random = np.random.default_rng(0)
    opening = random.permutation(40)
    landmarks = np.zeros((40, 478, 2), np.float32)
    landmarks[:, INNER_LIPS[5], 1] = opening
    frames = random.integers(0, 255, (40, 8, 8, 3), dtype=np.uint8)
    clip = pack.PackedClip("x", "x", False, frames, landmarks, np.ones(40, bool))
    order = pack._telling(clip)
    assert sorted(order) == list(range(40))
    closed, wide = int(opening.argmin()), int(opening.argmax())
    first = order[:4]
    assert closed in first
    assert wide in first
    assert abs(order[0] - order[1]) == 1
