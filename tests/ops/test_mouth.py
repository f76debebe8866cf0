"""The mouth that a network asks for stays in range, and is as the numpy specification says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar.errors import InputError
from avatar.ops import Mouth, native_status

needs_kernels = pytest.mark.skipif(
    not native_status().built, reason="the native kernels are not built"
)


def mouth(curves: int = 5, visemes: int = 4) -> Mouth:
    rng = np.random.default_rng(0)
    return Mouth(
        opens=(rng.random(curves) < 0.5).astype(np.float32),
        parted=(0.1 * rng.random(curves)).astype(np.float32),
        not_parted=rng.random(visemes).astype(np.float32),
        pressed=1,
        gate=(0.3, 0.4),
    )


def wishes(rows: int, columns: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scale = 10 ** rng.uniform(-1, 2)
    raw = (scale * rng.standard_normal((rows, columns))).astype(np.float32)
    return raw, (scale * rng.standard_normal(rows)).astype(np.float32)


@needs_kernels
@given(
    rows=st.integers(0, 7), curves=st.integers(1, 20), visemes=st.integers(2, 20),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_the_mouth_equals_its_reference(rows: int, curves: int, visemes: int, seed: int) -> None:
    closing = mouth(curves, visemes)
    raw, voiced = wishes(rows, curves + visemes, seed)
    for made, expected in zip(closing(raw, voiced), closing.reference(raw, voiced), strict=True):
        np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-6)


@given(rows=st.integers(1, 7), seed=st.integers(0, 99))
def test_everything_stays_in_its_range(rows: int, seed: int) -> None:
    closing = mouth()
    shape, speech = closing(*wishes(rows, 9, seed))
    assert shape.min() >= 0
    assert shape.max() <= 1 + 1e-6
    np.testing.assert_allclose(shape[:, 5:].sum(1), 1, atol=1e-5)
    assert (shape[speech == 0, :5] == 0).all()


def test_without_a_voice_the_mouth_is_closed_and_silent() -> None:
    shape, speech = mouth()(np.full((1, 9), 3, np.float32), np.full(1, -200, np.float32))
    assert speech == 0
    assert shape.tolist() == [[0, 0, 0, 0, 0, 1, 0, 0, 0]]


def test_wrong_input_is_refused_with_its_shape() -> None:
    with pytest.raises(InputError, match=r"raw must be \[2, 9\] .* got \[2, 8\]"):
        mouth()(np.zeros((2, 8), np.float32), np.zeros(2, np.float32))
    with pytest.raises(InputError, match="voiced"):
        mouth()(np.zeros((2, 9), np.float32), np.zeros(2))  # type: ignore[arg-type]
