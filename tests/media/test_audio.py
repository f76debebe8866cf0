"""Any recording becomes mono float32, whole or as a stream; anything else a clear error."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import threading
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from avatar.errors import AudioError
from avatar.media import VideoWriter, iter_audio, load_audio
from avatar.types import Audio

Samples = NDArray[np.float32]


def wav(samples: NDArray[np.generic], rate: int = 16_000, **options: str) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=options.pop("format", "WAV"), **options)
    return buffer.getvalue()


def compressed(samples: Samples, rate: int, codec: str, container: str) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return buffer.getvalue()


@pytest.mark.parametrize("rate", [8000, 16_000, 22_050, 44_100, 48_000, 96_000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_rate_and_channel_count(noise: Samples, rate: int, channels: int) -> None:
    gains = np.linspace(0.5, 1.0, channels, dtype=np.float32)
    audio = load_audio(wav(noise[:, None] * gains, rate, subtype="FLOAT"))
    assert audio.sample_rate == rate
    np.testing.assert_allclose(audio.samples, noise * gains.mean(), atol=1e-6)
    at16k = load_audio(wav(noise, rate), sample_rate=16_000)
    assert at16k.sample_rate == 16_000
    assert len(at16k.samples) == round(32_000 * 16_000 / rate)


@pytest.mark.parametrize(
    ("kind", "subtype", "tolerance"),
    [
        ("WAV", "PCM_U8", 1e-2), ("WAV", "PCM_16", 1e-4), ("WAV", "PCM_24", 1e-6),
        ("WAV", "DOUBLE", 1e-7), ("FLAC", "PCM_16", 1e-4), ("AIFF", "PCM_16", 1e-4),
        ("OGG", "VORBIS", 5e-2), ("MP3", "MPEG_LAYER_III", 5e-2),
    ],
)  # fmt: skip
def test_sound_files(noise: Samples, kind: str, subtype: str, tolerance: float) -> None:
    audio = load_audio(wav(noise, 16_000, format=kind, subtype=subtype))
    overlap = min(len(noise), len(audio.samples))
    assert abs(len(audio.samples) - len(noise)) < 2500
    if tolerance < 5e-2:
        np.testing.assert_allclose(audio.samples[:overlap], noise[:overlap], atol=tolerance)


@pytest.mark.parametrize(
    ("codec", "container"), [("aac", "mp4"), ("aac", "adts"), ("libopus", "webm"), ("aac", "mov")]
)
def test_containers_that_only_ffmpeg_reads(noise: Samples, codec: str, container: str) -> None:
    audio = load_audio(compressed(noise, 48_000, codec, container))
    assert audio.sample_rate == 48_000
    assert len(audio.samples) == pytest.approx(len(noise), abs=2100)
    overlap = min(len(noise), len(audio.samples))
    shifts = np.correlate(audio.samples[:overlap], noise[3000 : overlap - 3000], "valid")
    expected = 1024 if container == "adts" else 0
    assert abs(int(shifts.argmax()) - 3000 - expected) <= 1


def test_every_kind_of_source_gives_the_same(noise: Samples, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(data := wav(noise))
    expected = load_audio(path).samples
    with path.open("rb") as file:
        pcm = np.rint(noise * 32767).astype(np.int16)
        for source in (str(path), data, memoryview(data), io.BytesIO(data), file, (pcm, 16_000)):
            np.testing.assert_allclose(load_audio(source).samples, expected, atol=1e-4)


def test_a_pipe_that_has_a_name(noise: Samples, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(wav(noise),))
    writer.start()
    audio = load_audio(pipe)
    writer.join()
    np.testing.assert_array_equal(audio.samples, load_audio(wav(noise)).samples)


def test_integers_in_a_file_of_floats_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "loud.wav"
    soundfile.write(path, np.full(900, 12_000.0), 16_000, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"loud.wav: .*divide by 32768"):
        load_audio(path)


def test_a_pipe_that_cannot_seek(noise: Samples, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(noise))
    with subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        audio = load_audio(process.stdout)  # type: ignore[arg-type]
    np.testing.assert_array_equal(audio.samples, load_audio(path).samples)


@pytest.mark.parametrize(
    ("dtype", "scale", "middle"),
    [
        (np.float16, 1.0, 0), (np.float32, 1.0, 0), (np.float64, 1.0, 0),
        (np.int8, 128, 0), (np.int16, 32768, 0), (np.int32, 2**31, 0), (np.uint8, 128, 128),
    ],
)  # fmt: skip
def test_arrays_of_every_width(dtype: type, scale: float, middle: int) -> None:
    wave = np.array([0.0, 0.5, -0.5, 0.25])
    audio = load_audio(((wave * scale + middle).astype(dtype), 8000))
    np.testing.assert_allclose(audio.samples, wave, atol=0.01)


def test_the_shorter_axis_is_the_channels(noise: Samples) -> None:
    stereo = np.stack([noise, -noise / 2])
    for array in (stereo, stereo.T):
        np.testing.assert_allclose(load_audio((array, 16_000)).samples, noise / 4, atol=1e-7)


def test_an_audio_is_taken_as_it_is(noise: Samples) -> None:
    np.testing.assert_array_equal(load_audio(Audio(noise, 16_000)).samples, noise)


@pytest.mark.parametrize("rate", [8000, 16_000, 48_000])
def test_one_sample_works(rate: int) -> None:
    audio = load_audio(wav(np.array([0.5], np.float32), rate), sample_rate=16_000)
    assert len(audio.samples) >= 1
    assert np.isfinite(audio.samples).all()


@given(st.integers(1, 9000), st.floats(0.001, 1.0))
def test_chunks_join_to_the_whole(length: int, chunk_seconds: float) -> None:
    samples = np.random.default_rng(length).uniform(-1, 1, length).astype(np.float32)
    chunks = list(iter_audio((samples, 8000), chunk_seconds=chunk_seconds))
    np.testing.assert_array_equal(np.concatenate([c.samples for c in chunks]), samples)
    size = max(1, round(chunk_seconds * 8000))
    assert all(len(c.samples) == size for c in chunks[:-1])
    assert 1 <= len(chunks[-1].samples) <= size


_MEASURE = """
import resource, sys
from avatar.media import iter_audio
list(zip(iter_audio(sys.argv[2]), range(3)))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
seconds = sum(chunk.duration_seconds for chunk in iter_audio(sys.argv[1]))
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(seconds, after - before)
"""


@pytest.mark.parametrize("suffix", [".wav", ".m4a"])
def test_ten_minutes_in_bounded_memory(noise: Samples, tmp_path: Path, suffix: str) -> None:
    """Ten minutes are 38 MB of samples; reading them chunk by chunk adds far less."""
    short, long = tmp_path / f"short{suffix}", tmp_path / f"long{suffix}"
    for path, seconds in ((short, 6), (long, 600)):
        track = np.tile(noise, seconds // 2)
        path.write_bytes(
            wav(track) if suffix == ".wav" else compressed(track, 16_000, "aac", "mp4")
        )
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(long), str(short)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    seconds, grown_kib = (float(word) for word in done.stdout.split())
    assert seconds == pytest.approx(600, abs=0.2)
    assert grown_kib < 12_000


# Bad input


@pytest.mark.parametrize("name", ["speech.wav", "speech.txt", "speech.mp3", "speech.raw"])
def test_a_text_file_is_refused_by_name(text_file: Path, name: str) -> None:
    path = text_file.rename(text_file.with_name(name))
    with pytest.raises(AudioError, match=rf"{name}: .*"):
        load_audio(path)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG"])
def test_no_samples(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"silent.{kind.lower()}"
    path.write_bytes(wav(np.zeros(0, np.float32), format=kind))
    with pytest.raises(AudioError, match=rf"{path.name}: "):
        load_audio(path)


def test_empty_file_missing_file_folder(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    for name, match in (
        ("empty.wav", "the file is empty"), ("gone.wav", "no such file"), (".", "is a folder"),
    ):  # fmt: skip
        with pytest.raises(AudioError, match=match):
            load_audio(tmp_path / name)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_placed(tmp_path: Path, noise: Samples, bad: float) -> None:
    broken = noise.copy()
    broken[20_000] = bad
    path = tmp_path / "broken.wav"
    path.write_bytes(wav(broken, subtype="FLOAT"))
    with pytest.raises(AudioError, match=r"broken\.wav: .*sample 20000, 1\.250 s.*nan_to_num"):
        load_audio(path)
    with pytest.raises(AudioError, match="sample 20000"):
        list(iter_audio((broken, 16_000), chunk_seconds=0.1))


def test_a_video_without_sound(tmp_path: Path) -> None:
    path = tmp_path / "mute.mp4"
    with VideoWriter(path, width=32, height=32, fps=25) as out:
        out.write(np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(AudioError, match=r"mute\.mp4: has no sound track"):
        load_audio(path)


def test_a_cut_recording_gives_what_there_is_or_a_clear_error(noise: Samples) -> None:
    tests = [wav(noise), wav(noise, format="FLAC"), compressed(noise, 48_000, "aac", "adts")]
    for data in tests:
        for share in (0.3, 0.7):
            try:
                audio = load_audio(data[: int(len(data) * share)])
            except AudioError:
                continue
            assert 0 < len(audio.samples) <= len(noise)


@given(st.binary(min_size=1, max_size=300))
def test_junk_never_raises_anything_else(junk: bytes) -> None:
    for data in (junk, b"RIFF" + junk, b"fLaC" + junk, b"OggS" + junk, b"#EXTM3U\n" + junk):
        with contextlib.suppress(AudioError):
            load_audio(data)


def test_a_playlist_does_not_open_what_it_names(tmp_path: Path, noise: Samples) -> None:
    inside = tmp_path / "secret.ts"
    inside.write_bytes(compressed(noise, 48_000, "aac", "mpegts"))
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{}\n#EXT-X-ENDLIST\n"
    for name in (str(inside), inside.as_uri(), "http://127.0.0.1:9/a.ts"):
        with pytest.raises(AudioError):
            load_audio(playlist.format(name).encode())
    concat = f"ffconcat version 1.0\nfile '{inside}'\n".encode()
    with pytest.raises(AudioError):
        load_audio(concat)


@pytest.mark.parametrize(
    ("source", "match"),
    [
        ((np.zeros(0, np.float32), 16_000), "holds no samples"),
        ((np.zeros((0, 2), np.float32), 16_000), "holds no samples"),
        ((np.zeros((4, 4, 4), np.float32), 16_000), r"\[N\], \[N, C\] or \[C, N\]"),
        ((np.zeros((50, 60), np.float32), 16_000), r"\[N\], \[N, C\] or \[C, N\]"),
        ((np.zeros(9, np.complex64), 16_000), "must be float"),
        ((np.zeros(9, np.uint16), 16_000), "must be float"),
        ((np.full(9, 12_000.0), 16_000), "divide by 32768"),
        ((np.zeros(9), 0), "positive whole number"),
        ((np.zeros(9), 16e3), "positive whole number"),
        ((np.zeros(9),), r"\(samples, sample_rate\)"),
        (np.zeros(9), r"\(samples, sample_rate\)"),
        (None, r"\(samples, sample_rate\)"),
    ],
)
def test_arrays_that_are_no_sound(source: object, match: str) -> None:
    with pytest.raises(AudioError, match=match):
        load_audio(source)  # type: ignore[arg-type]


def test_bad_chunk_length(noise: Samples) -> None:
    with pytest.raises(AudioError, match="chunk_seconds must be positive"):
        iter_audio((noise, 16_000), chunk_seconds=0)
