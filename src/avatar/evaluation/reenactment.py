"""How well the generator draws people it never saw: each drives their own photos.

The first two fifths of the film of a person give the photos, the rest the frames to be
drawn. The first photo has open eyes and the mouth most closed; each further one is the frame least
like those before, so that K = 8 holds open mouths, closed eyes and turned heads where there were
any. Half the frames to draw come from the third in which the lips are widest. The generator is
given the landmarks of the true frame, so that what is judged is the picture alone.

Beside it stand the bare photo, which does not move, and the warped photo, on which nothing is
painted: by the plain warp (``plain_warp``) and by this package's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar.engine import Engine
from avatar.errors import InputError
from avatar.evaluation.likeness import (
    FACE,
    Lpips,
    cell,
    compare,
    descriptor,
    flicker,
    has_descriptor,
)
from avatar.evaluation.lips import lip_opening
from avatar.evaluation.plain_warp import plain_picture
from avatar.generator import Portrait
from avatar.generator.parts import Placement
from avatar.media import VideoReader
from avatar.training.clip_sources import ClipSource, find_clips
from avatar.types import Face, FloatArray, ImageArray

SHOTS = (1, 2, 4, 8)
STILL, PLAIN, WARPED = "still photo", "plain warp", "warp only"

Photos = list[tuple[ImageArray, Face]]
Draw = Callable[[FloatArray], ImageArray]

_MOST_FRAMES = 240
_SOURCE_SHARE = 0.4
_GAP_FRAMES = 10
_WIDE_SHARE = 1 / 3
_IDENTITY_EVERY = 3
_AWAKE = 0.9


@dataclass(frozen=True, eq=False)
class Person:
    """What was filmed of one person.

    Attributes:
        name: of the person.
        group: where the films are from.
        photos: the K frames that the person is known by, K as large as the longest of ``SHOTS``.
        targets: pairs of consecutive frames to be drawn, the first of each judged.
        wide: ``[targets]`` whether the first is of the third with the widest lips.
    """

    name: str
    group: str
    photos: Photos
    targets: list[tuple[tuple[ImageArray, Face], tuple[ImageArray, Face]]]
    wide: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Reenactment:
    """The study.

    Attributes:
        clips: videos of people, or folders of them.
        people: only these; all by default.
        engine: the models.
        networks: see ``Lpips``.
        targets: frames to judge for each person.
        makers: more ways to make something drawable of all the photos, by name.
    """

    clips: tuple[Path, ...]
    people: frozenset[str] = frozenset()
    engine: Engine = field(default_factory=Engine.default)
    networks: Path | None = None
    targets: int = 12
    makers: Mapping[str, Callable[[Photos], Portrait]] = field(default_factory=dict)

    def run(self, *, tell: Callable[[str], None] = lambda line: None) -> Results:
        """Measure; ``tell`` hears of each person done.

        Raises:
            InputError: there are no clips, or none of the people asked for, or too little of them.
            DependencyError: the networks that compare are not installed.
        """
        films = self._films()
        lpips = Lpips(self.networks)
        results = Results()
        for name, source in sorted(films.items()):
            person = self._read(source)
            if person is None:
                tell(f"{name}: too few frames with a face, left out")
                continue
            scores, pictures = self._measure(person, lpips)
            results.people[name] = {"group": person.group, "scores": scores}
            results.pictures[name] = pictures
            figures = (f"{k} {v['mouth.lpips_wide']:.3f}" for k, v in scores.items())
            tell(f"{name}: mouth LPIPS {', '.join(figures)}")
        if not results.people:
            raise InputError("none of the clips shows a face in enough frames")
        return results

    def _films(self) -> dict[str, ClipSource]:
        """The largest film of each person: others may be framed otherwise."""
        films: dict[str, ClipSource] = {}
        for source in find_clips(self.clips):
            if not self.people or source.identity in self.people:
                known = films.setdefault(source.identity, source)
                larger = source.path.stat().st_size > known.path.stat().st_size
                films[source.identity] = source if larger else known
        missing = self.people - films.keys()
        if missing:
            raise InputError(f"no clips of {', '.join(sorted(missing))} among those given")
        return films

    def _read(self, source: ClipSource) -> Person | None:
        frames: list[tuple[ImageArray, Face] | None] = []
        with VideoReader(source.path) as reader:
            for image, _ in islice(reader, _MOST_FRAMES):
                faces = self.engine.detector.detect(image)
                frames.append((image, faces[0]) if faces else None)
        first = int(_SOURCE_SHARE * len(frames))
        known = [frame for frame in frames[:first] if frame is not None]
        left = frames[first + _GAP_FRAMES :]
        pairs = [(a, b) for a, b in pairwise(left) if a is not None and b is not None]
        if len(known) < max(SHOTS) or len(pairs) < self.targets:
            return None
        chosen, wide = _targets([lip_opening(a[1].landmarks) for a, _ in pairs], self.targets)
        return Person(
            source.identity, source.group, [known[k] for k in _photos(known, max(SHOTS))],
            [pairs[k] for k in chosen], wide,
        )  # fmt: skip

    def _variants(self, person: Person) -> dict[str, Draw]:
        """Every way to draw the person, by name."""
        generator = self.engine.generator

        def drawn(portrait: Portrait) -> Draw:
            return lambda landmarks: generator.render(portrait, landmarks)

        first = self.engine.prepare(person.photos[:1])
        variants: dict[str, Draw] = {
            STILL: lambda landmarks: person.photos[0][0],
            PLAIN: lambda landmarks: plain_picture(first, landmarks),
            WARPED: lambda landmarks: generator.warp(first, landmarks),
        }
        for shots in SHOTS:
            variants[f"K = {shots}"] = drawn(self.engine.prepare(person.photos[:shots]))
        for name, make in self.makers.items():
            variants[name] = drawn(make(person.photos))
        return variants

    def _measure(
        self, person: Person, lpips: Lpips
    ) -> tuple[dict[str, dict[str, float]], dict[str, ImageArray]]:
        """Figures of each variant, and of each a picture of the widest mouth."""
        true = [(a[0], b[0]) for a, b in person.targets]
        landmarks = [a[1].landmarks.points for a, _ in person.targets]
        widest = int(np.argmax([lip_opening(a[1].landmarks) for a, _ in person.targets]))
        scores: dict[str, dict[str, float]] = {}
        photo, face = person.photos[0]
        pictures = {
            "photo": cell(photo, face.landmarks.points),
            "true": cell(true[widest][0], landmarks[widest]),
        }
        for name, draw in self._variants(person).items():
            shown = [
                (draw(a[1].landmarks.points), draw(b[1].landmarks.points))
                for a, b in person.targets
            ]
            found = compare([a for a, _ in shown], [a for a, _ in true], landmarks, lpips)
            score = {key: float(value.mean()) for key, value in found.items()}
            score["mouth.lpips_wide"] = float(found["mouth.lpips"][person.wide].mean())
            score["flicker"] = flicker(shown, true, landmarks)
            score["landmarks_percent"] = self._landmark_error([a for a, _ in shown], landmarks)
            if has_descriptor():
                score["identity"] = _identity(person, [a for a, _ in shown])
            scores[name] = score
            pictures[name] = cell(shown[widest][0], landmarks[widest])
        return scores, pictures

    def _landmark_error(self, shown: list[ImageArray], asked: list[FloatArray]) -> float:
        """Mean distance of the landmarks found from those asked for, in % of the eyes' distance."""
        errors = []
        for image, points in zip(shown, asked, strict=True):
            faces = self.engine.detector.detect(image)
            if faces:
                apart = np.linalg.norm((faces[0].landmarks.points - points)[:, :2], axis=1).mean()
                errors.append(100 * apart / np.linalg.norm((points[33] - points[263])[:2]))
        return float(np.mean(errors)) if errors else 100.0


@dataclass(eq=False)
class Results:
    """Figures and pictures of each person.

    Attributes:
        people: by name: ``group``, and ``scores`` by variant and measure.
        pictures: by name and variant, the frame with the widest lips (``cell``); also of the photo
            and the true frame.
    """

    people: dict[str, dict[str, Any]] = field(default_factory=dict)
    pictures: dict[str, dict[str, ImageArray]] = field(default_factory=dict)

    def groups(self) -> dict[str, dict[str, dict[str, float]]]:
        """Means over the people of each group, and of all."""
        names = ["all", *sorted({person["group"] for person in self.people.values()})]
        return {
            name: _mean([p["scores"] for p in self.people.values() if name in ("all", p["group"])])
            for name in names
        }


def _mean(scores: Sequence[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    return {
        variant: {
            measure: float(np.mean([score[variant][measure] for score in scores]))
            for measure in scores[0][variant]
        }
        for variant in scores[0]
    }


def _identity(person: Person, shown: list[ImageArray]) -> float:
    """Mean distance of the person shown from the person of the first photo."""
    photo, face = person.photos[0]
    own = descriptor(photo, face.landmarks.points)
    pairs = list(zip(shown, person.targets, strict=True))[::_IDENTITY_EVERY]
    apart = [
        np.linalg.norm(descriptor(image, target[1].landmarks.points) - own)
        for image, (target, _) in pairs
    ]
    return float(np.mean(apart))


def _photos(known: Photos, count: int) -> list[int]:
    """A frame with open eyes and the mouth most closed, then each time the one least like those."""
    shapes = np.stack([_shape(face.landmarks.points) for _, face in known])
    eyes = np.array([_eye_opening(face.landmarks.points) for _, face in known])
    mouths = np.array([lip_opening(face.landmarks) for _, face in known])
    awake = eyes >= _AWAKE * np.median(eyes)
    chosen = [int(np.argmin(np.where(awake, mouths, np.inf)))]
    while len(chosen) < count:
        apart = np.abs(shapes[:, None] - shapes[None, chosen]).mean(2).min(1)
        chosen.append(int(np.argmax(apart)))
    return chosen


def _eye_opening(points: FloatArray) -> float:
    lids = np.linalg.norm(points[[159, 386]] - points[[145, 374]], axis=1)
    return float(lids.mean() / np.linalg.norm(points[33] - points[263]))


def _shape(points: FloatArray) -> FloatArray:
    """The landmarks on the square of the face, flat."""
    import torch

    flat = torch.from_numpy(np.ascontiguousarray(points[None, :, :2]))
    shape: FloatArray = Placement.of(FACE, flat).to_patch(flat).numpy().ravel()
    return shape


def _targets(openings: list[float], count: int) -> tuple[list[int], NDArray[np.bool_]]:
    """Which frames to draw, and which of them are of the widest third."""
    order = np.argsort(openings, kind="stable")
    limit = openings[order[int((1 - _WIDE_SHARE) * len(order))]]
    wide = [k for k, opening in enumerate(openings) if opening >= limit]
    half = count // 2
    chosen = {wide[k] for k in np.linspace(0, len(wide) - 1, half).astype(int)}
    others = [k for k in range(len(openings)) if k not in chosen]
    chosen |= {others[k] for k in np.linspace(0, len(others) - 1, count - len(chosen)).astype(int)}
    kept = sorted(chosen)
    return kept, np.array([openings[k] >= limit for k in kept])
