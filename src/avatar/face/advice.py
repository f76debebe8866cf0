"""Which further photo of a person would help most.

A talking face passes through a few states: lips closed, teeth bared, mouth wide open, eyes shut,
head turned. What no photo shows has to be invented. So the score of some photos is how well they
cover these states, each as well as the photo that shows it best, weighed by how much of a talking
picture is made of it; a poor photo covers little. It says what is known of the person, not how good
the video will be. Glasses, hands and hair before the face are not looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, cast

import numpy as np

from avatar.errors import FaceError, ImageError, NoFaceError
from avatar.face.detector import FaceDetector, MediaPipeDetector, find_face
from avatar.face.photo_quality import PhotoQuality, measure
from avatar.face.rig import FaceRig
from avatar.media import ImageSource, load_image
from avatar.types import FloatArray

_TURNED = 28.0
"""Degrees of a view that shows the side of the face best and can still be measured well."""

_UNLIKE = 0.6
"""Cosine distance of two identities above which photos may show two people. In film few pairs of
frames of one person are further apart, and most of two people are."""

_COMPARED_DEGREES, _COMPARED_INSIDE = 25.0, 0.98
"""Faces turned further, or cut off further, are not compared: their shape is a guess."""


@dataclass(frozen=True)
class State:
    """Something a talking face does, that a photo may show.

    Attributes:
        name: of the state.
        weight: how much of the score it is; all weights add up to 1.
        photo: that shows it, in words.
        shown: how well a photo shows it, from 0 to 1, were the photo perfect.
    """

    name: str
    weight: float
    photo: str
    shown: Callable[[PhotoQuality], float]


def _facing(photo: PhotoQuality) -> float:
    return _fall(abs(photo.yaw_degrees), 15.0, 35.0) * _fall(abs(photo.pitch_degrees), 18.0, 35.0)


def _awake(photo: PhotoQuality) -> float:
    return 1.0 - _fall(photo.eyes_open, 0.10, 0.22)


def _fall(value: float, from_: float, to: float) -> float:
    """1 up to ``from_``, 0 from ``to`` on."""
    return float(np.clip((to - value) / (to - from_), 0.0, 1.0))


def _closed(photo: PhotoQuality) -> float:
    return _facing(photo) * _awake(photo) * _fall(photo.lip_gap, 0.03, 0.12)


def _teeth(photo: PhotoQuality) -> float:
    rise = 1.0 - _fall(photo.lip_gap, 0.03, 0.09)
    return _fall(abs(photo.yaw_degrees), 25.0, 45.0) * rise * min(photo.teeth / 0.4, 1.0)


def _wide(photo: PhotoQuality) -> float:
    return _fall(abs(photo.yaw_degrees), 25.0, 45.0) * (1.0 - _fall(photo.lip_gap, 0.12, 0.28))


def _asleep(photo: PhotoQuality) -> float:
    return _fall(photo.eyes_open, 0.09, 0.16) * _fall(abs(photo.yaw_degrees), 25.0, 45.0)


def _turned(degrees: float) -> Callable[[PhotoQuality], float]:
    return lambda photo: _fall(abs(photo.yaw_degrees - degrees), 8.0, 24.0)


STATES = (
    State("lips closed", 0.40, "facing the camera, lips closed and eyes open", _closed),
    State("teeth", 0.22, "a smile that shows the upper teeth", _teeth),
    State("mouth open", 0.14, "the mouth wide open, as for “ah”", _wide),
    State("eyes shut", 0.10, "both eyes shut", _asleep),
    State("turned left", 0.07, "the head turned a third of the way to the left of the picture",
          _turned(-_TURNED)),
    State("turned right", 0.07, "the head turned a third of the way to the right of the picture",
          _turned(_TURNED)),
)  # fmt: skip
"""All states, in the order in which they matter."""


@dataclass(frozen=True)
class PhotoAdvice:
    """What was found in one photo.

    Attributes:
        name: of the photo.
        quality: None where the photo cannot be used.
        shows: names of the states that it shows well.
        problems: in plain words.
    """

    name: str
    quality: PhotoQuality | None
    shows: tuple[str, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Wanted:
    """A photo that would help.

    Attributes:
        photo: what it should show, in plain words.
        state: its name.
        gain: by how much the score would rise, were it a good photo.
    """

    photo: str
    state: str
    gain: float


@dataclass(frozen=True)
class Advice:
    """How well some photos cover a person, and what is missing.

    Attributes:
        score: from 0 to 1.
        covered: how well each state is covered, from 0 to 1, by name.
        wanted: further photos, the most helpful first.
        photos: each photo.
        warnings: what concerns several photos.
    """

    score: float
    covered: dict[str, float]
    wanted: tuple[Wanted, ...]
    photos: tuple[PhotoAdvice, ...]
    warnings: tuple[str, ...]


def advise(
    images: Sequence[ImageSource],
    *,
    names: Sequence[str] | None = None,
    detector: FaceDetector | None = None,
) -> Advice:
    """Look at photos of one person and say which further one would help most.

    Args:
        images: one or more photos: paths, bytes, PIL images or arrays.
        names: what to call them; their paths or numbers by default.
        detector: what finds faces; MediaPipe by default.

    Raises:
        ImageError: no image was given, or one cannot be read.
        NoFaceError: no photo shows a usable face.

    Example:
        >>> from avatar.face import advise
        >>> advise(["portrait.jpg"]).wanted[0].photo  # doctest: +SKIP
        'a smile that shows the upper teeth'
    """
    if isinstance(images, str | bytes) or len(images) == 0:
        raise ImageError("advise needs a list of one or more images")
    finder = MediaPipeDetector() if detector is None else detector
    called = names or [x if isinstance(x, str) else f"image {k}" for k, x in enumerate(images)]
    photos, identities = [], []
    for image, name in zip(images, called, strict=True):
        photo, identity = _look(image, str(name), finder)
        photos.append(photo)
        if identity is not None:
            identities.append((photo.name, identity))
    usable = [photo.quality for photo in photos if photo.quality is not None]
    if not usable:
        raise NoFaceError("; ".join(problem for photo in photos for problem in photo.problems))
    covered = {
        state.name: max(state.shown(photo) * photo.quality for photo in usable) for state in STATES
    }
    wanted = [
        Wanted(state.photo, state.name, round(state.weight * (1.0 - covered[state.name]), 3))
        for state in STATES
    ]
    return Advice(
        score=round(sum(state.weight * covered[state.name] for state in STATES), 3),
        covered={name: round(value, 3) for name, value in covered.items()},
        wanted=tuple(sorted((w for w in wanted if w.gain >= 0.01), key=lambda w: -w.gain)),
        photos=tuple(photos),
        warnings=_different_people(identities),
    )


def _look(
    image: ImageSource, name: str, detector: FaceDetector
) -> tuple[PhotoAdvice, FloatArray | None]:
    picture = load_image(image)
    try:
        face = find_face(picture, detector, face=0, name=name)
    except FaceError as error:
        return PhotoAdvice(name, None, (), (str(error),)), None
    quality = measure(picture, face)
    shows = tuple(state.name for state in STATES if state.shown(quality) >= 0.5)
    others = len(detector.detect(picture)) - 1
    problems = list(_problems(quality))
    if others:
        problems.append(f"{others} other face(s) in the picture; the largest is judged")
    fit = FaceRig.load().fit(face.landmarks, face.expression)
    whole = quality.inside >= _COMPARED_INSIDE and abs(fit.yaw_degrees) <= _COMPARED_DEGREES
    return PhotoAdvice(name, quality, shows, tuple(problems)), fit.identity if whole else None


def _problems(photo: PhotoQuality) -> list[str]:
    found = []
    if photo.size < 0.5:
        found.append(
            f"the face is small: {photo.eye_distance_pixels:.0f} pixels between the outer eye "
            "corners, 90 or more are good"
        )
    if photo.sharpness < 0.4:
        found.append("the face is blurred, or enlarged from a smaller picture")
    if photo.brightness < 60.0:
        found.append("the face is dark")
    elif photo.brightness > 232.0:
        found.append("the face is overexposed")
    if photo.uneven_light > 0.5:
        found.append("the light comes from one side")
    if photo.inside < 0.98:
        found.append("part of the face is cut off by the edge of the picture")
    return found


def _different_people(identities: Sequence[tuple[str, FloatArray]]) -> tuple[str, ...]:
    """A warning for each photo that is unlike all others, or for the two of a pair."""
    unlike: dict[str, int] = {}
    for (name, one), (other, two) in combinations(identities, 2):
        alike = float(one @ two) / max(float(np.linalg.norm(one) * np.linalg.norm(two)), 1e-6)
        if 1.0 - alike > _UNLIKE:
            for each in (name, other):
                unlike[each] = unlike.get(each, 0) + 1
    rest = len(identities) - 1
    odd = [name for name, count in unlike.items() if count > rest / 2]
    if not odd:
        return ()
    return (
        f"{', '.join(odd)}: the shape of the face differs from the other photos; make sure that "
        "all show the same person",
    )


def as_json(advice: Advice) -> dict[str, Any]:
    """An advice as plain values."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return round(float(value), 3) if isinstance(value, float | np.floating) else value

    told = plain(asdict(advice))
    for photo, found in zip(told["photos"], advice.photos, strict=True):
        if found.quality is not None:
            photo["quality"]["quality"] = round(found.quality.quality, 3)
    return cast(dict[str, Any], told)
