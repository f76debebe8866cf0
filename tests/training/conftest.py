"""Two people who talk, as a training folder, and small perceptual networks."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from avatar.face import FaceRig, MediaPipeDetector
from avatar.generator import Generator
from avatar.media import VideoWriter, load_image
from avatar.motion import Retargeter
from avatar.training.faces import FaceClips, write_folder
from avatar.training.perceptual import PerceptualFeatures
from avatar.types import ARKIT_NAMES

FRAMES = 9
JAW = ARKIT_NAMES.index("jawOpen")
BLINKS = [ARKIT_NAMES.index(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")]


@pytest.fixture(scope="session")
def folder(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people who open their mouths and blink; each in one clip to learn from and one held out,
    in which they count as someone else."""
    raw, out = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("faces")
    detector, generator, rig = MediaPipeDetector(), Generator.load(), FaceRig.load()
    clips = []
    for name in ("astronaut", "grace_hopper"):
        image = load_image(repository / "examples" / f"{name}.jpg")
        face = detector.detect(image)[0]
        portrait = generator.prepare([(image, face)])
        retargeter = Retargeter(rig, face.landmarks, face.expression)
        for who, turn in ((name, 0.0), (f"{name}_later", 0.06)):
            frames, rows = [], []
            for k in range(FRAMES):
                expression = face.expression.copy()
                expression[JAW] = 0.6 * k / (FRAMES - 1)
                expression[BLINKS] = 0.8 * (k % 3) / 2
                rotation = np.array([math.cos(turn), 0, math.sin(turn), 0], np.float32)
                still, ahead = np.zeros(3, np.float32), np.zeros(2, np.float32)
                rows.append(retargeter.landmarks(expression, rotation, still, ahead))
                frames.append(generator.render(portrait, rows[-1]))
            clips.append((raw / f"{who}.mp4", raw / f"{who}.npz"))
            height, width = image.shape[:2]
            with VideoWriter(clips[-1][0], width=width, height=height, fps=25) as writer:
                for frame in frames:
                    writer.write(frame, None)
            np.savez(clips[-1][1], landmarks=np.stack(rows), size=[height, width], identity=who)
    write_folder(clips, {"astronaut_later", "grace_hopper_later"}, out)
    return out


@pytest.fixture(scope="session")
def clips(folder: Path) -> FaceClips:
    return FaceClips.load(folder, held_out=False)


@pytest.fixture(scope="session")
def unseen(folder: Path) -> FaceClips:
    return FaceClips.load(folder, held_out=True, every=2)


@pytest.fixture(scope="session")
def networks_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("networks")


@pytest.fixture(scope="session")
def networks(networks_folder: Path) -> dict[str, PerceptualFeatures]:
    """Perceptual networks with a few random channels, in files like the real ones."""
    random, made = np.random.default_rng(0), {}
    kernels = {"vgg16": [3] * 8, "alexnet": [11, 5, 3, 3, 3]}
    for net, sides in kernels.items():
        arrays, inputs = {}, 3
        for k, side in enumerate(sides):
            scale = 1.5 / np.sqrt(inputs * side * side)
            weight = random.normal(0, scale, (6, inputs, side, side))
            arrays[f"weight{k}"], inputs = weight.astype(np.float16), 6
            arrays[f"bias{k}"] = random.normal(0, 0.1, 6).astype(np.float16)
        for k in range(5):
            arrays[f"linear{k}"] = random.random(6).astype(np.float16)
        path = networks_folder / f"{net}.npz"
        np.savez(path, **arrays)  # type: ignore[arg-type]
        made[net] = PerceptualFeatures(net, path)
    return made
