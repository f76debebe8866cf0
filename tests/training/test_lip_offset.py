"""Where a sound fits the lips is found from the clips alone."""

from __future__ import annotations

import numpy as np
import pytest

from avatar.training.lip_offset import LipOffset, LipTrack, lip_offsets
from avatar.types import FloatArray

RATE = 16_000
SECONDS = 8.0
PEOPLE = 6


def spoken(seed: int, ahead: float = 0.0, *, heard: bool = True) -> LipTrack:
    """A voice whose loudness and colour follow an opening mouth, filmed at 25 fps.

    The picture is ``ahead`` seconds ahead of the sound; with ``heard`` false the sound is of
    somebody else's mouth.
    """
    rng = np.random.default_rng(seed)
    mouth, other = (_mouth(rng) for _ in range(2))
    opening = np.interp(_clock(), *(mouth if heard else other))
    noise = rng.normal(size=len(opening))
    dark = np.convolve(noise, np.ones(12) / 4, "same")
    audio = (0.2 * (opening * dark + 0.05 * (1 - opening) * noise)).astype(np.float32)
    times = np.arange(0.6, SECONDS - 0.6, 0.04)
    lips = 0.1 * np.interp(times + ahead, *mouth) + 0.003 * rng.normal(size=len(times))
    landmarks = np.zeros((len(times), 478, 3), np.float32)
    landmarks[:, 263, 0] = 1.0
    landmarks[:, 14, 1] = lips
    landmarks[:, 308, 0] = 0.5 - 0.3 * lips
    return LipTrack.measured(f"person{seed % PEOPLE}", audio, times.astype(np.float32), landmarks)


def _clock() -> FloatArray:
    return np.asarray(np.arange(int(SECONDS * RATE)) / RATE, np.float32)


def _mouth(rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Syllables of uneven length: times and openings in [0, 1]."""
    steps = rng.uniform(0.06, 0.22, 120)
    opened = np.where(np.arange(120) % 2, rng.uniform(0.4, 1.0, 120), 0.0)
    return np.cumsum(steps), opened


def test_clips_in_step_stay_and_a_shifted_one_is_found() -> None:
    shifts = {3: 0.16, 8: -0.24, 11: 0.31}
    found = lip_offsets([spoken(seed, shifts.get(seed, 0.0)) for seed in range(12)])
    for seed, offset in enumerate(found):
        assert offset.verdict == "sure", seed
        assert offset.seconds == pytest.approx(shifts.get(seed, 0.0), abs=0.021), seed


def test_what_all_clips_share_counts_as_in_step() -> None:
    found = lip_offsets([spoken(seed, 0.1 if seed else 0.2) for seed in range(10)])
    assert found[5].seconds == pytest.approx(0.0, abs=0.015)
    assert found[0].seconds == pytest.approx(0.1, abs=0.021)


def test_a_sound_of_another_mouth_is_never_sure() -> None:
    found = lip_offsets([spoken(seed, heard=seed not in (0, 7)) for seed in range(12)])
    assert {found[0].verdict, found[7].verdict} <= {"weak", "none"}
    assert [offset.verdict for offset in found[1:7]] == ["sure"] * 6


def test_too_few_clips_are_left_as_filmed() -> None:
    assert lip_offsets([spoken(seed, 0.2) for seed in range(3)]) == [LipOffset()] * 3
    assert lip_offsets([]) == []


@pytest.mark.parametrize("people", [1, PEOPLE])
def test_nobody_is_judged_by_a_fit_on_the_same_clip(people: int) -> None:
    """A clip of a unique, wrong rule, which a fit on it could learn by heart, is not believed."""
    tracks = [spoken(seed) for seed in range(12)]
    odd = spoken(99, heard=False)
    tracks = [
        LipTrack(f"p{i % people}", t.bands, t.times, t.lips) for i, t in enumerate([*tracks, odd])
    ]
    assert lip_offsets(tracks)[-1].verdict != "sure"
