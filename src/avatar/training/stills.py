"""Still pictures as training clips: the shipped generator moves them, to find back from.

    python -m avatar.training.stills PICTURES --out FACES --frames 12

One picture of each face is worth having for its skin, its lips and its teeth, but an episode needs
two. Here the sources are the picture with its face moved at random by the rig, and the target is
the picture itself (``filmed`` in the track): nothing that a network drew is ever what one learns to
draw. Pictures without a usable face are named and left out.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from avatar.engine import Engine
from avatar.errors import InputError
from avatar.generator.portrait import resize
from avatar.media import VideoWriter, load_image
from avatar.motion import Retargeter
from avatar.types import ARKIT_NAMES, FloatArray, ImageArray

_LONGER_SIDE = 720
_MOUTH = [
    k for k, name in enumerate(ARKIT_NAMES)
    if name.startswith(("mouth", "jaw")) and name not in ("mouthClose", "jawForward")
]  # fmt: skip
_BLINKS = [ARKIT_NAMES.index("eyeBlinkLeft"), ARKIT_NAMES.index("eyeBlinkRight")]
_JAW = ARKIT_NAMES.index("jawOpen")


def moved(
    engine: Engine, image: ImageArray, frames: int, random: np.random.Generator
) -> tuple[list[ImageArray], FloatArray]:
    """The picture, then itself with the face moved; and ``[frames, 478, 2]`` landmarks.

    Raises:
        FaceError: no usable face.
    """
    image = resize(image, min(1.0, _LONGER_SIDE / max(image.shape[:2])))
    face = engine.find_face(image, face=0)
    portrait = engine.prepare([(image, face)])
    retargeter = Retargeter(engine.rig, face.landmarks, face.expression)
    pictures, points = [image.copy()], [face.landmarks.points]
    for _ in range(frames - 1):
        expression = np.zeros(len(ARKIT_NAMES), np.float32)
        shapes = random.choice(_MOUTH, 3, replace=False)
        expression[shapes] = random.uniform(0, 0.6, 3)
        expression[_JAW] = random.choice([0.0, random.uniform(0, 0.8)])
        expression[_BLINKS] = random.choice([0.0, random.uniform(0, 1)])
        angles = np.radians(random.normal(0, (3.0, 4.0, 2.0)))
        turn = np.array([1.0, *(angles / 2)], np.float32)
        here = retargeter.landmarks(
            expression, turn / np.linalg.norm(turn), np.zeros(3, np.float32),
            random.normal(0, 0.1, 2).astype(np.float32),
        )  # fmt: skip
        pictures.append(engine.generator.render(portrait, here))
        points.append(here)
    return pictures, np.stack(points)[..., :2].astype(np.float32)


def write(pictures: list[ImageArray], points: FloatArray, name: str, out: Path) -> None:
    """Add the clip of one picture to a training folder; the track last."""
    height, width = pictures[0].shape[:2]
    with VideoWriter(out / f"{name}.mp4", width=width, height=height, fps=25) as writer:
        for picture in pictures:
            writer.write(picture, None)
    code = np.clip(points / np.array([width, height]) * 65535.0, 0, 65535)
    filmed = np.arange(len(pictures)) == 0
    partial = out / f"{name}.npz.part"
    with partial.open("wb") as file:
        np.savez_compressed(
            file, landmarks=code.round().astype(np.uint16), size=np.array([height, width]),
            identity=name, held_out=False, filmed=filmed,
        )  # fmt: skip
    partial.replace(out / f"{name}.npz")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pictures", type=Path, help="folder of pictures")
    parser.add_argument("--out", type=Path, required=True, help="training folder")
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    engine = Engine.default()
    for k, path in enumerate(sorted(args.pictures.iterdir())):
        name = f"still_{path.stem}"
        if (args.out / f"{name}.npz").exists():
            continue
        try:
            image = load_image(path)
            made = moved(engine, image, args.frames, np.random.default_rng((args.seed, k)))
        except InputError as reason:
            print(f"left out: {reason}", file=sys.stderr)
            continue
        write(*made, name, args.out)
        print(name, flush=True)


if __name__ == "__main__":
    main()
