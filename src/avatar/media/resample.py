"""Change the sample rate of a stream.

A windowed-sinc polyphase filter (J. O. Smith, "Digital Audio Resampling", 2002). Every output
sample is one dot product of fixed length over the input, so the bits do not depend on how the
stream is cut, and the delay is half the filter: 3.2 ms to 16 kHz. A general-purpose resampler
works in blocks and holds back ten times as much, which a live face would show.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil, gcd

import numpy as np

from avatar.errors import AudioError
from avatar.types import FloatArray

_ZERO_CROSSINGS = 48
_ROLLOFF = 0.945
_KAISER_BETA = 8.5
_MAX_PHASES = 1024
_MIN_RATE, _MAX_RATE = 1_000, 768_000
_BLOCK = 512


class StreamResampler:
    """Resample mono sound chunk by chunk: the same bits for any chunking.

    The whole output of ``N`` samples is ``round(N * to_rate / from_rate)`` long (at least one
    sample where there was any), in phase with the input. Content up to 0.88 of the lower Nyquist
    frequency passes unchanged.

    Args:
        from_rate: samples a second of what is pushed.
        to_rate: samples a second of what comes out.

    Raises:
        AudioError: a rate outside 1 to 768 kHz.
    """

    def __init__(self, from_rate: int, to_rate: int) -> None:
        for rate in (from_rate, to_rate):
            if not _MIN_RATE <= rate <= _MAX_RATE:
                raise AudioError(
                    f"a sample rate must be within {_MIN_RATE} to {_MAX_RATE} Hz, got {rate}"
                )
        self.from_rate, self.to_rate = from_rate, to_rate
        divisor = gcd(from_rate, to_rate)
        self._step, self._phases = from_rate // divisor, to_rate // divisor
        self._half = 0 if from_rate == to_rate else _half_width(self._step, self._phases)
        self._pending: FloatArray
        self._reset()

    @property
    def lookahead_seconds(self) -> float:
        """How far the output runs behind the input."""
        return self._half / self.from_rate

    def push(self, samples: FloatArray) -> FloatArray:
        """Take ``[n]`` float32 samples; return those that became ready (maybe none)."""
        if self._half == 0:
            return samples.copy()
        self._received += len(samples)
        self._pending = np.concatenate([self._pending, samples])
        reach = max(self._received - self._half, 0) * self._phases
        return self._compute((reach + self._step - 1) // self._step - self._produced)

    def flush(self) -> FloatArray:
        """End the stream: the samples still due; then ready for another stream."""
        if self._half == 0:
            return np.zeros(0, np.float32)
        total = (2 * self._received * self._phases + self._step) // (2 * self._step)
        total = max(total, min(self._received, 1))
        tail = np.zeros(self._half + self._step // self._phases + 2, np.float32)
        self._pending = np.concatenate([self._pending, tail])
        rest = self._compute(total - self._produced)
        self._reset()
        return rest

    def _reset(self) -> None:
        self._received = 0
        self._produced = 0
        self._pending = np.zeros(max(self._half - 1, 0), np.float32)
        self._first = -len(self._pending)

    def _compute(self, count: int) -> FloatArray:
        """The next ``count`` outputs."""
        out = np.empty(max(count, 0), np.float32)
        for begin in range(0, len(out), _BLOCK):
            block = out[begin : begin + _BLOCK]
            block[:] = self._block(self._produced, len(block))
            self._produced += len(block)
        self._forget()
        return out

    def _block(self, index: int, count: int) -> FloatArray:
        filters = _filters(self._step, self._phases)
        rows, taps = len(filters) - 1, filters.shape[1]
        place = np.arange(index, index + count, dtype=np.int64) * self._step
        below = place // self._phases
        row, remainder = np.divmod((place - below * self._phases) * rows, self._phases)
        windows = np.lib.stride_tricks.sliding_window_view(self._pending, taps)
        window = windows[below - (self._half - 1) - self._first]
        value: FloatArray = np.vecdot(window, filters[row])
        if rows != self._phases:
            weight = (remainder / self._phases).astype(np.float32)
            value += weight * (np.vecdot(window, filters[row + 1]) - value)
        return value

    def _forget(self) -> None:
        """Drop the input that no later output needs."""
        needed = self._produced * self._step // self._phases - (self._half - 1)
        if (surplus := min(needed - self._first, len(self._pending))) > 0:
            self._pending = self._pending[surplus:].copy()
            self._first += surplus


def _half_width(step: int, phases: int) -> int:
    """Half the length of the filter, in input samples."""
    return ceil(_ZERO_CROSSINGS * max(1.0, step / phases) / _ROLLOFF) + 1


@lru_cache(maxsize=8)
def _filters(step: int, phases: int) -> FloatArray:
    """One filter a phase, ``[rows + 1, taps]``; past ``_MAX_PHASES`` rows they are interpolated."""
    rows = min(phases, _MAX_PHASES)
    half = _half_width(step, phases)
    cutoff = _ROLLOFF * min(1.0, phases / step)
    offsets = np.arange(1 - half, half + 1)[None, :] - np.arange(rows + 1)[:, None] / rows
    inside = np.clip(1 - (offsets / half) ** 2, 0, None)
    window = np.i0(_KAISER_BETA * np.sqrt(inside)) / np.i0(_KAISER_BETA)
    exact = np.sinc(cutoff * offsets) * window
    filters: FloatArray = (exact / exact.sum(axis=1, keepdims=True)).astype(np.float32)
    filters.setflags(write=False)
    return filters
