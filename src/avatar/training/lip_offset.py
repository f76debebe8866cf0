"""How far a clip's picture lies from its sound, told from many clips and no trained network.

A ridge regression maps a stretch of spectrum (0.5 s, 16 bands) to the opening and the width of the
lips. It is fitted on the clips themselves and asked about people it was not fitted on. The lips it
expects are correlated with the measured ones at lags of up to 0.4 s; the fit is repeated with every
sure clip at its lag, so that what is out of step teaches nothing. What a whole set shares cannot be
told from how speech looks, so the median of the sure clips counts as in step.

An offset is positive where the picture is ahead of the sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from avatar.speech import BANDS, mel_powers
from avatar.training.speech_data import lip_measures
from avatar.types import FloatArray

_FINE_RATE = 100  # of lags, a second
_FURTHEST = 40  # lags either way
LAGS = np.arange(-_FURTHEST, _FURTHEST + 1) / _FINE_RATE
"""Offsets at which lips and sound are compared, in seconds."""

_RATE = 50  # of features and lips, a second
_POOLED_BANDS = 16
_CONTEXT = 12  # features before and after, every second one taken
_FOLDS = 5
_LEAST_FOR_A_FIT = 8  # clips, and
_LEAST_SECONDS = 20.0
_MOST_FOR_A_FIT = 3000  # clips: more teach nothing new
_ROUNDS = 3
_BALANCE = 0.5
_PENALTY = 0.3  # of the mean square of a feature
_WIDTH_COUNTS = 0.5  # against the opening, which follows the sound more closely
_TREND_SECONDS = 1.0
_BESIDE_SECONDS = 0.12  # what lies closer than this to a peak belongs to it
_REFERENCE_SECONDS = 3.0
_SURE, _SURE_FAR, _FAR_SECONDS = 0.3, 0.6, 0.1  # a large offset is rare: it needs more
_SURE_PEAK = 0.35
_NOTHING, _ENOUGH_SECONDS = 0.35, 6.0
_TEACHES, _TEACHES_PEAK = 0.1, 0.4

Verdict = Literal["sure", "weak", "none", "unknown"]
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LipTrack:
    """What the offset is found from.

    Attributes:
        person: whose lips; fits are crossed over people.
        bands: ``[N, 16]`` logarithmic spectrum, 50 times a second; row ``i`` at ``(i + 0.5) / 50``.
        times: ``[T]`` seconds of the pictures, on the clock of the sound.
        lips: ``[T, 2]`` opening and width.
    """

    person: str
    bands: FloatArray
    times: FloatArray
    lips: FloatArray

    @classmethod
    def measured(
        cls,
        person: str,
        audio: FloatArray,  # [N] 16 kHz
        times: FloatArray,  # [T]
        landmarks: FloatArray,  # [T, 478, 3], NaN where the face is lost
    ) -> LipTrack:
        found = np.isfinite(landmarks[:, 0, 0])
        return cls(person, _bands(audio), times[found], lip_measures(landmarks[found]))

    @property
    def seconds(self) -> float:
        """How long there are both, sound and lips."""
        end = min(float(self.times[-1]), len(self.bands) / _RATE)
        return max(end - max(float(self.times[0]), 0.0), 0.0)


@dataclass(frozen=True)
class LipOffset:
    """Where the sound fits the lips.

    Attributes:
        seconds: by which the picture is ahead of the sound.
        correlation: of expected and measured lips there, opening plus half the width, up to 1.5.
        confidence: how far that stands above all lags more than 0.12 s away, times the square root
            of the clip's length in units of 3 s.
        verdict: ``sure``: the offset holds. ``weak``: it may hold. ``none``: 6 s or more of sound
            fit the lips nowhere. ``unknown``: there was too little to compare.
    """

    seconds: float = 0.0
    correlation: float = 0.0
    confidence: float = 0.0
    verdict: Verdict = "unknown"

    @property
    def teaches(self) -> bool:
        """Whether the clip, so shifted, is fit to be fitted on: less strict than ``sure``."""
        return self.confidence >= _TEACHES and self.correlation >= _TEACHES_PEAK


def lip_offsets(tracks: Sequence[LipTrack]) -> list[LipOffset]:
    """The offset of each clip; all ``unknown`` where there are fewer than 8 clips or 20 seconds."""
    if len(tracks) < _LEAST_FOR_A_FIT or sum(t.seconds for t in tracks) < _LEAST_SECONDS:
        return [LipOffset() for _ in tracks]
    folds = _folds(tracks)
    offsets = [LipOffset(correlation=1.0, confidence=1.0) for _ in tracks]
    for _ in range(_ROUNDS):
        weights = _fit(tracks, offsets, folds)
        found = [_offset(track, weights[fold]) for track, fold in zip(tracks, folds, strict=True)]
        sure = [offset.seconds for offset in found if offset.verdict == "sure"]
        middle = float(np.median(sure)) if sure else 0.0
        offsets = [
            replace(offset, seconds=round(offset.seconds - middle, 4))
            if offset.verdict in ("sure", "weak") else offset
            for offset in found
        ]  # fmt: skip
        if not any(offset.teaches for offset in offsets):
            break
    return offsets


def _folds(tracks: Sequence[LipTrack]) -> list[int]:
    """Which fit each clip is asked of: by person, or by clip where there are too few people."""
    people = sorted({track.person for track in tracks})
    if len(people) < _FOLDS:
        return [i % _FOLDS for i in range(len(tracks))]
    return [people.index(track.person) % _FOLDS for track in tracks]


@dataclass(eq=False)
class _Normal:
    """The normal equations of a least squares fit."""

    left: Array = field(default_factory=lambda: np.zeros(()))
    right: Array = field(default_factory=lambda: np.zeros(()))

    def add(self, features: FloatArray, targets: FloatArray, weight: float) -> None:
        self.left = self.left + weight * (features.T @ features).astype(np.float64)
        self.right = self.right + weight * (features.T @ targets).astype(np.float64)


def _fit(
    tracks: Sequence[LipTrack], offsets: list[LipOffset], folds: list[int]
) -> list[FloatArray]:
    """For each fold the ridge of all others; a person counts by the root of their clips."""
    chosen = [i for i, offset in enumerate(offsets) if offset.teaches]
    chosen = chosen[:: -(-len(chosen) // _MOST_FOR_A_FIT)]
    clips_of: dict[str, int] = {}
    for i in chosen:
        clips_of[tracks[i].person] = clips_of.get(tracks[i].person, 0) + 1
    parts = [_Normal() for _ in range(_FOLDS)]
    for i in chosen:
        track = tracks[i]
        clock = _clock(track)
        times = track.times + offsets[i].seconds
        inside = (clock >= times[0]) & (clock <= times[-1])
        if inside.sum() > _RATE:
            lips = _detrend(_at(clock, times, track.lips), _RATE)
            lips /= np.maximum(lips[inside].std(0), 1e-6)
            features = _features(track)
            weight = clips_of[track.person] ** -_BALANCE
            parts[folds[i]].add(features[inside], lips[inside], weight)
    left = np.sum([part.left for part in parts if part.left.ndim], axis=0)
    right = np.sum([part.right for part in parts if part.right.ndim], axis=0)
    ridge = _PENALTY * np.trace(left) / len(left) * np.eye(len(left))
    return [
        np.linalg.solve(left - part.left + ridge, right - part.right).astype(np.float32)
        for part in parts
    ]


def _offset(track: LipTrack, weights: FloatArray) -> LipOffset:
    """The best lag of one clip."""
    curve = _correlations(track, _features(track) @ weights)
    if curve is None:
        return LipOffset()
    top = int(curve.argmax())
    elsewhere = np.abs(LAGS - LAGS[top]) > _BESIDE_SECONDS
    margin = float(curve[top] - curve[elsewhere].max())
    confidence = margin * (track.seconds / _REFERENCE_SECONDS) ** 0.5
    verdict: Verdict = "weak"
    needed = _SURE if abs(LAGS[top]) <= _FAR_SECONDS else _SURE_FAR
    if confidence >= needed and curve[top] >= _SURE_PEAK and 0 < top < len(LAGS) - 1:
        verdict = "sure"
    elif confidence < _NOTHING and track.seconds >= _ENOUGH_SECONDS:
        verdict = "none"
    return LipOffset(float(LAGS[top]), round(float(curve[top]), 3), round(confidence, 3), verdict)


def _correlations(track: LipTrack, expected: FloatArray) -> FloatArray | None:
    """``[81]`` at ``LAGS``; None where lips and sound are together for less than a second."""
    if track.seconds < 1.0:
        return None
    heard = _clock(track)
    first, last = (round(float(time) * _FINE_RATE) for time in (track.times[0], track.times[-1]))
    seen_at = (np.arange(first, last + 1) / _FINE_RATE).astype(np.float32)
    seen = _detrend(_at(seen_at, track.times, track.lips), _FINE_RATE)
    sounding = (np.arange(2 * len(heard)) / _FINE_RATE).astype(np.float32)
    made = _at(sounding, heard, _detrend(expected, _RATE))
    rows = []
    for lag in range(-_FURTHEST, _FURTHEST + 1):
        begin, end = max(first, -lag), min(last + 1, len(made) - lag)
        both = made[begin + lag : end + lag], seen[begin - first : end - first]
        rows.append(_correlation(*both) @ np.array([1.0, _WIDTH_COUNTS]))
    return np.array(rows, np.float32)


def _correlation(a: FloatArray, b: FloatArray) -> FloatArray:
    """Pearson's r of each column; 0 where one does not move or there is too little."""
    if len(a) < _RATE:
        return np.zeros(a.shape[1], np.float32)
    a, b = a - a.mean(0), b - b.mean(0)
    spread = np.sqrt(np.square(a).sum(0) * np.square(b).sum(0))
    return np.asarray((a * b).sum(0) / np.maximum(spread, 1e-9), np.float32)


def _bands(audio: FloatArray) -> FloatArray:
    """Logarithmic spectrum below the clip's loudest, at most four decades, 50 times a second."""
    powers = mel_powers(audio)
    pooled = powers.reshape(len(powers), _POOLED_BANDS, BANDS // _POOLED_BANDS).mean(2)
    bands = np.log10(np.maximum(pooled, 1e-8))
    bands = np.maximum(bands - np.percentile(bands.max(1), 98), -4.0)
    steps = len(bands) // 2
    halved = bands[: 2 * steps].reshape(steps, 2, _POOLED_BANDS).mean(1)
    return np.asarray(halved - halved.mean(0), np.float32)


def _features(track: LipTrack) -> FloatArray:
    """``[N, 16 * 13]``: the spectrum around each step."""
    steps = len(track.bands)
    padded = np.pad(track.bands, ((_CONTEXT, _CONTEXT), (0, 0)), "edge")
    return np.concatenate([padded[k : k + steps] for k in range(0, 2 * _CONTEXT + 1, 2)], 1)


def _clock(track: LipTrack) -> FloatArray:
    return ((np.arange(len(track.bands)) + 0.5) / _RATE).astype(np.float32)


def _at(clock: FloatArray, times: FloatArray, values: FloatArray) -> FloatArray:
    columns = [np.interp(clock, times, column) for column in values.T]
    return np.stack(columns, 1).astype(np.float32)


def _detrend(values: FloatArray, rate: int) -> FloatArray:
    """Without what changes within a second, and smoothed over some 50 ms."""
    fine = _moving_mean(values, 2 * (rate // 40) + 1)
    return fine - _moving_mean(fine, 2 * round(_TREND_SECONDS * rate / 2) + 1)


def _moving_mean(values: FloatArray, width: int) -> FloatArray:
    from scipy.ndimage import uniform_filter1d

    return cast(FloatArray, uniform_filter1d(values, width, axis=0, mode="nearest"))
