"""Tracks for training the voice: sound, and what the face did or should have done.

Three sources, one form (``Track``, everything 100 times a second): measured clips (npz shards with
``landmarks``, ``blendshapes``, ``audio``, ``pts``, ``audio_start``, ``identity``), measured curves
of the FACEGOOD recordings, and synthetic speech with phoneme times. Openings are normalised per
person, so that a small mouth filmed from afar and a large one teach the same thing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
import soxr

from avatar.config import SAMPLE_RATE
from avatar.errors import InputError
from avatar.face import FaceRig
from avatar.motion.curves import CURVES, OPENING, curve_matrix
from avatar.speech import HOP_SAMPLES, mel_powers
from avatar.training.coarticulation import Articulation, Phones, coarticulate
from avatar.training.phonemes import arpabet_visemes, spread_visemes
from avatar.types import VISEME_NAMES, FloatArray

STEPS_PER_SECOND = SAMPLE_RATE // HOP_SAMPLES
LIP_MEASURES = ("opening", "width")

HELD_OUT_VOICES = frozenset({
    "tts_flite_rms", "tts_festival_ked_diphone", "tts_espeak_en-gb_m1", "tts_espeak_de_f3",
    "tts_espeak_es_f1", "tts_espeak_cmn_m5",
})  # fmt: skip
HELD_OUT = HELD_OUT_VOICES | {
    "GRID_s31", "GRID_s2", "GRID_x5", "GRID_x6", "latentsync_demo1_video", "liveportrait_d9",
    "liveportrait_d13", "liveportrait_d20", "liveportrait_s32", "stylised_c",
}  # fmt: skip
"""People and synthetic voices that no training may see or hear."""

_REFERENCE_OPENING = 0.15
"""What the 95th percentile of a person's opening is scaled to, in inter-ocular distances."""


@dataclass(frozen=True, eq=False)
class Track:
    """Sound and motion, 100 steps a second; NaN where a thing is not known.

    Attributes:
        identity: who speaks.
        kind: ``measured``, ``curves``, ``synthetic`` or ``noise``.
        powers: ``[T, 80]`` band powers; step ``i`` covers sound up to ``(i + 1) * 10`` ms.
        curves: ``[T, 16]`` at ``i * 10`` ms.
        lips: ``[T, 2]`` opening and width of the inner lips relative to rest, inter-ocular units.
        visemes: ``[T, 15]``.
        speech: ``[T]`` 1 where there is voice.
        phones: timed sounds, where they are known.
    """

    identity: str
    kind: str
    powers: FloatArray
    curves: FloatArray
    lips: FloatArray
    visemes: FloatArray
    speech: FloatArray
    phones: Phones | None = None


def speech_activity(powers: FloatArray) -> FloatArray:
    """``[T]`` 1 where the recording is loud enough to be its speech, widened by 80 ms."""
    loudness = np.log10(np.convolve(powers.sum(1), np.ones(5) / 5, "same") + 1e-12)
    active = loudness > max(np.percentile(loudness, 98) - 2.7, -6.5)
    return (np.convolve(active, np.ones(17), "same") > 0.5).astype(np.float32)


def _resample(values: FloatArray, times: FloatArray, steps: int) -> FloatArray:
    """Columns known at ``times`` (seconds) to 100 steps a second."""
    grid = np.arange(steps) / STEPS_PER_SECOND
    columns = [np.interp(grid, times, values[:, i]) for i in range(values.shape[1])]
    return np.stack(columns, 1).astype(np.float32)


def lip_measures(landmarks: FloatArray) -> FloatArray:
    """``[T, 478, 3]`` to ``[T, 2]``: opening, width of the inner lips in inter-ocular distances."""

    def distance(a: int, b: int) -> FloatArray:
        return np.asarray(np.linalg.norm(landmarks[:, a] - landmarks[:, b], axis=1), np.float32)

    return np.stack([distance(13, 14), distance(78, 308)], 1) / distance(33, 263)[:, None]


def lip_matrix() -> FloatArray:
    """``[16, 2]``: inner-lip opening and width that each curve gives through the rig."""
    basis = FaceRig.load().expression_basis
    lips = np.stack([basis[:, 14, 1] - basis[:, 13, 1], basis[:, 308, 0] - basis[:, 78, 0]], 1)
    return np.asarray(curve_matrix() @ lips, np.float32)


def _aligned(path: Path) -> Phones:
    """The sounds of an npz of ``start``, ``end`` (seconds) and ARPAbet ``phone``."""
    data = np.load(path)
    phones: Phones = []
    for start, end, phone in zip(data["start"], data["end"], data["phone"], strict=True):
        phones += spread_visemes(arpabet_visemes(str(phone)), float(start), float(end))
    return phones


def _visemes(phones: Phones, steps: int) -> FloatArray:
    times = np.arange(steps, dtype=np.float32) / np.float32(STEPS_PER_SECOND)
    return coarticulate(phones, times)[1]


def read_measured(path: Path, alignments: Path | None = None) -> Track | None:
    """One shard of a filmed clip; None when it has no sound or the face is often lost.

    Args:
        path: npz; blendshapes in the order of MediaPipe (``_neutral`` first).
        alignments: folder with forced alignments of some shards, under the same names.
    """
    data = np.load(path)
    audio, landmarks = data["audio"], data["landmarks"]
    found = np.isfinite(landmarks[:, 0, 0])
    if len(audio) < SAMPLE_RATE or found.mean() < 0.9 or np.abs(audio).max() < 1e-3:
        return None
    times = (data["pts"] - data["audio_start"])[found]
    arkit = np.concatenate([data["blendshapes"][found, 1:], np.zeros((found.sum(), 1))], 1)
    weights = curve_matrix()
    curves = arkit.astype(np.float32) @ (weights / weights.sum(1, keepdims=True)).T
    powers = mel_powers(audio)
    steps = len(powers)
    visemes, phones = np.full((steps, len(VISEME_NAMES)), np.nan, np.float32), None
    if alignments is not None and (alignments / path.name).exists():
        phones = _aligned(alignments / path.name)
        visemes = _visemes(phones, steps)
    return Track(
        identity=str(data["identity"]),
        kind="measured",
        powers=powers,
        curves=_resample(curves, times, steps),
        lips=_resample(lip_measures(landmarks[found]), times, steps),
        visemes=visemes,
        speech=speech_activity(powers),
        phones=phones,
    )


def learn_articulation(people: dict[str, list[Track]]) -> Articulation:
    """How people of whom sounds and lips are known move; each person counts by the square root of
    how much there is.

    Raises:
        InputError: of nobody both are known.
    """
    examples, weights = [], []
    for own in people.values():
        known = [t for t in own if t.kind == "measured" and t.phones]
        for track in known:
            motion = np.concatenate([track.curves, track.lips], 1)
            examples.append((track.phones or [], track.powers, motion))
            weights.append(1.0 / np.sqrt(len(known)))
    if not examples:
        raise InputError("no filmed clip has phone times; run avatar.training.grid_alignment first")
    return Articulation.fit(examples, weights, lip_matrix())


_FACEGOOD = {
    "jawOpen": (74,), "mouthFunnel": (42, 43, 44, 45), "mouthPucker": (63, 64, 68, 69),
    "mouthPress": (66, 67), "mouthSmile": (53, 54), "mouthStretch": (57, 58),
    "mouthLowerDown": (59, 60), "mouthUpperUp": (79, 80), "mouthRollLower": (75, 76),
    "mouthRollUpper": (77, 78),
}  # fmt: skip
"""Columns of the FACEGOOD curves. Their names stand one place too early: the pairs that move as one
are (42, 43), (44, 45), (53, 54) …, while the names put left and right at (41, 42), (43, 44) …"""


def read_facegood(path: Path) -> Track:
    """One take of the FACEGOOD recordings: an npz of curves and a flac of the same name."""
    data = np.load(path, allow_pickle=False)
    samples, rate = soundfile.read(path.with_suffix(".flac"), dtype="float32", always_2d=True)
    audio = np.asarray(soxr.resample(samples.mean(1), rate, SAMPLE_RATE), np.float32)
    values = data["blendshapes"].astype(np.float32)
    curves = np.zeros((len(values), len(CURVES)), np.float32)
    for name, columns in _FACEGOOD.items():
        curves[:, CURVES.index(name)] = values[:, columns].mean(1)
    powers = mel_powers(audio)
    times = np.arange(len(values), dtype=np.float32) / float(data["fps"])
    return Track(
        identity="facegood",
        kind="curves",
        powers=powers,
        curves=_resample(curves, times, len(powers)),
        lips=np.full((len(powers), len(LIP_MEASURES)), np.nan, np.float32),
        visemes=np.full((len(powers), len(VISEME_NAMES)), np.nan, np.float32),
        speech=speech_activity(powers),
    )


def read_synthetic(path: Path, articulation: Articulation) -> Track:
    """One utterance of ``avatar.training.synthetic_speech``, its face moved by ``articulation``."""
    data = np.load(path)
    powers = mel_powers(data["audio"])
    columns = [data[f"phone_{name}"].tolist() for name in ("start", "end", "viseme")]
    phones: Phones = list(zip(*columns, strict=True))
    visemes = _visemes(phones, len(powers))
    curves, lips = articulation(phones, powers)
    return Track(
        identity=str(data["identity"]),
        kind="synthetic",
        powers=powers,
        curves=curves,
        lips=lips,
        visemes=visemes,
        speech=(np.convolve(1 - visemes[:, 0] > 0.3, np.ones(17), "same") > 0.5).astype(np.float32),
        phones=phones,
    )


def still_track(name: str, audio: FloatArray) -> Track:
    """Sound without a voice: the face stays calm."""
    powers = mel_powers(audio)
    visemes = np.zeros((len(powers), len(VISEME_NAMES)), np.float32)
    visemes[:, 0] = 1.0
    return Track(
        identity=name,
        kind="noise",
        powers=powers,
        curves=np.zeros((len(powers), len(CURVES)), np.float32),
        lips=np.zeros((len(powers), len(LIP_MEASURES)), np.float32),
        visemes=visemes,
        speech=np.zeros(len(powers), np.float32),
    )


def _normalise_person(tracks: list[Track]) -> list[Track]:
    """Motion relative to the person's own rest, scaled to the common opening."""
    quiet = np.concatenate([t.speech for t in tracks]) < 0.5
    curves = np.concatenate([t.curves for t in tracks])
    at_rest = curves[quiet] if quiet.sum() > STEPS_PER_SECOND else curves
    rest = np.minimum(np.median(at_rest, 0), np.percentile(curves, 30, axis=0))
    lips = np.concatenate([t.lips for t in tracks])
    if tracks[0].kind == "curves":
        jaw = CURVES.index("jawOpen")
        scale = 0.40 / max(float(np.percentile(curves[:, jaw] - rest[jaw], 95)), 1e-3)
        lips_at_rest = np.zeros(len(LIP_MEASURES), np.float32)
    else:
        closed = np.percentile(lips[:, 0], 8)
        lips_at_rest = np.array([closed, np.median(lips[:, 1])], np.float32)
        scale = _REFERENCE_OPENING / max(float(np.percentile(lips[:, 0], 95) - closed), 1e-3)
    scale = float(np.clip(scale, 0.4, 4.0))
    gain = np.ones(len(CURVES), np.float32)
    for name in OPENING:
        gain[CURVES.index(name)] = scale
    return [
        replace(
            t,
            curves=np.clip((t.curves - rest) * gain, 0.0, 1.0),
            lips=(t.lips - lips_at_rest) * np.array([scale, 1.0], np.float32),
        )
        for t in tracks
    ]


def normalise_people(tracks: Iterable[Track]) -> dict[str, list[Track]]:
    """Group tracks by person and normalise each; synthetic voices and noise stay as they are."""
    people: defaultdict[str, list[Track]] = defaultdict(list)
    for track in tracks:
        people[track.identity].append(track)
    return {
        name: _normalise_person(own) if own[0].kind in ("measured", "curves") else own
        for name, own in people.items()
    }


def shifted(track: Track, steps: int) -> Track:
    """The track with its motion ``steps`` earlier (later where negative); the ends repeat."""
    places = np.clip(np.arange(len(track.powers)) + steps, 0, len(track.powers) - 1)
    return replace(track, curves=track.curves[places], lips=track.lips[places])


def shard_paths(folder: Path) -> list[Path]:
    """The npz shards of a folder, sorted.

    Raises:
        InputError: there is none.
    """
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise InputError(f"{folder} holds no .npz shards; prepare the clips first")
    return paths
