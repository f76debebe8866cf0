"""What a face does besides speaking: blinks, glances, small head motion, breath.

All of it is a function of the seed and of time alone, so it is the same for any frame rate at the
same moment and needs no knowledge of the future; the voice only adds to it (``Prosody``): nods and
raised brows on accents, a livelier head while speaking. At time zero the head is where the photo
has it.

Blinks follow human statistics (Bentivoglio et al., 1997): one every 2 to 6 s, 150 to 250 ms long,
closing faster than opening, both eyes alike, now and then a double one.
"""

from __future__ import annotations

import math

import numpy as np

from avatar.types import ARKIT_NAMES, FloatArray

_BLINK = [ARKIT_NAMES.index(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")]
_BROWS = [
    ARKIT_NAMES.index(name) for name in ("browInnerUp", "browOuterUpLeft", "browOuterUpRight")
]
_CLOSING_SHARE = 0.4
_DOUBLE_BLINK = 0.12
_SACCADE_SECONDS = 0.05
_SETTLE_SECONDS = 1.5
_HEAD_RADIANS = np.radians([1.1, 1.8, 0.8])  # pitch, yaw, roll
_NOD_RADIANS = math.radians(2.2)
_SWAY = np.array([0.012, 0.006, 0.01])
_BREATH_PER_SECOND, _BREATH = 0.24, 0.004
_BROW_IDLE, _BROW_ACCENT = 0.04, 0.3
_EYES_KEEP = 0.6


def _smooth(x: float) -> float:
    """From 0 to 1 with flat ends."""
    x = min(max(x, 0.0), 1.0)
    return x * x * (3.0 - 2.0 * x)


class _Blinks:
    """When the eyes close: events made one after another, forgotten when past."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng((seed, 1))
        self._events: list[tuple[float, float]] = []
        self._next = float(self._rng.uniform(0.8, 3.0))

    def closure(self, time: float) -> float:
        """How closed the eyes are at ``time`` seconds, 0 to 1; times must not go backwards."""
        while self._next <= time:
            length = float(self._rng.uniform(0.15, 0.25))
            self._events.append((self._next, length))
            double = self._rng.random() < _DOUBLE_BLINK
            pause = self._rng.uniform(0.08, 0.15) if double else self._rng.uniform(2.0, 6.0)
            self._next += float(pause) + length * double
        self._events = [(start, length) for start, length in self._events if start + length > time]
        if not self._events:
            return 0.0
        start, length = self._events[0]
        phase = (time - start) / length
        if phase < _CLOSING_SHARE:
            return _smooth(phase / _CLOSING_SHARE)
        return 1.0 - _smooth((phase - _CLOSING_SHARE) / (1.0 - _CLOSING_SHARE))


class _Glances:
    """Where the eyes rest: fixations of a second or so, quick moves between them."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng((seed, 2))
        self._from = self._to = (0.0, 0.0)
        self._moved = 0.0
        self._next = float(self._rng.uniform(0.5, 2.0))

    def direction(self, time: float) -> tuple[float, float]:
        """Radians to the right and down at ``time`` seconds; times must not go backwards."""
        while self._next <= time:
            self._from, self._moved = self._to, self._next
            spread = 3.5 if self._rng.random() < 0.2 else 1.2
            right, down = np.radians(self._rng.normal(0.0, spread, 2).clip(-7, 7))
            self._to = (float(right), float(down) * 0.6)
            self._next += float(self._rng.gamma(3.0, 0.45) + 0.2)
        share = _smooth((time - self._moved) / _SACCADE_SECONDS)
        return (
            self._from[0] + (self._to[0] - self._from[0]) * share,
            self._from[1] + (self._to[1] - self._from[1]) * share,
        )


class IdleLife:
    """One face's life, from a seed.

    >>> life = IdleLife(seed=3)
    >>> expression, rotation, translation, gaze = life.at(0.0, accent=0.0, speech=0.0)
    >>> rotation
    array([1., 0., 0., 0.], dtype=float32)
    """

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng((seed, 0))
        self._blinks, self._glances = _Blinks(seed), _Glances(seed)
        waves = (7, 5)  # pitch, yaw, roll, the sway of the head, the brows
        self._rates = rng.uniform(0.4, 1.6, waves) * np.array([0.06, 0.11, 0.19, 0.31, 0.47])
        self._phases = rng.uniform(0.0, 1.0, waves)
        self._shares = np.array([0.4, 0.35, 0.3, 0.2, 0.1]) / 0.65
        self._start = self._waves(0.0)

    def _waves(self, time: float) -> FloatArray:
        """``[7]`` slow noises of about unit size."""
        waves = np.sin(2.0 * np.pi * (self._rates * time + self._phases))
        return np.asarray(waves @ self._shares)

    def at(
        self, time: float, *, accent: float, speech: float
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """The face besides its mouth, ``time`` seconds into its life; times must not go backwards.

        Args:
            time: seconds.
            accent: 0 to 1, how much the voice is stressed here.
            speech: 0 to 1, how much it speaks.

        Returns:
            expression ``[52]``, rotation ``[4]`` wxyz, translation ``[3]`` in inter-ocular
            distances, gaze ``[2]`` in radians (right, down).
        """
        waves = self._waves(time) - self._start * math.exp(-time / _SETTLE_SECONDS)
        turn = waves[:3] * _HEAD_RADIANS * (0.8 + 0.6 * speech)
        turn[0] += _NOD_RADIANS * accent
        angle = math.sqrt(float(turn @ turn))
        rotation = np.array([1.0, 0.0, 0.0, 0.0], np.float32)
        if angle > 1e-9:
            rotation[0] = math.cos(angle / 2)
            rotation[1:] = turn * (math.sin(angle / 2) / angle)
        translation = (waves[3:6] * _SWAY).astype(np.float32)
        translation[1] += _BREATH * math.sin(2 * math.pi * _BREATH_PER_SECOND * time)
        right, down = self._glances.direction(time)
        gaze = np.array([right + _EYES_KEEP * turn[1], down - _EYES_KEEP * turn[0]], np.float32)
        expression = np.zeros(len(ARKIT_NAMES), np.float32)
        expression[_BLINK] = self._blinks.closure(time)
        brows = _BROW_IDLE * max(float(waves[6]), 0.0) + _BROW_ACCENT * accent
        expression[_BROWS] = (brows, 0.7 * brows, 0.7 * brows)
        return expression, rotation, translation, gaze


class Prosody:
    """Stress of the voice from its loudness: how far a fast envelope rises above a slow one.

    One call for each block of 40 ms; the values are those at its end.
    """

    _FAST, _SLOW, _EASE = 0.45, 0.04, 0.3
    _ACCENT_BELS = 0.7

    def __init__(self) -> None:
        self._fast = self._slow = self._drive = 0.0
        self.accent = self.speech = 0.0

    def hear(self, loudness_bels: float, speech: float) -> None:
        """Take a block's mean loudness relative to the running level, and whether it is voice."""
        loud = max(loudness_bels + 2.0, 0.0) * speech
        self._fast += self._FAST * (loud - self._fast)
        self._slow += self._SLOW * (loud - self._slow)
        stress = min(max((self._fast - self._slow) / self._ACCENT_BELS, 0.0), 1.0)
        self._drive += self._EASE * (stress - self._drive)
        self.accent += self._EASE * (self._drive - self.accent)
        self.speech += 0.1 * (speech - self.speech)
