"""Log-mel features in native code: those of the numpy specification, each frame by itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar.errors import InputError
from avatar.ops import LogMel, native_status

needs_kernels = pytest.mark.skipif(
    not native_status().built, reason="the native kernels are not built"
)


def analysis(*, bands: int = 20, window: int = 400, hop: int = 160) -> LogMel:
    """Triangles that lie side by side; the last band is empty."""
    centres = np.linspace(0, 256, bands + 1)
    away = np.abs(np.arange(257)[:, None] - centres[None, :-1]) / (256 / bands)
    filters = np.clip(1 - away, 0, None).astype(np.float32) * 1e-3
    filters[:, -1] = 0
    return LogMel(
        np.hanning(window).astype(np.float32), filters, hop=hop, attack=0.2, release=0.004,
        level_floor=-5.0, band_floor=-6.0,
    )  # fmt: skip


def noise(rng: np.random.Generator, streams: int, samples: int) -> list[np.ndarray]:
    loudness = 10 ** rng.uniform(-4, 0, (streams, 1))
    return list((loudness * rng.standard_normal((streams, samples))).astype(np.float32))


@needs_kernels
@given(
    streams=st.integers(0, 9), frames=st.integers(1, 6), bands=st.integers(2, 128),
    window=st.integers(2, 512), hop=st.integers(1, 200), spare=st.integers(0, 2),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_features_equal_their_reference(
    streams: int, frames: int, bands: int, window: int, hop: int, spare: int, seed: int
) -> None:
    mel = analysis(bands=bands, window=window, hop=hop)
    rng = np.random.default_rng(seed)
    sounds = noise(rng, streams, window + (frames - 1) * hop)
    levels = [np.full(1, level) for level in rng.uniform(-5, 0, streams)]
    same = [level.copy() for level in levels]
    made, expected = (np.full((streams, frames, bands + 1 + spare), 7, np.float32) for _ in "ab")
    mel(sounds, levels, made)
    mel.reference(sounds, same, expected)
    np.testing.assert_allclose(made, expected, atol=1e-4)
    np.testing.assert_allclose(levels, same, atol=1e-5)
    assert (made[..., bands + 1 :] == 7).all()


@pytest.mark.parametrize("streams", [2, 4, 5, 17])
def test_a_frame_is_the_same_bits_in_any_company(streams: int) -> None:
    mel = analysis()
    sounds = noise(np.random.default_rng(0), streams, 880)
    together = np.empty((streams, 4, 21), np.float32)
    mel(sounds, [np.full(1, -3.0) for _ in sounds], together)
    for sound, expected in zip(sounds, together, strict=True):
        alone, level = np.empty((1, 4, 21), np.float32), np.full(1, -3.0)
        mel([sound], [level], alone)
        assert np.array_equal(alone[0], expected)


def test_sounds_that_follow_each_other_share_their_level() -> None:
    mel = analysis()
    sound = noise(np.random.default_rng(3), 1, 400 + 7 * 160)[0]
    whole, parts = np.empty((1, 8, 21), np.float32), np.empty((2, 4, 21), np.float32)
    mel([sound], [np.full(1, -3.0)], whole)
    level = np.full(1, -3.0)
    mel([sound[:880], sound[640:]], [level, level], parts)
    assert np.array_equal(parts.reshape(1, 8, 21), whole)


def test_silence_is_the_floor() -> None:
    features = np.empty((1, 4, 21), np.float32)
    analysis()([np.zeros(880, np.float32)], [np.full(1, -5.0)], features)
    assert (features == -6.0).all()


def test_wrong_input_is_refused_with_its_shape() -> None:
    mel, level = analysis(), [np.full(1, -3.0)]
    features = np.empty((1, 4, 21), np.float32)
    with pytest.raises(InputError, match=r"\[880\] float32 .* got \[879\]"):
        mel([np.zeros(879, np.float32)], level, features)
    with pytest.raises(InputError, match="float64"):
        mel([np.zeros(880)], level, features)  # type: ignore[list-item]
    with pytest.raises(InputError, match="without gaps"):
        mel([np.zeros(1760, np.float32)[::2]], level, features)
    with pytest.raises(InputError, match=r"features \[1, T, at least 21\]"):
        mel([np.zeros(880, np.float32)], level, features[:, :, :20])
    with pytest.raises(InputError, match="filters"):
        LogMel(
            np.ones(9, np.float32), np.ones((9, 9), np.float32), hop=1, attack=1, release=1,
            level_floor=0, band_floor=0,
        )  # fmt: skip
