"""The resampler gives the same bits for any chunking, exact lengths, and clean sound."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from avatar.errors import AudioError
from avatar.media import StreamResampler

Samples = NDArray[np.float32]
RATES = [8000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 37_123, 96_000]


def resampled(resampler: StreamResampler, samples: Samples, cuts: list[int]) -> Samples:
    places = [0, *sorted(cut % (len(samples) + 1) for cut in cuts), len(samples)]
    parts = [resampler.push(samples[a:b]) for a, b in pairwise(places)]
    return np.concatenate([*parts, resampler.flush()])


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(RATES),
    st.sampled_from(RATES),
    st.integers(0, 6000),
    st.lists(st.integers(0, 6000), max_size=12),
    st.integers(0, 2**32 - 1),
)
def test_any_chunking_gives_the_same_bits(
    from_rate: int, to_rate: int, length: int, cuts: list[int], seed: int
) -> None:
    samples = np.random.default_rng(seed).standard_normal(length).astype(np.float32)
    resampler = StreamResampler(from_rate, to_rate)
    whole = resampled(resampler, samples, [])
    np.testing.assert_array_equal(resampled(resampler, samples, cuts), whole)
    exact = length * to_rate / from_rate
    assert abs(len(whole) - exact) <= 0.5 or (length and len(whole) == 1)
    assert whole.dtype == np.float32


@pytest.mark.parametrize("rate", [8000, 24_000, 44_100, 48_000])
def test_one_sample_at_a_time(rate: int) -> None:
    samples = np.random.default_rng(1).standard_normal(800).astype(np.float32)
    resampler = StreamResampler(rate, 16_000)
    whole = resampled(resampler, samples, [])
    np.testing.assert_array_equal(resampled(resampler, samples, list(range(800))), whole)


@pytest.mark.parametrize("from_rate", RATES)
@pytest.mark.parametrize("to_rate", [16_000, 48_000])
def test_tones_pass_in_phase_and_aliases_do_not(from_rate: int, to_rate: int) -> None:
    seconds = 0.4
    time = np.arange(round(seconds * from_rate)) / from_rate
    later = np.arange(round(seconds * to_rate)) / to_rate
    low = min(from_rate, to_rate)
    edge = slice(to_rate // 20, -to_rate // 20)
    for frequency in (0.02 * low, 0.2 * low, 0.43 * low):
        tone = np.sin(2 * np.pi * frequency * time).astype(np.float32)
        out = resampled(StreamResampler(from_rate, to_rate), tone, [])
        error = np.abs(out - np.sin(2 * np.pi * frequency * later[: len(out)]))[edge].max()
        assert error < 3e-5
    if from_rate > to_rate * 1.05:
        alias = np.sin(2 * np.pi * 0.51 * to_rate * time).astype(np.float32)
        assert np.abs(resampled(StreamResampler(from_rate, to_rate), alias, [])[edge]).max() < 1e-4


def test_speech_bands_agree_with_soxr(noise: Samples) -> None:
    """Equal to another implementation at its best quality, below the transition band."""
    spectrum = np.fft.rfft(noise)
    spectrum[np.fft.rfftfreq(len(noise), 1 / 16_000) > 3400] = 0
    band = np.fft.irfft(spectrum).astype(np.float32)
    for rate in (8000, 22_050, 48_000):
        ours = resampled(StreamResampler(16_000, rate), band, [])
        theirs = soxr.resample(band, 16_000, rate, quality="VHQ")
        middle = slice(rate // 10, -rate // 10)
        assert np.abs(ours - theirs)[middle].max() < 1e-4


def test_output_keeps_up_with_the_input() -> None:
    """What is ready lies behind the input by the stated lookahead and no more."""
    for rate in RATES:
        resampler = StreamResampler(rate, 16_000)
        pushed = produced = 0
        for _ in range(50):
            chunk = np.zeros(rate // 100, np.float32)
            pushed += len(chunk)
            produced += len(resampler.push(chunk))
            behind = pushed / rate - produced / 16_000
            assert behind <= resampler.lookahead_seconds + 2 / 16_000
        assert resampler.lookahead_seconds < 0.007


def test_memory_does_not_grow_with_the_stream() -> None:
    resampler = StreamResampler(48_000, 16_000)
    sizes = set()
    for _ in range(200):
        resampler.push(np.zeros(480, np.float32))
        sizes.add(len(resampler._pending))
    assert max(sizes) < 2000


def test_equal_rates_pass_through(noise: Samples) -> None:
    resampler = StreamResampler(16_000, 16_000)
    np.testing.assert_array_equal(resampler.push(noise), noise)
    assert len(resampler.flush()) == 0
    assert resampler.lookahead_seconds == 0


@pytest.mark.parametrize("rate", [0, -1, 999, 10**6])
def test_impossible_rates(rate: int) -> None:
    with pytest.raises(AudioError, match=f"got {rate}"):
        StreamResampler(rate, 16_000)
