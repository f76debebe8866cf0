"""An avatar from any kind of photo, its file, and the clips it speaks."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from avatar import Audio, Avatar, Identity, Style, load_audio, load_image
from avatar.errors import (
    AudioError,
    AvatarFileError,
    ConfigError,
    ImageError,
    NoFaceError,
    OutputError,
)
from avatar.identity import FORMAT, Consent
from avatar.media import VideoReader
from avatar.types import FloatArray, ImageArray


@pytest.fixture(scope="module")
def photo() -> ImageArray:
    pixels: ImageArray = np.ascontiguousarray(skimage.data.astronaut()[:300, 80:380])
    return pixels


@pytest.fixture(scope="module")
def person(photo: ImageArray) -> Avatar:
    return Avatar.from_image(photo, consent={"attested": True, "attested_by": "NASA"})


@pytest.fixture(scope="module")
def sound() -> tuple[FloatArray, int]:
    t = np.arange(12_000) / 24_000
    return (0.3 * np.sin(2 * np.pi * 150 * t)).astype(np.float32), 24_000


def encoded(image: ImageArray, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind, **options)
    return buffer.getvalue()


def changed(data: bytes, **header: object) -> bytes:
    """An avatar file with other values in its header."""
    length = int.from_bytes(data[:8], "little")
    found = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["avatar"])
    return save_tensors(load_tensors(data), {"avatar": json.dumps({**found, **header})})


# ── from photos ──────────────────────────────────────────────────────────────────────────────────


def test_every_kind_of_source_gives_the_same_person(
    person: Avatar, photo: ImageArray, tmp_path: Path
) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(photo, "PNG"))
    data = path.read_bytes()
    for source in (path, str(path), data, io.BytesIO(data), Image.fromarray(photo)):
        other = Avatar.from_image(source)
        np.testing.assert_array_equal(
            other.identity.landmarks.points, person.identity.landmarks.points
        )


def test_several_photos_make_one_person(photo: ImageArray) -> None:
    both = Avatar.from_images([photo, np.ascontiguousarray(photo[:, ::-1])])
    assert len(both.identity.photos) == 2
    np.testing.assert_array_equal(both.identity.photos[0].image, photo)


def test_no_photo_is_an_error_and_so_is_a_lone_path() -> None:
    for wrong in ([], "photo.jpg"):
        with pytest.raises(ImageError, match="list of one or more"):
            Avatar.from_images(wrong)  # type: ignore[arg-type]


def test_the_photo_at_fault_is_named(photo: ImageArray) -> None:
    with pytest.raises(NoFaceError, match="image 1"):
        Avatar.from_images([photo, np.full((200, 200, 3), 90, np.uint8)])


def test_a_name_of_a_consent_setting_that_is_not_one_is_refused(photo: ImageArray) -> None:
    with pytest.raises(ConfigError, match="attested_by"):
        Avatar.from_image(photo, consent={"attestedby": "me"})
    with pytest.raises(ConfigError, match="attested_by"):
        Avatar.from_image(photo, consent={"attested": True})


# ── the file ─────────────────────────────────────────────────────────────────────────────────────


def test_a_loaded_avatar_draws_the_same_pixels(
    person: Avatar, sound: tuple[FloatArray, int], tmp_path: Path
) -> None:
    path = person.save(tmp_path / "someone.avatar")
    again = Avatar.load(path)
    assert again.identity.consent == Consent(True, "NASA")
    assert again.identity.created == person.identity.created
    for left, right in zip(person.speak(sound, size=96), again.speak(sound, size=96), strict=True):
        np.testing.assert_array_equal(left.image, right.image)
    assert [path.name for path in tmp_path.iterdir()] == ["someone.avatar"]


def test_saving_twice_gives_the_same_bytes(person: Avatar) -> None:
    data = person.identity.to_bytes()
    assert Identity.from_bytes(data).to_bytes() == data == person.identity.to_bytes()


def test_a_jpeg_is_kept_as_it_was_but_for_its_private_data(photo: ImageArray) -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    jpeg = encoded(photo, "JPEG", quality=92, exif=exif) + b"trailer"
    assert b"taken at home" in jpeg
    identity = Avatar.from_image(jpeg).identity
    data = identity.to_bytes()
    assert b"taken at home" not in data
    assert b"trailer" not in data
    assert len(data) < len(jpeg) + 12_000
    again = Identity.from_bytes(data)
    np.testing.assert_array_equal(again.photos[0].image, identity.photos[0].image)
    assert again.photos[0].source_sha256 == identity.photos[0].source_sha256


def test_a_turned_jpeg_comes_back_upright(photo: ImageArray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side
    jpeg = encoded(np.ascontiguousarray(np.rot90(photo)), "JPEG", quality=95, exif=exif)
    identity = Avatar.from_image(jpeg).identity
    again = Identity.from_bytes(identity.to_bytes())
    np.testing.assert_array_equal(again.photos[0].image, identity.photos[0].image)


def test_every_truncation_and_any_flipped_bit_is_noticed(person: Avatar) -> None:
    data = person.identity.to_bytes()
    for keep in (0, 7, 8, 100, len(data) // 2, len(data) - 1):
        with pytest.raises(AvatarFileError, match=r"someone\.avatar"):
            Identity.from_bytes(data[:keep], name="someone.avatar")
    start = 8 + int.from_bytes(data[:8], "little")
    for place in np.random.default_rng(0).integers(start, len(data), 20):
        damaged = bytearray(data)
        damaged[place] ^= 1
        with pytest.raises(AvatarFileError, match="checksum"):
            Identity.from_bytes(bytes(damaged))


def test_headers_that_make_no_sense_are_refused(person: Avatar) -> None:
    data = person.identity.to_bytes()
    for wrong in (
        {"format": "1"}, {"format": 0}, {"photos": []}, {"photos": None}, {"consent": {"by": "x"}},
        {"photos": [{"height": 1, "width": 1, "source_sha256": ""}]}, {"models": 3},
        {"models": "ab"}, {"personal": "x"}, {"photos": [3]}, {"consent": 3},
    ):  # fmt: skip
        with pytest.raises(AvatarFileError, match="damaged"):
            Identity.from_bytes(changed(data, **wrong))


def test_a_newer_file_asks_for_a_newer_package(person: Avatar) -> None:
    with pytest.raises(AvatarFileError, match="upgrade"):
        Identity.from_bytes(changed(person.identity.to_bytes(), format=FORMAT + 1))


def test_other_files_are_not_avatar_files(tmp_path: Path, photo: ImageArray) -> None:
    (tmp_path / "x.avatar").write_bytes(encoded(photo, "PNG"))
    (tmp_path / "y.avatar").write_bytes(save_tensors({"a": np.zeros(3, np.float32)}))
    for name in ("x.avatar", "y.avatar", "missing.avatar", "."):
        with pytest.raises(AvatarFileError):
            Avatar.load(tmp_path / name)


def test_a_failed_save_leaves_the_old_file_and_nothing_else(person: Avatar, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no-folder"):
        person.save(tmp_path / "no-folder" / "x.avatar")
    (tmp_path / "x.avatar").mkdir()
    with pytest.raises(OutputError, match=r"x\.avatar"):
        person.save(tmp_path / "x.avatar")
    assert [path.name for path in tmp_path.iterdir()] == ["x.avatar"]


# ── clips ────────────────────────────────────────────────────────────────────────────────────────


def test_a_clip_knows_itself_and_can_be_read_again(
    person: Avatar, sound: tuple[FloatArray, int]
) -> None:
    clip = person.speak(sound, fps=20, size=96, seed=1)
    info = clip.info
    assert (info.frames, info.fps, info.duration_seconds) == (10, 20, 0.5)
    assert (info.sample_rate, max(info.width, info.height)) == (24_000, 96)
    first, second = list(clip), list(clip)
    assert len(first) == len(second) == len(clip) == info.frames
    for left, right in zip(first, second, strict=True):
        assert left.image.shape == (info.height, info.width, 3)
        np.testing.assert_array_equal(left.image, right.image)
    joined = np.concatenate([frame.audio.samples for frame in first])
    np.testing.assert_array_equal(joined, sound[0])


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("fps", [7, 24, 25, 29.97])
def test_the_number_of_frames_is_known_before_any_is_drawn(
    person: Avatar, rate: int, fps: float
) -> None:
    for samples in (1, rate // 9, rate // 4 + 7):
        clip = person.speak((np.zeros(samples, np.float32), rate), fps=fps, size=64)
        assert len(list(clip)) == clip.info.frames


def test_a_clip_is_saved_with_its_sound_at_the_rate_it_came(
    person: Avatar, sound: tuple[FloatArray, int], tmp_path: Path
) -> None:
    calls: list[tuple[int, int]] = []
    clip = person.speak(sound, size=96)
    path = clip.save(tmp_path / "out.mp4", progress=lambda *step: calls.append(step))
    assert calls == [(k + 1, clip.info.frames) for k in range(clip.info.frames)]
    reader = VideoReader(path)
    assert len(list(reader)) == clip.info.frames
    heard = load_audio(path)
    assert heard.sample_rate == 24_000
    assert heard.duration_seconds == pytest.approx(0.5, abs=0.06)
    assert clip.to_bytes(".webm")[:4] == b"\x1a\x45\xdf\xa3"
    assert clip.to_bytes(".gif")[:3] == b"GIF"
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_a_notebook_shows_the_clip_unless_it_is_huge(
    person: Avatar, sound: tuple[FloatArray, int]
) -> None:
    assert "data:video/mp4;base64," in person.speak(sound, size=64)._repr_html_()
    minute = (np.zeros(60 * 8_000, np.float32), 8_000)
    assert "save" in person.speak(minute, size=1_600)._repr_html_()


def test_sound_may_be_a_path_bytes_a_file_a_pair_or_audio(
    person: Avatar, sound: tuple[FloatArray, int], tmp_path: Path
) -> None:
    import soundfile

    path = tmp_path / "sound.wav"
    soundfile.write(path, sound[0], sound[1], subtype="FLOAT")
    expected = [frame.image for frame in person.speak(sound, size=64)]
    sources = (path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes()), Audio(*sound))
    for source in sources:
        clip = person.speak(source, size=64)
        for _ in range(2):
            for frame, image in zip(clip, expected, strict=True):
                np.testing.assert_array_equal(frame.image, image)


def test_bad_sound_is_refused_before_anything_is_drawn(person: Avatar) -> None:
    late = np.zeros(40_000, np.float32)
    late[-1] = np.inf
    for wrong in ((late, 16_000), (np.zeros(0, np.float32), 16_000), "missing.wav", 3):
        with pytest.raises(AudioError):
            person.speak(wrong)  # type: ignore[arg-type]


def test_an_interrupt_while_saving_leaves_nothing(
    person: Avatar, sound: tuple[FloatArray, int], tmp_path: Path
) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        person.speak(sound, size=64).save(tmp_path / "out.mp4", progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_silence_is_a_calm_closed_mouth(person: Avatar) -> None:
    silence = (np.zeros(32_000, np.float32), 16_000)
    frames = list(person.speak(silence, fps=10, size=64))
    assert len(frames) == 20
    assert max(frame.blendshapes["jawOpen"] for frame in frames) < 0.05
    assert min(frame.visemes[0] for frame in frames) > 0.9


def test_importing_loads_nothing_heavy() -> None:
    code = (
        "import sys, threading, avatar; "
        "heavy = {'torch', 'mediapipe', 'av', 'PIL', 'typer'} & set(sys.modules); "
        "assert not heavy, heavy; assert threading.active_count() == 1; "
        "assert all(hasattr(avatar, name) for name in avatar.__all__); "
        "assert 'mediapipe' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


# ── style, size ──────────────────────────────────────────────────────────────────────────────────


def test_a_clip_and_a_session_speak_in_the_style_asked_for(
    person: Avatar, sound: tuple[FloatArray, int]
) -> None:
    happy = Style(emotion={"happy": 1.0})
    clip = list(person.speak(sound, size=64, style=happy))
    with person.session(size=64, sample_rate=sound[1], style=happy) as session:
        session.push_audio(sound[0])
        session.flush()
        live = list(session)
    plain = list(person.speak(sound, size=64))
    for a, b in zip(clip, live, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
    smiles = [frames[-1].blendshapes["mouthSmileLeft"] for frames in (clip, plain)]
    assert smiles[0] > smiles[1] + 0.1


def test_sessions_of_one_size_share_what_does_not_change(person: Avatar) -> None:
    one, two, other = (person.session(size=size) for size in (64, 64, 72))
    assert one._likeness is two._likeness
    assert one._likeness is not other._likeness


# ── background ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("background", ["blur", "#00ff00", "alpha"])
def test_a_clip_and_a_session_stand_before_the_background_asked_for(
    person: Avatar, sound: tuple[FloatArray, int], background: str
) -> None:
    clip = list(person.speak(sound, size=96, background=background))
    with person.session(size=96, sample_rate=sound[1], background=background) as session:
        session.push_audio(sound[0])
        session.flush()
        live = list(session)
    for a, b in zip(clip, live, strict=True):
        np.testing.assert_array_equal(a.image, b.image)
    plain = next(iter(person.speak(sound, size=96))).image
    shown = clip[0].image
    assert shown is not None
    assert plain is not None
    assert shown.shape == (96, 96, 4 if background == "alpha" else 3)
    if background == "#00ff00":
        assert tuple(shown[5, 5]) == (0, 255, 0)
    assert np.abs(shown[40:50, 40:50, :3].astype(int) - plain[40:50, 40:50]).max() <= 1


def test_a_transparent_clip_is_saved_where_that_can_be(
    person: Avatar, sound: tuple[FloatArray, int], tmp_path: Path
) -> None:
    clip = person.speak(sound, size=96, background="alpha")
    assert clip.info.alpha
    with pytest.raises(OutputError, match="cannot be transparent"):
        clip.save(tmp_path / "clip.mp4")
    assert not list(tmp_path.iterdir())
    clip.save(f"{tmp_path}/pictures/")
    first = load_image(tmp_path / "pictures" / "00000.png", alpha=True)
    np.testing.assert_array_equal(first, next(iter(clip)).image)
    assert "video/webm" in clip._repr_html_()


def test_a_live_session_short_of_time_keeps_its_background(person: Avatar) -> None:
    likeness = person._likeness(400, pixels=True, background="#00ff00")
    half = likeness.half
    points = likeness.in_half(likeness.portrait.landmarks.points)  # type: ignore[union-attr]
    assert tuple(person.engine.generator.render(half, points)[5, 5]) == (0, 255, 0)


def test_a_background_needs_pixels(person: Avatar) -> None:
    with pytest.raises(ConfigError, match="without pixels"):
        person.session(pixels=False, background="blur")
