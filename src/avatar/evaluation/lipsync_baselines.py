"""What lip sync is measured against: simpler ways from sound to lips, and another system.

- ``loudness``: the root of the sound's power.
- ``ridge_lookahead``: linear regression on 40 mel bands over 280 ms that end 80 ms after the frame,
  the lookahead of the model that ships.
- ``ridge_symmetric``: the same over 140 ms on either side: what a linear map can know.
- ``headaudio_table``: npm ``@met4citizen/headaudio`` 0.1.0 as it ships, its visemes turned into an
  opening by the table below; ``headaudio_fitted``: by the linear map, and at the delay, that fit
  filmed people best. Run by ``benchmarks/headaudio/run.mjs`` in plain Node.

What is fitted is fitted on people of whom nothing is reported as never trained on.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avatar.config import SAMPLE_RATE
from avatar.errors import DependencyError, InputError
from avatar.evaluation.lipsync_measures import best_lag, lag_curve
from avatar.evaluation.lipsync_recordings import Mouth, Recording, at_most
from avatar.speech import HOP_SAMPLES, WINDOW_SAMPLES, mel_powers
from avatar.types import FloatArray

Performer = Callable[[Recording], Mouth]
"""Hears a recording and gives the lips of one speaker or system."""

SPEAKS_NO_WIDTH = ("loudness", "headaudio_table")
LOOKAHEAD_SECONDS, SYMMETRIC_SECONDS = 0.08, 0.14
_STEPS_PER_SECOND = SAMPLE_RATE // HOP_SAMPLES
_BANDS, _CONTEXT_STEPS = 40, 28
_CLIPS_OF_EACH = 80
_STRENGTHS = (1e2, 1e3, 1e4, 1e5)
_FLOOR_BELS = 6.0
_LEAST_SURE = 0.45
_BETTER, _FAR_SECONDS, _FAR_BETTER = 0.02, 0.12, 0.15
"""How much better than no lag a lag must fit; one that is far off is rare, and needs more."""


def loudness(recording: Recording) -> Mouth:
    """The root of the power, smoothed over 60 ms, as opening."""
    power = np.sqrt(np.convolve(mel_powers(recording.audio).sum(1), np.ones(4) / 4, "same"))
    middles = (np.arange(len(power)) + 1) / _STEPS_PER_SECOND - WINDOW_SAMPLES / SAMPLE_RATE / 2
    still = np.zeros(len(power), np.float32)
    return Mouth(middles.astype(np.float32), power.astype(np.float32), still)


@dataclass(frozen=True, eq=False)
class Ridge:
    """Opening and width as a linear function of the sound around a moment.

    Attributes:
        lookahead_seconds: where the 280 ms of sound end.
        mean, scale: ``[1120]`` of the features.
        weights: ``[1121, 2]``, the last row the constant.
    """

    lookahead_seconds: float
    mean: FloatArray
    scale: FloatArray
    weights: FloatArray

    @classmethod
    def fit(cls, recordings: Sequence[Recording], lookahead_seconds: float) -> Ridge:
        """Fit the filmed lips of ``recordings``, at most 80 of each person.

        The strength of the penalty is the one that does best on the other people when only the
        most filmed person is fitted; with one person, on every fourth clip.

        Raises:
            InputError: no recording was filmed.
        """
        chosen = [one for one in at_most(recordings, _CLIPS_OF_EACH) if one.filmed is not None]
        if not chosen:
            raise InputError("no filmed recording to fit the ridge on; give tracks of people")
        rows = [_context(one, one.filmed.times, lookahead_seconds) for one in chosen if one.filmed]
        aims = _aims(chosen)
        stacked = np.concatenate(rows)
        mean, scale = stacked.mean(0), stacked.std(0) + 0.1
        rows = [(row - mean) / scale for row in rows]
        apart = _validation(chosen)
        strength = _best_strength(rows, aims, apart)
        weights = _solve(np.concatenate(rows), np.concatenate(aims), strength)
        return cls(lookahead_seconds, mean, scale, weights)

    def __call__(self, recording: Recording) -> Mouth:
        count = len(recording.audio) * _STEPS_PER_SECOND // SAMPLE_RATE
        times = (np.arange(count) / _STEPS_PER_SECOND).astype(np.float32)
        rows = (_context(recording, times, self.lookahead_seconds) - self.mean) / self.scale
        made = rows @ self.weights[:-1] + self.weights[-1]
        return Mouth(times, *np.asarray(made.T, np.float32))


def _bands(audio: FloatArray) -> FloatArray:
    """``[T, 40]`` log powers above the floor of the recording; row ``i`` ends at step ``i + 1``."""
    powers = mel_powers(audio)
    log = np.log10(powers[:, ::2] + powers[:, 1::2] + 1e-12)
    relative = np.maximum(log - max(float(log.max()), -5.0), -_FLOOR_BELS)
    return np.asarray(relative, np.float32)


def _context(recording: Recording, times: FloatArray, lookahead_seconds: float) -> FloatArray:
    """``[T, 1120]``: the 28 steps of bands that end ``lookahead_seconds`` after each time."""
    bands = _bands(recording.audio)
    last = np.rint((times + lookahead_seconds) * _STEPS_PER_SECOND).astype(int) - 1
    steps = last[:, None] + np.arange(1 - _CONTEXT_STEPS, 1)
    inside = (steps >= 0) & (steps < len(bands))
    rows = bands[np.clip(steps, 0, len(bands) - 1)]
    rows = np.where(inside[:, :, None], rows, -_FLOOR_BELS)
    return np.asarray(rows.reshape(len(times), -1), np.float32)


def _aims(recordings: Sequence[Recording]) -> list[FloatArray]:
    """``[T, 2]`` opening and width of each: about its median, over the range of the person."""
    ranges: dict[str, list[FloatArray]] = {}
    for one in recordings:
        if one.filmed is not None:
            ranges.setdefault(one.identity, []).append(one.filmed.opening)
    scale = {
        name: max(float(np.subtract(*np.percentile(np.concatenate(own), (95, 5)))), 1e-4)
        for name, own in ranges.items()
    }
    aims = []
    for one in recordings:
        if one.filmed is not None:
            lips = np.stack([one.filmed.opening, one.filmed.width], 1)
            relative = (lips - np.median(lips, 0)) / scale[one.identity]
            aims.append(relative.astype(np.float32))
    return aims


def _validation(recordings: Sequence[Recording]) -> NDArray[np.bool_]:
    """Which recordings the strength is chosen on."""
    names = [one.identity for one in recordings]
    most = max(sorted(set(names)), key=names.count)
    apart = np.array([name != most for name in names])
    if apart.any():
        return apart
    return np.asarray(np.arange(len(names)) % 4 == 3)


def _best_strength(
    rows: list[FloatArray], aims: list[FloatArray], apart: NDArray[np.bool_]
) -> float:
    if not apart.any() or apart.all():
        return _STRENGTHS[1]

    def taken(parts: list[FloatArray], which: NDArray[np.bool_]) -> FloatArray:
        return np.concatenate([part for part, use in zip(parts, which, strict=True) if use])

    x, y = taken(rows, apart), taken(aims, apart)
    gram = _normal_equations(taken(rows, ~apart), taken(aims, ~apart))

    def error(strength: float) -> float:
        weights = _solve_equations(*gram, strength)
        return float(np.square(x @ weights[:-1] + weights[-1] - y).mean())

    return min(_STRENGTHS, key=error)


def _normal_equations(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    x = np.concatenate([x, np.ones((len(x), 1), np.float32)], 1).astype(np.float64)
    return x.T @ x, x.T @ y


def _solve_equations(gram: FloatArray, moment: FloatArray, strength: float) -> FloatArray:
    penalty = np.full(len(gram), strength)
    penalty[-1] = 1e-9
    return np.asarray(np.linalg.solve(gram + np.diag(penalty), moment), np.float32)


def _solve(x: FloatArray, y: FloatArray, strength: float) -> FloatArray:
    return _solve_equations(*_normal_equations(x, y), strength)


def offset_by(performer: Performer, recording: Recording) -> float | None:
    """How much later than its sound a recording's pictures are, as heard by ``performer``.

    None where the lips follow it too loosely to tell, 0 where no lag is clearly better than none.
    """
    if recording.filmed is None:
        return None
    made, seen = performer(recording), recording.filmed
    curve = lag_curve((made.times, made.opening), (seen.times, seen.opening))
    if curve is None or curve.max() < _LEAST_SURE:
        return None
    lag, highest = best_lag(curve)
    needed = _FAR_BETTER if abs(lag) > _FAR_SECONDS else _BETTER
    return -lag if highest > curve[len(curve) // 2] + needed else 0.0


_VISEMES = (
    "aa",
    "E",
    "ih",
    "oh",
    "ou",
    "PP",
    "SS",
    "TH",
    "DD",
    "FF",
    "kk",
    "nn",
    "RR",
    "CH",
    "sil",
)
"""The order of headaudio."""
_OPENINGS = {
    "aa": 1.0, "E": 0.7, "ih": 0.4, "oh": 0.75, "ou": 0.35, "PP": 0.0, "SS": 0.2, "TH": 0.3,
    "DD": 0.25, "FF": 0.05, "kk": 0.4, "nn": 0.3, "RR": 0.3, "CH": 0.25, "sil": 0.0,
}  # fmt: skip
_DELAYS = (0.0, 0.04, 0.08, 0.12, 0.16)
_DOCUMENTED_DELAY = 0.1
"""Its README: delay the sound by 50 to 100 ms."""


@dataclass(eq=False)
class HeadAudio:
    """Runs headaudio over recordings.

    Attributes:
        folder: of ``run.mjs``, where ``npm ci`` has been run.
    """

    folder: Path
    _heard: dict[str, dict[str, FloatArray]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if shutil.which("node") is None:
            raise DependencyError("headaudio needs Node.js, which is not installed")
        if not (self.folder / "node_modules" / "@met4citizen" / "headaudio").is_dir():
            raise DependencyError(f"headaudio is not installed; run npm ci in {self.folder}")

    def hear(self, recordings: Sequence[Recording]) -> None:
        """Run those not heard yet, in one process.

        Raises:
            DependencyError: Node ended with an error.
        """
        new = [one for one in recordings if one.name not in self._heard]
        if not new:
            return
        with tempfile.TemporaryDirectory() as place:
            paths = [Path(place) / f"{i}.f32" for i in range(len(new))]
            for path, one in zip(paths, new, strict=True):
                path.write_bytes(one.audio.astype("<f4").tobytes())
            command = ["node", "run.mjs", *(str(path) for path in paths)]
            done = subprocess.run(
                command, cwd=self.folder, capture_output=True, text=True, check=False
            )
        if done.returncode:
            raise DependencyError(f"headaudio did not run: {done.stderr.strip()[-300:]}")
        for line, one in zip(done.stdout.splitlines(), new, strict=True):
            answer = json.loads(line)
            self._heard[one.name] = {
                key: np.array(answer[key], np.float32) for key in ("shipped", "heard")
            }

    def visemes(self, recording: Recording, kind: str) -> FloatArray:
        """``[T, 15]`` at 100 steps a second, as the sound arrives."""
        self.hear([recording])
        return self._heard[recording.name][kind]

    def by_table(self, recording: Recording) -> Mouth:
        """The values its users get, through the table, with the delay its README asks for."""
        values = self.visemes(recording, "shipped")
        opening = values @ np.array([_OPENINGS[name] for name in _VISEMES], np.float32)
        times = np.arange(len(values)) / _STEPS_PER_SECOND - _DOCUMENTED_DELAY
        return Mouth(times.astype(np.float32), opening, np.zeros_like(opening))

    def fitted(self, recordings: Sequence[Recording]) -> Performer:
        """The linear map from what it hears to filmed lips that fits ``recordings`` best."""
        chosen = [one for one in at_most(recordings, _CLIPS_OF_EACH) if one.filmed is not None]
        if not chosen:
            raise InputError("no filmed recording to fit headaudio on; give tracks of people")
        self.hear(chosen)
        aims = np.concatenate(_aims(chosen))

        def rows(one: Recording, times: FloatArray, delay: float) -> FloatArray:
            values = self.visemes(one, "heard")
            steps = np.rint((times + delay) * _STEPS_PER_SECOND).astype(int)
            return np.asarray(values[np.clip(steps, 0, len(values) - 1)], np.float32)

        def fit(delay: float) -> tuple[float, FloatArray]:
            x = np.concatenate([rows(one, one.filmed.times, delay) for one in chosen if one.filmed])
            weights = _solve(x, aims, 1.0)
            return float(np.square(x @ weights[:-1] + weights[-1] - aims).mean()), weights

        delay = min(_DELAYS, key=lambda seconds: fit(seconds)[0])
        weights = fit(delay)[1]

        def perform(one: Recording) -> Mouth:
            times = np.arange(len(self.visemes(one, "heard")), dtype=np.float32)
            times /= _STEPS_PER_SECOND
            made = rows(one, times, delay) @ weights[:-1] + weights[-1]
            return Mouth(times, *np.asarray(made.T, np.float32))

        return perform


def baselines(
    learned_from: Sequence[Recording], headaudio: Path | None = None
) -> tuple[dict[str, Performer], dict[str, str]]:
    """All baselines that can run here, and by name why the others cannot.

    Args:
        learned_from: recordings of people to fit on.
        headaudio: folder of ``run.mjs``.
    """
    made: dict[str, Performer] = {"loudness": loudness}
    missing: dict[str, str] = {}
    for name, seconds in (
        ("ridge_lookahead", LOOKAHEAD_SECONDS), ("ridge_symmetric", SYMMETRIC_SECONDS)
    ):  # fmt: skip
        try:
            made[name] = Ridge.fit(learned_from, seconds)
        except InputError as error:
            missing[name] = str(error)
    try:
        if headaudio is None:
            raise DependencyError("no folder of headaudio was given")
        peer = HeadAudio(headaudio)
        fitted = peer.fitted(learned_from)
        made |= {"headaudio_table": peer.by_table, "headaudio_fitted": fitted}
    except (DependencyError, InputError) as error:
        missing["headaudio"] = str(error)
    return made, missing
