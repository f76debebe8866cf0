"""The lips a model makes for a recording, and the figures of one system on one recording."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from avatar.evaluation.lipsync_baselines import Performer, offset_by
from avatar.evaluation.lipsync_measures import (
    Closures,
    blinks,
    closure_offsets,
    correlation,
    count_closures,
    jitter,
    lag_curve,
    landmark_distance,
)
from avatar.evaluation.lipsync_recordings import (
    Mouth,
    Recording,
    mouth_from_landmarks,
    move,
)
from avatar.motion import AudioToFace, MotionStream
from avatar.speech import SAMPLES_PER_BLOCK
from avatar.types import FloatArray, Motion

ARTICULATION = 1.4
"""How much further than asked a session opens the lips."""


def motion_of(model: AudioToFace, audio: FloatArray, *, fps: float = 25.0, seed: int = 0) -> Motion:
    """All the motion of one utterance, made as a stream of 40 ms of sound at a time."""
    stream = MotionStream(model, fps=fps, seed=seed)
    parts = [
        stream.push(audio[start : start + SAMPLES_PER_BLOCK])
        for start in range(0, len(audio), SAMPLES_PER_BLOCK)
    ]
    return join([*parts, stream.flush()])


def join(parts: Sequence[Motion]) -> Motion:
    """Motions of one frame rate, one after another."""
    return Motion(
        np.concatenate([part.expression for part in parts]),
        np.concatenate([part.rotation for part in parts]),
        np.concatenate([part.translation for part in parts]),
        np.concatenate([part.gaze for part in parts]),
        np.concatenate([part.visemes for part in parts]),
        parts[0].fps,
    )


def perform(model: AudioToFace, recording: Recording) -> Mouth:
    """The lips that the model gives the speaker of ``recording``, on the speaker's own photo."""
    seed = zlib.crc32(recording.name.encode())
    motion = motion_of(model, recording.audio, fps=recording.fps, seed=seed)
    landmarks = move(recording.photo, motion, articulation=ARTICULATION)
    times = (np.arange(len(motion)) / recording.fps).astype(np.float32)
    return mouth_from_landmarks(times, landmarks)


def with_offsets(recordings: Sequence[Recording], heard_by: Performer) -> list[Recording]:
    """The recordings, each with its own offset as ``heard_by`` (never the model) tells it."""
    return [replace(one, offset_seconds=offset_by(heard_by, one)) for one in recordings]


@dataclass(eq=False)
class Score:
    """What one system did in one recording; a group's figures are made from many of these."""

    seconds: float
    filmed: bool = False  # the recording has a picture
    opening: tuple[float | None, float | None] = (None, None)  # as filmed, corrected
    width: tuple[float | None, float | None] = (None, None)
    lags: FloatArray | None = None
    offset_seconds: float | None = None
    distance: tuple[float, float] | None = None
    still_distance: tuple[float, float] | None = None
    closures: Closures | None = None
    closure_offsets: Sequence[float] = ()
    jitter: float | None = None
    blinks: int | None = None


def score(made: Mouth, recording: Recording, *, width: bool = True) -> Score:
    """Measure the lips ``made`` for the sound of ``recording``."""
    result = Score(recording.seconds, jitter=_jitter_ratio(made, recording), blinks=blinks(made))
    seen = recording.filmed
    result.filmed = seen is not None
    if seen is not None:
        offset = recording.offset_seconds
        result.offset_seconds = offset

        def both(a: FloatArray, b: FloatArray) -> tuple[float | None, float | None]:
            pair = (made.times, a), (seen.times, b)
            corrected = None if offset is None else correlation(*pair, lag=-offset)
            return correlation(*pair), corrected

        result.opening = both(made.opening, seen.opening)
        if width:
            result.width = both(made.width, seen.width)
        result.lags = lag_curve((made.times, made.opening), (seen.times, seen.opening))
        result.distance = landmark_distance(made, seen)
        if result.distance is not None:
            result.still_distance = landmark_distance(_rest(recording, seen), seen)
    if recording.phones is not None:
        result.closures = count_closures(made, recording.phones)
        result.closure_offsets = closure_offsets(made, recording.phones)
    return result


def _jitter_ratio(made: Mouth, recording: Recording) -> float | None:
    own = jitter(made)
    real = jitter(recording.filmed) if recording.filmed is not None else None
    return own / real if own is not None and real else None


def _rest(recording: Recording, seen: Mouth) -> Mouth:
    """A face that keeps its mouth shut all the time."""
    calm = Motion.still(2, recording.fps)
    return mouth_from_landmarks(seen.times[[0, -1]], move(recording.photo, calm))


def filmed_score(seen: Mouth, recording: Recording, *, corrected: bool) -> Score:
    """The person's own lips as a system: what no other can be asked to exceed."""
    offset = recording.offset_seconds or 0.0
    own = seen.later(-offset) if corrected else seen
    result = Score(recording.seconds, filmed=True, blinks=blinks(own))
    if recording.phones is not None:
        result.closures = count_closures(own, recording.phones)
        result.closure_offsets = closure_offsets(own, recording.phones)
    return result
