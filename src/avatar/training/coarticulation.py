"""From phoneme times to mouth motion: dominance functions (Cohen and Massaro, 1993).

Each sound pulls the mouth towards its own shape, with a strength that fades exponentially before
and after it; the motion is the average of the shapes, weighted by those strengths. Rounding spreads
wider than opening, closures win over everything while they last.

``coarticulate`` has the shapes from a table. ``Articulation`` learns from people filmed with phone
times how far to depart from it, for each of several reaches of the fading, and how much further
lips open in what is said loudly: the lips of people it has not seen then follow it far better
(docs/training-log.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avatar.motion.curves import CURVES, OPENING, PRESSED
from avatar.types import VISEME_NAMES, FloatArray

_SHAPES: dict[str, dict[str, float]] = {
    "sil": {},
    "PP": {"mouthPress": 0.25, "mouthRollUpper": 0.15, "mouthRollLower": 0.15},
    "FF": {"jawOpen": 0.03, "mouthRollLower": 0.3, "mouthUpperUp": 0.12},
    "TH": {"jawOpen": 0.12, "mouthLowerDown": 0.12, "mouthUpperUp": 0.05},
    "DD": {"jawOpen": 0.1, "mouthLowerDown": 0.12, "mouthUpperUp": 0.05, "mouthStretch": 0.04},
    "kk": {"jawOpen": 0.15, "mouthLowerDown": 0.08, "mouthUpperUp": 0.04},
    "CH": {"jawOpen": 0.08, "mouthFunnel": 0.25, "mouthPucker": 0.25, "mouthLowerDown": 0.1},
    "SS": {"jawOpen": 0.05, "mouthLowerDown": 0.15, "mouthUpperUp": 0.08, "mouthStretch": 0.08,
           "mouthSmile": 0.08},
    "nn": {"jawOpen": 0.12, "mouthLowerDown": 0.1, "mouthUpperUp": 0.04},
    "RR": {"jawOpen": 0.12, "mouthPucker": 0.25, "mouthFunnel": 0.12},
    "aa": {"jawOpen": 0.42, "mouthLowerDown": 0.1, "mouthUpperUp": 0.06},
    "E": {"jawOpen": 0.28, "mouthLowerDown": 0.1, "mouthUpperUp": 0.06, "mouthSmile": 0.06},
    "ih": {"jawOpen": 0.17, "mouthLowerDown": 0.08, "mouthUpperUp": 0.05, "mouthSmile": 0.1,
           "mouthStretch": 0.06},
    "oh": {"jawOpen": 0.3, "mouthFunnel": 0.25, "mouthPucker": 0.25},
    "ou": {"jawOpen": 0.12, "mouthFunnel": 0.2, "mouthPucker": 0.55},
}  # fmt: skip

_STRENGTH = {"sil": 0.7, "PP": 6.0, "FF": 4.0, "CH": 1.5, "ou": 1.6, "oh": 1.3, "kk": 0.5}
_ROUNDING = ("mouthFunnel", "mouthPucker")
_FADE_SECONDS = 0.035
_ROUNDING_FADE_SECONDS = 0.07
_SHARPNESS = 2.0

_REACHES_SECONDS = np.array([0.02, 0.05, 0.1, 0.2])
_TABLE_REACH = 1
_TABLE_SCALE = 1.3
"""What brings the table's openings to those of people, whose own are scaled to a common one."""
_TRUST_IN_TABLE = 100.0
_RIDGE = 30.0
_LOUD_STEPS, _LOUD_STRETCH_STEPS, _NEAR_STEPS = 8, 30, 4
_LOUD_SHARE = 0.4
"""Of the spread of an opening, how much loudness adds in free speech: filmed people who read
commands show far less of it than FACEGOOD's speaker, whose openings follow it at r = 0.74."""
_LOUD_CURVES = ("jawOpen", "mouthLowerDown", "mouthUpperUp")
_PULLS = (_REACHES_SECONDS.size + 2) * len(VISEME_NAMES) + 4

Phones = list[tuple[float, float, int]]
"""(start seconds, end seconds, viseme index), in order."""


def _shape_matrix() -> FloatArray:
    matrix = np.zeros((len(VISEME_NAMES), len(CURVES)), np.float32)
    for name, shape in _SHAPES.items():
        for curve, value in shape.items():
            matrix[VISEME_NAMES.index(name), CURVES.index(curve)] = value
    return matrix


def _dominance(times: FloatArray, phones: Phones, fade_seconds: float) -> FloatArray:
    """``[T, 15]``: how strongly each viseme pulls at each time."""
    total = np.zeros((len(times), len(VISEME_NAMES)), np.float32)
    for start, end, viseme in phones:
        centre, core = (start + end) / 2, (end - start) / 4
        away = np.maximum(np.abs(times - centre) - core, 0.0)
        strength = _STRENGTH.get(VISEME_NAMES[viseme], 1.0)
        total[:, viseme] += strength * np.exp(-away / fade_seconds)
    total[:, 0] += 1e-3
    return total


def coarticulate(phones: Phones, times: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mouth curves and visemes of timed sounds.

    Args:
        phones: (start seconds, end seconds, viseme index).
        times: ``[T]`` seconds at which to say them.

    Returns:
        ``[T, 16]`` curves in the order of ``CURVES``, and ``[T, 15]`` viseme weights that sum to 1.
    """
    narrow = _dominance(times, phones, _FADE_SECONDS)
    wide = _dominance(times, phones, _ROUNDING_FADE_SECONDS)
    shapes = _shape_matrix()
    curves = (narrow / narrow.sum(1, keepdims=True)) @ shapes
    rounding = [CURVES.index(name) for name in _ROUNDING]
    curves[:, rounding] = ((wide / wide.sum(1, keepdims=True)) @ shapes)[:, rounding]
    visemes = narrow**_SHARPNESS
    return curves, visemes / visemes.sum(1, keepdims=True)


@dataclass(frozen=True, eq=False)
class Articulation:
    """How people move their mouths to sounds, and to how loudly they say them.

    Attributes:
        weights: ``[94, 16 + 2]``: curves, then opening and width of the inner lips, that each
            column of ``_pulls`` gives.
    """

    weights: FloatArray

    @classmethod
    def fit(
        cls,
        examples: Sequence[tuple[Phones, FloatArray, FloatArray]],
        weights: Sequence[float],
        lips: FloatArray,  # [16, 2] opening and width that each curve gives
    ) -> Articulation:
        """Ridge regression on filmed speech, drawn towards the table.

        The few words of the filmed people leave some sounds nearly unheard; those keep the shapes
        of the table.

        Args:
            examples: timed sounds, ``[T, 80]`` band powers and ``[T, 18]`` curves and lips, 100
                times a second.
            weights: how much a step of each example counts.
        """
        shapes = _shape_matrix() * _TABLE_SCALE
        shares = _REACHES_SECONDS.size * len(VISEME_NAMES)
        gram, moment = np.zeros((_PULLS, _PULLS)), np.zeros((_PULLS, len(CURVES) + 2))
        for (phones, powers, motion), weight in zip(examples, weights, strict=True):
            rows = _pulls(phones, powers).astype(np.float64)
            gram += weight * rows.T @ rows
            moment += weight * rows.T @ motion
        trust = np.full(_PULLS, _RIDGE)
        trust[:shares] = _TRUST_IN_TABLE
        prior = np.zeros_like(moment)
        begin = _TABLE_REACH * len(VISEME_NAMES)
        prior[begin : begin + len(VISEME_NAMES)] = np.concatenate([shapes, shapes @ lips], 1)
        solved = np.linalg.solve(gram + np.diag(trust), moment + trust[:, None] * prior)
        return cls(solved.astype(np.float32))

    def __call__(
        self,
        phones: Phones,
        powers: FloatArray,  # [T, 80]
    ) -> tuple[FloatArray, FloatArray]:  # [T, 16] curves, [T, 2] opening and width
        """The mouth that says timed sounds in free speech, 100 times a second: wider where it is
        loud, closed by m, b and p.
        """
        made = _pulls(phones, powers) @ self.weights
        loud = _loudness(powers, _LOUD_STEPS)
        wider = [*(CURVES.index(name) for name in _LOUD_CURVES), len(CURVES)]
        above_usual = (loud - loud.mean()) / (loud.std() + 1e-6)
        made[:, wider] += _LOUD_SHARE * made[:, wider].std(0) * above_usual[:, None]
        made[:, len(CURVES)] = np.maximum(made[:, len(CURVES)], 0.0)
        narrow = _dominance(_clock(len(powers)), phones, _FADE_SECONDS) ** _SHARPNESS
        shut = narrow[:, PRESSED] / narrow.sum(1)
        open_ones = [*(CURVES.index(name) for name in OPENING), len(CURVES)]
        made[:, open_ones] *= 1.0 - shut[:, None]
        return np.clip(made[:, : len(CURVES)], 0.0, 1.0), made[:, len(CURVES) :]


def _pulls(phones: Phones, powers: FloatArray) -> FloatArray:
    """``[T, 94]``: the share of each viseme at each reach; how loud it is before, now, after and on
    the whole; and the shares of the two shortest reaches times that loudness.
    """
    shares = _reaching(phones, _clock(len(powers)))
    loud, on_the_whole = (_loudness(powers, n) for n in (_LOUD_STEPS, _LOUD_STRETCH_STEPS))
    levels = [np.roll(loud, -_NEAR_STEPS), loud, np.roll(loud, _NEAR_STEPS), on_the_whole]
    stressed = shares[:, : 2 * len(VISEME_NAMES)] * loud[:, None]
    return np.concatenate([shares, np.stack(levels, 1), stressed], 1)


def _loudness(powers: FloatArray, steps: int) -> FloatArray:
    """``[T]`` amplitude over some steps, 1 where it is loud for this recording."""
    amplitude = np.sqrt(np.convolve(powers.sum(1), np.ones(steps) / steps, "same"))
    loud = np.clip(amplitude / (np.percentile(amplitude, 90) + 1e-9), 0.0, 1.5)
    return np.asarray(loud, np.float32)


def _clock(steps: int) -> FloatArray:
    return np.arange(steps, dtype=np.float32) / np.float32(100)


def _reaching(phones: Phones, times: FloatArray) -> FloatArray:
    """``[T, 60]``: the share of each viseme, at each reach."""
    pulls = [_dominance(times, phones, float(reach)) for reach in _REACHES_SECONDS]
    return np.concatenate([pull / pull.sum(1, keepdims=True) for pull in pulls], 1)
