"""Clips become tracks that every reader takes, once each, and nothing is lost silently."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from avatar.face import MediaPipeDetector
from avatar.media import VideoWriter, load_image
from avatar.training.clip_quality import Limits
from avatar.training.clip_sources import find_clips
from avatar.training.measure import measure, measure_clip
from avatar.training.rig_people import read_people
from avatar.training.speech_data import read_measured
from avatar.types import ImageArray

RATE = 16_000
FRAMES = 25


@pytest.fixture(scope="module")
def picture(repository: Path) -> ImageArray:
    return load_image(repository / "examples" / "grace_hopper.jpg")


def write_clip(path: Path, pictures: list[ImageArray], *, sound: bool = True) -> Path:
    """Pictures at 25 fps, with a tone where ``sound``."""
    height, width = pictures[0].shape[:2]
    tone = 0.2 * np.sin(np.arange(RATE // 25) * 2 * np.pi * 200 / RATE).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    rate = RATE if sound else None
    with VideoWriter(path, width=width, height=height, fps=25, sample_rate=rate) as writer:
        for image in pictures:
            writer.write(image, tone if sound else None)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, picture: ImageArray) -> Path:
    """``hopper`` shifts sideways, ``blink`` loses the face twice, ``empty`` has none, and ``torn``
    is no video."""
    folder = tmp_path_factory.mktemp("clips")
    small = np.ascontiguousarray(picture[:480, 40:456])
    moving = [np.roll(small, 2 * k, axis=1) for k in range(FRAMES)]
    write_clip(folder / "films" / "hopper.mp4", moving)
    grey = np.full_like(small, 128)
    write_clip(folder / "films" / "blink.mp4", [small, grey, grey, small], sound=False)
    write_clip(folder / "other" / "empty.mp4", [grey, grey], sound=False)
    (folder / "other" / "torn.mp4").write_bytes(b"not a video" * 100)
    entries = [{"file": f"films/{name}.mp4", "identity": "Hopper", "group": "navy", "side": 416}
               for name in ("hopper", "blink")]  # fmt: skip
    (folder / "clips.json").write_text(json.dumps(entries))
    return folder


@pytest.fixture(scope="module")
def tracks(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tracks")
    done = {one.source.name: one for one in measure(find_clips([folder]), out)}
    assert (done["navy__hopper"].frames, done["navy__hopper"].missed) == (FRAMES, 0)
    assert (done["navy__blink"].frames, done["navy__blink"].missed) == (4, 2)
    assert (done["other__empty"].frames, done["other__empty"].missed) == (2, 2)
    assert "torn.mp4" in done["other__torn"].dropped
    return out


def test_a_track_says_what_the_detector_saw(tracks: Path, picture: ImageArray) -> None:
    track = np.load(tracks / "navy__hopper.npz")
    assert track["landmarks"].shape == (FRAMES, 478, 3)
    assert track["size"].tolist() == [480, 416]
    assert float(track["fps"]) == 25.0
    assert np.allclose(track["pts"], np.arange(FRAMES) / 25, atol=1e-3)
    face = MediaPipeDetector().detect(np.ascontiguousarray(picture[:480, 40:456]))[0]
    unit = float(np.linalg.norm(np.subtract(*face.landmarks.points[[33, 263], :2])))
    off = np.linalg.norm(track["landmarks"][0, :, :2] - face.landmarks.points[:, :2], axis=1)
    assert off.mean() < 0.03 * unit
    moved = track["landmarks"][-1, :, 0].mean() - track["landmarks"][0, :, 0].mean()
    assert moved == pytest.approx(2 * (FRAMES - 1), abs=0.03 * unit)
    assert np.abs(track["expression"][0] - face.expression).mean() < 0.05
    assert (track["blendshapes"][:, 1:] == track["expression"][:, :-1]).all()
    assert len(track["audio"]) == pytest.approx(RATE * FRAMES / 25, abs=RATE * 0.1)


def test_the_head_of_a_frontal_portrait_faces_the_camera(tracks: Path) -> None:
    matrix = np.load(tracks / "navy__hopper.npz")["matrix"]
    assert np.allclose(
        matrix[:, :3, :3] @ matrix[:, :3, :3].transpose(0, 2, 1), np.eye(3), atol=1e-4
    )
    assert (matrix[:, 2, 2] > np.cos(np.radians(20))).all()


def test_frames_without_a_face_are_nan(tracks: Path) -> None:
    track = np.load(tracks / "navy__blink.npz")
    for key in ("landmarks", "expression", "blendshapes", "matrix"):
        found = np.isfinite(track[key]).reshape(4, -1)
        assert (found.all(1) == [True, False, False, True]).all(), key
        assert (found.any(1) == found.all(1)).all(), key
    assert len(track["audio"]) == 0


def test_the_readers_of_tracks_take_them(tracks: Path) -> None:
    track = read_measured(tracks / "navy__hopper.npz")
    assert track is not None
    assert track.identity == "Hopper"
    assert read_measured(tracks / "navy__blink.npz") is None
    people = read_people(tracks)
    assert [person.name for person in people] == ["Hopper"]
    assert len(people[0].points) == FRAMES + 2


def test_a_finished_clip_is_not_measured_again(tracks: Path, folder: Path) -> None:
    path = tracks / "navy__blink.npz"
    before = path.stat().st_mtime_ns
    [source] = find_clips([folder / "films" / "blink.mp4"])
    done = measure_clip(source, tracks)
    assert (done.frames, done.missed, done.dropped) == (4, 2, "")
    assert path.stat().st_mtime_ns == before


def test_what_a_stopped_run_left_is_measured_again(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "navy__blink.npz.part").write_bytes(b"half")
    [source] = find_clips([folder / "films" / "blink.mp4"])
    measure_clip(source, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["navy__blink.npz"]
    assert len(np.load(tmp_path / "navy__blink.npz")["landmarks"]) == 4


def test_a_clip_that_was_replaced_is_measured_again(
    folder: Path, tmp_path: Path, picture: ImageArray
) -> None:
    small = np.ascontiguousarray(picture[:480, 40:456])
    clip = write_clip(tmp_path / "clips" / "who" / "a.mp4", [small] * 3, sound=False)
    [source] = find_clips([tmp_path / "clips"])
    assert measure_clip(source, tmp_path).frames == 3
    write_clip(clip, [small] * 5, sound=False)
    assert measure_clip(source, tmp_path).frames == 5


def test_a_clip_of_hours_or_of_few_frames_a_second_is_not_decoded(
    folder: Path, tmp_path: Path
) -> None:
    [source] = find_clips([folder / "films" / "hopper.mp4"])
    short = measure_clip(source, tmp_path, Limits(least_seconds=0.1, most_seconds=0.5))
    assert short.dropped == "hopper.mp4: 1 seconds, more than 0.5; split it into clips"
    quick = measure_clip(source, tmp_path, Limits(least_fps=30))
    assert quick.dropped == "hopper.mp4: 25 frames a second, not 30 to 120"
    assert not list(tmp_path.iterdir())


@pytest.mark.shared
def test_filmed_clips_are_measured_in_parallel(shared_data: Path, tmp_path: Path) -> None:
    clips = shared_data / "clips"
    places = [clips / "grid_s1" / "sbwu4n.mp4", clips / "liveportrait" / "d0.mp4"]
    done = {one.source.name: one for one in measure(find_clips(places), tmp_path, jobs=2)}
    assert done.keys() == {"grid_s1__sbwu4n", "liveportrait__d0"}
    for name, one in done.items():
        assert (one.missed, one.dropped) == (0, "")
        assert one.frames == len(np.load(tmp_path / f"{name}.npz")["landmarks"]) > 50
    spoken = read_measured(tmp_path / "grid_s1__sbwu4n.npz")
    assert spoken is not None
    assert spoken.identity == "GRID_s1"
    assert 0.2 < spoken.speech.mean() < 1.0
