"""What a face does besides speaking: blinks, glances, head motion, brows, breath.

It follows the seed and the voice heard so far (``Voice``), never the future. Stressed syllables
nod the head and raise the brows, each a little differently; at the ends of phrases the head finds
a new bearing and the eyes like to blink. At time zero the head is where the photo has it.

Blinks have human times (Bentivoglio et al., 1997; Caffier et al., 2003): about 17 a minute, some
80 ms to close and 150 ms to open, both eyes alike, now and then a double one, and likely at pauses
and with large glances. Eyes rest on a point and jump to the next; the head drifts, nods and turns
at the speeds measured in talking people: a few degrees a second, 30 at the most.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

_CLOSING, _CLOSED, _OPENING = (0.07, 0.09), (0.03, 0.05), (0.13, 0.17)
_BETWEEN_BLINKS = (4.0, 1.1)  # gamma: shape, seconds
_DOUBLE_BLINK, _DOUBLE_AFTER = 0.08, (0.12, 0.25)
_PAUSE_BLINKS, _GLANCE_BLINK_SECONDS, _LARGE_GLANCE = 5.0, 1.2, math.radians(4.0)

_SACCADE_SECONDS = 0.05
_EYES_KEEP = 0.6

_SETTLE_SECONDS = 1.5
_DRIFT_RADIANS = np.radians([0.7, 1.3, 0.6])  # pitch, yaw, roll
_BEARING_RADIANS = np.radians([1.0, 2.0, 0.9])
_BEARING_AFTER = (3.0, 1.5)  # gamma: shape, seconds
_PAUSE_BEARINGS, _BEARING_PER_SECOND = 3.0, 6.0
_NOD_RADIANS = math.radians(3.9)
_NOD_ASIDE = 0.45
_ACCENT_FROM, _ACCENT_OVER = 0.08, 0.05
_ACCENT_EASE_SECONDS = 0.12
_SWAY = np.array([0.012, 0.006, 0.01])
_BREATH_PER_SECOND, _BREATH = 0.24, 0.004
_BROW_IDLE, _BROW_ACCENT, _BROW_STRONG = 0.04, 0.35, 0.45


class Voice(NamedTuple):
    """What the voice does at one moment; 0 to 1 each.

    Attributes:
        accent: how much it is stressed.
        speech: how much it has been speaking in the last half second.
        pause: whether it has just stopped.
    """

    accent: float = 0.0
    speech: float = 0.0
    pause: float = 0.0

    def towards(self, other: Voice, share: float) -> Voice:
        """The voice between this moment and ``other``."""
        return Voice(
            self.accent + (other.accent - self.accent) * share,
            self.speech + (other.speech - self.speech) * share,
            self.pause + (other.pause - self.pause) * share,
        )


SILENCE = Voice()


class Life(NamedTuple):
    """The face besides its mouth at one moment.

    Attributes:
        blink: how far both eyes are closed, 0 to 1.
        brows: raise of (inner, outer left, outer right), 0 to 1.
        turn: of the head: an axis (x right, y down, z away) times radians.
        shift: of the head (x, y, z) in inter-ocular distances.
        gaze: radians (right, down).
    """

    blink: float
    brows: tuple[float, float, float]
    turn: tuple[float, float, float]
    shift: tuple[float, float, float]
    gaze: tuple[float, float]


def _smooth(x: float) -> float:
    """From 0 to 1 with flat ends."""
    x = min(max(x, 0.0), 1.0)
    return x * x * (3.0 - 2.0 * x)


class _Blinks:
    """When the eyes close. The wish to blink grows with time, faster at pauses."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng((seed, 1))
        self._wish, self._enough = 0.0, float(self._rng.uniform(0.8, 3.0))
        self._lengths = (0.08, 0.04, 0.15)
        self._since = 1e3  # seconds since the last blink began

    def closure(self, passed: float, rate: float, pause: float) -> float:
        """How closed the eyes are, 0 to 1, ``passed`` seconds after the last call."""
        self._since += passed
        self._wish += passed * rate * (1.0 + _PAUSE_BLINKS * pause)
        closing, closed, opening = self._lengths
        over = self._since >= closing + closed + opening
        if over and self._wish >= self._enough:
            self._begin()
            closing, closed, opening = self._lengths
            over = False
        if over:
            return 0.0
        if self._since < closing + closed:
            return _smooth(self._since / closing)
        return 1.0 - _smooth((self._since - closing - closed) / opening)

    def invite(self, seconds: float) -> None:
        """Make the next blink come earlier."""
        self._wish += seconds

    def _begin(self) -> None:
        ranges = (_CLOSING, _CLOSED, _OPENING)
        a, b, c = (float(self._rng.uniform(*limits)) for limits in ranges)
        double = self._rng.random() < _DOUBLE_BLINK
        gap = self._rng.uniform(*_DOUBLE_AFTER) if double else self._rng.gamma(*_BETWEEN_BLINKS)
        self._lengths, self._since = (a, b, c), 0.0
        self._wish, self._enough = 0.0, a + b + c + float(gap)


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
            aside = self._rng.random() < 0.2
            spread = 3.5 if aside else 1.2
            right, down = np.radians(self._rng.normal(0.0, spread, 2).clip(-7, 7))
            self._to = (float(right), float(down) * 0.6)
            self._next += float(self._rng.gamma(3.0, 0.2 if aside else 0.45) + 0.2)
        share = _smooth((time - self._moved) / _SACCADE_SECONDS)
        return (
            self._from[0] + (self._to[0] - self._from[0]) * share,
            self._from[1] + (self._to[1] - self._from[1]) * share,
        )

    def began_large(self, time: float, passed: float) -> bool:
        """Whether a large glance began within the last ``passed`` seconds."""
        reach = math.dist(self._from, self._to)
        return time - passed < self._moved <= time and reach > _LARGE_GLANCE


class _Accents:
    """How each stressed syllable shows: a nod of its own direction, brows or none."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng((seed, 3))
        self._stressed = False
        self._wanted = self._shown = (0.0, 0.0, 0.0, 0.0)

    def gestures(self, passed: float, accent: float) -> tuple[float, float, float, float]:
        """Pitch, yaw and roll in shares of a nod, and the raise of the brows."""
        if not self._stressed and accent > _ACCENT_FROM:
            depth, yaw, roll = self._rng.uniform((0.4, -1.0, -1.0), (1.3, 1.0, 1.0)).tolist()
            strong = self._rng.random() < _BROW_STRONG
            raised = float(self._rng.uniform(0.6, 1.0)) if strong else 0.15
            self._wanted = (depth, _NOD_ASIDE * yaw, _NOD_ASIDE * roll, raised)
            self._stressed = True
        elif self._stressed and accent < _ACCENT_OVER:
            self._stressed = False
        share = 1.0 - math.exp(-passed / _ACCENT_EASE_SECONDS)
        (a, b, c, d), (p, q, r, s) = self._shown, self._wanted
        a, b, c, d = (a + (p - a) * share, b + (q - b) * share, c + (r - c) * share,
                      d + (s - d) * share)  # fmt: skip
        self._shown = (a, b, c, d)
        return a * accent, b * accent, c * accent, d * accent


class _Bearing:
    """Which way the head faces: held for some seconds, then another, reached without haste."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng((seed, 4))
        self._wish, self._enough = 0.0, float(self._rng.gamma(*_BEARING_AFTER))
        self._target = self._at = self._speed = (0.0, 0.0, 0.0)

    def turn(self, passed: float, pause: float) -> tuple[float, float, float]:
        """Radians of pitch, yaw and roll, ``passed`` seconds after the last call."""
        self._wish += passed * (1.0 + _PAUSE_BEARINGS * pause)
        if self._wish >= self._enough:
            a, b, c = (self._rng.normal(0.0, 1.0, 3).clip(-2, 2) * _BEARING_RADIANS).tolist()
            self._target = (a, b, c)
            self._wish, self._enough = 0.0, float(self._rng.gamma(*_BEARING_AFTER) + 0.4)
        # A critically damped spring, solved exactly, so that it is the same at any frame rate.
        decay = math.exp(-_BEARING_PER_SECOND * passed)
        at, speed = [], []
        for x, v, target in zip(self._at, self._speed, self._target, strict=True):
            away = x - target
            pull = v + _BEARING_PER_SECOND * away
            at.append(target + (away + pull * passed) * decay)
            speed.append((v - _BEARING_PER_SECOND * pull * passed) * decay)
        self._at, self._speed = (at[0], at[1], at[2]), (speed[0], speed[1], speed[2])
        return self._at


class IdleLife:
    """One face's life, from a seed.

    >>> life = IdleLife(seed=3)
    >>> life.at(0.0).turn
    (0.0, 0.0, 0.0)
    """

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng((seed, 0))
        self._blinks, self._glances = _Blinks(seed), _Glances(seed)
        self._accents, self._bearing = _Accents(seed), _Bearing(seed)
        waves = (7, 5)  # pitch, yaw, roll, the sway of the head, the brows
        rates = rng.uniform(0.4, 1.6, waves) * np.array([0.06, 0.11, 0.19, 0.31, 0.47])
        self._radians_per_second = 2.0 * np.pi * rates
        self._phases = 2.0 * np.pi * rng.uniform(0.0, 1.0, waves)
        sizes = np.concatenate([_DRIFT_RADIANS, _SWAY, [_BROW_IDLE]])
        self._shares = sizes[:, None] * np.array([0.4, 0.35, 0.3, 0.2, 0.1]) / 0.65
        self._start = np.zeros(len(sizes))
        self._start = np.array(self._waves(0.0))
        self._breath = 0.0
        self._time = 0.0

    def _waves(self, time: float) -> list[float]:
        """Seven slow noises from 0 on: pitch, yaw and roll in radians, sway (x, y, z), brows."""
        waves = np.sin(self._radians_per_second * time + self._phases)
        sums = np.vecdot(waves, self._shares)
        sums -= self._start * math.exp(-time / _SETTLE_SECONDS)
        noises: list[float] = sums.tolist()
        return noises

    def at(
        self,
        time: float,
        voice: Voice = SILENCE,
        *,
        blink_rate: float = 1.0,
        head_motion: float = 1.0,
        breath: float = 1.0,
    ) -> Life:
        """The face besides its mouth, ``time`` seconds into its life; times must not go backwards.

        Args:
            time: seconds.
            voice: how it speaks here.
            blink_rate: factor on how often the eyes blink.
            head_motion: factor on how far the head moves.
            breath: factor on how fast it breathes.
        """
        passed, self._time = time - self._time, time
        *swing, sway_x, sway_y, sway_z, raise_ = self._waves(time)
        livelier = 0.7 + 0.6 * voice.speech
        facing = self._bearing.turn(passed, voice.pause)
        *nod, raised = self._accents.gestures(passed, voice.accent)
        pitch, yaw, roll = [
            head_motion * (livelier * swing[i] + facing[i] + _NOD_RADIANS * nod[i])
            for i in range(3)
        ]
        self._breath += 2.0 * math.pi * _BREATH_PER_SECOND * breath * passed
        lift = _BREATH * math.sin(self._breath)
        right, down = self._glances.direction(time)
        if self._glances.began_large(time, passed):
            self._blinks.invite(_GLANCE_BLINK_SECONDS * blink_rate)
        brows = max(raise_, 0.0) + _BROW_ACCENT * raised
        return Life(
            blink=self._blinks.closure(passed, blink_rate, voice.pause),
            brows=(brows, 0.7 * brows, 0.7 * brows),
            turn=(pitch, yaw, roll),
            shift=(head_motion * sway_x, head_motion * (sway_y + lift), head_motion * sway_z),
            gaze=(right + _EYES_KEEP * yaw, down - _EYES_KEEP * pitch),
        )  # fmt: skip


class Prosody:
    """Stress and pauses of the voice, from its loudness: a fast envelope against a slow one.

    One call for each block of 40 ms; ``voice`` is that at its end.
    """

    _FAST, _RISING, _FALLING, _EASE = 0.45, 0.12, 0.04, 0.4
    _ACCENT_BELS = 0.5

    def __init__(self) -> None:
        self._fast = self._slow = self._drive = 0.0
        self.voice = SILENCE

    def hear(self, loudness_bels: float, speech: float) -> None:
        """Take a block's mean loudness relative to the running level, and whether it is voice."""
        loud = max(loudness_bels + 2.0, 0.0) * speech
        self._fast += self._FAST * (loud - self._fast)
        self._slow += (self._RISING if loud > self._slow else self._FALLING) * (loud - self._slow)
        stress = min(max((self._fast - self._slow) / self._ACCENT_BELS, 0.0), 1.0)
        self._drive += self._EASE * (stress - self._drive)
        accent, spoken, _ = self.voice
        spoken += 0.1 * (speech - spoken)
        self.voice = Voice(
            accent + self._EASE * (self._drive - accent), spoken, (1.0 - speech) * spoken
        )
