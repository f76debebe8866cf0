"""Video is written as it comes, in step with its sound, and reads back as it was written."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import wave
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from avatar.errors import InputError, OutputError, VideoError
from avatar.media import VideoReader, VideoWriter, load_audio, load_image
from avatar.media._encode import _Checked

Pixels = NDArray[np.uint8]
Samples = NDArray[np.float32]
ONE_PACKET = 0.0135
"""Seconds that a packet of Opus lasts but for what the decoder drops at the start; the first is not
cut at its end, so no sound in WebM is shorter.
"""
CONTAINERS = [".mp4", ".m4v", ".mov", ".mkv", ".webm"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(
    path: Path | str, picture: Pixels, samples: Samples | None, *, fps: float, sample_rate: int
) -> int:
    """A clip of ``samples`` over a picture that shifts by a row a frame; the number of frames."""
    rate = None if samples is None else sample_rate
    length = 1.0 if samples is None else len(samples) / sample_rate
    frames = round(length * fps)
    height, width = picture.shape[:2]
    with VideoWriter(path, width=width, height=height, fps=fps, sample_rate=rate) as out:
        cuts = np.linspace(0, 0 if samples is None else len(samples), frames + 1).astype(int)
        for index, (a, b) in enumerate(pairwise(cuts)):
            sound = None if samples is None else samples[a:b]
            out.write(np.roll(picture, index, axis=0), sound)
    return frames


@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize(("fps", "sample_rate"), [(25.0, 16_000), (29.97, 44_100), (60.0, 22_050)])
def test_picture_and_sound_stay_together(
    picture: Pixels, noise: Samples, tmp_path: Path, suffix: str, fps: float, sample_rate: int
) -> None:
    path = tmp_path / f"clip{suffix}"
    frames = write(path, picture, noise, fps=fps, sample_rate=sample_rate)
    assert names(tmp_path) == [path.name]
    with VideoReader(path) as reader:
        assert reader.fps == pytest.approx(fps, rel=1e-3)
        assert reader.size == (162, 124)
        read = list(reader)
    assert len(read) == frames
    for index, (_, pts_seconds) in enumerate(read):
        assert pts_seconds == pytest.approx(index / fps, abs=0.0011)
    audio = load_audio(path)
    wanted = load_audio((noise, sample_rate), sample_rate=audio.sample_rate).samples
    padding = 0 if suffix == ".webm" else 1024
    assert len(wanted) <= len(audio.samples) <= len(wanted) + padding
    middle = slice(3000, len(wanted) - 3000)
    match = np.correlate(audio.samples[: len(wanted)], wanted[middle], "valid")
    assert int(match.argmax()) == 3000


@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize("size", [(64, 64), (65, 64), (64, 65), (123, 161), (1, 1), (17, 2)])
def test_colours_and_sizes_survive(
    picture: Pixels, tmp_path: Path, suffix: str, size: tuple[int, int]
) -> None:
    height, width = size
    small = np.ascontiguousarray(picture[:height, :width])
    path = tmp_path / f"clip{suffix}"
    write(path, small, None, fps=25, sample_rate=1)
    with VideoReader(path) as reader:
        assert reader.size == (width + width % 2, height + height % 2)
        image, _ = next(iter(reader))
    error = np.abs(image[:height, :width].astype(int) - small).mean()
    assert error < (3 if min(size) > 2 else 12)


def test_the_video_says_which_colours_it_has(picture: Pixels, tmp_path: Path) -> None:
    write(tmp_path / "a.mp4", picture, None, fps=25, sample_rate=1)
    with av.open(str(tmp_path / "a.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_range) == (1, 1, 1)
        assert context.pix_fmt == "yuv420p"


def test_gif_keeps_odd_sizes_and_loses_the_sound(
    picture: Pixels, noise: Samples, tmp_path: Path
) -> None:
    path = tmp_path / "clip.gif"
    frames = write(path, picture, noise, fps=25, sample_rate=16_000)
    with VideoReader(path) as reader:
        assert reader.size == (161, 123)
        read = [image for image, _ in reader]
    assert len(read) == frames
    assert np.abs(read[0].astype(int) - picture).mean() < 9


@pytest.mark.parametrize("target", ["frames/", "frames/%05d.png"])
def test_png_sequence_is_exact_and_has_its_sound(
    picture: Pixels, noise: Samples, tmp_path: Path, target: str
) -> None:
    frames = write(f"{tmp_path}/{target}", picture, noise, fps=10, sample_rate=16_000)
    folder = tmp_path / "frames"
    assert names(tmp_path) == ["frames"]
    pictures = [f"{index:05d}.png" for index in range(frames)]
    assert names(folder) == [*pictures, "audio.wav"]
    np.testing.assert_array_equal(load_image(folder / pictures[3]), np.roll(picture, 3, axis=0))
    with wave.open(str(folder / "audio.wav")) as sound:
        assert (sound.getnframes(), sound.getframerate()) == (len(noise), 16_000)
    np.testing.assert_allclose(load_audio(folder / "audio.wav").samples, noise, atol=1e-4)


def test_png_sequence_into_a_folder_that_has_other_files(picture: Pixels, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    write(f"{tmp_path}/50% %03d.png", picture, None, fps=3, sample_rate=1)
    assert names(tmp_path) == [
        "50% 000.png", "50% 001.png", "50% 002.png", "notes.txt",
    ]  # fmt: skip


def test_a_shorter_sequence_does_not_go_on_as_the_older_one(
    picture: Pixels, tmp_path: Path
) -> None:
    (tmp_path / "007.png").write_bytes(b"of another clip: 006 is missing before it")
    for count in (5, 2):
        with VideoWriter(tmp_path / "%03d.png", width=161, height=123, fps=25) as out:
            for _ in range(count):
                out.write(picture)
    assert names(tmp_path) == ["000.png", "001.png", "007.png"]


def test_a_frame_without_sound_gets_silence(
    picture: Pixels, noise: Samples, tmp_path: Path
) -> None:
    path = tmp_path / "clip.mkv"
    with VideoWriter(path, width=161, height=123, fps=30, sample_rate=16_000) as out:
        out.write(picture, noise[:533])
        for _ in range(29):
            out.write(picture)
        assert (out.frames_written, out.samples_written) == (30, 16_000)


def test_a_file_is_replaced_only_when_complete(picture: Pixels, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_text("the old clip")

    def failing_renderer() -> None:
        with VideoWriter(path, width=161, height=123, fps=25) as out:
            out.write(picture)
            raise RuntimeError("the renderer failed")

    with pytest.raises(RuntimeError, match="the renderer failed"):
        failing_renderer()
    assert names(tmp_path) == ["clip.mp4"]
    assert path.read_text() == "the old clip"
    write(path, picture, None, fps=25, sample_rate=1)
    assert VideoReader(path).size == (162, 124)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.integers(0, 3000), min_size=1, max_size=12), st.sampled_from([8000, 11_025]))
def test_sound_in_any_pieces_is_complete(
    picture: Pixels, tmp_path: Path, pieces: list[int], sample_rate: int
) -> None:
    path = tmp_path / "clip.webm"
    with VideoWriter(path, width=161, height=123, fps=25, sample_rate=sample_rate) as out:
        for count in pieces:
            out.write(picture, np.full(count, 0.1, np.float32))
    with av.open(str(path)) as container:
        assert len(list(container.decode(video=0))) == len(pieces)
    if sum(pieces) > 100:
        audio = load_audio(path)
        seconds = max(sum(pieces) / sample_rate, ONE_PACKET)
        assert len(audio.samples) / audio.sample_rate == pytest.approx(seconds, abs=1e-3)


_GROWTH = """
import resource, sys
import numpy as np
from avatar.media import VideoWriter
ramp = np.repeat(np.arange(0, 256, 32, dtype=np.uint8), 32)
image = np.stack(np.broadcast_arrays(ramp, ramp[:, None], np.uint8(90)), axis=-1)
sound = np.zeros(640, np.float32)
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with VideoWriter(sys.argv[1], width=256, height=256, fps=25, sample_rate=16000) as out:
    for index in range(400):
        if index == 100: before = peak()
        out.write(np.roll(image, 8 * index, axis=1), sound)
print(peak() - before)
"""


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_memory_does_not_grow_with_the_clip(tmp_path: Path, suffix: str) -> None:
    """Three hundred frames are 59 MB; writing them adds far less."""
    path = tmp_path / f"long{suffix}"
    command = [sys.executable, "-c", _GROWTH, str(path)]
    grown_kib = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert grown_kib < 12_000


# Reading


def test_a_turned_video_is_read_upright(picture: Pixels, tmp_path: Path) -> None:
    path = tmp_path / "turned.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 160, 122, "yuv444p"
        stream.set_display_rotation(90)
        flat = np.ascontiguousarray(picture[:122, :160])
        container.mux(stream.encode(av.VideoFrame.from_ndarray(flat, format="rgb24")))
        container.mux(stream.encode(None))
    with VideoReader(path) as reader:
        assert reader.size == (122, 160)
        upright, _ = next(iter(reader))
    assert np.abs(upright.astype(int) - np.rot90(flat)).mean() < 8


def test_videos_that_are_none(picture: Pixels, noise: Samples, text_file: Path) -> None:
    folder = text_file.parent
    write(folder / "good.mp4", picture, noise, fps=25, sample_rate=16_000)
    data = (folder / "good.mp4").read_bytes()
    with wave.open(str(folder / "sound.wav"), "wb") as sound:
        sound.setparams((1, 2, 16_000, 0, "NONE", ""))
        sound.writeframes(bytes(3200))
    (folder / "cut.mp4").write_bytes(data[: len(data) // 2])
    (folder / "empty.mp4").touch()
    text_file.rename(folder / "text.mp4")
    for name, match in (
        ("gone.mp4", "no such file"), ("empty.mp4", "the file is empty"),
        ("cut.mp4", "not a sound or video file"), ("text.mp4", "not a|is Tele"),
        ("sound.wav", "has no picture track"), (".", "is a folder"),
    ):  # fmt: skip
        with pytest.raises(VideoError, match=match):
            VideoReader(folder / name)


# Bad output


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("clip.xyz", "cannot tell the format from .*end it in .mp4"),
        ("clip", "cannot tell the format from 'no suffix'"),
        ("gone/clip.mp4", "there is no folder .*create it first"),
        ("gone/there/", "there is no folder"),
        ("%d of %d.png", "one number"),
        ("folder.mp4", "is a folder"),
        ("file/", "is in the way"),
    ],
)
def test_places_that_cannot_be_written(tmp_path: Path, name: str, match: str) -> None:
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=match):
        VideoWriter(f"{tmp_path}/{name}", width=8, height=8, fps=25)


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    if os.access(locked, os.W_OK):
        locked = Path("/proc")
        if not locked.is_dir():
            pytest.skip("this user may write everywhere")
    with (
        pytest.raises(OutputError, match=r"clip\.mp4: .*(permission|choose another folder)"),
        VideoWriter(locked / "clip.mp4", width=8, height=8, fps=25),
    ):
        pass


def test_nothing_written_is_an_error(tmp_path: Path) -> None:
    for name in ("clip.mp4", "clip.gif", "frames/"):
        with (
            pytest.raises(OutputError, match="no frame was written"),
            VideoWriter(f"{tmp_path}/{name}", width=8, height=8, fps=25),
        ):
            pass
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("image", "audio", "match"),
    [
        (np.zeros((8, 9, 3), np.uint8), None, r"expected uint8 pictures of shape \[8, 8, 3\]"),
        (np.zeros((8, 8, 3), np.float32), None, "got float32"),
        (np.zeros((8, 8, 3), np.uint8), np.zeros((2, 9), np.float32), "mono float32"),
        (np.zeros((8, 8, 3), np.uint8), np.zeros(9, np.int16), "mono float32"),
        (np.zeros((8, 8, 3), np.uint8), np.zeros(9, np.float32), "give sample_rate="),
    ],
)
def test_frames_of_another_kind(
    tmp_path: Path, image: Pixels, audio: Samples | None, match: str
) -> None:
    with (
        pytest.raises(InputError, match=match),
        VideoWriter(tmp_path / "clip.mp4", width=8, height=8, fps=25) as out,
    ):
        out.write(image, audio)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "options", [{"width": 0}, {"height": 20_000}, {"fps": 0}, {"fps": -1}, {"fps": float("nan")}]
)
def test_impossible_videos(tmp_path: Path, options: dict[str, float]) -> None:
    settings = {"width": 8, "height": 8, "fps": 25.0} | options
    with pytest.raises(InputError, match="must be"):
        VideoWriter(tmp_path / "clip.mp4", **settings)  # type: ignore[arg-type]


def test_a_gif_has_a_clock_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at most 100 frames a second, got 120"):
        VideoWriter(tmp_path / "clip.gif", width=8, height=8, fps=120)


def test_writing_outside_the_with_block(tmp_path: Path) -> None:
    out = VideoWriter(tmp_path / "clip.mp4", width=8, height=8, fps=25)
    with pytest.raises(InputError, match="with block"):
        out.write(np.zeros((8, 8, 3), np.uint8))
    assert names(tmp_path) == []


_ENDLESS = """
import sys
import numpy as np
from avatar.errors import OutputError
from avatar.media import VideoWriter
rng = np.random.default_rng(0)
try:
    with VideoWriter(sys.argv[1], width=256, height=256, fps=25, sample_rate=16000) as out:
        for index in range(int(sys.argv[2])):
            image = rng.integers(0, 255, (256, 256, 3), np.uint8)
            out.write(image, rng.standard_normal(640).astype(np.float32) * 0.1)
            if index == 3:
                print("writing", flush=True)
except OutputError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def _limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))


@pytest.mark.parametrize("name", ["clip.mp4", "clip.webm", "clip.gif", "frames/"])
@pytest.mark.parametrize("frames", [8, 400])
def test_disk_full_leaves_nothing(tmp_path: Path, name: str, frames: int) -> None:
    """A limit on the file size fails the write as a full disk does, early or at the very end."""
    if name == "frames/":
        frames = 400  # single pictures are small: the sound beside them meets the limit
    path = f"{tmp_path}/{name}"
    command = [sys.executable, "-c", _ENDLESS, path, str(frames)]
    done = subprocess.run(
        command, capture_output=True, text=True, preexec_fn=_limit_files, check=False
    )
    assert done.returncode == 12, done.stderr
    assert "could not be written: the disk is full" in done.stdout
    assert names(tmp_path) == []


def test_a_real_full_disk(tmp_path: Path) -> None:
    """On a file system of 300 kB, where this user may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "none", str(disk)]
    try:
        probe = subprocess.run(["unshare", "-m", *mount], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("no unshare command here")
    if probe.returncode:
        pytest.skip("this user may not mount")
    inside = f'{" ".join(mount)} && "$@"; echo "code $?"; echo "left: $(ls -A {disk})"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", inside, "sh",
         sys.executable, "-c", _ENDLESS, str(disk / "clip.mp4"), "400"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "code 12\nleft: \n" in done.stdout, done.stdout + done.stderr
    assert "clip.mp4: could not be written: the disk is full" in done.stdout


@pytest.mark.parametrize("name", ["clip.mp4", "clip.webm", "frames/"])
def test_ctrl_c_leaves_nothing(tmp_path: Path, name: str, interruptible: Any) -> None:
    command = [sys.executable, "-c", _ENDLESS, f"{tmp_path}/{name}", "1000000"]
    with interruptible(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"writing\n"
        assert len(names(tmp_path)) == 1
        process.send_signal(2)
        _, errors = process.communicate(timeout=20)
    assert b"KeyboardInterrupt" in errors
    assert process.returncode != 0
    assert names(tmp_path) == []


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_ctrl_c_in_the_middle_of_a_write_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupt: type[BaseException]
) -> None:
    """A signal is heard by the first Python that runs: that may be what FFmpeg calls to write."""
    real, calls = _Checked.write, []

    def write(self: _Checked, data: bytes) -> int:
        calls.append(len(data))
        if len(calls) == 3:
            monkeypatch.setattr(self, "_file", _Interrupting(interrupt))
        return real(self, data)

    monkeypatch.setattr(_Checked, "write", write)
    picture = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)

    def film() -> None:
        with VideoWriter(tmp_path / "clip.mp4", width=256, height=256, fps=25) as out:
            for _ in range(200):
                out.write(picture)

    with pytest.raises(interrupt):
        film()
    assert names(tmp_path) == []


class _Interrupting:
    def __init__(self, interrupt: type[BaseException]) -> None:
        self._interrupt = interrupt

    def write(self, data: bytes) -> int:
        raise self._interrupt


def see_through(picture: Pixels) -> Pixels:
    """Opaque at the left, half in the middle, nothing at the right."""
    share = np.repeat(np.array([255, 128, 0], np.uint8), -(-picture.shape[1] // 3))
    share = np.broadcast_to(share[: picture.shape[1]], picture.shape[:2])
    return np.concatenate([picture, share[..., None]], axis=2)


@pytest.mark.parametrize(("suffix", "codec"), [(".webm", "libvpx-vp9"), (".mov", "prores")])
@pytest.mark.parametrize("crop", [0, 1])
def test_transparency_is_kept(
    picture: Pixels, noise: Samples, tmp_path: Path, suffix: str, codec: str, crop: int
) -> None:
    image = see_through(picture[crop:, crop:])
    path = tmp_path / f"clip{suffix}"
    height, width = image.shape[:2]
    with VideoWriter(
        path, width=width, height=height, fps=25, sample_rate=16_000, alpha=True
    ) as out:
        for k in range(3):
            out.write(image, noise[k * 640 : (k + 1) * 640])
    with av.open(str(path)) as container:
        decoder = av.CodecContext.create(codec, "r")
        stream = container.streams.video[0]
        decoder.extradata = stream.codec_context.extradata
        packets = list(container.demux(stream))
        frames = [frame for packet in packets for frame in decoder.decode(packet)]
    assert len(frames) == 3
    read = frames[0].to_ndarray(format="rgba", src_colorspace=1)[:height, :width].astype(int)
    assert np.abs(read[..., 3] - image[..., 3]).mean() < 4
    opaque = image[..., 3] == 255
    assert np.abs(read[opaque][:, :3] - image[opaque][:, :3]).mean() < 8


def test_transparent_pictures_are_png_to_the_bit(picture: Pixels, tmp_path: Path) -> None:
    image = see_through(picture)
    height, width = image.shape[:2]
    with VideoWriter(f"{tmp_path}/all/", width=width, height=height, fps=25, alpha=True) as out:
        out.write(image)
    assert np.array_equal(load_image(tmp_path / "all" / "00000.png", alpha=True), image)


@pytest.mark.parametrize("suffix", [".mp4", ".m4v", ".mkv", ".gif"])
def test_a_format_that_cannot_be_transparent_names_those_that_can(
    tmp_path: Path, suffix: str
) -> None:
    with pytest.raises(OutputError, match=r"cannot be transparent.*\.webm, \.mov.*PNG"):
        VideoWriter(tmp_path / f"clip{suffix}", width=64, height=64, fps=25, alpha=True)
    assert names(tmp_path) == []


def test_a_transparent_clip_wants_four_channels(picture: Pixels, tmp_path: Path) -> None:
    height, width = picture.shape[:2]
    path = tmp_path / "clip.webm"
    with (
        pytest.raises(InputError, match="expected uint8 pictures of shape"),
        VideoWriter(path, width=width, height=height, fps=25, alpha=True) as out,
    ):
        out.write(picture)
