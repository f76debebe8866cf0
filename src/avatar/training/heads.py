"""Synthetic talking heads with perfect ground truth, for the generator.

    python -m avatar.training.heads ict_face.npz --out FACES --people 40 --seed 0

The ICT face with its teeth, gums, tongue and eyes, in made-up skin and light, speaks, smiles and
blinks at random. Its landmarks are points of the model, not measured: they are right inside a
mouth that opens wide and behind hair. Writes clips beside those of ``avatar train prepare
--faces``. A person takes some seconds; those that are there already stay.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from avatar.face import FaceRig
from avatar.face.pose import matrix_from_quaternion
from avatar.media import VideoWriter
from avatar.training.head_renderer import (
    EYES,
    GUMS,
    SIZE,
    SKIN,
    TEETH,
    HeadRenderer,
    Look,
    project,
)
from avatar.training.ict import IctFace
from avatar.types import ARKIT_NAMES

Array = NDArray[np.float64]

FRAMES = 40
_FPS = 25
_DISTANCE = 62.0  # centimetres
_SHAPES = 40
"""Modes of identity that vary; the further ones are noise."""

_DRAWN = slice(0, 24591)
"""All but the transparent shells around the eyes and the sheets that carry lashes."""

_GUMS, _TEETH = slice(14062, 17039), slice(17039, 21451)
_INSIDE = slice(11248, 13294)
_EYEBALLS = (slice(21451, 23021), slice(23021, 24591))
_FACE = slice(0, 9409)
_LIP_RING, _LIP_INNER = slice(48, 60), slice(60, 68)

_TEETH_LOWER = (0.0, 0.4)
"""By how many centimetres the upper teeth lie lower than the model's."""


class Heads:
    """The ICT face, ready to be dressed and moved."""

    def __init__(self, path: Path) -> None:
        self.face = IctFace.read(path)
        self._points, self._weights = self.face.mesh_points(FaceRig.load().mean.astype(np.float64))
        with np.load(path) as data:
            triangles = data["triangles"]
        triangles = triangles[(triangles < _DRAWN.stop).all(1)]
        self._inner = self.face.neutral[self.face.ibug68[_LIP_INNER]].mean(0)
        self.upper_jaw = self._upper_jaw()
        self.renderer = HeadRenderer(triangles, self._place(), self._material(), self._shade())

    def landmarks(self, vertices: Array) -> Array:  # [V, 3] -> [478, 3]
        found: Array = (self._weights[..., None] * vertices[self._points]).sum(1)
        return found

    def _upper_jaw(self) -> NDArray[np.intp]:
        """Vertices of the teeth and gums that stay where they are as the jaw opens."""
        fall = np.abs(self.face.expressions[ARKIT_NAMES.index("jawOpen"), :, 1])
        mouth = np.arange(_GUMS.start, _TEETH.stop)
        still: NDArray[np.intp] = mouth[fall[mouth] < 0.05 * fall[mouth].max()]
        return still

    def _place(self) -> NDArray[np.float32]:
        place = self.face.neutral.copy()
        for ball in _EYEBALLS:
            own = place[ball]
            middle = (own.min(0) + own.max(0)) / 2
            radius = np.ptp(own[:, 0]) / 2
            off = (own - middle) / radius
            # Behind its middle an eyeball is white.
            off[off[:, 2] > 0] = 1.0
            place[ball] = off
        return place.astype(np.float32)

    def _material(self) -> NDArray[np.float32]:
        material = np.full(len(self.face.neutral), SKIN, np.float32)
        material[_INSIDE], material[_GUMS], material[_TEETH] = GUMS, GUMS, TEETH
        for ball in _EYEBALLS:
            material[ball] = EYES
        return material

    def _shade(self) -> NDArray[np.float32]:
        """Skin: how much lip, brow and beard it is. Mouth: how yellow, and how much light it
        gets."""
        neutral, marks = self.face.neutral, self.face.neutral[self.face.ibug68]
        shade = np.zeros((len(neutral), 3), np.float32)
        skin = neutral[_FACE]
        ring = np.concatenate([marks[_LIP_RING], marks[_LIP_INNER]])
        line = np.concatenate([_dense(marks[_LIP_RING][:, :2]), _dense(marks[_LIP_INNER][:, :2])])
        inside = _within(skin[:, :2], marks[_LIP_RING][:, :2])
        apart = np.sqrt(np.square(skin[:, None, :2] - line[None]).sum(2).min(1))
        near = skin[:, 2] < ring[:, 2].max() + 0.6
        shade[_FACE, 0] = near * np.clip(0.5 + np.where(inside, apart, -apart) / 0.16, 0, 1)
        brows = np.concatenate(
            [_dense(marks[17:22], closed=False), _dense(marks[22:27], closed=False)]
        )
        to_brow = np.sqrt(np.square(skin[:, None] - brows[None]).sum(2).min(1))
        shade[_FACE, 1] = np.clip(1.3 - to_brow / 0.42, 0, 1)
        below = skin[:, 1] - marks[33, 1]
        shade[_FACE, 2] = np.clip(below / 0.8, 0, 1) * (1 - shade[_FACE, 0])
        mouth = slice(_GUMS.start, _TEETH.stop)
        depth = neutral[mouth, 2] - self._inner[2]
        shade[mouth, 1] = _daylight(depth)
        shade[_INSIDE, 1] = 0.5 * _daylight(neutral[_INSIDE, 2] - self._inner[2])
        shade[mouth, 0] = np.clip(depth / 4.0, 0, 1)
        return shade


def _daylight(depth: Array) -> Array:
    """How much of the light reaches a place so many centimetres behind the lips: little is left at
    the molars.
    """
    light: Array = np.clip(np.exp((0.6 - depth) / 1.1), 0.02, 1.0)
    return light


def _dense(points: Array, *, closed: bool = True) -> Array:
    """Points along the line through ``points``."""
    ends = np.roll(points, -1, 0) if closed else np.concatenate([points[1:], points[-1:]])
    share = np.linspace(0, 1, 8, endpoint=False)[:, None, None]
    return np.concatenate(list(points + share * (ends - points)))


def _within(points: Array, ring: Array) -> NDArray[np.bool_]:
    """Which points lie inside a polygon, by the crossings of a ray."""
    a, b = ring[None], np.roll(ring, -1, 0)[None]
    x, y = points[:, None, 0], points[:, None, 1]
    spans = (a[..., 1] > y) != (b[..., 1] > y)
    slope = (b[..., 0] - a[..., 0]) / np.where(b[..., 1] == a[..., 1], 1e-9, b[..., 1] - a[..., 1])
    crossings = spans & (x < a[..., 0] + slope * (y - a[..., 1]))
    odd: NDArray[np.bool_] = crossings.sum(1) % 2 == 1
    return odd


# ── one person ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Film:
    """Frames of one made-up person: ``[T, SIZE, SIZE, 3]`` uint8, ``[T, 478, 2]`` pixels."""

    frames: NDArray[np.uint8]
    landmarks: NDArray[np.float32]


def film(heads: Heads, random: np.random.Generator, count: int = FRAMES) -> Film:
    """A person who never was."""
    face = heads.face
    weights = random.normal(0, 0.8, _SHAPES)
    own = face.neutral + np.tensordot(weights, face.identities[:_SHAPES], 1)
    # At rest the model's upper lip hides its teeth, and in speech nearly does; people's show.
    own[heads.upper_jaw, 1] += random.uniform(*_TEETH_LOWER)
    middle = own[face.ibug68[27:36]].mean(0) + np.array([0.0, 1.5, 3.0])
    look, back = _look(random), _background(random)
    expression, turns = _motion(random, count), _turns(random, count)
    focal = float(random.uniform(4.6, 5.6))
    before = _before_the_face(random)
    frames, landmarks = [], []
    for weights_now, turn in zip(expression, turns, strict=True):
        moved = own + np.tensordot(weights_now, face.expressions, 1)
        placed = (moved - middle) @ matrix_from_quaternion(turn).astype(np.float64).T
        drawn = heads.renderer.draw(placed, look, distance=_DISTANCE, focal=focal)
        alpha = drawn[..., 3:] / 255.0
        picture = (drawn[..., :3] * alpha + back * (1 - alpha)).round().astype(np.uint8)
        frames.append(before(picture))
        landmarks.append(project(heads.landmarks(placed), distance=_DISTANCE, focal=focal))
    return Film(np.stack(frames), np.stack(landmarks).astype(np.float32))


def _look(random: np.random.Generator) -> Look:
    def near(colour: tuple[float, ...], spread: float) -> tuple[float, ...]:
        return tuple((np.array(colour) * np.exp(random.normal(0, spread, 3))).clip(0, 1).tolist())

    dark = random.random()
    skin = (1 - dark) * np.array([0.70, 0.40, 0.28]) + dark * np.array([0.12, 0.05, 0.03])
    sun = random.normal(0, 1, 3) * np.array([0.8, 0.5, 0.0]) + np.array([0.0, -0.5, -1.0])
    lips = skin * np.array([0.85, 0.5, 0.52]) + np.array([0.06, 0.0, 0.01])
    bright = float(random.uniform(0.5, 1.0))
    irises = ((0.12, 0.06, 0.03), (0.10, 0.16, 0.22), (0.10, 0.14, 0.06))
    hairs = ((0.02, 0.015, 0.012), (0.10, 0.05, 0.025), (0.35, 0.22, 0.10), (0.4, 0.4, 0.4))
    return Look({
        "sun": tuple((sun / np.linalg.norm(sun)).tolist()), "sun_colour": near((bright,) * 3, 0.08),
        "sky": near((0.42,) * 3, 0.06), "ground": near((0.2,) * 3, 0.1),
        "skin": near(tuple(skin), 0.03), "lips": near(tuple(lips), 0.12),
        "teeth": near((0.78, 0.72, 0.60), 0.07), "gums": near((0.45, 0.14, 0.14), 0.15),
        "iris": near(irises[random.integers(3)], 0.2),
        "hair": near(hairs[random.integers(4)], 0.15), "grain": float(random.uniform(0.05, 0.25)),
        "blotches": float(random.uniform(0.05, 0.25)), "gloss": float(random.uniform(0.1, 0.6)),
        "beard": float(random.random() < 0.3) * float(random.uniform(0.4, 0.9)),
        "seed": float(random.uniform(0, 99)), "hairline": float(random.uniform(9.5, 13.0)),
    })  # fmt: skip


def _motion(random: np.random.Generator, count: int) -> Array:  # [T, 52]
    """Speech-like curves: the jaw swings, other shapes of the mouth come and go, eyes blink."""
    time = np.arange(count) / _FPS

    def swing(low: float, high: float) -> Array:
        waves = sum(
            random.uniform(0.3, 1.0) * np.sin(2 * np.pi * (f * time + random.random()))
            for f in random.uniform(low, high, 3)
        )
        curve: Array = np.clip(0.5 + 0.35 * waves, 0, 1)
        return curve

    weights = np.zeros((count, len(ARKIT_NAMES)))
    weights[:, ARKIT_NAMES.index("jawOpen")] = random.uniform(0.3, 0.9) * swing(1.0, 4.0)
    for k, name in enumerate(ARKIT_NAMES):
        if name.startswith("mouth") and name != "mouthClose" and random.random() < 0.35:
            weights[:, k] = random.uniform(0.1, 0.7) * swing(0.5, 3.0) ** 2
        elif name.startswith(("brow", "cheek", "nose")) and random.random() < 0.4:
            weights[:, k] = random.uniform(0.0, 0.6) * swing(0.2, 1.0)
    blink = np.clip(1.4 - np.abs(time - random.uniform(0.2, 1.4)) / 0.08, 0, 1)
    for k, name in enumerate(ARKIT_NAMES):
        left = name.endswith("Left")
        if name.startswith("eyeBlink"):
            weights[:, k] = blink
        elif left and name.startswith("mouth") and random.random() < 0.8:
            weights[:, ARKIT_NAMES.index(name[:-4] + "Right")] = weights[:, k]
    return weights


def _turns(random: np.random.Generator, count: int) -> NDArray[np.float32]:  # [T, 4] wxyz
    time = np.arange(count) / _FPS
    angles = np.stack(
        [
            np.radians(random.normal(0, spread))
            + np.radians(random.uniform(0, 4)) * np.sin(2 * np.pi * (0.6 * time + random.random()))
            for spread in (6.0, 10.0, 4.0)
        ],
        1,
    )
    half = np.linalg.norm(angles, axis=1, keepdims=True) / 2
    axis = angles / np.maximum(2 * half, 1e-9)
    return np.concatenate([np.cos(half), axis * np.sin(half)], 1).astype(np.float32)


def _background(random: np.random.Generator) -> Array:  # [SIZE, SIZE, 3] in 0..255
    """Soft patches of colour, as a room out of focus."""
    size = tuple(random.integers(2, 9, 2))
    rough = 0.7 * random.uniform(0, 255, (*size, 1)) + 0.3 * random.uniform(0, 255, (*size, 3))
    picture = Image.fromarray(rough.astype(np.uint8)).resize((SIZE, SIZE), Image.Resampling.BICUBIC)
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(6)), np.float64)


def _before_the_face(
    random: np.random.Generator,
) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    """Strands of hair or a rod before the face, the same in every frame; mostly nothing."""
    kind = random.random()
    if kind > 0.35:
        return lambda picture: picture
    layer = Image.new("RGBA", (SIZE, SIZE))
    draw = ImageDraw.Draw(layer)
    shade = int(random.uniform(5, 120))
    if kind < 0.25:
        for _ in range(int(random.integers(3, 12))):
            top = np.array([random.uniform(0.2, 0.8) * SIZE, 0.0])
            bow = random.normal(0, 60, 2) + np.array([0.0, 140.0])
            end = top + bow + random.normal(0, 60, 2) + np.array([0.0, random.uniform(40, 220)])
            t = np.linspace(0, 1, 24)[:, None]
            line = (1 - t) ** 2 * top + 2 * t * (1 - t) * (top + bow) + t**2 * end
            colour = (shade, int(shade * 0.8), int(shade * 0.7), 200)
            draw.line(
                [tuple(p) for p in line.tolist()], fill=colour, width=int(random.integers(1, 4))
            )
    else:
        x, y = random.uniform(0.35, 0.65) * SIZE, random.uniform(0.72, 0.85) * SIZE
        draw.ellipse((x - 34, y - 30, x + 34, y + 40), fill=(shade, shade, shade, 255))
        draw.rectangle((x - 14, y + 20, x + 14, SIZE), fill=(shade // 2,) * 3 + (255,))
    soft = layer.filter(ImageFilter.GaussianBlur(0.8))

    def lay(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        both = Image.alpha_composite(Image.fromarray(picture).convert("RGBA"), soft)
        return np.asarray(both.convert("RGB"))

    return lay


def write(made: Film, name: str, out: Path) -> None:
    """Add a clip to a training folder; the track last, so that what has one is whole."""
    with VideoWriter(out / f"{name}.mp4", width=SIZE, height=SIZE, fps=_FPS) as writer:
        for frame in made.frames:
            writer.write(frame, None)
    code = np.clip(made.landmarks / SIZE * 65535.0, 0, 65535).round().astype(np.uint16)
    partial = out / f"{name}.npz.part"
    with partial.open("wb") as file:
        np.savez_compressed(
            file, landmarks=code, size=np.array([SIZE, SIZE]), identity=name, held_out=False
        )
    partial.replace(out / f"{name}.npz")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("ict", type=Path, help="ict_face.npz, vertex_indices.json beside it")
    parser.add_argument("--out", type=Path, required=True, help="training folder")
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    heads = Heads(args.ict)
    for k in range(args.people):
        name = f"synthetic_{args.seed}_{k:04d}"
        if not (args.out / f"{name}.npz").exists():
            write(film(heads, np.random.default_rng((args.seed, k))), name, args.out)
            print(name, flush=True)


if __name__ == "__main__":
    main()
