"""A photo does what another face does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data

from avatar import Avatar, Motion, load_audio
from avatar.cli import run
from avatar.errors import ConfigError, NoFaceError, VideoError
from avatar.media import VideoReader, VideoWriter
from avatar.motion import track
from avatar.types import ARKIT_NAMES, FloatArray, ImageArray

JAW = ARKIT_NAMES.index("jawOpen")


@pytest.fixture(scope="module")
def photo() -> ImageArray:
    pixels: ImageArray = np.ascontiguousarray(skimage.data.astronaut()[:300, 80:380])
    return pixels


@pytest.fixture(scope="module")
def person(photo: ImageArray) -> Avatar:
    return Avatar.from_image(photo)


@pytest.fixture(scope="module")
def voice(repository: Path) -> tuple[FloatArray, int]:
    sound = load_audio(repository / "examples" / "hello.wav", sample_rate=16_000)
    return sound.samples[8_000:28_000], 16_000


@pytest.fixture(scope="module")
def driver(
    person: Avatar, voice: tuple[FloatArray, int], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A video of someone who speaks."""
    return person.speak(voice, fps=20, size=200).save(tmp_path_factory.mktemp("d") / "driver.mp4")


def test_a_track_made_of_a_voice_gives_what_the_voice_gives(
    person: Avatar, voice: tuple[FloatArray, int], tmp_path: Path
) -> None:
    made = track(voice, fps=16, seed=2)
    spoken = list(person.speak(voice, fps=16, size=80, seed=2))
    kept = made.save(tmp_path / "made.npz", landmarks=False)
    for source in (made, made.motion, kept):
        for left, right in zip(person.mimic(source, audio=voice, size=80), spoken, strict=True):
            np.testing.assert_array_equal(left.image, right.image)
            np.testing.assert_array_equal(left.audio.samples, right.audio.samples)
            np.testing.assert_array_equal(left.visemes, right.visemes)
            assert left.pts_seconds == right.pts_seconds


def test_a_film_drives_the_lips_and_keeps_its_sound(person: Avatar, driver: Path) -> None:
    looked: list[int] = []
    clip = person.mimic(driver, size=200, progress=looked.append)
    assert looked == list(range(1, 26))
    assert (clip.info.frames, clip.info.fps, clip.info.sample_rate) == (25, 20, 16_000)
    frames = list(clip)
    with VideoReader(driver) as reader:
        seen = [person.engine.detector.detect(image)[0] for image, _ in reader]
    gaps = [
        [float(np.linalg.norm(f.landmarks.points[13] - f.landmarks.points[14])) for f in film]
        for film in (frames, seen)
    ]
    assert np.corrcoef(*gaps)[0, 1] > 0.9
    sound = np.concatenate([frame.audio.samples for frame in frames])
    assert len(sound) == 20_000
    own = load_audio(driver).samples[:20_000]
    assert np.corrcoef(sound[: len(own)], own)[0, 1] > 0.99


def test_a_clip_of_mimicry_can_be_read_again(person: Avatar, driver: Path) -> None:
    with driver.open("rb") as file:
        clip = person.mimic(file, size=64, fps=10)
    assert clip.info.frames == len(clip) == 12
    for left, right in zip(clip, clip, strict=True):
        np.testing.assert_array_equal(left.image, right.image)
        np.testing.assert_array_equal(left.audio.samples, right.audio.samples)


def test_landmarks_drive_in_silence(person: Avatar, photo: ImageArray) -> None:
    face = person.engine.detector.detect(photo)[0]
    clip = person.mimic((np.repeat(face.landmarks.points[None], 4, 0), 30.0), size=64)
    frames = list(clip)
    assert (len(frames), clip.info.fps) == (4, 30)
    assert not any(frame.audio.samples.any() for frame in frames)
    np.testing.assert_array_equal(frames[0].image, frames[3].image)


def test_the_sound_of_a_film_may_begin_before_or_after_its_pictures(
    person: Avatar, voice: tuple[FloatArray, int]
) -> None:
    from avatar.clip import performed
    from avatar.config import SessionConfig

    still = Motion.still(25, 25.0)
    likeness = person._likeness(64, pixels=True)
    heard = []
    for offset in (0.0, 0.25, -0.25):
        clip = performed(
            still, voice, offset_seconds=offset, engine=person.engine, likeness=likeness,
            config=SessionConfig(size=64),
        )  # fmt: skip
        heard.append(np.concatenate([frame.audio.samples for frame in clip]))
    assert [len(sound) for sound in heard] == [16_000] * 3
    np.testing.assert_array_equal(heard[1][4_000:], heard[0][:12_000])
    assert not heard[1][:4_000].any()
    np.testing.assert_array_equal(heard[2][:12_000], heard[0][4_000:])


def test_a_film_without_a_face_or_without_pictures_is_refused(
    person: Avatar, voice: tuple[FloatArray, int], tmp_path: Path, repository: Path
) -> None:
    path = tmp_path / "grey.mp4"
    with VideoWriter(path, width=64, height=64, fps=25) as writer:
        for _ in range(3):
            writer.write(np.full((64, 64, 3), 90, np.uint8))
    with pytest.raises(NoFaceError, match=r"grey\.mp4"):
        person.mimic(path)
    with pytest.raises(VideoError):
        person.mimic(repository / "examples" / "hello.wav")
    for wrong in ({"size": 10}, {"fps": 0.5}):
        with pytest.raises(ConfigError):
            person.mimic(path, **wrong)  # type: ignore[arg-type]


def test_the_edges_of_the_picture_are_stretched_and_never_repeated(person: Avatar) -> None:
    """A head that leaves an edge takes the picture along; no row is smeared."""
    moved = Motion.still(1, 25.0)
    moved.translation[0, 1] = 0.3
    image = next(iter(person.mimic(moved, size=200))).image.astype(int)
    rows = np.abs(np.diff(image[:12], axis=0)).mean((1, 2))
    assert rows.min() > 0.3


def test_the_command_line_makes_a_film(
    driver: Path, photo: ImageArray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image

    Image.fromarray(photo).save(tmp_path / "photo.png")
    command = ["mimic", str(tmp_path / "photo.png"), str(driver), "-o", str(tmp_path / "out.mp4")]
    assert run([*command, "--size", "64"]) == 0
    assert "out.mp4: 1.2 s" in capsys.readouterr().out
    assert len(list(VideoReader(tmp_path / "out.mp4"))) == 25
    assert run([*command, "--size", "64", "--background", "#00ff00"]) == 0
    picture, _ = next(iter(VideoReader(tmp_path / "out.mp4")))
    assert np.abs(picture[4, 4].astype(int) - (0, 255, 0)).max() < 20
    assert run([*command, "--size", "64", "--background", "alpha"]) == 12
    assert run(["mimic", str(driver), "-o", "x.mp4"]) == 11
    assert "give a photo and a video" in capsys.readouterr().err
