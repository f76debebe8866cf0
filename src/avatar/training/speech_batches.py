"""Batches of augmented speech: everything happens to band powers, which is quick.

A window of a track is stretched in time, warped along frequency (another vocal tract), filtered
(another microphone, a telephone), given a room's decay, noise, and a gain; then it is expressed
relative to the running level, as in ``avatar.speech``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter

from avatar.speech import BAND_FLOOR, BANDS, FEATURES, FRAMES_PER_BLOCK
from avatar.speech.mel import LEVEL_ATTACK, LEVEL_FLOOR, LEVEL_RELEASE, LEVEL_START
from avatar.training.speech_data import Track
from avatar.types import FloatArray

_TINY = 1e-12
TAPS = (8, 6, 4)
"""Mel steps from the end of a block back to the times its three outputs speak of."""


@dataclass(frozen=True, eq=False)
class Batch:
    """``features [B, blocks * 4, 81]``; targets ``[B, blocks, 3, …]`` at the taps; ``kind [B]``."""

    features: FloatArray
    curves: FloatArray
    lips: FloatArray
    visemes: FloatArray
    speech: FloatArray
    kinds: list[str]


def batch_features(powers: FloatArray) -> FloatArray:
    """``[B, T, 80]`` band powers to ``[B, T, 81]``, each row as ``relative_features`` would."""
    energies = np.log10(powers.sum(2) + _TINY)
    level = np.full(len(powers), LEVEL_START)
    features = np.empty((*powers.shape[:2], FEATURES), np.float32)
    features[:, :, :BANDS] = np.log10(powers + _TINY)
    features[:, :, BANDS] = energies
    for i in range(powers.shape[1]):
        rise = np.minimum(energies[:, i] - level, LEVEL_ATTACK)
        level = np.maximum(level + np.maximum(rise, -LEVEL_RELEASE), LEVEL_FLOOR)
        features[:, i] -= level[:, None]
    return np.asarray(np.maximum(features, BAND_FLOOR), np.float32)


def _take(values: FloatArray, places: FloatArray) -> FloatArray:
    """Rows at fractional places, linearly; the ends repeat."""
    below = np.clip(places.astype(int), 0, len(values) - 1)
    above = np.minimum(below + 1, len(values) - 1)
    share = np.clip(places - below, 0, 1)[:, None].astype(np.float32)
    return np.asarray(values[below] * (1 - share) + values[above] * share, np.float32)


class SpeechBatches:
    """Draws batches from tracks by kind and person.

    Args:
        people: tracks by person; several lists of people, one for each entry of ``shares``.
        shares: how much of a batch comes from each list; an empty list's goes to the others.
        noises: tracks without a voice, also used as background.
        augment: do all this; otherwise only the level changes.
    """

    def __init__(
        self,
        people: list[dict[str, list[Track]]],
        shares: list[float],
        noises: list[Track],
        *,
        seed: int,
        blocks: int = 75,
        augment: bool = True,
    ) -> None:
        known = [(group, share) for group, share in zip(people, shares, strict=True) if group]
        self._people = [list(group.values()) for group, _ in known]
        self._weights = [self._person_weights(group) for group in self._people]
        self._shares = np.array([share for _, share in known]) / sum(share for _, share in known)
        self._noises = noises
        self._augment = augment
        self._rng = np.random.default_rng(seed)
        self._steps = blocks * FRAMES_PER_BLOCK

    @staticmethod
    def _person_weights(group: list[list[Track]]) -> FloatArray:
        """People with more speech are drawn more often, but by its fourth root only."""
        seconds = np.array([sum(len(t.powers) for t in own) for own in group], np.float64)
        weights = np.sqrt(np.sqrt(seconds))
        return np.asarray(weights / weights.sum())

    def _warp(self, powers: FloatArray) -> FloatArray:
        """Another vocal tract: bands shift by a factor, less near the top."""
        factor = self._rng.uniform(0.86, 1.16)
        knee = 0.8 * BANDS
        places = np.interp(np.arange(BANDS), [0, knee, BANDS], [0, knee * factor, BANDS])
        below = np.clip(places.astype(int), 0, BANDS - 2)
        share = np.clip(places - below, 0, 1).astype(np.float32)
        warped = powers[:, below] * (1 - share) + powers[:, below + 1] * share
        return np.asarray(warped, np.float32)

    def _colour(self) -> FloatArray:
        """``[80]`` power gain of a microphone: a smooth curve, sometimes a telephone's band."""
        rng = self._rng
        knots = np.cumsum(rng.normal(0, 0.25, 9))
        places = np.linspace(0, BANDS - 1, len(knots))
        curve = 10 ** np.interp(np.arange(BANDS), places, knots - knots.mean())
        kind = rng.random()
        if kind < 0.15:
            curve[:8] *= 1e-3
            curve[62:] *= 1e-5
        elif kind < 0.25:
            curve[int(rng.integers(55, 78)) :] *= 1e-5
        return np.asarray(curve, np.float32)

    def _background(self) -> FloatArray:
        """``[steps, 80]`` powers of a sound without voice."""
        track = self._noises[int(self._rng.integers(len(self._noises)))]
        start = int(self._rng.integers(0, max(len(track.powers) - self._steps, 1)))
        return track.powers[(start + np.arange(self._steps)) % len(track.powers)]

    def _elsewhere(self, powers: FloatArray) -> FloatArray:
        """The sound of another throat, microphone and room."""
        rng = self._rng
        if rng.random() < 0.8:
            powers = self._warp(powers)
        if rng.random() < 0.7:
            powers = powers * self._colour()
        if rng.random() < 0.4:
            decay = 10 ** (-6 * 0.01 / rng.uniform(0.15, 0.9))
            share = rng.uniform(0.02, 0.35) * (1 - decay)
            tail = lfilter([0, share], [1, -decay], powers, axis=0)
            powers = (powers + tail).astype(np.float32)
        return powers

    def _sound(self, powers: FloatArray, still: bool) -> FloatArray:
        rng = self._rng
        if self._augment:
            powers = self._elsewhere(powers)
        if not still:
            loud = np.percentile(powers.sum(1), 90) + 1e-9
            powers = powers * (10 ** rng.uniform(-4.2, -1.2) / loud)
            if self._augment and rng.random() < 0.6:
                noise = self._background()
                ratio = 10 ** rng.uniform(-4.0, -0.8)
                scale = np.percentile(powers.sum(1), 90) / (noise.sum(1).mean() + 1e-9)
                powers = powers + noise * np.float32(ratio * scale)
        else:
            powers = powers * np.float32(10 ** rng.uniform(-2.5, 0.3))
        return powers

    def _draw(self) -> tuple[Track, FloatArray]:
        rng = self._rng
        group = int(rng.choice(len(self._shares), p=self._shares))
        own = self._people[group][int(rng.choice(len(self._people[group]), p=self._weights[group]))]
        track = own[int(rng.integers(len(own)))]
        rate = rng.uniform(0.88, 1.14) if self._augment else 1.0
        span = self._steps * rate
        slack = len(track.powers) - span
        start = rng.uniform(-60, slack + 60) if slack > 0 else rng.uniform(slack - 30, 30)
        return track, (start + rate * np.arange(self._steps)).astype(np.float32)

    def draw(self, size: int) -> Batch:
        """A batch of ``size`` windows."""
        features = np.empty((size, self._steps, BANDS), np.float32)
        parts: list[list[FloatArray]] = [[], [], [], []]
        kinds = []
        ends = np.arange(FRAMES_PER_BLOCK, self._steps + 1, FRAMES_PER_BLOCK)
        taps = ends[:, None] - np.array(TAPS)[None]
        for i in range(size):
            track, places = self._draw()
            inside = (places >= 0) & (places <= len(track.powers) - 1)
            powers = _take(track.powers, places) * inside[:, None]
            features[i] = self._sound(powers, track.kind == "noise")
            step = places[1] - places[0]
            at = (places[0] + 1 - step + taps.reshape(-1) * step).astype(np.float32)
            known = (at >= 0) & (at <= len(track.powers) - 1)
            for part, values in zip(
                parts, (track.curves, track.lips, track.visemes, track.speech[:, None]), strict=True
            ):
                taken = _take(values, at)
                taken[~known] = np.nan
                part.append(taken.reshape(len(ends), len(TAPS), -1))
            kinds.append(track.kind)
        curves, lips, visemes, speech = (np.stack(p) for p in parts)
        return Batch(batch_features(features), curves, lips, visemes, speech[..., 0], kinds)
