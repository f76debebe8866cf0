"""The life of a face besides its mouth: seeded, smooth, within human limits, led by the voice."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from avatar.motion import IdleLife, Prosody, Voice
from avatar.types import FloatArray

STEP = 0.01
TALK = [Voice(accent=max(0.0, float(np.sin(0.05 * i))) ** 2, speech=0.9) for i in range(12000)]
"""Two minutes of speech, stressed every 1.3 s."""


class Lived(NamedTuple):
    blink: FloatArray
    brows: FloatArray
    degrees: FloatArray
    shift: FloatArray
    gaze: FloatArray


def live(seed: int, seconds: float, voices: list[Voice] | None = None, **factors: float) -> Lived:
    life = IdleLife(seed)
    count = int(seconds / STEP)
    voices = voices or [Voice()] * count
    lives = [life.at(i * STEP, voices[i], **factors) for i in range(count)]
    blink, brows, turn, shift, gaze = (np.array(parts) for parts in zip(*lives, strict=True))
    return Lived(blink, brows, np.degrees(turn), shift, np.degrees(gaze))


def blinks(closure: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(start, end) of each in seconds."""
    closed = np.concatenate([[False], closure > 0, [False]])
    starts = np.flatnonzero(closed[1:] & ~closed[:-1]) * STEP
    return starts, np.flatnonzero(~closed[1:] & closed[:-1]) * STEP


def test_the_same_seed_gives_the_same_life_and_another_seed_another() -> None:
    for a, b, c in zip(live(5, 20, TALK), live(5, 20, TALK), live(6, 20, TALK), strict=True):
        assert np.array_equal(a, b)
        assert not np.array_equal(a, c)


@pytest.mark.parametrize("voices", [None, TALK], ids=["silent", "talking"])
def test_blinks_have_human_rates(voices: list[Voice] | None) -> None:
    gaps = []
    count = 0
    for seed in range(4):
        closure = live(seed, 120, voices).blink
        starts, _ = blinks(closure)
        count += len(starts)
        gaps.extend(np.diff(starts))
        assert closure.max() > 0.95
    assert 12 <= count / 4 / 2 <= 25  # a minute
    assert 2.0 < np.median(gaps) < 6.0
    assert np.mean(np.array(gaps) < 0.7) < 0.3


def test_a_blink_closes_fast_and_opens_slower() -> None:
    closure = live(1, 120).blink
    starts, ends = blinks(closure)
    for start, end in zip(starts, ends, strict=True):
        part = closure[round(start / STEP) : round(end / STEP)]
        shut = np.flatnonzero(part > 0.98)
        closing, opening = shut[0] * STEP, (len(part) - shut[-1]) * STEP
        assert 0.05 <= closing <= 0.1
        assert 0.1 <= opening <= 0.19
        assert closing < opening


def test_eyes_like_to_blink_when_the_voice_pauses() -> None:
    pausing = [Voice(pause=0.8, speech=0.6) if i % 400 < 60 else Voice(speech=1.0)
               for i in range(12000)]  # fmt: skip
    within = [
        start % 4.0 < 0.9
        for seed in range(6)
        for start in blinks(live(seed, 120, pausing).blink)[0]
    ]
    assert np.mean(within) > 1.5 * 0.9 / 4.0


@pytest.mark.parametrize("rate", [0.0, 0.5, 2.0])
def test_the_blink_rate_scales_how_often_the_eyes_blink(rate: float) -> None:
    usual = sum(len(blinks(live(seed, 120).blink)[0]) for seed in range(4))
    asked = sum(len(blinks(live(seed, 120, blink_rate=rate).blink)[0]) for seed in range(4))
    assert asked == pytest.approx(rate * usual, rel=0.25)


@pytest.mark.parametrize("voices", [None, TALK], ids=["silent", "talking"])
def test_the_head_starts_where_the_photo_has_it_and_moves_like_a_persons(
    voices: list[Voice] | None,
) -> None:
    for seed in range(3):
        lived = live(seed, 60, voices)
        assert np.abs(lived.degrees[0]).max() < 1e-6
        assert np.abs(lived.shift[0]).max() < 1e-6
        size = np.linalg.norm(lived.degrees, axis=1)
        assert 1.0 < size.max() < 12.0
        speed = np.linalg.norm(np.diff(lived.degrees, axis=0), axis=1) / STEP
        assert np.median(speed) < 6.0
        assert speed.max() < 40.0
        change = np.linalg.norm(np.diff(lived.degrees, 2, axis=0), axis=1) / STEP**2
        assert change.max() < 400.0  # degrees a second squared: no jolt
        assert np.abs(lived.shift).max() < 0.06
        assert np.abs(lived.gaze).max() < 16.0


def test_a_talking_head_moves_more_than_a_silent_one() -> None:
    def speed(lived: Lived) -> float:
        return float(np.linalg.norm(np.diff(lived.degrees, axis=0), axis=1).mean())

    assert speed(live(2, 60, TALK)) > 1.3 * speed(live(2, 60))


def test_head_motion_scales_the_head_and_zero_holds_it() -> None:
    usual, twice = live(3, 30, TALK), live(3, 30, TALK, head_motion=2.0)
    assert np.allclose(twice.degrees, 2 * usual.degrees)
    still = live(3, 30, TALK, head_motion=0.0)
    assert not still.degrees.any()
    assert not still.shift.any()


def test_eyes_rest_and_then_jump() -> None:
    eyes = live(4, 60, head_motion=0.0).gaze
    speed = np.abs(np.diff(eyes[:, 0])) / STEP
    assert np.median(speed) == 0.0
    assert speed.max() > 20.0


def test_accents_bend_the_head_down_and_raise_the_brows_each_in_its_own_way() -> None:
    nods, raises = [], []
    for seed in range(12):
        rise = [Voice(accent=min(i / 30, 1.0), speech=0.0) for i in range(100)]
        calm, stressed = live(seed, 1), live(seed, 1, rise)
        nods.append((stressed.degrees - calm.degrees)[-1, 0])
        raises.append((stressed.brows - calm.brows)[-1, 0])
    assert all(0.5 < nod < 6.5 for nod in nods)
    assert np.std(nods) > 0.3
    assert max(raises) > 0.2
    assert 0.0 < min(raises) < 0.1


def test_prosody_is_still_in_silence_and_rises_on_a_loud_syllable() -> None:
    prosody = Prosody()
    for _ in range(50):
        prosody.hear(-6.0, 0.0)
    assert prosody.voice == Voice()
    for _ in range(100):
        prosody.hear(-0.8, 1.0)
    assert prosody.voice.accent < 0.1, "steady speech is not stressed"
    seen = []
    for i in range(25):
        prosody.hear(-0.1 if i < 8 else -0.8, 1.0)
        seen.append(prosody.voice.accent)
    assert max(seen) > 0.3
    assert np.abs(np.diff(seen)).max() < 0.3
    assert seen[-1] < 0.1


def test_a_pause_is_what_follows_speech_not_silence_as_such() -> None:
    prosody = Prosody()
    for _ in range(25):
        prosody.hear(-0.5, 1.0)
    assert prosody.voice.pause == 0.0
    prosody.hear(-6.0, 0.0)
    assert prosody.voice.pause > 0.5
    for _ in range(50):
        prosody.hear(-6.0, 0.0)
    assert prosody.voice.pause < 0.05
