"""Chunks of sound as they are handed in: checked, and brought to the rate of the session."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar.errors import AudioError
from avatar.media import StreamResampler
from avatar.types import Audio, FloatArray

_FULL_SCALE = 16.0
"""Float samples louder than this were never divided by the range of their integer type."""


class Intake:
    """Takes chunks of any rate and gives sound of one rate; a refused chunk leaves no trace.

    Attributes:
        open: whether sound has come since the last ``end``.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self.open = False
        self._source: StreamResampler | None = None

    def push(self, chunk: Audio | NDArray[Any], sample_rate: int | None) -> FloatArray:
        """The sound that is ready, ``[N]`` float32; where the rate changes, a new stream begins.

        Raises:
            AudioError: not mono sound, not finite, or of an impossible rate.
        """
        rate = chunk.sample_rate if isinstance(chunk, Audio) else sample_rate
        rate = self.sample_rate if rate is None else rate
        if not isinstance(rate, int | np.integer):
            raise AudioError(f"sample_rate must be a whole number of hertz, got {rate!r}")
        samples = _samples(chunk)
        if not len(samples):
            return samples
        old, rate = self._source, int(rate)
        if old is not None and old.from_rate == rate:
            return old.push(samples)
        source = None if rate == self.sample_rate else StreamResampler(rate, self.sample_rate)
        self._source, self.open = source, True
        ready = samples if source is None else source.push(samples)
        return ready if old is None else np.concatenate([old.flush(), ready])

    def end(self) -> FloatArray:
        """The utterance is over: the sound still due."""
        old, self._source, self.open = self._source, None, False
        return np.zeros(0, np.float32) if old is None else old.flush()


def _samples(chunk: Audio | NDArray[Any]) -> FloatArray:
    """Check a chunk of sound and give it as float32 ``[N]`` that nobody else can change."""
    if isinstance(chunk, Audio):
        return chunk.samples.copy()
    if not isinstance(chunk, np.ndarray) or chunk.ndim != 1:
        raise AudioError(
            "a chunk of audio must be a one-dimensional array of float or int16 samples, got "
            f"{type(chunk).__name__} of shape {list(np.shape(chunk))}; mix channels to mono, and "
            "read raw PCM16 bytes with numpy.frombuffer(data, numpy.int16)"
        )
    if chunk.dtype == np.int16:
        return chunk.astype(np.float32) / np.float32(32768.0)
    if chunk.dtype.kind != "f":
        raise AudioError(f"samples must be float or int16, got {chunk.dtype}")
    samples = chunk.astype(np.float32)
    peak = float(np.abs(samples).max(initial=0.0))
    if not np.isfinite(peak):
        raise AudioError(
            "the chunk holds NaN or infinity; repair it, for example with numpy.nan_to_num"
        )
    if peak > _FULL_SCALE:
        raise AudioError(
            f"float samples must be within [-1, 1], this chunk peaks at {peak:.0f}; divide integer "
            "samples by the range of their type"
        )
    return samples
