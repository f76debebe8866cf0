"""What lip sync is measured on: sound, the lips that were filmed with it, and when which sound is.

Lips are compared in the head's own frame: each frame of landmarks is brought onto the rig by a
similarity of points that expressions hardly move, so head pose and camera drop out. Lengths are
shares of the height of the face (forehead to chin), times are seconds of the sound.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from avatar.config import SAMPLE_RATE
from avatar.errors import InputError
from avatar.face import FaceRig
from avatar.face.topology import (
    CHIN_TIP,
    EYES,
    INNER_LIP_CORNERS,
    INNER_LIP_LOWER,
    INNER_LIP_UPPER,
    OUTER_LIP_CORNERS,
    OUTER_LIP_LOWER,
    OUTER_LIP_UPPER,
    STABLE,
)
from avatar.media import load_audio
from avatar.motion import Retargeter, curve_matrix
from avatar.training.phonemes import arpabet_visemes
from avatar.training.speech_corpus import SPEAKING
from avatar.training.speech_data import HELD_OUT, STEPS_PER_SECOND, read_facegood
from avatar.types import VISEME_NAMES, FloatArray, Landmarks, Motion

INNER_LIPS = (*INNER_LIP_UPPER, *INNER_LIP_LOWER, *INNER_LIP_CORNERS)
OUTER_LIPS = (*OUTER_LIP_UPPER, *OUTER_LIP_LOWER, *OUTER_LIP_CORNERS)
MOUTH = (*INNER_LIPS, *OUTER_LIPS)
_GAPS = ((82, 87), (13, 14), (312, 317))
_FOREHEAD = 10

NEVER_TRAINED_ON = HELD_OUT | {"latentsync_demo2_video"}
"""People that the models this package ships have not seen."""

_OTHER_VOICES = ("latentsync", "liveportrait", "stylised")
"""Clips so named carry music, silence or another's voice, but for those of ``SPEAKING``."""
_LEAST_FOUND = 0.9
_PHOTO_PIXELS = 300.0
_CURVES_FPS = 25.0
_SYNTHETIC_FPS = 25.0
_SILENT = VISEME_NAMES.index("sil")
_BILABIAL, _LABIODENTAL = VISEME_NAMES.index("PP"), VISEME_NAMES.index("FF")
_PAUSE_SECONDS = 0.15


@dataclass(frozen=True, eq=False)
class Mouth:
    """Lips over time.

    Attributes:
        times: ``[T]`` seconds of the sound, rising.
        opening: ``[T]`` distance of the inner lips.
        width: ``[T]`` distance of their corners.
        points: ``[T, 478, 3]`` in the head's own frame, where known.

    Lengths are shares of the height of the face; of a measure without a face any unit will do.
    """

    times: FloatArray
    opening: FloatArray
    width: FloatArray
    points: FloatArray | None = None

    def later(self, seconds: float) -> Mouth:
        """The same lips, ``seconds`` later."""
        return replace(self, times=self.times + np.float32(seconds))

    @cached_property
    def eyes_open(self) -> FloatArray:
        """``[T]`` distance of the lids over the width of the eye, mean of both eyes."""
        assert self.points is not None
        openings = [
            np.linalg.norm(self.points[:, eye.upper] - self.points[:, eye.lower], axis=2).mean(1)
            / np.linalg.norm(self.points[:, eye.outer] - self.points[:, eye.inner], axis=1)
            for eye in EYES
        ]
        return np.asarray(sum(openings) / len(EYES), np.float32)


@dataclass(frozen=True, eq=False)
class Phones:
    """When which sound is spoken.

    Attributes:
        starts, ends: ``[P]`` seconds.
        visemes: ``[P]`` index into ``VISEME_NAMES``.
    """

    starts: FloatArray
    ends: FloatArray
    visemes: NDArray[np.int64]

    def spans(self) -> list[tuple[float, float]]:
        """Stretches of speech; pauses shorter than 0.15 s do not part them."""
        spans: list[tuple[float, float]] = []
        for start, end, viseme in zip(self.starts, self.ends, self.visemes, strict=True):
            if viseme == _SILENT:
                continue
            if spans and start - spans[-1][1] < _PAUSE_SECONDS:
                spans[-1] = (spans[-1][0], float(end))
            else:
                spans.append((float(start), float(end)))
        return spans

    def bilabials(self) -> list[tuple[float, float]]:
        """Times of m, b and p."""
        return self._of(_BILABIAL)

    def labiodentals(self) -> list[tuple[float, float]]:
        """Times of f and v."""
        return self._of(_LABIODENTAL)

    def _of(self, viseme: int) -> list[tuple[float, float]]:
        chosen = self.visemes == viseme
        starts, ends = self.starts[chosen].tolist(), self.ends[chosen].tolist()
        return list(zip(starts, ends, strict=True))


@dataclass(frozen=True, eq=False)
class Recording:
    """Someone speaking.

    Attributes:
        name: of the clip.
        identity: who speaks.
        group: what clips it is reported with: ``GRID``, ``free speech``, ``curves``, ``synthetic``.
        audio: ``[N]`` float32 at 16 kHz.
        fps: of the pictures.
        filmed: the lips as seen, None where there is only sound.
        photo: landmarks in pixels and expression ``[52]`` of a face of that person.
        phones: where known.
        offset_seconds: how much later the pictures are than the sound, where that is known
            without the model that is measured; None where it is not.
    """

    name: str
    identity: str
    group: str
    audio: FloatArray
    fps: float
    photo: tuple[Landmarks, FloatArray]
    filmed: Mouth | None = None
    phones: Phones | None = None
    offset_seconds: float | None = None

    @property
    def seconds(self) -> float:
        return len(self.audio) / SAMPLE_RATE


def mouth_from_landmarks(
    times: FloatArray,  # [T] seconds of the sound
    landmarks: FloatArray,  # [T, 478, 3] pixels
) -> Mouth:
    """Landmarks of any head pose as lips in the head's own frame."""
    points = _in_the_heads_frame(np.asarray(landmarks, np.float64))
    height = np.median(np.linalg.norm(points[:, CHIN_TIP] - points[:, _FOREHEAD], axis=1))
    points /= height
    gaps = [np.linalg.norm(points[:, b, :2] - points[:, a, :2], axis=1) for a, b in _GAPS]
    corners = points[:, INNER_LIP_CORNERS[0], :2] - points[:, INNER_LIP_CORNERS[1], :2]
    return Mouth(
        times=np.asarray(times, np.float32),
        opening=np.mean(gaps, axis=0).astype(np.float32),
        width=np.linalg.norm(corners, axis=1).astype(np.float32),
        points=points.astype(np.float32),
    )


def _in_the_heads_frame(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each frame brought onto the rig by the similarity of its stable points (Umeyama, 1991)."""
    stable = list(STABLE)
    target = FaceRig.load().mean[stable].astype(np.float64)
    middle = target.mean(0)
    target = target - middle
    own = points[:, stable]
    means = own.mean(1, keepdims=True)
    own = own - means
    u, singular, vt = np.linalg.svd(np.einsum("pi,tpj->tij", target, own))
    sign = np.ones_like(singular)
    sign[:, 2] = np.sign(np.linalg.det(u) * np.linalg.det(vt))
    rotation = (u * sign[:, None]) @ vt
    scale = (singular * sign).sum(1) / np.square(own).sum((1, 2))
    moved = (points - means) @ np.swapaxes(rotation, 1, 2) * scale[:, None, None]
    return cast(NDArray[np.float64], moved + middle)


def group_of(identity: str) -> str:
    """``GRID`` or ``free speech``."""
    return "GRID" if identity.startswith("GRID") else "free speech"


def read_track(path: Path, phones: Path | None = None) -> Recording:
    """A measured clip, as ``avatar.training.measure`` writes it.

    Args:
        path: the npz.
        phones: folder of npz with ``start``, ``end`` and ARPAbet ``phone`` under the same names.

    Raises:
        InputError: it is no such file, has no sound of the person, or the face is often lost.
    """
    try:
        with np.load(path) as track:
            data = {key: track[key] for key in (
                "landmarks", "expression", "pts", "fps", "audio", "audio_start", "identity")
            }  # fmt: skip
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"{path} is not a track of avatar.training.measure ({error})") from error
    identity = str(data["identity"])
    if identity.startswith(_OTHER_VOICES) and not identity.startswith(SPEAKING):
        raise InputError(f"{path.stem}: the sound is not the person's own speech")
    audio = data["audio"]
    if len(audio) < SAMPLE_RATE or np.abs(audio).max() < 1e-3:
        raise InputError(f"{path.stem}: less than a second of sound, or silence")
    found = np.isfinite(data["landmarks"][:, 0, 0])
    if found.mean() < _LEAST_FOUND:
        raise InputError(f"{path.stem}: no face in {(~found).sum()} of {len(found)} frames")
    landmarks = data["landmarks"][found]
    times = (data["pts"] - data["audio_start"])[found]
    filmed = mouth_from_landmarks(times, landmarks)
    closed = int(np.argmin(filmed.opening))
    return Recording(
        name=path.stem,
        identity=identity,
        group=group_of(identity),
        audio=audio,
        fps=float(data["fps"]),
        filmed=filmed,
        photo=(Landmarks(landmarks[closed]), data["expression"][found][closed]),
        phones=read_phones(phones / path.name) if phones is not None else None,
    )


def read_phones(path: Path) -> Phones | None:
    """Times of ARPAbet phones, by ``avatar.training.grid_alignment``; None without such a file."""
    if not path.exists():
        return None
    with np.load(path) as data:
        visemes = [arpabet_visemes(str(phone))[0] for phone in data["phone"]]
        starts, ends = data["start"].astype(np.float32), data["end"].astype(np.float32)
    return Phones(starts, ends, np.array(visemes))


def read_curves(path: Path) -> Recording:
    """A take of the FACEGOOD recordings: its measured curves move the mean face of the rig."""
    track = read_facegood(path)
    every = round(STEPS_PER_SECOND / _CURVES_FPS)
    motion = Motion.still(len(track.curves[::every]), _CURVES_FPS)
    motion.expression[:] = np.clip(track.curves[::every], 0, 1) @ curve_matrix()
    times = np.arange(len(motion), dtype=np.float32) / np.float32(_CURVES_FPS)
    photo = mean_face()
    return Recording(
        name=path.stem,
        identity=track.identity,
        group="curves",
        audio=load_audio(path.with_suffix(".flac"), sample_rate=SAMPLE_RATE).samples,
        fps=_CURVES_FPS,
        filmed=mouth_from_landmarks(times, move(photo, motion)),
        photo=photo,
    )


def read_synthetic(path: Path) -> Recording:
    """An utterance of ``avatar.training.synthetic_speech``: sound and phone times, no picture."""
    with np.load(path) as data:
        starts, ends = (data[f"phone_{end}"].astype(np.float32) for end in ("start", "end"))
        phones = Phones(starts, ends, data["phone_viseme"].astype(np.int64))
        audio, identity = data["audio"], str(data["identity"])
    return Recording(
        path.stem, identity, "synthetic", audio, _SYNTHETIC_FPS, mean_face(), phones=phones
    )


def mean_face() -> tuple[Landmarks, FloatArray]:
    """The photo of nobody: the rig's mean face, closed and calm."""
    points = FaceRig.load().mean * np.float32(_PHOTO_PIXELS) + np.float32(2 * _PHOTO_PIXELS)
    return Landmarks(points), np.zeros(curve_matrix().shape[1], np.float32)


def move(
    photo: tuple[Landmarks, FloatArray], motion: Motion, *, articulation: float = 1.0
) -> FloatArray:
    """``[T, 478, 3]`` pixels: the face of ``photo`` through the product's own retargeting."""
    retargeter = Retargeter(FaceRig.load(), *photo, articulation=articulation)
    rows = zip(motion.expression, motion.rotation, motion.translation, motion.gaze, strict=True)
    return np.stack([retargeter.landmarks(*row) for row in rows])


def read_tracks(
    paths: Iterable[Path], phones: Path | None = None
) -> tuple[list[Recording], dict[str, str]]:
    """The recordings among tracks, and by name why the others cannot be measured."""
    recordings, refused = [], {}
    for path in paths:
        try:
            recordings.append(read_track(path, phones))
        except InputError as error:
            refused[path.stem] = str(error)
    return recordings, refused


def at_most(recordings: Sequence[Recording], each: int) -> list[Recording]:
    """At most ``each`` recordings of each person, evenly spread over theirs."""
    people: dict[str, list[Recording]] = {}
    for recording in recordings:
        people.setdefault(recording.identity, []).append(recording)
    return [
        own[i]
        for own in people.values()
        for i in sorted({round(x) for x in np.linspace(0, len(own) - 1, min(each, len(own)))})
    ]
