"""Motion tracks without a photo, and the files that others read."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

import avatar.motion
from avatar.errors import AudioError, ConfigError, OutputError
from avatar.face import FaceRig
from avatar.face.lips import lip_gaps
from avatar.motion import AudioToFace, MotionStream, MotionTrack, Style
from avatar.motion.export import LIVE_LINK_HEADER, timecode
from avatar.types import ARKIT_NAMES, VISEME_NAMES, Motion

RECORDED_HEADER = (
    "Timecode,BlendShapeCount,EyeBlinkLeft,EyeLookDownLeft,EyeLookInLeft,EyeLookOutLeft,"
    "EyeLookUpLeft,EyeSquintLeft,EyeWideLeft,EyeBlinkRight,EyeLookDownRight,EyeLookInRight,"
    "EyeLookOutRight,EyeLookUpRight,EyeSquintRight,EyeWideRight,JawForward,JawRight,JawLeft,"
    "JawOpen,MouthClose,MouthFunnel,MouthPucker,MouthRight,MouthLeft,MouthSmileLeft,"
    "MouthSmileRight,MouthFrownLeft,MouthFrownRight,MouthDimpleLeft,MouthDimpleRight,"
    "MouthStretchLeft,MouthStretchRight,MouthRollLower,MouthRollUpper,MouthShrugLower,"
    "MouthShrugUpper,MouthPressLeft,MouthPressRight,MouthLowerDownLeft,MouthLowerDownRight,"
    "MouthUpperUpLeft,MouthUpperUpRight,BrowDownLeft,BrowDownRight,BrowInnerUp,BrowOuterUpLeft,"
    "BrowOuterUpRight,CheekPuff,CheekSquintLeft,CheekSquintRight,NoseSneerLeft,NoseSneerRight,"
    "TongueOut,HeadYaw,HeadPitch,HeadRoll,LeftEyeYaw,LeftEyePitch,LeftEyeRoll,RightEyeYaw,"
    "RightEyePitch,RightEyeRoll"
)
"""The first line of a recording of the Live Link Face app."""


@pytest.fixture(scope="module")
def recording(repository: Path) -> tuple[np.ndarray, int]:
    samples, rate = soundfile.read(repository / "examples" / "hello.wav", dtype="float32")
    return samples[: 2 * rate], rate


@pytest.fixture(scope="module")
def made(recording: tuple[np.ndarray, int]) -> MotionTrack:
    return avatar.motion.track(recording, fps=30, seed=4, style=Style(emotion={"joy": 0.5}))


def posed(**fields: tuple[float, ...]) -> MotionTrack:
    """A track of one frame."""
    motion = Motion.still(1, 25.0)
    for name, value in fields.items():
        getattr(motion, name)[0] = value
    return MotionTrack(motion)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_track_has_all_that_the_face_does_on_one_clock(made: MotionTrack) -> None:
    assert len(made) == 60
    assert np.allclose(made.times_seconds, np.arange(60) / 30)
    assert made.blendshapes.shape == (60, len(made.blendshape_names))
    assert made.visemes.shape == (60, len(made.viseme_names))
    assert made.landmarks.shape == (60, 478, 3)
    assert np.allclose(made.visemes.sum(1), 1, atol=1e-5)


def test_a_track_is_what_the_stream_gives(recording: tuple[np.ndarray, int]) -> None:
    sound = np.random.default_rng(0).normal(0, 0.05, 40000).astype(np.float32)
    sound[:16000] = 0
    stream = MotionStream(AudioToFace.load(), fps=25, seed=7)
    parts = [stream.push(sound), stream.flush()]
    found = avatar.motion.track((sound, 16000), fps=25, seed=7)
    assert np.array_equal(found.blendshapes, np.concatenate([p.expression for p in parts]))
    assert np.array_equal(found.motion.rotation, np.concatenate([p.rotation for p in parts]))


def test_silence_is_the_viseme_sil_and_closed_lips() -> None:
    silent = avatar.motion.track((np.zeros(8000, np.float32), 16000))
    assert (silent.visemes[:, VISEME_NAMES.index("sil")] == 1).all()
    assert max(np.abs(lip_gaps(points)).max() for points in silent.landmarks) < 1e-3


def test_landmarks_are_the_rigs_face_in_eye_distances(made: MotionTrack) -> None:
    first = posed().landmarks[0]
    assert np.linalg.norm(first[33] - first[263]) == pytest.approx(1.0, abs=0.01)
    assert np.abs(first - FaceRig.load().mean).max() < 0.1
    jaw = made.blendshapes[:, ARKIT_NAMES.index("jawOpen")]
    opening = [lip_gaps(points)[4, 1] for points in made.landmarks]
    assert np.corrcoef(jaw, opening)[0, 1] > 0.7


def test_an_npz_holds_the_track_and_its_names(made: MotionTrack, tmp_path: Path) -> None:
    path = made.save(tmp_path / "x.npz")
    with np.load(path, allow_pickle=False) as file:
        assert np.array_equal(file["blendshapes"], made.blendshapes)
        assert np.array_equal(file["landmarks"], made.landmarks)
        assert np.array_equal(file["visemes"], made.visemes)
        assert np.array_equal(file["times_seconds"], made.times_seconds)
        assert np.array_equal(file["rotation"], made.motion.rotation)
        assert np.array_equal(file["translation"], made.motion.translation)
        assert np.array_equal(file["gaze"], made.motion.gaze)
        assert tuple(file["blendshape_names"]) == ARKIT_NAMES
        assert tuple(file["viseme_names"]) == VISEME_NAMES
        assert float(file["fps"]) == 30
        settings = json.loads(str(file["settings"]))
    assert (settings["format"], settings["version"], settings["seed"]) == ("avatar-motion", 1, 4)
    assert settings["style"]["emotion"] == {"joy": 0.5}


def test_a_json_document_says_the_same_to_four_digits(made: MotionTrack, tmp_path: Path) -> None:
    document = json.loads(made.save(tmp_path / "x.json").read_text())
    assert document["format"] == "avatar-motion"
    assert document["version"] == 1
    assert tuple(document["blendshape_names"]) == ARKIT_NAMES
    frames = document["frames"]
    assert len(frames) == 60
    for name, expected in (
        ("blendshapes", made.blendshapes), ("visemes", made.visemes),
        ("rotation", made.motion.rotation), ("translation", made.motion.translation),
        ("gaze", made.motion.gaze), ("landmarks", made.landmarks),
    ):  # fmt: skip
        assert np.allclose([frame[name] for frame in frames], expected, atol=5.1e-5)
    assert np.allclose([f["time_seconds"] for f in frames], made.times_seconds, atol=1e-6)


@pytest.mark.parametrize("suffix", ["npz", "json"])
def test_landmarks_may_be_left_out(made: MotionTrack, tmp_path: Path, suffix: str) -> None:
    full = made.save(tmp_path / f"full.{suffix}")
    lean = made.save(tmp_path / f"lean.{suffix}", landmarks=False)
    assert lean.stat().st_size < full.stat().st_size / 5
    assert b'"landmarks"' not in lean.read_bytes()


def test_a_csv_is_laid_out_as_the_app_records_it(made: MotionTrack, tmp_path: Path) -> None:
    path = made.save(tmp_path / "x.CSV")
    lines = path.read_text().splitlines()
    assert lines[0] == RECORDED_HEADER == ",".join(LIVE_LINK_HEADER)
    assert len(lines) == 61
    pattern = re.compile(r"\d\d:\d\d:\d\d:\d\d\.\d{3},61(,-?\d+\.\d{10}){61}")
    assert all(pattern.fullmatch(line) for line in lines[1:])
    for i, row in enumerate(rows(path)):
        for j, name in enumerate(ARKIT_NAMES):
            value = float(row[name[0].upper() + name[1:]])
            assert value == pytest.approx(float(made.blendshapes[i, j]), abs=1e-9)


def test_timecodes_count_sixty_frames_a_second() -> None:
    assert timecode(0.0) == "00:00:00:00.000"
    assert timecode(0.04) == "00:00:00:02.400"
    assert timecode(0.5) == "00:00:00:30.000"
    assert timecode(59.9999999) == "00:01:00:00.000"
    assert timecode(3 * 3600 + 25 * 60 + 6.25) == "03:25:06:15.000"


@pytest.mark.parametrize("fps", [23.976, 25.0, 29.97, 30.0, 60.0, 120.0])
def test_unreal_reads_the_times_that_were_meant(fps: float, tmp_path: Path) -> None:
    path = MotionTrack(Motion.still(500, fps)).save(tmp_path / "x.csv")
    seconds = []
    for row in rows(path):
        hours, minutes, second, frames = row["Timecode"].split(":")
        seconds.append(int(hours) * 3600 + int(minutes) * 60 + int(second) + float(frames) / 60)
    assert np.allclose(seconds, np.arange(500) / fps, atol=1e-5)


def test_the_angles_have_the_signs_of_live_link(tmp_path: Path) -> None:
    half = math.sin(0.1), math.cos(0.1)  # a turn of 0.2 radians
    cases = {
        "HeadPitch": ((half[1], -half[0], 0.0, 0.0), 0.2),  # the nose goes up
        "HeadYaw": ((half[1], 0.0, -half[0], 0.0), 0.2),  # the nose goes to the person's left
        "HeadRoll": ((half[1], 0.0, 0.0, -half[0]), 0.2),  # the crown goes to the person's right
    }
    for name, (rotation, angle) in cases.items():
        (row,) = rows(posed(rotation=rotation).save(tmp_path / "x.csv"))
        for other in cases:
            expected = angle if other == name else 0.0
            assert float(row[other]) == pytest.approx(expected, abs=1e-6)
    (row,) = rows(posed(gaze=(0.3, 0.1)).save(tmp_path / "x.csv"))
    for side in ("Left", "Right"):
        assert float(row[f"{side}EyeYaw"]) == pytest.approx(-0.3)
        assert float(row[f"{side}EyePitch"]) == pytest.approx(0.1)
        assert float(row[f"{side}EyeRoll"]) == 0


def test_two_turns_of_the_head_are_told_apart(tmp_path: Path) -> None:
    from avatar.face.pose import quaternion_from_matrix

    yaw, pitch, roll = 0.4, -0.2, 0.15  # about y down, x right, z away
    c, s = np.cos, np.sin
    about_y = np.array([[c(yaw), 0, s(yaw)], [0, 1, 0], [-s(yaw), 0, c(yaw)]])
    about_x = np.array([[1, 0, 0], [0, c(pitch), -s(pitch)], [0, s(pitch), c(pitch)]])
    about_z = np.array([[c(roll), -s(roll), 0], [s(roll), c(roll), 0], [0, 0, 1]])
    rotation = tuple(quaternion_from_matrix(about_y @ about_x @ about_z).tolist())
    (row,) = rows(posed(rotation=rotation).save(tmp_path / "x.csv"))
    found = [float(row[name]) for name in ("HeadYaw", "HeadPitch", "HeadRoll")]
    assert found == pytest.approx([-yaw, -pitch, -roll], abs=1e-5)


@pytest.mark.parametrize("name", ["x.txt", "x", "x.csv.gz"])
def test_other_suffixes_are_refused(made: MotionTrack, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"\.npz, \.json or \.csv"):
        made.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["npz", "json", "csv"])
def test_a_file_that_fails_half_way_leaves_the_old_one(
    made: MotionTrack, tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"x.{suffix}"
    path.write_text("the old one")

    def fail(seconds: float) -> str:
        raise OSError(28, "No space left on device")

    def no_points(track: MotionTrack) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("avatar.motion.export.timecode", fail)
    monkeypatch.setattr(MotionTrack, "iter_landmarks", no_points)
    with pytest.raises(OutputError, match="No space left"):
        made.save(path)
    assert path.read_text() == "the old one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_does_not_exist_is_an_output_error(made: MotionTrack, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="choose a folder that exists"):
        made.save(tmp_path / "nowhere" / "x.json")


def test_what_cannot_be_tracked_is_refused() -> None:
    with pytest.raises(AudioError):
        avatar.motion.track("no-such-file.wav")
    with pytest.raises(ConfigError, match="1 to 120"):
        avatar.motion.track((np.zeros(100, np.float32), 16000), fps=0)
    with pytest.raises(ConfigError, match="seed"):
        avatar.motion.track((np.zeros(100, np.float32), 16000), seed=-1)
