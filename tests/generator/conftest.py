"""Two people, each detected once, and the shipped networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from avatar.face import FaceRig, MediaPipeDetector
from avatar.generator import Generator, Portrait
from avatar.media import load_image
from avatar.motion import Retargeter
from avatar.types import ARKIT_NAMES, Face, FloatArray, ImageArray


@dataclass(frozen=True, eq=False)
class Sitter:
    """A person of ``examples``: the photo, the face in it, and what moves it."""

    image: ImageArray
    face: Face
    portrait: Portrait
    retargeter: Retargeter

    @property
    def points(self) -> FloatArray:
        return self.face.landmarks.points

    @property
    def unit(self) -> float:
        """Pixels between the outer eye corners."""
        return self.retargeter.inter_ocular

    def pose(self, **weights: float) -> FloatArray:
        """Landmarks with the named blendshapes (by the beginning of their names), all else 0."""
        expression = np.zeros(len(ARKIT_NAMES), np.float32)
        for start, weight in weights.items():
            chosen = [k for k, name in enumerate(ARKIT_NAMES) if name.startswith(start)]
            assert chosen
            expression[chosen] = weight
        upright = np.array([1, 0, 0, 0], np.float32)
        still, ahead = np.zeros(3, np.float32), np.zeros(2, np.float32)
        return self.retargeter.landmarks(expression, upright, still, ahead)


@pytest.fixture(scope="session")
def generator() -> Generator:
    return Generator.load()


@pytest.fixture(scope="session")
def sit(repository: Path, generator: Generator) -> Callable[[ImageArray, int], Sitter]:
    """Makes a sitter of any picture; the second argument says which face."""
    detector, rig = MediaPipeDetector(), FaceRig.load()

    def make(image: ImageArray, which: int = 0) -> Sitter:
        face = detector.detect(image)[which]
        retargeter = Retargeter(rig, face.landmarks, face.expression)
        return Sitter(image, face, generator.prepare([(image, face)]), retargeter)

    return make


@pytest.fixture(scope="session")
def hopper(repository: Path, sit: Callable[..., Sitter]) -> Sitter:
    """Mouth closed, glasses, a face of 195 pixels."""
    return sit(load_image(repository / "examples" / "grace_hopper.jpg"))


@pytest.fixture(scope="session")
def collins(repository: Path, sit: Callable[..., Sitter]) -> Sitter:
    """Smiling with teeth, a face of 105 pixels."""
    return sit(load_image(repository / "examples" / "astronaut.jpg"))


@pytest.fixture(scope="session", params=["hopper", "collins"])
def sitter(request: pytest.FixtureRequest) -> Sitter:
    found: Sitter = request.getfixturevalue(request.param)
    return found
