"""Avatar files of every format that was ever written stay readable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data

from avatar import Avatar, Identity
from avatar.face import MediaPipeDetector, find_face
from avatar.identity import FORMAT, Consent

GOLDEN = Path(__file__).parent
FILES = sorted(GOLDEN.glob("*.avatar"))


def test_there_is_one_for_each_format() -> None:
    assert {path.stem.rpartition("_v")[2] for path in FILES} == {
        str(version) for version in range(1, FORMAT + 1)
    }
    assert all(path.stat().st_size < 300_000 for path in FILES)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_gives_the_person_it_was_made_from(path: Path) -> None:
    identity = Identity.load(path)
    (photo,) = identity.photos
    np.testing.assert_array_equal(photo.image, skimage.data.astronaut()[:256, 96:352])
    assert identity.consent == Consent(True, "NASA", "a portrait in the public domain")
    assert identity.created == "2025-01-01T00:00:00+00:00"
    assert photo.source_sha256.startswith("8e6c2203b9add0fe")
    measured = find_face(photo.image, MediaPipeDetector())
    np.testing.assert_allclose(
        photo.face.landmarks.points[:, :2], measured.landmarks.points[:, :2], atol=1.0
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_speaks(path: Path) -> None:
    sound = (np.zeros(4_000, np.float32), 16_000)
    frames = list(Avatar.load(path).speak(sound, size=128))
    assert len(frames) == 6
    assert frames[0].image.shape == (128, 128, 3)
