"""Log-mel features of streams of sound, relative to a level that follows the loudness.

Numpy in and out. It only runs, so there is no gradient here and nothing for ``torch.compile``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from avatar.errors import InputError
from avatar.ops import _native

FloatArray = NDArray[np.float32]
Level = NDArray[np.float64]

_FFT = 512
"""``kMelFft`` of csrc/ops.h."""
_MOST_BANDS = 128
_TINY = 1e-12


class LogMel:
    """Windows of sound become log10 of band powers, then of their sum, less the running level.

    The level goes up by ``attack`` a frame at most and down by ``release``, towards the log10 of
    the sum of the bands, and never below ``level_floor``.

    Args:
        window: ``[W]``, at most 512 samples.
        filters: ``[257, N]`` from the powers of a transform of 512 to at most 128 bands.
        hop: samples from frame to frame.
        attack: log10.
        release: log10.
        level_floor: log10.
        band_floor: of what comes out, log10.
    """

    def __init__(
        self,
        window: FloatArray,
        filters: FloatArray,
        *,
        hop: int,
        attack: float,
        release: float,
        level_floor: float,
        band_floor: float,
    ) -> None:
        bins, bands = filters.shape
        if bins != _FFT // 2 + 1 or bands > _MOST_BANDS or len(window) > _FFT:
            raise InputError(
                f"log_mel: filters must be [{_FFT // 2 + 1}, at most {_MOST_BANDS}] and the window "
                f"at most [{_FFT}], got {list(filters.shape)} and {list(window.shape)}"
            )
        self.bands = bands
        self._window = np.ascontiguousarray(window, np.float32)
        self._filters = filters
        self._hop = hop
        self._limits = (attack, release, level_floor, band_floor)
        turns = 2 * np.pi * np.arange(_FFT // 2) / _FFT
        self._twiddles = np.stack([np.cos(turns), np.sin(turns)], 1).astype(np.float32)
        used = [np.flatnonzero(filters[:, band]) for band in range(bands)]
        spans = [(k[0], k[-1] + 1) if len(k) else (0, 0) for k in used]
        self._first = np.array([begin for begin, _ in spans], np.int64)
        self._count = np.array([end - begin for begin, end in spans], np.int64)
        weights = [filters[begin:end, band] for band, (begin, end) in enumerate(spans)]
        self._weights = np.concatenate(weights).astype(np.float32)

    def __call__(
        self, sounds: Sequence[FloatArray], levels: Sequence[Level], features: FloatArray
    ) -> None:
        """Any number of frames of each of several streams; each is the same bits in any company.

        Args:
            sounds: ``[W + (T - 1) * hop]`` of each, all alike.
            levels: ``[1]`` of each, before its first frame; changed. The same array stands for
                sounds that follow each other.
            features: ``[S, T, at least N + 1]``, written; columns beyond stay as they are.
        """
        length = len(self._window) + (features.shape[1] - 1) * self._hop
        for sound in sounds:
            _check(sound, length)
        _check_features(features, len(sounds), len(levels), self.bands)
        kernels = _native.cpu_kernels()
        if kernels is None:
            self.reference(sounds, levels, features)
            return
        kernels.log_mel(
            sounds, levels, features, self._hop, self._window, self._twiddles, self._first,
            self._count, self._weights, *self._limits,
        )  # fmt: skip

    def reference(
        self, sounds: Sequence[FloatArray], levels: Sequence[Level], features: FloatArray
    ) -> None:
        """The specification, in plain numpy."""
        frames = features.shape[1]
        for sound, level, out in zip(sounds, levels, features, strict=True):
            windows = np.lib.stride_tricks.sliding_window_view(sound, len(self._window))
            powers = self.band_powers(windows[:: self._hop][:frames])
            _, level[0] = self.relative(powers, float(level[0]), out[:, : self.bands + 1])

    def band_powers(
        self,
        frames: FloatArray,  # [T, W]
    ) -> FloatArray:
        """``[T, N]``."""
        spectrum = np.fft.rfft(frames * self._window, _FFT, axis=1)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        return np.asarray(power @ self._filters, np.float32)

    def relative(
        self,
        powers: FloatArray,  # [T, N]
        level: float,
        out: FloatArray,  # [T, N + 1]
    ) -> tuple[FloatArray, float]:
        """The features of frames, and the level after the last."""
        attack, release, level_floor, band_floor = self._limits
        energies = np.log10(powers.sum(1) + np.float32(_TINY))
        levels = np.empty(len(powers), np.float32)
        for i, energy in enumerate(energies.tolist()):
            level = max(level + min(energy - level, attack), level - release, level_floor)
            levels[i] = level
        np.log10(powers + np.float32(_TINY), out=out[:, : self.bands])
        out[:, self.bands] = energies
        out -= levels[:, None]
        np.maximum(out, np.float32(band_floor), out=out)
        return out, level


def _check(sound: FloatArray, length: int) -> None:
    if sound.shape != (length,) or sound.dtype != np.float32 or sound.strides != (4,):
        raise InputError(
            f"log_mel: a sound must be [{length}] float32 without gaps, "
            f"got {list(sound.shape)} {sound.dtype}"
        )


def _check_features(features: FloatArray, sounds: int, levels: int, bands: int) -> None:
    streams, _, columns = features.shape
    fits = streams == sounds == levels and columns > bands
    if not fits or features.dtype != np.float32 or not features.flags.c_contiguous:
        raise InputError(
            f"log_mel: {sounds} sounds and {levels} levels need features [{sounds}, T, at least "
            f"{bands + 1}] float32, got {list(features.shape)} {features.dtype}"
        )
