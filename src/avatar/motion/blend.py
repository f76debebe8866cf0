"""Speech, emotion and life become one expression.

- Speech comes first: the lips part as far as the voice asks, scaled by the intensity, and where
  the voice closes them they are closed under any style.
- Emotion joins it as ``a + b - ab``, so that together they stay within [0, 1]. What keeps a silent
  mouth shut under an emotion (its seal) fades as speech parts the lips, and smiles and stretches
  give way where speech rounds them.
- Blinks close whatever opening the emotion leaves; gains, then offsets, come last.

A change of style is eased: every number of it moves to its new value within 0.2 s.
"""

from __future__ import annotations

import numpy as np

from avatar.motion.curves import CURVES
from avatar.motion.emotion import EMOTIONS, weights_of
from avatar.motion.eyes import EYE_LOOKS, look_weights
from avatar.motion.idle import Life
from avatar.motion.style import Style
from avatar.types import ARKIT_NAMES, FloatArray

EASE_SECONDS = 0.2

_COUNT = len(ARKIT_NAMES)
_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
_LIP_GAP = {
    "jawOpen": 1.0, "mouthClose": -1.0, "mouthFunnel": 0.46, "mouthLowerDown": 0.43,
    "mouthUpperUp": 0.29, "mouthShrugUpper": 0.26, "mouthRollUpper": 0.08, "mouthPress": -0.22,
    "mouthRollLower": -0.18, "mouthShrugLower": -0.28, "mouthPucker": -0.09,
    "mouthStretch": -0.12,
}  # fmt: skip
"""How far each curve parts the inner lips of the rig, where ``jawOpen`` is 1."""
_GAP = np.array([_LIP_GAP.get(name, 0.0) for name in CURVES], np.float32)
_ROUND = np.array([name in ("mouthPucker", "mouthFunnel") for name in CURVES], np.float32)
_WIDE = np.array(
    [name.startswith(("mouthSmile", "mouthStretch", "mouthDimple")) for name in ARKIT_NAMES],
    np.float32,
)
_UNSEALED_GAP = 0.12
_CLOSED_GAP = 0.05
_ROUNDED = 0.6

_NO_CURVE = len(CURVES)
_SOURCES = np.array(
    [
        CURVES.index(name) if (name := arkit.removesuffix("Left").removesuffix("Right")) in CURVES
        else CURVES.index(arkit) if arkit in CURVES else _NO_CURVE
        for arkit in ARKIT_NAMES
    ]
)  # fmt: skip
"""For each blendshape the curve that drives it; the last place stands for none."""
_BLINKS = [ARKIT_NAMES.index(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")]
_WIDES = [ARKIT_NAMES.index(name) for name in ("eyeWideLeft", "eyeWideRight")]
_BROWS = [
    ARKIT_NAMES.index(name) for name in ("browInnerUp", "browOuterUpLeft", "browOuterUpRight")
]
_LIVING = np.array([*_BLINKS, *_BROWS, *EYE_LOOKS])


class Look:
    """A style as numbers, all in one vector, so that one can be blended into another.

    Attributes:
        face, seal, gain, offset: ``[52]`` each.
        intensity, blink_rate, head_motion, breath: factors.
        held: share of the gaze that is held at ``gaze`` (right, down), 0 to 1.
        emotional: whether there is any emotion.
        adjusted: whether there is any gain or offset.
    """

    def __init__(self, numbers: FloatArray) -> None:
        self.numbers = numbers  # [4 * 52 + 7] float32
        self.face, self.seal, self.gain, self.offset = numbers[: 4 * _COUNT].reshape(4, _COUNT)
        (self.intensity, self.blink_rate, self.head_motion, self.breath, self.held,
         right, down) = numbers[4 * _COUNT :].tolist()  # fmt: skip
        self.gaze = (right, down)
        self.emotional = bool(self.face.any() or self.seal.any())
        self.adjusted = bool(self.offset.any() or (self.gain != 1).any())

    @classmethod
    def of(cls, style: Style) -> Look:
        """The numbers of a style."""
        face, seal = np.zeros(_COUNT, np.float32), np.zeros(_COUNT, np.float32)
        opening = breath = 1.0
        # Two full emotions show at 0.71 each: together as strong as one alone.
        total = max(1.0, float(np.sqrt(sum(w * w for w in style.emotion.values()))))
        for name, weight in style.emotion.items():
            share, emotion = weight / total, EMOTIONS[name]
            face += np.float32(share) * weights_of(emotion.face)
            seal += np.float32(share) * weights_of(emotion.seal)
            opening += share * (emotion.opening - 1.0)
            breath += share * (emotion.breath - 1.0)
        gain = np.ones(_COUNT, np.float32)
        for name, factor in style.gain.items():
            gain[ARKIT_NAMES.index(name)] = factor
        right, down = style.gaze or (0.0, 0.0)
        factors = [
            style.intensity * opening, style.blink_rate, style.head_motion, breath,
            float(style.gaze is not None), right, down,
        ]  # fmt: skip
        parts = [face, seal, gain, weights_of(style.offset), np.array(factors, np.float32)]
        return cls(np.minimum(np.concatenate(parts), 4.0).astype(np.float32))


class StyleBlend:
    """The look of a stream now, on its way to that of its style."""

    def __init__(self, style: Style, fps: float) -> None:
        self.style = style
        self.look = self._from = self._to = Look.of(style)
        self._steps = max(1, round(EASE_SECONDS * fps))
        self._step = self._steps

    def change(self, style: Style) -> None:
        """Go to another style, from the look as it is."""
        if style != self.style:
            self.style = style
            self._from, self._to, self._step = self.look, Look.of(style), 0

    def advance(self) -> Look:
        """The look of the next frame."""
        if self._step < self._steps:
            self._step += 1
            share = self._step / self._steps
            eased = np.float32(share * share * (3.0 - 2.0 * share))
            a, b = self._from.numbers, self._to.numbers
            self.look = Look(a + (b - a) * eased) if self._step < self._steps else self._to
        return self.look


def express(
    curves: FloatArray,  # [16] what the voice does to the mouth
    life: Life,
    look: Look,
    out: FloatArray,  # [52]
) -> tuple[float, float]:
    """Write the expression of one frame into ``out``; gives its gaze (right, down) in radians."""
    driven = np.empty(_NO_CURVE + 1, np.float32)
    driven[_NO_CURVE] = 0.0
    np.multiply(curves, articulation(curves, look.intensity), out=driven[:_NO_CURVE])
    driven.take(_SOURCES, out=out, mode="clip")
    blink, gaze = life.blink, life.gaze
    if look.held:
        gaze = (
            gaze[0] + (look.gaze[0] - gaze[0]) * look.held,
            gaze[1] + (look.gaze[1] - gaze[1]) * look.held,
        )
    living = (blink, blink, *life.brows, *look_weights(*gaze))
    if look.emotional:
        alive = np.zeros(_COUNT, np.float32)
        alive[_LIVING] = living
        emotion = _emotion(driven[:_NO_CURVE], look)
        emotion[_WIDES] *= np.float32(1.0 - blink)
        alive += emotion - emotion * alive
        out += alive - alive * out
    else:
        out[_LIVING] = living  # no curve of speech moves these
    if look.adjusted:
        out *= look.gain
        out += look.offset
    np.minimum(out, _ONE, out=out)
    np.maximum(out, _ZERO, out=out)
    return gaze


def articulation(curves: FloatArray, intensity: float) -> np.float32:
    """The factor on ``curves`` ``[16]`` that ``intensity`` asks for.

    The gap of the lips is linear in the curves, so a factor on all of them scales it and leaves a
    closed mouth closed. Where the lips nearly touch, more than 1 fades: they shall not part there.
    """
    if intensity <= 1.0:
        return np.float32(intensity)
    parted = min(max(float(curves @ _GAP) / _CLOSED_GAP, 0.0), 1.0)
    return np.float32(1.0 + (intensity - 1.0) * parted)


def _emotion(curves: FloatArray, look: Look) -> FloatArray:
    """The emotional face ``[52]`` that goes with ``curves`` ``[16]`` of speech."""
    sealed = 1.0 - min(max(float(curves @ _GAP) / _UNSEALED_GAP, 0.0), 1.0)
    emotion = look.face + np.float32(sealed) * look.seal
    rounded = min(float(curves @ _ROUND), 1.0)
    if rounded > 0.0:
        emotion *= _ONE - np.float32(_ROUNDED * rounded) * _WIDE
    return emotion
