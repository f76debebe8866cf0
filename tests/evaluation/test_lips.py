"""The measures tell an open mouth from a closed one, and a late one from one in time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from avatar.evaluation.lips import lag, lip_opening, loudness
from avatar.types import Audio, Landmarks


def face(gap: float, *, scale: float = 1.0, turn: float = 0.0) -> Landmarks:
    """A face 200 pixels high whose inner lips are ``gap`` pixels apart."""
    points = np.zeros((478, 3))
    points[10, 1], points[152, 1] = -100, 100
    for upper, lower in ((82, 87), (13, 14), (312, 317)):
        points[upper, 1], points[lower, 1] = 50, 50 + gap
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points[:, :2] = scale * points[:, :2] @ rotation.T
    return Landmarks(points.astype(np.float32))


@given(st.floats(0, 60), st.floats(0.1, 20), st.floats(-3, 3))
def test_opening_depends_on_neither_size_nor_tilt(gap: float, scale: float, turn: float) -> None:
    opening = lip_opening(face(gap, scale=scale, turn=turn))
    assert opening == pytest.approx(gap / 200, abs=1e-4)


def test_loudness_is_that_of_each_frame() -> None:
    samples = np.concatenate([np.zeros(640), np.full(640, 0.5), np.full(320, 0.25)])
    levels = loudness(Audio(samples.astype(np.float32), 16_000), frames=4, fps=25)
    np.testing.assert_allclose(levels, [0, 0.5, 0.25, 0], atol=1e-6)


@pytest.mark.parametrize("late_frames", [-4, -1, 0, 2, 5])
def test_lag_finds_the_shift(late_frames: int) -> None:
    steps = np.random.default_rng(3).random(130)
    voice = np.convolve(steps, np.hanning(7), mode="valid").astype(np.float32)
    mouth: NDArray[np.float32] = np.roll(voice, late_frames)[10:-10]
    offset_seconds, correlation = lag(mouth, voice[10:-10], 25.0)
    assert offset_seconds == pytest.approx(late_frames / 25)
    assert correlation > 0.999


def test_a_still_mouth_has_no_lag() -> None:
    voice = np.random.default_rng(0).random(50).astype(np.float32)
    assert lag(np.full(50, 0.1, np.float32), voice, 25.0) == (0.0, 0.0)
    assert lag(voice[:1], voice[:1], 25.0) == (0.0, 0.0)
