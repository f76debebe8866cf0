"""Faces that the packages this project is tested with carry."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
from matplotlib import cbook
from PIL import Image

from avatar.face import FaceRig, MediaPipeDetector
from avatar.types import Face, ImageArray


@pytest.fixture(scope="session")
def astronaut() -> ImageArray:
    """Eileen Collins, NASA, 512 × 512 (public domain)."""
    return np.asarray(skimage.data.astronaut())


@pytest.fixture(scope="session")
def grace_hopper() -> ImageArray:
    """Grace Hopper, US Navy, 512 × 600 (public domain)."""
    with cbook.get_sample_data("grace_hopper.jpg") as file, Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture(scope="session")
def detector() -> MediaPipeDetector:
    return MediaPipeDetector()


@pytest.fixture(scope="session")
def astronaut_face(astronaut: ImageArray, detector: MediaPipeDetector) -> Face:
    return detector.detect(astronaut)[0]


@pytest.fixture(scope="session")
def rig() -> FaceRig:
    return FaceRig.load()
