"""Folders of clips become shards: what is kept is fit to learn from; nothing is lost silently."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatar.media import VideoWriter, load_image
from avatar.training.clip_quality import Limits, sharpness_and_thumbnail
from avatar.training.faces import CROP, FaceClips
from avatar.training.measure import write_atomically
from avatar.training.prepare import MEASURED, prepare, write_faces
from avatar.training.prepare_report import Report
from avatar.training.rig_people import read_people
from avatar.training.speech_data import read_measured
from avatar.types import FloatArray, ImageArray

RATE = 16_000
SHORT = Limits(least_seconds=0.3)


def write_clip(path: Path, pictures: list[ImageArray], *, loudness: float | None = 0.2) -> None:
    """Pictures at 25 fps with a hum, or with no sound track."""
    height, width = pictures[0].shape[:2]
    hum = np.sin(np.arange(RATE // 25) * 2 * np.pi * 200 / RATE).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    rate = None if loudness is None else RATE
    with VideoWriter(path, width=width, height=height, fps=25, sample_rate=rate) as writer:
        for image in pictures:
            writer.write(image, None if loudness is None else np.float32(loudness) * hum)


@pytest.fixture(scope="module")
def folder(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Laid out as VoxCeleb is. ``two`` has a cut between two people, in ``seldom`` a
    picture without a face comes between."""
    folder = tmp_path_factory.mktemp("clips")
    hopper, astronaut = (
        np.ascontiguousarray(load_image(repository / "examples" / f"{name}.jpg")[:480, :416])
        for name in ("grace_hopper", "astronaut")
    )
    grey = np.full_like(hopper, 128)
    write_clip(folder / "navy" / "a" / "still.mp4", [hopper] * 10, loudness=0.0)
    write_clip(folder / "navy" / "b" / "hum.mp4", [hopper] * 10)
    write_clip(folder / "navy" / "b" / "mute.mp4", [hopper] * 10, loudness=None)
    write_clip(folder / "nasa" / "c" / "two.mp4", [hopper] * 10 + [astronaut] * 12)
    write_clip(folder / "nasa" / "c" / "seldom.mp4", [hopper, *[grey] * 6, *[hopper] * 4])
    write_clip(folder / "nasa" / "c" / "empty.mp4", [grey] * 10)
    (folder / "nasa" / "c" / "torn.mp4").write_bytes(b"not a video" * 100)
    return folder


@pytest.fixture(scope="module")
def shards(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    out = tmp_path_factory.mktemp("shards")
    return out, prepare([folder], out, limits=SHORT)


def read(path: Path) -> dict[str, Any]:
    with np.load(path) as shard:
        return {key: shard[key] for key in shard.files}


def test_each_clip_is_kept_or_dropped_with_the_reason(shards: tuple[Path, Report]) -> None:
    out, report = shards
    kept = {"navy__a__still", "navy__b__hum", "navy__b__mute", "nasa__c__two", "nasa__c__two.2"}
    assert {piece.name for piece in report.kept} == kept
    assert {path.stem for path in out.glob("*.npz")} == kept
    why = {piece.name: " ".join(piece.faults) for piece in report.dropped}
    seldom = {"nasa__c__seldom", "nasa__c__seldom.2"}
    assert why.keys() == {*seldom, "nasa__c__empty", "nasa__c__torn"}
    assert all("too short" in why[name] for name in seldom)
    assert "no face in any frame" in why["nasa__c__empty"]
    assert "torn.mp4" in why["nasa__c__torn"]


def test_sound_without_a_voice_is_left_out_and_the_picture_stays(
    shards: tuple[Path, Report],
) -> None:
    out, report = shards
    mute = {piece.name: piece.mute for piece in report.kept}
    assert mute["navy__a__still"] == "silent"
    assert mute["navy__b__mute"] == "no sound"
    assert mute["navy__b__hum"] == "too little voice: 0% of the sound"
    for name in mute:
        shard = read(out / f"{name}.npz")
        assert len(shard["audio"]) == 0
        assert np.isfinite(shard["landmarks"]).all()
        assert read_measured(out / f"{name}.npz") is None


def test_a_clip_with_a_cut_becomes_two(shards: tuple[Path, Report]) -> None:
    out, _ = shards
    first, second = (read(out / f"{name}.npz") for name in ("nasa__c__two", "nasa__c__two.2"))
    assert (first["frames"].tolist(), second["frames"].tolist()) == ([0, 10], [10, 22])
    assert len(second["landmarks"]) == len(second["pts"]) == len(second["expression"]) == 12
    assert second["pts"][0] == pytest.approx(0.4, abs=1e-3)


def test_the_report_has_figures_of_each_clip_and_no_place_of_this_machine(
    shards: tuple[Path, Report], folder: Path
) -> None:
    out, _ = shards
    text = (out / "report.json").read_text()
    assert str(folder) not in text
    report = json.loads(text)
    assert (report["summary"]["kept"], report["summary"]["dropped"]) == (5, 4)
    assert report["summary"]["people"] == 2
    assert report["summary"]["why_without_sound"]["silent"] == 1
    figured = {clip["name"]: clip["figures"] for clip in report["clips"]}
    assert figured["navy__b__hum"]["frames"] == 10
    assert figured["navy__b__hum"]["face_pixels"] > 40
    assert figured["nasa__c__torn"] is None


def test_the_readers_of_shards_take_them(shards: tuple[Path, Report], tmp_path: Path) -> None:
    out, report = shards
    assert [person.name for person in read_people(out)] == ["nasa", "navy"]
    write_faces(report, out, {"nasa"}, tmp_path)
    unseen = FaceClips.load(tmp_path, held_out=True)
    assert unseen.names == ("nasa__c__two.2", "nasa__c__two")
    assert unseen.starts.tolist() == [0, 12, 22]
    assert unseen.frames.shape == (22, CROP, CROP, 3)
    # The first pictures after a cut are coarser: the encoder has little to spend on them.
    astronaut, later, hopper = (unseen.frames[k].float() for k in (4, 11, 12))
    assert (astronaut - later).abs().mean() < 5 < 20 < (astronaut - hopper).abs().mean()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    write_faces(report, out, {"nasa"}, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_running_again_measures_nothing_and_follows_stricter_limits(
    folder: Path, shards: tuple[Path, Report], tmp_path: Path
) -> None:
    out = tmp_path / "again"
    shutil.copytree(shards[0], out)
    tracks = {path: path.stat().st_mtime_ns for path in (out / MEASURED).iterdir()}
    report = prepare([folder], out, limits=Limits(least_seconds=0.45))
    assert {path: path.stat().st_mtime_ns for path in (out / MEASURED).iterdir()} == tracks
    assert [path.stem for path in out.glob("*.npz")] == ["nasa__c__two.2"]
    assert any("too short" in fault for piece in report.dropped for fault in piece.faults)


def test_a_run_that_was_killed_ends_as_one_that_was_not(
    folder: Path, tmp_path: Path, interruptible: Callable[..., Any]
) -> None:
    clips = tmp_path / "clips"
    for name in ("a", "b"):
        shutil.copytree(folder / "navy" / name, clips / name)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    prepare([clips], whole, limits=SHORT)
    command = [sys.executable, "-W", "ignore", "-m", "avatar", "train", "prepare", str(clips)]
    with interruptible([*command, "--out", str(broken)]) as process:
        until = time.monotonic() + 60
        while not list(broken.glob(f"{MEASURED}/*.npz")) and time.monotonic() < until:
            time.sleep(0.01)
        process.kill()
    assert list(broken.glob(f"{MEASURED}/*.npz"))
    (broken / MEASURED / "b__mute.npz.part").write_bytes(b"half")
    (broken / "gone.npz").write_bytes(b"of a clip that is no longer there")
    prepare([clips], broken, limits=SHORT)
    assert {p.name for p in broken.glob("*.npz")} == {p.name for p in whole.glob("*.npz")}
    for path in whole.glob("*.npz"):
        one, other = read(path), read(broken / path.name)
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[key], other[key]) for key in one), path.name


def speak(seed: int, *, ahead: float, image: ImageArray, points: FloatArray) -> dict[str, Any]:
    """A measured track of eight seconds: a mouth, and a noise that follows it."""
    rng = np.random.default_rng(seed)
    mouth = (
        np.cumsum(rng.uniform(0.06, 0.22, 120)),
        np.where(np.arange(120) % 2, rng.uniform(0.4, 1.0, 120), 0.0),
    )
    opened = np.interp(np.arange(8 * RATE) / RATE, *mouth)
    noise = rng.normal(size=len(opened))
    audio = opened * np.convolve(noise, np.ones(12) / 4, "same") + 0.05 * (1 - opened) * noise
    pts = np.arange(20, 180) / 25
    opening = np.interp(pts + ahead, *mouth)
    rest = points - [[0, np.subtract(*points[[14, 13], 1]), 0]] * np.eye(478)[:, 14:15]
    eyes = float(np.linalg.norm(np.subtract(*points[[33, 263]])))
    landmarks = np.repeat(rest[None], len(pts), 0)
    landmarks[:, 14, 1] += 0.1 * eyes * opening
    landmarks[:, 308, 0] -= 0.03 * eyes * opening
    sharpness, thumbnail = sharpness_and_thumbnail(image, points[:, :2])
    return {
        "landmarks": landmarks.astype(np.float32), "pts": pts.astype(np.float32), "fps": 25.0,
        "expression": np.zeros((len(pts), 52), np.float32),
        "blendshapes": np.zeros((len(pts), 52), np.float32),
        "matrix": np.tile(np.eye(4, dtype=np.float32), (len(pts), 1, 1)),
        "size": np.array(image.shape[:2]), "identity": "-", "group": "-",
        "audio": (0.2 * audio).astype(np.float32), "audio_start": np.float32(0),
        "voice": np.ones(250, np.float32), "sharpness": np.full(len(pts), sharpness, np.float32),
        "thumbnails": np.repeat(thumbnail[None], len(pts), 0),
        "rivals": np.zeros(len(pts), np.float32), "change": np.full(len(pts), 0.01, np.float32),
        "bytes": 4,
    }  # fmt: skip


def test_a_clip_out_of_step_is_put_in_step(repository: Path, tmp_path: Path) -> None:
    from avatar.face import MediaPipeDetector

    image = load_image(repository / "examples" / "grace_hopper.jpg")
    points = MediaPipeDetector().detect(image)[0].landmarks.points
    clips, out = tmp_path / "clips", tmp_path / "out"
    (out / MEASURED).mkdir(parents=True)
    for seed in range(10):
        who = f"p{seed % 6}"
        (clips / who).mkdir(parents=True, exist_ok=True)
        (clips / who / f"{seed}.mp4").write_bytes(b"four")
        track = speak(seed, ahead=0.24 if seed == 4 else 0.0, image=image, points=points)
        write_atomically(out / MEASURED / f"{who}__{seed}.npz", track)
    report = prepare([clips], out)
    assert len(report.kept) == 10, [piece.faults for piece in report.dropped]
    late, fine = read(out / "p4__4.npz"), read(out / "p5__5.npz")
    assert str(late["sync"]) == str(fine["sync"]) == "sure"
    assert late["sync_offset_seconds"] == pytest.approx(0.24, abs=0.021)
    assert late["audio_start"] == pytest.approx(-0.24, abs=0.021)
    assert abs(float(fine["sync_offset_seconds"])) < 0.021
    assert (str(late["identity"]), str(late["group"])) == ("p4", "p4")
    assert read_measured(out / "p4__4.npz") is not None
    assert report.summary()["sync"] == {"sure": 10}
