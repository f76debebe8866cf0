"""The life of a face that does not speak: seeded, smooth, within human limits."""

from __future__ import annotations

import numpy as np
import pytest

from avatar.motion.idle import IdleLife, Prosody
from avatar.types import ARKIT_NAMES, FloatArray

LEFT, RIGHT = ARKIT_NAMES.index("eyeBlinkLeft"), ARKIT_NAMES.index("eyeBlinkRight")
MOUTH = [i for i, n in enumerate(ARKIT_NAMES) if n.startswith(("mouth", "jaw", "tongue"))]
STEP = 0.01


def live(seed: int, seconds: float, accent: float = 0.0) -> tuple[FloatArray, ...]:
    life = IdleLife(seed)
    frames = [life.at(i * STEP, accent=accent, speech=0.0) for i in range(int(seconds / STEP))]
    return tuple(np.stack(parts) for parts in zip(*frames, strict=True))


def test_the_same_seed_gives_the_same_life_and_another_seed_another() -> None:
    for a, b, c in zip(live(5, 20), live(5, 20), live(6, 20), strict=True):
        assert np.array_equal(a, b)
        assert not np.array_equal(a, c)


def test_blinks_have_human_statistics() -> None:
    blinks: FloatArray = np.concatenate([live(seed, 120)[0][:, LEFT] for seed in range(3)])
    closed = np.concatenate([[False], blinks > 0, [False]])
    starts = np.flatnonzero(closed[1:] & ~closed[:-1]) * STEP
    ends = np.flatnonzero(~closed[1:] & closed[:-1]) * STEP
    lengths, gaps = ends - starts, np.diff(starts)
    assert 3 * 120 / 6 < len(starts) < 3 * 120 / 2
    assert lengths.min() >= 0.12
    assert lengths.max() <= 0.26
    assert 2.0 < np.median(gaps) < 6.0
    assert 0 < (gaps < 0.5).mean() < 0.3
    assert blinks.max() > 0.95


def test_both_eyes_blink_alike_and_the_mouth_is_left_alone() -> None:
    expression = live(1, 60)[0]
    assert np.array_equal(expression[:, LEFT], expression[:, RIGHT])
    assert not expression[:, MOUTH].any()
    assert expression.min() >= 0
    assert expression.max() <= 1


def test_the_head_starts_where_the_photo_has_it_and_moves_little_and_smoothly() -> None:
    _, rotation, translation, gaze = live(2, 120)
    assert np.allclose(rotation[0], [1, 0, 0, 0], atol=1e-6)
    assert np.allclose(np.linalg.norm(rotation, axis=1), 1, atol=1e-6)
    degrees = np.degrees(2 * np.linalg.norm(rotation[:, 1:], axis=1))
    assert 1.0 < degrees.max() < 8.0
    speed = np.degrees(2 * np.linalg.norm(np.diff(rotation[:, 1:], axis=0), axis=1)) / STEP
    assert speed.max() < 12.0
    assert np.abs(translation).max() < 0.06
    assert np.degrees(np.abs(gaze)).max() < 12.0


def test_eyes_rest_and_then_jump() -> None:
    _, rotation, _, gaze = live(4, 60)
    eyes_only = gaze[:, 0] - 0.6 * 2 * rotation[:, 2]
    speed = np.degrees(np.abs(np.diff(eyes_only))) / STEP
    assert np.median(speed) < 1.0
    assert speed.max() > 20.0


def test_an_accent_bends_the_head_down_and_raises_the_brows() -> None:
    calm, stressed = live(7, 1), live(7, 1, accent=1.0)
    pitch = 2 * (stressed[1][:, 1] - calm[1][:, 1])
    assert np.degrees(pitch).mean() == pytest.approx(2.2, abs=0.2)
    brow = ARKIT_NAMES.index("browInnerUp")
    assert (stressed[0][:, brow] > calm[0][:, brow] + 0.2).all()


def test_prosody_is_still_in_silence_and_rises_on_a_loud_syllable() -> None:
    prosody = Prosody()
    for _ in range(50):
        prosody.hear(-6.0, 0.0)
    assert prosody.accent == prosody.speech == 0.0
    seen = []
    for i in range(25):
        prosody.hear(-0.1 if i < 8 else -6.0, 1.0)
        seen.append(prosody.accent)
    assert max(seen) > 0.3
    assert np.abs(np.diff(seen)).max() < 0.3
    assert seen[-1] < 0.1
