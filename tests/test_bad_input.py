"""What people hand in: each fault is one clear line with its exit code, and nothing stays."""

from __future__ import annotations

import ctypes
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import soundfile
from PIL import Image

from avatar import Audio, Avatar, load_audio
from avatar.cli import run
from avatar.engine import Engine
from avatar.errors import (
    AudioError,
    AvatarError,
    ConfigError,
    FacePoseError,
    ImageError,
    InputError,
    NoFaceError,
    OutputError,
)
from avatar.face import FaceDetector
from avatar.media import VideoReader
from avatar.motion import track
from avatar.types import Face, ImageArray, Landmarks

Run = Callable[..., tuple[int, str]]


@pytest.fixture(scope="module")
def portrait() -> ImageArray:
    pixels: ImageArray = np.ascontiguousarray(skimage.data.astronaut()[:300, 80:380])
    return pixels


@pytest.fixture
def speak(
    tmp_path: Path,
    portrait: ImageArray,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Run ``avatar speak`` in a folder with a good photo and a good sound; gives code and stderr.

    A failed run must have left the folder as it was, and said why in one line.
    """
    monkeypatch.chdir(tmp_path)
    Image.fromarray(portrait).save("photo.png")
    soundfile.write("sound.wav", 0.1 * np.sin(np.arange(4_000) / 20), 16_000)

    def command(photo: str = "photo.png", audio: str = "sound.wav", *more: str) -> tuple[int, str]:
        before = sorted(Path().rglob("*"))
        more = more if "-o" in more else (*more, "-o", "out.mp4")
        code = run(["speak", photo, audio, "--size", "64", *more])
        said = capsys.readouterr().err
        assert "Traceback" not in said
        if code:
            assert sorted(Path().rglob("*")) == before
            assert said.startswith("error: ")
            assert said.count("\n") == 1
        return code, said

    return command


def save(image: ImageArray, name: str) -> str:
    Image.fromarray(image).save(name)
    return name


# ── photos ───────────────────────────────────────────────────────────────────────────────────────


def test_a_good_photo_and_sound_work_and_say_nothing(speak: Run) -> None:
    assert speak() == (0, "")
    assert len(list(VideoReader("out.mp4"))) == 6


def test_no_face(speak: Run) -> None:
    rng = np.random.default_rng(0)
    code, said = speak(save(rng.integers(0, 255, (300, 300, 3), np.uint8), "noise.png"))
    assert code == 7
    assert "noise.png" in said
    assert "face" in said


def test_two_faces_take_the_largest_and_say_so(speak: Run, portrait: ImageArray) -> None:
    scene = np.full((340, 600, 3), 128, np.uint8)
    scene[20:320, 10:310] = portrait
    scene[60:270, 350:560] = np.asarray(Image.fromarray(portrait).resize((210, 210)))
    name = save(scene, "two.png")
    code, said = speak(name)
    assert code == 0
    assert said.startswith("warning: ")
    assert "two.png" in said
    assert said.count("\n") == 1
    assert speak(name, "sound.wav", "--face", "1") == (0, "")
    code, said = speak(name, "sound.wav", "--face", "2")
    assert code == 7
    assert "two.png" in said


def test_a_face_of_a_few_pixels(speak: Run, portrait: ImageArray) -> None:
    code, said = speak(save(np.asarray(Image.fromarray(portrait).resize((90, 90))), "tiny.png"))
    assert code == 8
    assert "tiny.png" in said
    assert "larger" in said


def test_a_head_turned_too_far(portrait: ImageArray) -> None:
    class Turned(FaceDetector):
        """Sees the face of the portrait as if the head were turned by 70 degrees."""

        def detect(self, image: ImageArray) -> list[Face]:
            face = Engine.default().find_face(portrait)
            points = face.landmarks.points
            centre = points.mean(0)
            c, s = np.cos(np.radians(70)), np.sin(np.radians(70))
            turn = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]], np.float32)
            return [Face(Landmarks((points - centre) @ turn.T + centre), face.expression)]

    with pytest.raises(FacePoseError, match="turned") as caught:
        Avatar.from_image(portrait, engine=Engine(detector=Turned()))
    assert caught.value.exit_code == 9


def test_a_face_seen_from_behind_the_hair_is_no_face(speak: Run, portrait: ImageArray) -> None:
    hidden = portrait.copy()
    hidden[20:260, 60:240] = hidden[5:6, 60:240]
    assert speak(save(hidden, "hidden.png"))[0] == 7


def test_a_cat(speak: Run) -> None:
    code, said = speak(save(skimage.data.chelsea(), "cat.png"))
    assert code == 7
    assert "cat.png" in said
    assert "human" in said


@pytest.mark.shared
@pytest.mark.parametrize("name", ["liveportrait_s38.jpg", "liveportrait_s39.jpg"])
def test_an_animal_that_looks_into_the_camera(speak: Run, shared_data: Path, name: str) -> None:
    code, said = speak(str(shared_data / "portraits" / name))
    assert code == 7
    assert name in said


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("cut.jpg", lambda data: data[: len(data) // 2]),
        ("head.jpg", lambda data: data[:20]),
        ("text.jpg", lambda data: b"Dear photo, this is a letter."),
        ("empty.jpg", lambda data: b""),
        ("video.jpg", lambda data: b"\0\0\0\x18ftypmp42" + data[200:]),
    ],
)
def test_an_image_that_is_none(
    speak: Run, portrait: ImageArray, name: str, damage: Callable[[bytes], bytes]
) -> None:
    Image.fromarray(portrait).save("good.jpg")
    Path(name).write_bytes(damage(Path("good.jpg").read_bytes()))
    code, said = speak(name)
    assert code == 3
    assert name in said


def test_a_decompression_bomb_is_not_decoded(speak: Run) -> None:
    Image.new("1", (20_000, 20_000)).save("bomb.png")
    assert Path("bomb.png").stat().st_size < 100_000
    before = _peak_megabytes()
    code, said = speak("bomb.png")
    assert code == 3
    assert "bomb.png" in said
    assert _peak_megabytes() - before < 200


# ── sound ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "data"),
    [("empty.wav", b""), ("text.wav", b"this is no sound at all" * 9), ("missing.wav", None)],
)
def test_a_sound_that_is_none(speak: Run, name: str, data: bytes | None) -> None:
    if data is not None:
        Path(name).write_bytes(data)
    code, said = speak("photo.png", name)
    assert code == 4
    assert name in said


def test_a_sound_without_samples(speak: Run) -> None:
    soundfile.write("none.wav", np.zeros(0), 16_000)
    code, said = speak("photo.png", "none.wav")
    assert code == 4
    assert "none.wav" in said


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite(speak: Run, value: float) -> None:
    samples = np.zeros(20_000, np.float32)
    samples[17_000] = value
    soundfile.write("broken.wav", samples, 16_000, subtype="FLOAT")
    code, said = speak("photo.png", "broken.wav")
    assert code == 4
    assert "broken.wav" in said
    assert "17000" in said
    assert "nan_to_num" in said


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
def test_one_sample_is_one_frame(speak: Run, rate: int) -> None:
    soundfile.write("one.wav", np.zeros(1), rate)
    assert speak("photo.png", "one.wav") == (0, "")
    assert len(list(VideoReader("out.mp4"))) == 1


def test_silence_works(speak: Run) -> None:
    soundfile.write("silence.wav", np.zeros(8_000), 16_000)
    assert speak("photo.png", "silence.wav") == (0, "")
    assert len(list(VideoReader("out.mp4"))) == 12


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["create", "photo.png", "-o", "photo.png"], "ends in .avatar"),
        (["create", "photo.png", "-o", "."], "ends in .avatar"),
        (["create", "photo.png", "-o", "none/x.avatar"], "there is no folder none"),
        (["personalize", "photo.png", "-o", "none/x.avatar"], "there is no folder none"),
        (["mimic", "photo.png", "film.mp4", "-o", "none/x.mp4"], "there is no folder none"),
        (["mimic", "photo.png", "film.mp4", "-o", "x.avi"], "cannot tell the format"),
        (["speak", "photo.png", "sound.wav", "-o", "x.mp4", "--background", "alpha"], "transpar"),
    ],
)
def test_where_nothing_can_be_written_is_said_before_the_work(
    words: list[str], match: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """None of the inputs is there to be read."""
    monkeypatch.chdir(tmp_path)
    assert run(words) == OutputError.exit_code
    assert match in capsys.readouterr().err


@pytest.mark.parametrize("seed", ["-1", "-7"])
def test_a_seed_that_is_none(speak: Run, seed: str) -> None:
    code, said = speak("photo.png", "sound.wav", "--seed", seed)
    assert code == ConfigError.exit_code
    assert "seed must not be negative" in said


def test_an_avatar_file_among_the_photos_is_told_its_option(speak: Run) -> None:
    code, said = speak("me.avatar")
    assert code == ConfigError.exit_code
    assert "--avatar me.avatar" in said


def test_a_track_and_a_rate_of_the_wrong_kind(tmp_path: Path) -> None:
    wrong: Any = None
    sound = (np.zeros(900, np.float32), 16_000)
    with pytest.raises(ConfigError, match=r"must be an avatar\.Style"):
        track(sound, style=wrong)
    rate: Any = 16_000.0
    for make in (lambda: load_audio(sound, sample_rate=rate), lambda: Audio(sound[0], rate)):
        with pytest.raises(AudioError, match="whole number of hertz"):
            make()


def test_what_drives_no_face(portrait: ImageArray) -> None:
    person = Avatar.from_image(portrait)
    points: Any = np.zeros((4, 478, 3), np.float32)
    for driver in (points, [points, 25], 3):
        with pytest.raises(InputError, match="cannot be driven by"):
            person.mimic(driver)


def test_one_picture_is_no_list_of_pictures(portrait: ImageArray) -> None:
    one: Any = portrait
    with pytest.raises(ImageError, match="needs a list"):
        Avatar.from_images(one)


@pytest.mark.parametrize("name", ["size", "seed", "sample_rate"])
def test_whole_numbers_are_asked_for(portrait: ImageArray, name: str) -> None:
    given: Any = {name: 1280.5}
    with pytest.raises(ConfigError, match=f"{name} must be a whole number"):
        Avatar.from_image(portrait).session(**given)


def test_a_file_opened_as_text_is_told_so(portrait: ImageArray, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("photo.png")
    with (tmp_path / "x.txt").open() as file:
        text: Any = file
        with pytest.raises(ImageError, match="mode 'rb'"):
            Avatar.from_image(text)
        with pytest.raises(InputError, match="mode 'rb'"):
            Avatar.from_image(portrait).speak(text)


_LONG = """
import resource, sys
from avatar import Avatar
person = Avatar.load(sys.argv[1])
peaks = []
for sound in sys.argv[2:4]:
    info = person.speak(sound, fps=1, size=64)
    info.save(sys.argv[4])
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
print(info.info.frames, *peaks)
"""


def test_ten_minutes_need_no_more_memory_than_one(portrait: ImageArray, tmp_path: Path) -> None:
    Avatar.from_image(portrait).save(tmp_path / "x.avatar")
    buzz = (0.2 * np.sin(np.arange(16_000 * 60) / 20)).astype(np.float32)
    soundfile.write(tmp_path / "short.wav", buzz, 16_000)
    soundfile.write(tmp_path / "long.wav", np.tile(buzz, 10), 16_000)
    names = ("x.avatar", "short.wav", "long.wav", "out.mp4")
    arguments = [sys.executable, "-c", _LONG, *(str(tmp_path / name) for name in names)]
    said = subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=300)
    frames, short, long = map(int, said.stdout.split())
    assert frames == 600
    # The samples alone would be 38 MB as float32, the frames 7 MB.
    assert long - short < 25


@pytest.mark.parametrize(
    ("option", "value", "word"),
    [
        ("--emotion", "hapy=0.5", "happy"),
        ("--emotion", "joy=5", "joy"),
        ("--intensity", "-1", "intensity"),
        ("--gaze", "up", "gaze"),
        ("--gaze", "80,0", "-40 to 40 degrees"),
        ("--gain", "jawOpn=1", "jawOpen"),
    ],
)
def test_a_style_that_is_none(speak: Run, option: str, value: str, word: str) -> None:
    code, said = speak("photo.png", "sound.wav", option, value)
    assert code == 11
    assert word in said


# ── output ───────────────────────────────────────────────────────────────────────────────────────


def test_a_disk_that_fills_up_while_muxing(speak: Run) -> None:
    soundfile.write("noise.wav", np.random.default_rng(0).uniform(-0.5, 0.5, 64_000), 16_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        code, said = speak("photo.png", "noise.wav")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert code == 12
    assert "out.mp4" in said
    assert "full" in said


def test_a_folder_that_may_not_be_written(speak: Run) -> None:
    assert speak()[0] == 0
    Path("locked").mkdir()
    Path("locked").chmod(0o555)
    with _ordinary_rights():
        code, said = speak("photo.png", "sound.wav", "-o", "locked/out.mp4")
    assert code == 12
    assert "locked/out.mp4" in said
    assert "permission" in said


def test_the_old_video_survives_a_failed_run(speak: Run) -> None:
    assert speak()[0] == 0
    before = Path("out.mp4").read_bytes()
    soundfile.write("broken.wav", np.full(9, np.nan, np.float32), 16_000, subtype="FLOAT")
    assert speak("photo.png", "broken.wav")[0] == 4
    assert Path("out.mp4").read_bytes() == before


def test_one_bad_input_spoils_nothing_for_the_next(portrait: ImageArray) -> None:
    person = Avatar.from_image(portrait)
    with pytest.raises(NoFaceError):
        Avatar.from_image(np.zeros((99, 99, 3), np.uint8))
    with pytest.raises(AudioError):
        person.speak((np.array([np.nan], np.float32), 16_000))
    assert len(list(person.speak((np.zeros(1_000, np.float32), 16_000), size=64))) == 2


def test_every_error_has_its_own_exit_code() -> None:
    kinds = list(_below(AvatarError))
    codes = [kind.exit_code for kind in kinds]
    assert len(set(codes)) == len(codes) > 10
    assert 0 not in codes


def _below(kind: type[AvatarError]) -> Iterator[type[AvatarError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _below(child)


def _peak_megabytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


@contextmanager
def _ordinary_rights() -> Iterator[None]:
    """Without root's power to write where the file mode forbids it (capset(2), this thread)."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)()
    assert libc.capget(header, sets) == 0
    effective = sets[0]
    sets[0] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    assert libc.capset(header, sets) == 0
    try:
        yield
    finally:
        sets[0] = effective
        assert libc.capset(header, sets) == 0
