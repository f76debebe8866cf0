"""Read any sound as mono float32, whole or as a stream in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Integral
from typing import Any, BinaryIO, cast

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from avatar.errors import AudioError
from avatar.media._container import open_container
from avatar.media._source import ByteSource, Nameless, is_byte_source, opened, source_name
from avatar.media.resample import StreamResampler
from avatar.types import Audio, FloatArray

AudioSource = ByteSource | Audio | tuple[NDArray[Any], int]

_MAX_CHANNELS = 32
_MOST_PEAK = 16.0
"""Of floats; louder ones were integers."""


def load_audio(source: AudioSource, *, sample_rate: int | None = None) -> Audio:
    """Read a recording whole, mixed to mono.

    Args:
        source: path, bytes or binary file object of any sound or video file; an ``Audio``; or
            ``(samples, sample_rate)`` with ``[N]`` samples or any of ``[N, C]`` and ``[C, N]``
            (the shorter axis is the channels): float in [-1, 1], int16, int32, int8 or uint8.
        sample_rate: resample to this rate; by default the recording keeps its own.

    Raises:
        AudioError: no such file, no sound in it, no samples, or samples that are not finite.

    Example:
        >>> load_audio("speech.wav", sample_rate=16_000).duration_seconds
        3.2
    """
    if sample_rate is not None and not isinstance(sample_rate, Integral):
        raise AudioError(f"sample_rate must be a whole number of hertz, got {sample_rate!r}")
    chunks = list(iter_audio(source, chunk_seconds=10.0))
    rate = chunks[0].sample_rate
    if sample_rate is None or sample_rate == rate:
        return Audio(np.concatenate([chunk.samples for chunk in chunks]), rate)
    resampler = StreamResampler(rate, sample_rate)
    parts = [resampler.push(chunk.samples) for chunk in chunks]
    return Audio(np.concatenate([*parts, resampler.flush()]), sample_rate)


def iter_audio(source: AudioSource, *, chunk_seconds: float = 1.0) -> Iterator[Audio]:
    """Read a recording chunk by chunk, mixed to mono, at its own rate.

    Every chunk but the last has ``round(chunk_seconds * rate)`` samples; memory does not grow
    with the recording. There is at least one chunk, and none is empty.

    Raises:
        AudioError: as ``load_audio``; a damaged place is met only when the stream reaches it.
    """
    if chunk_seconds <= 0:
        raise AudioError(f"chunk_seconds must be positive, got {chunk_seconds}")
    name = source_name(source)
    if isinstance(source, Audio):
        blocks = iter([(source.samples, source.sample_rate)])
        name = "audio"
    elif isinstance(source, tuple):
        blocks = iter([_from_array(source)])
        name = "audio array"
    elif is_byte_source(source):
        blocks = _decode(source, name)
    else:
        raise AudioError(
            f"cannot read audio from {type(source).__name__}; give a path, bytes, a binary file, "
            "an avatar.Audio, or (samples, sample_rate)"
        )
    return _rechunk(blocks, chunk_seconds, name)


def _rechunk(
    blocks: Iterator[tuple[FloatArray, int]], chunk_seconds: float, name: str
) -> Iterator[Audio]:
    """Join and cut blocks to equal chunks, each checked, with the place of a fault in the whole."""
    held: list[FloatArray] = []
    count = given = rate = 0
    size = 1
    for samples, rate in blocks:
        size = max(1, round(chunk_seconds * rate))
        held.append(samples)
        count += len(samples)
        if count < size:
            continue
        joined = np.concatenate(held)
        for begin in range(0, count - size + 1, size):
            yield _checked(joined[begin : begin + size], rate, given, name)
            given += size
        held, count = [joined[count - count % size :]], count % size
    if count:
        yield _checked(np.concatenate(held), rate, given, name)
    elif not given:
        raise AudioError(f"{name}: holds no samples; record or export it again")


def _checked(samples: FloatArray, rate: int, offset: int, name: str) -> Audio:
    finite = np.isfinite(samples)
    if not finite.all():
        bad = offset + int(np.argmin(finite))
        raise AudioError(
            f"{name}: holds NaN or infinity (first at sample {bad}, {bad / rate:.3f} s); "
            "repair the recording, for example with numpy.nan_to_num"
        )
    return Audio(np.clip(samples, -1.0, 1.0), rate)


def _decode(source: ByteSource, name: str) -> Iterator[tuple[FloatArray, int]]:
    """Mono blocks of a file, by libsndfile where it knows the format, else by FFmpeg."""
    with opened(source, AudioError) as file:
        begin = file.tell()
        try:
            sound = soundfile.SoundFile(Nameless(file))
        except (soundfile.LibsndfileError, TypeError):
            file.seek(begin)
            yield from _decode_container(file, name)
            return
        with sound:
            try:
                while len(block := sound.read(sound.samplerate, "float32", always_2d=True)):
                    _refuse_integers(block, f"{name}: float audio")
                    yield _mono(cast(FloatArray, block)), sound.samplerate
            except soundfile.LibsndfileError as reason:
                raise _damaged(name, reason) from None


def _decode_container(file: BinaryIO, name: str) -> Iterator[tuple[FloatArray, int]]:
    with open_container(file, name, AudioError) as container:
        if not container.streams.audio:
            raise AudioError(f"{name}: has no sound track; give a file with speech in it")
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="fltp")
        try:
            for frame in container.decode(stream):
                for plain in resampler.resample(frame):
                    yield _mono(cast(FloatArray, plain.to_ndarray().T)), plain.sample_rate
        except av.FFmpegError as reason:
            raise _damaged(name, reason) from None


def _damaged(name: str, reason: Exception) -> AudioError:
    return AudioError(f"{name}: the sound is damaged or cut short ({reason}); export it again")


def _from_array(source: tuple[Any, ...]) -> tuple[FloatArray, int]:
    if len(source) != 2:
        raise AudioError(f"an audio tuple must be (samples, sample_rate), got {len(source)} items")
    values, rate = np.asarray(source[0]), source[1]
    if not isinstance(rate, int | np.integer) or rate < 1:
        raise AudioError(f"sample_rate must be a positive whole number of hertz, got {rate!r}")
    kind = f"{values.dtype} of shape {list(values.shape)}"
    if values.ndim == 2 and values.shape[0] < values.shape[1]:
        values = values.T
    if values.ndim not in (1, 2) or (values.ndim == 2 and values.shape[1] > _MAX_CHANNELS):
        raise AudioError(f"an audio array must be [N], [N, C] or [C, N], got {kind}")
    if values.size == 0:
        raise AudioError("the audio array holds no samples")
    scaled = _to_float(values, kind)
    return (scaled if scaled.ndim == 1 else _mono(scaled)), int(rate)


def _to_float(values: NDArray[Any], kind: str) -> FloatArray:
    if values.dtype == np.uint8:
        return cast(FloatArray, (values.astype(np.float32) - 128) / 128)
    if values.dtype in (np.int8, np.int16, np.int32):
        scale = -float(np.iinfo(values.dtype).min)
        return cast(FloatArray, (values / scale).astype(np.float32))
    if values.dtype.kind != "f":
        raise AudioError(f"audio samples must be float, int32, int16, int8 or uint8, got {kind}")
    _refuse_integers(values, "float audio")
    return values.astype(np.float32)


def _refuse_integers(values: NDArray[np.floating[Any]], name: str) -> None:
    """Refuse floats that are 16-bit values."""
    peak = float(np.nanmax(np.abs(values), initial=0.0))
    if np.isfinite(peak) and peak > _MOST_PEAK:
        raise AudioError(
            f"{name} must lie within -1 to 1, got a peak of {peak:.0f}; divide by 32768 if these "
            "are 16-bit values"
        )


def _mono(block: NDArray[np.float32]) -> FloatArray:
    """``[N, C]`` to ``[N]``."""
    if block.shape[1] == 1:
        return block[:, 0]
    return cast(FloatArray, block.mean(axis=1, dtype=np.float32))
