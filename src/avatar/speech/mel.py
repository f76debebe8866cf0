"""Streaming log-mel spectrogram of 16 kHz speech.

80 bands, a 25 ms window every 10 ms. Frame ``i`` ends at sample ``160 * (i + 1)``: it looks at the
past only, so it carries no lookahead. Four frames (640 samples, 40 ms) are a block. Blocks of many
streams are computed together, and each is the same bits in any company, which is what makes the
features of a stream the same for any chunking of the sound.

Bands are given relative to a running level (a peak follower of the frame power: up at most
2 dB, down 0.04 dB a frame), so a quiet and a loud microphone look alike; the level never falls
below ``LEVEL_FLOOR``, so that silence stays silence instead of being amplified.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from avatar.config import SAMPLE_RATE
from avatar.errors import AudioError
from avatar.ops import LogMel
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
_HISTORY = WINDOW_SAMPLES - HOP_SAMPLES
_LONGEST = _HISTORY + SAMPLES_PER_BLOCK


@functools.cache
def _analysis() -> LogMel:
    """The one place where sound becomes features.

    Its bands are triangles of unit height on Slaney's scale, scaled so that those of a frame sum to
    its mean square.
    """
    import librosa

    window = np.hanning(WINDOW_SAMPLES + 1)[:-1].astype(np.float32)
    bank = librosa.filters.mel(
        sr=SAMPLE_RATE, n_fft=_FFT, n_mels=BANDS, fmin=0.0, fmax=SAMPLE_RATE / 2, norm=None
    )
    scale = float(2.0 / (_FFT * np.square(window).sum()))
    return LogMel(
        window,
        np.ascontiguousarray(bank.T * scale, dtype=np.float32),
        hop=HOP_SAMPLES,
        attack=LEVEL_ATTACK,
        release=LEVEL_RELEASE,
        level_floor=LEVEL_FLOOR,
        band_floor=BAND_FLOOR,
    )


def relative_features(powers: FloatArray, level: float) -> tuple[FloatArray, float]:
    """``[T, 80]`` band powers to ``[T, 81]`` features; also the level after the last frame."""
    return _analysis().relative(powers, level, np.empty((len(powers), FEATURES), np.float32))


def mel_powers(samples: FloatArray) -> FloatArray:
    """Band powers of a whole recording at once, ``[N // 160, 80]``.

    For training, where speed counts: they agree with what ``LogMelStream`` sees to rounding, not to
    the bit.
    """
    count = len(samples) // HOP_SAMPLES
    if not count:
        return np.zeros((0, BANDS), np.float32)
    padded = np.concatenate([np.zeros(_HISTORY, np.float32), samples[: count * HOP_SAMPLES]])
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)
    return _analysis().band_powers(windows[::HOP_SAMPLES])


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
        self._level = np.full(1, LEVEL_START)
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
        self.listen(samples)
        return take_features([self], [self.waiting]).reshape(-1, FEATURES)

    def listen(self, samples: FloatArray) -> None:
        """Add sound, ``[N]`` float32 at 16 kHz; ``take_features`` gives what became ready.

        Raises:
            AudioError: not mono float32.
        """
        if samples.dtype != np.float32 or samples.ndim != 1:
            raise AudioError(
                f"samples must be [N] float32 at 16 kHz, got {samples.dtype} {list(samples.shape)}"
            )
        self._pending = np.concatenate([self._pending, samples])

    @property
    def waiting(self) -> int:
        """Blocks that are complete and were not taken."""
        return (len(self._pending) - _HISTORY) // SAMPLES_PER_BLOCK


def take_features(streams: Sequence[LogMelStream], blocks: Sequence[int]) -> FloatArray:
    """The features of the next ``blocks`` of each stream, stream after stream, ``[R, 4, 81]``."""
    sounds, levels = [], []
    for stream, count in zip(streams, blocks, strict=True):
        for begin in range(0, count * SAMPLES_PER_BLOCK, SAMPLES_PER_BLOCK):
            sounds.append(stream._pending[begin : begin + _LONGEST])
            levels.append(stream._level)
        stream._pending = stream._pending[count * SAMPLES_PER_BLOCK :]
    features = np.empty((len(sounds), FRAMES_PER_BLOCK, FEATURES), np.float32)
    _analysis()(sounds, levels, features)
    return features
