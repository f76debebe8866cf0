"""The features of a stream: the same for any chunking, deaf to gain, silent in silence."""

from __future__ import annotations

import itertools

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.errors import AudioError
from avatar.speech import BAND_FLOOR, BANDS, FEATURES, LogMelStream, log_mel, mel_powers
from avatar.types import FloatArray


def speechlike(seconds: float, seed: int = 0) -> FloatArray:
    """Noise in syllables of a quarter of a second."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * 16000)) / 16000
    envelope = 0.05 + np.clip(np.sin(2 * np.pi * 2 * t), 0, 1)
    return (0.1 * envelope * rng.standard_normal(len(t))).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 16000), max_size=12))
def test_features_are_the_same_bits_for_any_chunking(cuts: list[int]) -> None:
    samples = speechlike(1.0)
    edges = [0, *sorted(cuts), len(samples)]
    stream = LogMelStream()
    parts = [stream.push(samples[a:b]) for a, b in itertools.pairwise(edges)]
    assert np.array_equal(np.concatenate(parts), LogMelStream().push(samples))


def test_one_shot_features_agree_with_the_stream() -> None:
    samples = speechlike(2.0)
    assert np.allclose(log_mel(samples), LogMelStream().push(samples), atol=1e-4)


def test_bands_are_librosas_mel_spectrogram() -> None:
    samples = speechlike(1.0)
    powers = mel_powers(samples)
    ours = powers[3:90] / powers.sum(1)[3:90, None]
    # librosa centres the 400-sample window within its 512-sample frame, 56 samples in
    shifted = np.pad(samples, (296, 0))[: len(samples) + 240]
    expected = librosa.feature.melspectrogram(
        y=shifted, sr=16000, n_fft=512, win_length=400, hop_length=160,
        n_mels=BANDS, fmin=0, fmax=8000, norm=None, center=False, window="hann",
    ).T  # fmt: skip
    theirs = expected[3:90] / expected[3:90].sum(1)[:, None]
    assert np.allclose(ours, theirs, atol=2e-3)


def test_bands_of_a_frame_sum_to_its_mean_square() -> None:
    tone = (0.5 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)).astype(np.float32)
    assert mel_powers(tone)[50].sum() == pytest.approx(0.125, rel=0.05)


@pytest.mark.parametrize("gain_db", [-24, -12, 6])
def test_a_quieter_microphone_gives_the_same_features_after_a_moment(gain_db: float) -> None:
    samples = speechlike(12.0)
    loud, quiet = log_mel(samples), log_mel(samples * np.float32(10 ** (gain_db / 20)))
    assert np.abs(loud[-200:] - quiet[-200:]).max() < 0.05


def test_digital_silence_is_the_floor_however_long() -> None:
    features = LogMelStream().push(np.zeros(16000 * 30, np.float32))
    assert (features[4:] == BAND_FLOOR).all()


def test_a_frame_does_not_know_later_sound() -> None:
    samples = speechlike(1.0)
    changed = samples.copy()
    changed[8000:] = 0.9
    same = 8000 // 160
    assert np.array_equal(log_mel(samples)[:same], log_mel(changed)[:same])


def test_wrong_samples_are_refused() -> None:
    with pytest.raises(AudioError, match="float32"):
        LogMelStream().push(np.zeros(100, np.int16))  # type: ignore[arg-type]
    with pytest.raises(AudioError, match="float32"):
        LogMelStream().push(np.zeros((100, 2), np.float32))


def test_no_sound_gives_no_features() -> None:
    assert LogMelStream().push(np.zeros(0, np.float32)).shape == (0, FEATURES)
