"""How well one pair of lips follows another, and the sounds.

Everything is read off a common clock of 100 steps a second, by linear interpolation between frames.
A lag is positive where the measured lips come *after* what they are compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from avatar.evaluation.lipsync_recordings import INNER_LIPS, MOUTH, Mouth, Phones
from avatar.types import FloatArray

STEPS_PER_SECOND = 100
FURTHEST_SECONDS = 0.4
LAGS = np.arange(-40, 41) / STEPS_PER_SECOND
"""Lags at which lips are compared, in seconds."""
THRESHOLDS = np.round(
    [*np.arange(0.005, 0.05, 0.005), *np.arange(0.05, 0.3, 0.025), *np.arange(0.3, 0.65, 0.05)], 3
)
"""Of closures, as shares of the range of the opening."""
TOLERANCE_SECONDS = 0.04

_SPAN = 1.0
_STILL = 1e-6
_SAME_CLOSURE_SECONDS = 0.04
_LONGEST_CLOSURE_SECONDS = 0.3
_CLOSURE_REACH_SECONDS = 0.12
_LIDS_SHUT = 0.5
_BRIDGE_SECONDS = 0.08


def lag_curve(
    made: tuple[FloatArray, FloatArray],  # times, values
    seen: tuple[FloatArray, FloatArray],
) -> FloatArray | None:
    """``[81]`` correlations at ``LAGS``; None where ``seen`` does not move or is too short.

    Each lag is judged on the same stretch of ``seen``. What does not move follows nothing: its
    correlation is 0.
    """
    begin = max(seen[0][0], made[0][0] + FURTHEST_SECONDS)
    end = min(seen[0][-1], made[0][-1] - FURTHEST_SECONDS)
    steps = int((end - begin) * STEPS_PER_SECOND) + 1
    if steps < _SPAN * STEPS_PER_SECOND:
        return None
    clock = begin + np.arange(steps) / STEPS_PER_SECOND
    target = np.interp(clock, *seen)
    if target.std() < _STILL:
        return None
    rows = np.stack([np.interp(clock + lag, *made) for lag in LAGS])
    rows = rows - rows.mean(1, keepdims=True)
    target = target - target.mean()
    spread = np.sqrt(np.square(rows).sum(1) * np.square(target).sum())
    moving = rows.std(1) > _STILL
    return np.where(moving, rows @ target / np.maximum(spread, 1e-12), 0.0).astype(np.float32)


def correlation(
    made: tuple[FloatArray, FloatArray], seen: tuple[FloatArray, FloatArray], lag: float = 0.0
) -> float | None:
    """Pearson's r of ``made``, taken ``lag`` seconds later, over all the time that both have."""
    begin, end = max(seen[0][0], made[0][0] - lag), min(seen[0][-1], made[0][-1] - lag)
    steps = int((end - begin) * STEPS_PER_SECOND) + 1
    if steps < _SPAN * STEPS_PER_SECOND:
        return None
    clock = begin + np.arange(steps) / STEPS_PER_SECOND
    a, b = np.interp(clock + lag, *made), np.interp(clock, *seen)
    if b.std() < _STILL:
        return None
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > _STILL else 0.0


def best_lag(curve: FloatArray) -> tuple[float, float]:
    """``(lag in seconds, correlation)`` of the highest point, by a parabola through its sides."""
    top = int(np.argmax(curve))
    if not 0 < top < len(curve) - 1:
        return float(LAGS[top]), float(curve[top])
    left, middle, right = (float(curve[i]) for i in (top - 1, top, top + 1))
    bend = left - 2 * middle + right
    shift = 0.5 * (left - right) / bend if bend < 0 else 0.0
    return float(LAGS[top] + shift / STEPS_PER_SECOND), float(curve[top])


def landmark_distance(made: Mouth, seen: Mouth) -> tuple[float, float] | None:
    """Mean distance of the inner lips, and of inner and outer lips, as shares of face height."""
    if made.points is None or seen.points is None:
        return None
    at = points_at(made, seen.times)
    distance = np.linalg.norm((at - seen.points)[:, :, :2], axis=2)
    return float(distance[:, INNER_LIPS].mean()), float(distance[:, MOUTH].mean())


def points_at(mouth: Mouth, times: FloatArray) -> FloatArray:
    """``[T, 478, 3]``: the points at other times, by linear interpolation; the ends repeat."""
    assert mouth.points is not None
    places = np.interp(times, mouth.times, np.arange(len(mouth.times)))
    below = np.minimum(places.astype(int), len(mouth.times) - 2)
    share = (places - below).astype(np.float32)[:, None, None]
    low, high = mouth.points[below], mouth.points[below + 1]
    return cast(FloatArray, low + (high - low) * share)


def jitter(mouth: Mouth, points: Sequence[int] = MOUTH) -> float | None:
    """Root mean square of the third derivative, in face heights per second cubed."""
    if mouth.points is None or len(mouth.times) < 4:
        return None
    step = float(np.median(np.diff(mouth.times)))
    third = np.diff(mouth.points[:, list(points), :2], 3, axis=0) / step**3
    return float(np.sqrt(np.square(third).sum(2).mean()))


def blinks(mouth: Mouth) -> int | None:
    """How often the lids close to less than half of what is usual for this face."""
    if mouth.points is None:
        return None
    shut = mouth.eyes_open < _LIDS_SHUT * np.median(mouth.eyes_open)
    starts = np.flatnonzero(np.diff(np.r_[0, shut.astype(int)]) == 1)
    ends = np.flatnonzero(np.diff(np.r_[shut.astype(int), 0]) == -1)
    if not len(starts):
        return 0
    apart = mouth.times[starts[1:]] - mouth.times[ends[:-1]]
    return 1 + int((apart > _BRIDGE_SECONDS).sum())


@dataclass(frozen=True, eq=False)
class Closures:
    """Counts of closures, addable over recordings; all ``[K]``, one for each of ``THRESHOLDS``.

    Attributes:
        wanted: m, b and p inside speech: a sound of speech comes before and after.
        met: of these, how many an event overlaps.
        events: closures inside speech.
        right: of these, how many overlap m, b or p.
        neither: of the others, how many overlap f or v: not counted as wrong.
        wanted_all, met_all: as ``wanted`` and ``met``, with those that begin or end speech.
        chance: seconds of speech within reach of m, b, p; ``spoken``: seconds of speech.
    """

    wanted: NDArray[np.int64]
    met: NDArray[np.int64]
    events: NDArray[np.int64]
    right: NDArray[np.int64]
    neither: NDArray[np.int64]
    wanted_all: NDArray[np.int64]
    met_all: NDArray[np.int64]
    chance: float = 0.0
    spoken: float = 0.0

    def __add__(self, other: Closures) -> Closures:
        return Closures(
            self.wanted + other.wanted, self.met + other.met, self.events + other.events,
            self.right + other.right, self.neither + other.neither,
            self.wanted_all + other.wanted_all, self.met_all + other.met_all,
            self.chance + other.chance, self.spoken + other.spoken,
        )  # fmt: skip

    def at(self, threshold: float) -> Closures:
        """The counts at the nearest of ``THRESHOLDS`` alone."""
        k = int(np.argmin(np.abs(THRESHOLDS - threshold)))
        only = slice(k, k + 1)
        return Closures(
            self.wanted[only], self.met[only], self.events[only], self.right[only],
            self.neither[only], self.wanted_all[only], self.met_all[only],
            self.chance, self.spoken,
        )  # fmt: skip

    @classmethod
    def none(cls) -> Closures:
        nothing = np.zeros(len(THRESHOLDS), np.int64)
        return cls(nothing, nothing, nothing, nothing, nothing, nothing, nothing)

    @property
    def recall(self) -> FloatArray:
        """Share of m, b, p that are met."""
        return cast(FloatArray, self.met / np.maximum(self.wanted, 1))

    @property
    def precision(self) -> FloatArray:
        """Share of the events that are right, those of f and v left out; 0 without events."""
        return cast(FloatArray, self.right / np.maximum(self.events - self.neither, 1))

    @property
    def f1(self) -> FloatArray:
        """Harmonic mean of the two."""
        return cast(
            FloatArray,
            2 * self.recall * self.precision / np.maximum(self.recall + self.precision, 1e-9),
        )


def count_closures(mouth: Mouth, phones: Phones) -> Closures:
    """Compare when the lips meet with when m, b and p are spoken.

    An event is a stretch in which the opening is below a share (the threshold) of its range in this
    utterance, from the 2nd percentile of the whole to the 95th within speech; stretches less than
    40 ms apart are one. An event that lasts longer than 0.3 s of speech is a mouth at rest: it
    meets no sound and is never right. Precision is that of the events inside a span of speech,
    which do not reach into a pause at either end. Events and sounds overlap if they come within
    40 ms of each other.
    """
    spans = phones.spans()
    steps = int(mouth.times[-1] * STEPS_PER_SECOND) + 1
    clock = np.arange(steps, dtype=np.float32) / np.float32(STEPS_PER_SECOND)
    opening = np.interp(clock, mouth.times, mouth.opening)
    speaking = _mask(clock, spans)
    total = Closures.none()
    if not speaking.any() or not spans:
        return total
    low, high = np.percentile(opening, 2), np.percentile(opening[speaking], 95)
    near = _mask(clock, [_widen(phone) for phone in phones.bilabials()]) & speaking
    counts = np.zeros((7, len(THRESHOLDS)), np.int64)
    counts[0] = sum(_inside(phone, spans) for phone in phones.bilabials())
    counts[1] = len(phones.bilabials())
    if high - low > _STILL:
        for k, threshold in enumerate(THRESHOLDS):
            closed = (opening - low) / (high - low) < threshold
            counts[2:, k] = _matches(_stretches(clock, closed), spans, phones)
    chance, spoken = (float(mask.sum()) / STEPS_PER_SECOND for mask in (near, speaking))
    wanted, wanted_all, met, met_all, events, right, neither = counts
    return Closures(wanted, met, events, right, neither, wanted_all, met_all, chance, spoken)


def _matches(
    events: list[tuple[float, float]],
    spans: list[tuple[float, float]],
    phones: Phones,
) -> tuple[int, int, int, int, int]:
    """How many m, b, p inside speech are met, and of all; then events inside, right, neither."""
    spoken = [
        (max(event[0], span[0]), min(event[1], span[1]))
        for event in events
        for span in spans
        if event[0] < span[1] and span[0] < event[1]
    ]
    pieces = [piece for piece in spoken if _short(piece)]
    met = [phone for phone in phones.bilabials() if _touches(phone, pieces)]
    met_inside = sum(_inside(phone, spans) for phone in met)
    inner = [event for event in events if _inside(event, spans)]
    right = [_short(event) and _touches(event, phones.bilabials()) for event in inner]
    labiodental = [_short(event) and _touches(event, phones.labiodentals()) for event in inner]
    neither = sum(f and not hit for f, hit in zip(labiodental, right, strict=True))
    return met_inside, len(met), len(inner), sum(right), neither


def _short(event: tuple[float, float]) -> bool:
    return event[1] - event[0] <= _LONGEST_CLOSURE_SECONDS


def _stretches(clock: FloatArray, closed: NDArray[np.bool_]) -> list[tuple[float, float]]:
    """Where ``closed`` holds, from first to last step; short breaks are bridged."""
    edges = np.diff(np.r_[0, closed.astype(int), 0])
    found: list[tuple[float, float]] = []
    for start, end in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1, strict=True):
        begin, finish = float(clock[start]), float(clock[end])
        if found and begin - found[-1][1] < _SAME_CLOSURE_SECONDS:
            found[-1] = (found[-1][0], finish)
        else:
            found.append((begin, finish))
    return found


def _touches(one: tuple[float, float], others: list[tuple[float, float]]) -> bool:
    start, end = _widen(one)
    return any(start <= other[1] and other[0] <= end for other in others)


def _widen(phone: tuple[float, float]) -> tuple[float, float]:
    return phone[0] - TOLERANCE_SECONDS, phone[1] + TOLERANCE_SECONDS


def _inside(one: tuple[float, float], spans: list[tuple[float, float]]) -> bool:
    return any(span[0] < one[0] and one[1] < span[1] for span in spans)


def _mask(clock: FloatArray, spans: list[tuple[float, float]]) -> NDArray[np.bool_]:
    mask = np.zeros(len(clock), bool)
    for start, end in spans:
        mask |= (clock >= start) & (clock < end)
    return mask


def closure_offsets(mouth: Mouth, phones: Phones) -> list[float]:
    """Of each m, b, p inside speech: how much later than its middle the lips come closest.

    The closest point is looked for within 0.12 s; one that lies at the edge of that is none.
    """
    spans = phones.spans()
    reach = round(_CLOSURE_REACH_SECONDS * STEPS_PER_SECOND)
    away = np.arange(-reach, reach + 1) / STEPS_PER_SECOND
    found = []
    for start, end in phones.bilabials():
        if _inside((start, end), spans):
            near = np.interp((start + end) / 2 + away, mouth.times, mouth.opening)
            lowest = np.flatnonzero(near <= near.min() + _STILL)
            if lowest[0] > 0 and lowest[-1] < len(near) - 1:
                found.append(float(away[lowest].mean()))
    return found
