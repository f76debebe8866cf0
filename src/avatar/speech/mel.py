"""Streaming log-mel spectrogram of 16 kHz speech.

80 bands, a 25 ms window every 10 ms. Frame ``i`` ends at sample ``160 * (i + 1)``: it looks at the
past only, so it carries no lookahead. Four frames (640 samples, 40 ms) are computed at a time,
always in the same shapes, which is what makes the features of a stream the same bits for any
chunking of the sound.

Bands are given relative to a running level (a peak follower of the frame power: up at most
2 dB, down 0.04 dB a frame), so a quiet and a loud microphone look alike; the level never falls
below ``LEVEL_FLOOR``, so that silence stays silence instead of being amplified.
"""

from __future__ import annotations

import functools

import numpy as np

from avatar.config import SAMPLE_RATE
from avatar.errors import AudioError
from avatar.types import FloatArray

BANDS = 80
FEATURES = BANDS + 1
"""The bands, then the frame power relative to the level."""
WINDOW_SAMPLES = 400
HOP_SAMPLES = 160
FRAMES_PER_BLOCK = 4
SAMPLES_PER_BLOCK = FRAMES_PER_BLOCK * HOP_SAMPLES

LEVEL_FLOOR = -5.0
"""log10 of the mean square: −50 dB of full scale."""
LEVEL_START = -3.0
LEVEL_ATTACK = 0.2
LEVEL_RELEASE = 0.004
BAND_FLOOR = -6.0
"""Bands more than 60 dB under the level are not told apart."""

_FFT = 512
_TINY = 1e-12
_HISTORY = WINDOW_SAMPLES - HOP_SAMPLES


@functools.cache
def _window() -> FloatArray:
    return np.hanning(WINDOW_SAMPLES + 1)[:-1].astype(np.float32)


@functools.cache
def _filters() -> FloatArray:
    """``[257, 80]``: triangles of unit height on Slaney's scale.

    Scaled so that the bands of a frame sum to its mean square.
    """
    import librosa

    bank = librosa.filters.mel(
        sr=SAMPLE_RATE, n_fft=_FFT, n_mels=BANDS, fmin=0.0, fmax=SAMPLE_RATE / 2, norm=None
    )
    return np.ascontiguousarray(bank.T * _power_scale(), dtype=np.float32)


def _power_scale() -> float:
    return float(2.0 / (_FFT * np.square(_window()).sum()))


def _band_powers(frames: FloatArray) -> FloatArray:
    """``[T, 400]`` samples to ``[T, 80]`` band powers."""
    spectrum = np.fft.rfft(frames * _window(), _FFT, axis=1)
    power = np.square(spectrum.real) + np.square(spectrum.imag)
    return np.asarray(power @ _filters(), np.float32)


def _frames(samples: FloatArray, count: int) -> FloatArray:
    """``count`` overlapping windows over ``[240 + 160 * count]`` samples."""
    step = samples.strides[0]
    return np.lib.stride_tricks.as_strided(
        samples, (count, WINDOW_SAMPLES), (HOP_SAMPLES * step, step), writeable=False
    )


def relative_features(powers: FloatArray, level: float) -> tuple[FloatArray, float]:
    """``[T, 80]`` band powers to ``[T, 81]`` features; also the level after the last frame."""
    energies = np.log10(powers.sum(1) + _TINY)
    levels = np.empty(len(powers), np.float32)
    for i, energy in enumerate(energies.tolist()):
        level = max(level + min(energy - level, LEVEL_ATTACK), level - LEVEL_RELEASE, LEVEL_FLOOR)
        levels[i] = level
    features = np.empty((len(powers), FEATURES), np.float32)
    np.log10(powers + _TINY, out=features[:, :BANDS])
    features[:, BANDS] = energies
    features -= levels[:, None]
    np.maximum(features, BAND_FLOOR, out=features)
    return features, level


def mel_powers(samples: FloatArray) -> FloatArray:
    """Band powers of a whole recording at once, ``[N // 160, 80]``.

    For training, where speed counts: they agree with what ``LogMelStream`` sees to rounding, not to
    the bit.
    """
    count = len(samples) // HOP_SAMPLES
    padded = np.concatenate([np.zeros(_HISTORY, np.float32), samples[: count * HOP_SAMPLES]])
    return _band_powers(_frames(padded, count))


def log_mel(samples: FloatArray) -> FloatArray:
    """Features of a whole recording at once, ``[N // 160, 81]``; to rounding, the stream's."""
    return relative_features(mel_powers(samples), LEVEL_START)[0]


class LogMelStream:
    """Log-mel features of a stream of sound.

    >>> stream = LogMelStream()
    >>> stream.push(np.zeros(1000, np.float32)).shape
    (4, 81)
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the sound heard so far."""
        self._level = LEVEL_START
        self._pending = np.zeros(_HISTORY, np.float32)

    def push(self, samples: FloatArray) -> FloatArray:
        """Add sound; gives the features that became ready.

        Args:
            samples: ``[N]`` float32 at 16 kHz, any N.

        Returns:
            ``[T, 81]`` float32, T a multiple of 4: log10 of band powers relative to the running
            level, within −6 to about 0, then that of the frame's power.

        Raises:
            AudioError: not mono float32.
        """
        if samples.dtype != np.float32 or samples.ndim != 1:
            raise AudioError(
                f"samples must be [N] float32 at 16 kHz, got {samples.dtype} {list(samples.shape)}"
            )
        data = np.concatenate([self._pending, samples])
        blocks = []
        start = 0
        while start + _HISTORY + SAMPLES_PER_BLOCK <= len(data):
            block = data[start : start + _HISTORY + SAMPLES_PER_BLOCK]
            powers = _band_powers(_frames(block, FRAMES_PER_BLOCK))
            features, self._level = relative_features(powers, self._level)
            blocks.append(features)
            start += SAMPLES_PER_BLOCK
        self._pending = data[start:].copy()
        return np.concatenate(blocks) if blocks else np.zeros((0, FEATURES), np.float32)
