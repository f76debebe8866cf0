"""Inputs for the media tests, good and bad."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray


@pytest.fixture(scope="session")
def picture() -> NDArray[np.uint8]:
    """``[123, 161, 3]``: a smooth picture without symmetry."""
    down, across = np.mgrid[:123, :161]
    bands = [across + 40, down * 2, 200 - across // 2 - down // 4]
    return np.stack(bands, axis=-1).astype(np.uint8)


@pytest.fixture(scope="session")
def noise() -> NDArray[np.float32]:
    """Two seconds at 16 kHz of band-limited noise: only the true shift correlates."""
    rng = np.random.default_rng(7)
    raw = rng.standard_normal(32_000)
    smooth = np.convolve(raw, np.hanning(9) / 4, mode="same")
    return (0.2 * smooth / np.abs(smooth).max()).astype(np.float32)


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    path = tmp_path / "note.txt"
    path.write_text("This is a note, not a recording and not a picture.\n" * 50)
    return path
