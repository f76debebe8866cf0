"""Known lips give known figures: lag, correlation, distance, closures, jitter, blinks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar.evaluation.lipsync_measures import (
    THRESHOLDS,
    Closures,
    best_lag,
    blinks,
    closure_offsets,
    correlation,
    count_closures,
    jitter,
    lag_curve,
    landmark_distance,
)
from avatar.evaluation.lipsync_recordings import Mouth, Phones, mouth_from_landmarks
from avatar.face import FaceRig
from avatar.face.topology import EYES
from avatar.types import VISEME_NAMES, FloatArray

SIL, PP, FF, AA = (VISEME_NAMES.index(name) for name in ("sil", "PP", "FF", "aa"))
AT_HALF = int(np.argmin(np.abs(THRESHOLDS - 0.5)))


def wobble(seconds: float = 6.0, fps: float = 25.0, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """Times and a smooth random signal, its own clock in whole frames."""
    times = np.arange(int(seconds * fps), dtype=np.float32) / np.float32(fps)
    waves = np.random.default_rng(seed).uniform(0, 6.28, 8)
    values = sum(np.sin(2 * np.pi * 0.45 * (k + 1) * times + w) for k, w in enumerate(waves))
    return times, np.asarray(values, np.float32)


@given(st.integers(-30, 30), st.floats(0.1, 10), st.floats(-3, 3))
def test_the_lag_of_late_lips_is_found(hundredths: int, gain: float, level: float) -> None:
    times, values = wobble()
    late = times + np.float32(hundredths / 100)
    curve = lag_curve((late, values * gain + level), (times, values))
    assert curve is not None
    lag, r = best_lag(curve)
    assert lag == pytest.approx(hundredths / 100, abs=0.006)
    assert r > 0.99


def test_correlation_is_pearsons_and_undoes_a_known_lag() -> None:
    times, values = wobble()
    other = wobble(seed=1)[1]
    mixed = values + other
    clock = np.arange(0, float(times[-1]), 0.01)
    expected = np.corrcoef(np.interp(clock, times, mixed), np.interp(clock, times, values))[0, 1]
    assert correlation((times, mixed), (times, values)) == pytest.approx(expected, abs=1e-3)
    late = (times + np.float32(0.1), values)
    assert correlation(late, (times, values), lag=0.1) == pytest.approx(1, abs=1e-3)
    assert (correlation(late, (times, values)) or 0) < 0.95


def test_a_still_mouth_follows_nothing_and_cannot_be_followed() -> None:
    times, values = wobble()
    still = np.zeros_like(values)
    assert correlation((times, still), (times, values)) == 0.0
    assert correlation((times, values), (times, still)) is None
    assert lag_curve((times, values), (times, still)) is None
    assert correlation((times[:10], values[:10]), (times, values)) is None


def speech(closures: list[float], *, depth: float = 0.0) -> Mouth:
    """Lips that open to 1 for 3 s of speech from 0.5 s on and come to ``depth`` at the times."""
    times = np.arange(0, 4, 0.01, dtype=np.float32)
    opening = np.where((times > 0.45) & (times < 3.55), 1.0, 0.0)
    for at in closures:
        opening[np.abs(times - at) < 0.04] = depth
    return Mouth(times, opening.astype(np.float32), np.zeros(len(times), np.float32))


def phones(special: dict[float, int]) -> Phones:
    """Speech from 0.5 to 3.5 s in sounds of 0.1 s; those that begin at the keys are special."""
    starts = np.round(np.r_[0.0, np.arange(0.5, 3.5, 0.1), 3.5], 2)
    ends = np.r_[starts[1:], 4.0]
    visemes = [SIL, *(special.get(float(start), AA) for start in starts[1:-1]), SIL]
    return Phones(starts.astype(np.float32), ends.astype(np.float32), np.array(visemes))


def test_each_closure_finds_its_sound() -> None:
    found = count_closures(speech([1.05, 2.05]), phones({1.0: PP, 2.0: PP}))
    assert (found.wanted[AT_HALF], found.met[AT_HALF]) == (2, 2)
    assert (found.events[AT_HALF], found.right[AT_HALF]) == (2, 2)
    assert (found.recall[AT_HALF], found.precision[AT_HALF], found.f1[AT_HALF]) == (1, 1, 1)


def test_missed_and_wrong_closures_are_told_apart() -> None:
    found = count_closures(speech([1.05, 2.55, 3.05]), phones({1.0: PP, 2.0: PP}))
    assert found.recall[AT_HALF] == 0.5
    assert found.precision[AT_HALF] == pytest.approx(1 / 3)


def test_a_closure_at_f_or_v_is_neither_right_nor_wrong() -> None:
    found = count_closures(speech([1.05, 2.05]), phones({1.0: PP, 2.0: FF}))
    assert (found.events[AT_HALF], found.right[AT_HALF], found.neither[AT_HALF]) == (2, 1, 1)
    assert found.precision[AT_HALF] == 1


@pytest.mark.parametrize(("away", "met"), [(0.06, 1), (0.1, 1), (0.16, 0)])
def test_closure_and_sound_meet_within_40_ms(away: float, met: int) -> None:
    # The sound lasts from 1.0 to 1.1 s, the closure 40 ms either side of its middle.
    found = count_closures(speech([1.05 + away]), phones({1.0: PP}))
    assert found.met[AT_HALF] == met


def test_lips_at_rest_are_no_closure() -> None:
    """Neither in pauses, nor as a mouth that stays shut over half of what is said."""
    assert count_closures(speech([]), phones({1.0: PP})).events[AT_HALF] == 0
    shut = speech([])
    shut.opening[(shut.times > 0.9) & (shut.times < 2.4)] = 0
    found = count_closures(shut, phones({1.0: PP, 2.0: PP}))
    assert (found.met[AT_HALF], found.events[AT_HALF], found.right[AT_HALF]) == (0, 1, 0)


def test_a_sound_beside_a_pause_counts_only_with_the_edges() -> None:
    found = count_closures(speech([0.55]), phones({0.5: PP, 2.0: PP}))
    assert (found.wanted[AT_HALF], found.wanted_all[AT_HALF]) == (1, 2)
    assert (found.met[AT_HALF], found.met_all[AT_HALF]) == (0, 1)


def test_a_half_closed_mouth_closes_only_at_a_high_threshold() -> None:
    found = count_closures(speech([1.05], depth=0.4), phones({1.0: PP}))
    assert [bool(met) for met in found.met] == [bool(share > 0.4) for share in THRESHOLDS]


def test_a_mouth_that_never_moves_closes_never() -> None:
    still = speech([])
    found = count_closures(
        Mouth(still.times, np.full_like(still.opening, 0.3), still.width), phones({1.0: PP})
    )
    assert not found.met.any()
    assert found.wanted[0] == 1


def test_counts_add() -> None:
    once = count_closures(speech([1.05, 2.55]), phones({1.0: PP, 2.0: PP}))
    twice = once + once + Closures.none()
    np.testing.assert_allclose(twice.recall, once.recall)
    np.testing.assert_array_equal(twice.events, 2 * once.events)
    assert twice.chance == pytest.approx(2 * once.chance)


@given(st.integers(-6, 6))
def test_late_closures_say_how_late(hundredths: int) -> None:
    found = closure_offsets(
        speech([1.05, 2.05]).later(hundredths / 100), phones({1.0: PP, 2.0: PP})
    )
    assert found == pytest.approx([hundredths / 100] * 2, abs=0.011)


def face(times: FloatArray, *, gap: FloatArray | None = None) -> Mouth:
    """The mean face of the rig, 300 pixels an inter-ocular distance, its lips ``gap`` apart."""
    points = np.repeat(FaceRig.load().mean[None] * 300, len(times), 0)
    if gap is not None:
        for lower in (87, 14, 317):
            points[:, lower, 1] = points[:, {87: 82, 14: 13, 317: 312}[lower], 1] + gap
    return mouth_from_landmarks(times, points)


@given(st.floats(0.2, 5), st.floats(-0.6, 0.6), st.floats(-0.6, 0.6))
def test_neither_pose_nor_size_changes_the_lips(scale: float, yaw: float, roll: float) -> None:
    times = np.zeros(1, np.float32)
    plain = FaceRig.load().mean[None].astype(np.float64)
    turn = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    tilt = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    moved = plain @ (tilt @ turn).T * scale + 7
    a, b = (mouth_from_landmarks(times, p.astype(np.float32)) for p in (plain, moved))
    assert a.points is not None
    assert b.points is not None
    np.testing.assert_allclose(a.points, b.points, atol=2e-4)
    np.testing.assert_allclose(a.opening, b.opening, atol=2e-4)


def test_distance_is_that_of_the_points_in_face_heights() -> None:
    times = np.arange(10, dtype=np.float32) / 25
    one = face(times)
    assert one.points is not None
    moved = one.points.copy()
    moved[:, :, 0] += 0.03
    other = Mouth(times, one.opening, one.width, moved)
    assert landmark_distance(one, one) == (0.0, 0.0)
    assert landmark_distance(other, one) == pytest.approx((0.03, 0.03), abs=1e-5)
    assert landmark_distance(Mouth(times, one.opening, one.width), one) is None


def test_jitter_is_the_third_derivative() -> None:
    times = np.arange(200, dtype=np.float32) / 100
    one = face(times)
    assert one.points is not None
    swing = one.points.copy()
    rate = 2 * np.pi
    swing[:, :, 1] += 0.1 * np.sin(rate * times)[:, None]
    moved = jitter(Mouth(times, one.opening, one.width, swing.astype(np.float32)))
    assert jitter(one) == pytest.approx(0, abs=1.0)
    assert moved == pytest.approx(0.1 * rate**3 / np.sqrt(2), rel=0.1)


def test_blinks_are_counted_once_each() -> None:
    times = np.arange(100, dtype=np.float32) / 25
    one = face(times)
    assert one.points is not None
    lids = one.points.copy()
    for shut in (slice(20, 24), slice(25, 26), slice(60, 65)):  # the second is part of the first
        for eye in EYES:
            lids[shut, eye.upper] = lids[shut, eye.lower]
    assert blinks(one) == 0
    assert blinks(Mouth(times, one.opening, one.width, lids)) == 2
