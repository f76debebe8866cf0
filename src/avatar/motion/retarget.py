"""Expression, pose and gaze → the landmarks of one particular person.

Motion is relative: what moves is the person's own face at rest, so a driver's face shape never
leaks in and a cartoon keeps its proportions. The rest face is the photo's landmarks less what the
expression measured in the photo did to them, with the inner lips brought exactly together. The
rig's displacements are scaled to the person's mouth and eyes and turned into the photo's head pose.

What the photo's brows, glance, narrow eyes and thin lips measure as expression is mostly the
person's own look, so a share of it (``_OWN_LOOK``) stays in the rest face. Around the mouth a
driving weight acts once it exceeds that share. Brows, eyes and cheeks look raised, drawn together
or narrowed on many calm faces, and would hardly ever move that way: there weights count from the
own look. ``relative`` brings an expression measured in pictures of this person into these terms;
the photo's own gives back the photo's landmarks.

The eyes follow the gaze alone. The ``eyeLook`` blendshapes say the same for those who read ARKit
and move nothing here, or a glance would count twice.

Eyelids are not linear: a blink closes whatever opening the other shapes leave, so at ``eyeBlink`` 1
the lids meet on every face. MediaPipe's ``eyeBlink`` reaches 0.78 on closed eyes, where the lids
meet too.
"""

from __future__ import annotations

from copy import copy

import numpy as np
from numpy.typing import NDArray

from avatar.errors import InputError
from avatar.face.lips import LipField, lip_gaps
from avatar.face.pose import matrix_from_quaternion
from avatar.face.rig import FaceRig, RigFit
from avatar.face.topology import (
    CHIN_TIP,
    EYES,
    INNER_LIP_LOWER,
    INNER_LIP_UPPER,
    NOSE_BASE,
    OUTER_EYE_CORNERS,
    OUTER_LIP_CORNERS,
)
from avatar.motion.eyes import EYE_LOOKS
from avatar.types import ARKIT_NAMES, FloatArray, Landmarks

CLOSED_BLINK = 0.78
"""The ``eyeBlink`` MediaPipe measures on closed eyes."""

_CLOSED = np.float32(CLOSED_BLINK)
_ONE = np.float32(1.0)
_BLINKS = [ARKIT_NAMES.index("eyeBlinkRight"), ARKIT_NAMES.index("eyeBlinkLeft")]
_JAW_OPEN = ARKIT_NAMES.index("jawOpen")
_OUTER, _INNER = (np.array([eye[i] for eye in EYES]) for i in (0, 1))
_LIDS_UPPER = np.array([eye.upper for eye in EYES])  # [2, 7]
_LIDS_LOWER = np.array([eye.lower for eye in EYES])
_IRISES = np.array([eye.iris for eye in EYES])  # [2, 5], centre first
_LIPS_UPPER, _LIPS_LOWER = np.array(INNER_LIP_UPPER), np.array(INNER_LIP_LOWER)

NECK = np.array([0.0, 1.15, 0.95])
"""What the head turns about, in inter-ocular distances from between the eyes."""

_EYEBALL_RADIUS = 0.42
"""In widths of the eye opening: 12 mm of about 29."""

_LID_FOLLOWS = np.array([0.35, 0.7, 0.95, 1.0, 0.95, 0.7, 0.35], np.float32)
_UPPER_LID_FOLLOWS_GAZE, _LOWER_LID_FOLLOWS_GAZE = 0.5, 0.15
_SHUT_EYES = 0.45
"""The ``eyeBlink`` above which the eyes of the photo count as shut; below it they are narrow."""

_SCALE_LIMITS = (0.5, 1.6)
_OWN_LOOK = {
    "brow": 1.0, "eyeLook": 1.0, "eyeSquint": 1.0, "eyeWide": 1.0, "cheekSquint": 1.0,
    "noseSneer": 1.0, "mouthPress": 0.7, "mouthRoll": 0.7, "mouthShrug": 0.7, "mouthFrown": 0.5,
    "mouthSmile": 0.4, "mouthDimple": 0.4,
}  # fmt: skip
"""By the beginning of the name: how much of the photo's expression belongs to the rest face."""


_COUNTS_FROM_LOOK = np.array(
    [
        name.startswith(("brow", "eyeSquint", "eyeWide", "cheekSquint", "noseSneer"))
        for name in ARKIT_NAMES
    ]
)
_MOVES_BROWS = np.array([name.startswith("brow") for name in ARKIT_NAMES])
_BROW_GAIN = 1.4
"""The linear rig knows two thirds of the brows' motion and would move them that much too little."""
_OPENS_LIPS = np.array(
    [name.startswith(("jawOpen", "mouthLowerDown", "mouthUpperUp")) for name in ARKIT_NAMES]
)


class Retargeter:
    """Moves one person's landmarks; immutable after it is made.

    Args:
        rig: the face model.
        landmarks: of the photo, in its pixels.
        expression: ``[52]`` measured in the photo.
        articulation: how much further than asked the lips open.

    Attributes:
        rest: the person's face at rest in the photo's head pose, mouth closed and eyes open.
        basis: ``[52, 478, 3]`` pixels that each full weight moves the face at rest; lids that blink
            and eyes that look move by other rules.
        fit: the photo in the terms of the rig.
        inter_ocular: pixels between the outer eye corners, the unit of translation.

    Raises:
        InputError: the expression is not ``[52]``, or something is not finite.
    """

    def __init__(
        self,
        rig: FaceRig,
        landmarks: Landmarks,
        expression: FloatArray,
        *,
        articulation: float = 1.0,
    ) -> None:
        measured = np.asarray(expression, np.float32)
        if measured.shape != (len(ARKIT_NAMES),) or not np.isfinite(measured).all():
            raise InputError(f"expression must be [52] finite numbers, got {list(measured.shape)}")
        measured = _saturated(np.clip(measured, 0.0, 1.0))
        self._floor = _own_look(measured)
        self._gain = np.where(_OPENS_LIPS, np.float32(articulation), _ONE)
        self.fit: RigFit = rig.fit(landmarks, measured)
        points = landmarks.points.astype(np.float64)
        self.inter_ocular = float(np.linalg.norm(np.subtract(*points[list(OUTER_EYE_CORNERS)])))
        turn = matrix_from_quaternion(self.fit.rotation).astype(np.float64)
        origin = points[list(OUTER_EYE_CORNERS)].mean(0)
        own = (points - origin) @ turn / self.inter_ocular

        basis = _scaled_basis(rig, own, measured)
        lids = _LidMotion(rig, own, measured[_BLINKS])
        basis[_BLINKS] *= lids.crease_scale[:, None, None]
        basis[np.array(_BLINKS)[:, None], lids.points] = 0.0
        basis[list(EYE_LOOKS)] = 0.0
        basis[_MOVES_BROWS] *= _BROW_GAIN
        field = LipField.of_shape(own, basis[_JAW_OPEN])
        rest = own - np.tensordot(measured - self._floor, basis, 1)
        rest += field.closing(lip_gaps(rest))
        lids.open_eyes(rest)

        to_pixels = turn.T * self.inter_ocular
        self.rest = Landmarks((rest @ to_pixels + origin).astype(np.float32))
        self.basis = (basis @ to_pixels).astype(np.float32)
        self._basis = self.basis.reshape(len(basis), -1)
        self._lip_weights = field.weights
        self._upper_share = lids.upper_share
        self._look_floor = np.where(_COUNTS_FROM_LOOK, self._floor, np.float32(0.0))
        self._floor -= self._look_floor
        self._across, self._down = (turn[:, i].astype(np.float32) for i in (0, 1))
        self._pivot = (origin + NECK @ to_pixels).astype(np.float32)
        self._set_eyes()

    def relative(
        self,
        measured: FloatArray,  # [52] in pictures of this person
    ) -> FloatArray:
        """The expression to drive ``landmarks`` with so that they become those measured."""
        return np.maximum(measured - self._look_floor, np.float32(0.0))

    def articulated(self, articulation: float) -> Retargeter:
        """The same person, whose lips open so much further than asked."""
        other = copy(self)
        other._gain = np.where(_OPENS_LIPS, np.float32(articulation), _ONE)
        return other

    def beyond_rest(
        self,
        measured: FloatArray,  # [..., 52] in pictures of this person
    ) -> FloatArray:
        """How much of each weight moves the face away from ``rest``; 0 everywhere at rest."""
        away = np.maximum(self.relative(measured) - self._floor, np.float32(0.0))
        away[..., _BLINKS] *= _CLOSED / (_CLOSED - self._floor[_BLINKS])
        beyond: FloatArray = np.minimum(away, _ONE)
        return beyond

    def from_rest(
        self,
        away: FloatArray,  # [..., 52] in [0, 1], of whomever
    ) -> FloatArray:
        """The expression that moves this face as far from ``rest`` as ``away`` says."""
        expression = away + self._floor
        expression[..., _BLINKS] -= away[..., _BLINKS] * self._floor[_BLINKS] / _CLOSED
        driving: FloatArray = np.minimum(expression, _ONE)
        return driving

    def landmarks(
        self,
        expression: FloatArray,  # [52] in [0, 1], upper face relative to the person's own look
        rotation: FloatArray,  # [4] wxyz, relative to the photo
        translation: FloatArray,  # [3] inter-ocular distances, relative to the photo
        gaze: FloatArray,  # [2] radians to the right of the image and down, relative to the photo
    ) -> FloatArray:
        """The person's points ``[478, 3]`` float32 in pixels of the photo."""
        weights = np.maximum(_saturated(np.minimum(expression * self._gain, _ONE)), self._floor)
        points = self.rest.points + ((weights - self._floor) @ self._basis).reshape(-1, 3)
        self._keep_lips_apart(points)
        self._look(points, gaze)
        self._close_lids(points, weights[_BLINKS])
        turn = matrix_from_quaternion(rotation)
        offset = self._pivot + np.asarray(translation, np.float32) * self.inter_ocular
        points -= self._pivot
        moved: FloatArray = points @ turn.T
        moved += offset
        return moved

    def _set_eyes(self) -> None:
        """Sizes of the eyes in the rest face, in pixels."""
        rest = self.rest.points
        widths = np.linalg.norm(rest[_OUTER] - rest[_INNER], axis=1)
        self._eyeball_radius = (_EYEBALL_RADIUS * widths).astype(np.float32)
        centres = (rest[_OUTER] + rest[_INNER]) / 2 @ self._across
        reach = 0.5 * np.abs((rest[_OUTER] - rest[_INNER]) @ self._across) - 0.16 * widths
        irises = rest[_IRISES[:, 0]] @ self._across
        self._leftmost = np.minimum(centres - reach, irises).astype(np.float32)
        self._rightmost = np.maximum(centres + reach, irises).astype(np.float32)

    def _keep_lips_apart(self, points: FloatArray) -> None:
        """Lips that would cross meet instead, and what is around them follows."""
        gaps = (points[_LIPS_LOWER] - points[_LIPS_UPPER]) @ self._down
        crossed = np.minimum(gaps, 0.0)
        points += (self._lip_weights @ crossed)[:, None] * self._down

    def _look(self, points: FloatArray, gaze: FloatArray) -> None:
        """Turn the eyes; the irises stay within the eye opening and the lids follow a little."""
        sideways, downwards = np.sin(np.asarray(gaze, np.float32))[:, None] * self._eyeball_radius
        centres = points[_IRISES[:, 0]]
        across, down = centres @ self._across, centres @ self._down
        sideways = np.clip(across + sideways, self._leftmost, self._rightmost) - across
        follow = (downwards[:, None] * _LID_FOLLOWS)[:, :, None] * self._down
        points[_LIDS_UPPER] += _UPPER_LID_FOLLOWS_GAZE * follow
        points[_LIDS_LOWER] += _LOWER_LID_FOLLOWS_GAZE * follow
        top = points[_LIDS_UPPER[:, 3]] @ self._down
        bottom = np.maximum(points[_LIDS_LOWER[:, 3]] @ self._down, top)
        downwards = np.clip(down + downwards, top, bottom) - down
        moved = sideways[:, None] * self._across + downwards[:, None] * self._down
        points[_IRISES] += moved[:, None]

    def _close_lids(self, points: FloatArray, blink: FloatArray) -> None:
        """Bring facing lid points together; ``blink`` ``[2]`` is within the floor and closed."""
        upper, lower = points[_LIDS_UPPER], points[_LIDS_LOWER]
        gap = lower - upper
        crossed = np.minimum(gap @ self._down, 0.0)[:, :, None] * self._down
        upper += 0.5 * crossed
        gap -= crossed
        meeting = upper + self._upper_share * gap
        opened = (_CLOSED - blink) / (_CLOSED - self._floor[_BLINKS])
        still_open = opened[:, None, None] * gap
        points[_LIDS_UPPER] = meeting - self._upper_share * still_open
        points[_LIDS_LOWER] = meeting + (1.0 - self._upper_share) * still_open


class _LidMotion:
    """How a person's eyelids close, from the rig and the photo, in the face's own frame."""

    def __init__(self, rig: FaceRig, own: NDArray[np.float64], blink: FloatArray) -> None:
        self._shut = (blink > _SHUT_EYES)[:, None, None]
        self._typical = (rig.mean[_LIDS_LOWER] - rig.mean[_LIDS_UPPER]).astype(np.float64)
        widths = [np.linalg.norm(p[_OUTER] - p[_INNER], axis=1) for p in (own, rig.mean)]
        self._typical *= (widths[0] / widths[1])[:, None, None]
        self.points = np.concatenate([_LIDS_UPPER, _LIDS_LOWER], axis=1).ravel()
        blinks = rig.expression_basis[_BLINKS, :, 1]
        eyes = np.arange(len(EYES))[:, None]
        falls = [np.abs(blinks[eyes, lids].mean()) for lids in (_LIDS_UPPER, _LIDS_LOWER)]
        self.upper_share = np.float32(falls[0] / (falls[0] + falls[1]))
        opening = self._opening(own)[:, :, 1].mean(1)
        self.crease_scale = np.clip(opening / self._typical_height(rig), *_SCALE_LIMITS)

    def open_eyes(self, rest: NDArray[np.float64]) -> None:
        """Give eyes that are shut in the photo the opening of the rig's, in proportion."""
        upper, lower = rest[_LIDS_UPPER], rest[_LIDS_LOWER]
        share = float(self.upper_share)
        meeting = upper + share * (lower - upper)
        opening = self._opening(rest)
        rest[_LIDS_UPPER] = meeting - share * opening
        rest[_LIDS_LOWER] = meeting + (1 - share) * opening

    def _opening(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Lower less upper lid ``[2, 7, 3]`` at rest; eyes shut in the photo get the rig's."""
        opened = points[_LIDS_LOWER] - points[_LIDS_UPPER]
        opening: NDArray[np.float64] = np.where(self._shut, self._typical, opened)
        return opening

    @staticmethod
    def _typical_height(rig: FaceRig) -> NDArray[np.float64]:
        heights = rig.mean[_LIDS_LOWER, 1] - rig.mean[_LIDS_UPPER, 1]
        mean: NDArray[np.float64] = heights.mean(1).astype(np.float64)
        return mean


def _saturated(
    expression: FloatArray,  # [52]
) -> FloatArray:
    """The expression with each blink no stronger than that of closed eyes."""
    weights = expression.copy()
    weights[_BLINKS] = np.minimum(weights[_BLINKS], CLOSED_BLINK)
    return weights


def _own_look(
    measured: FloatArray,  # [52]
) -> FloatArray:
    """The part of the photo's expression that stays in the rest face, ``[52]``."""
    shares = [
        next((share for start, share in _OWN_LOOK.items() if name.startswith(start)), 0.0)
        for name in ARKIT_NAMES
    ]
    floor = measured * np.array(shares, np.float32)
    blink = measured[_BLINKS]
    floor[_BLINKS] = np.where(blink > _SHUT_EYES, 0.0, blink)
    return floor


def _scaled_basis(
    rig: FaceRig, own: NDArray[np.float64], measured: FloatArray
) -> NDArray[np.float64]:
    """The rig's expressions ``[52, 478, 3]`` in proportion to this person's mouth and eyes."""
    mean = rig.mean.astype(np.float64)
    neutral = own - rig.displacement(measured)
    wide = _ratio(neutral, mean, *OUTER_LIP_CORNERS)
    tall = _ratio(neutral, mean, NOSE_BASE, CHIN_TIP)
    below = _smoothstep((mean[:, 1] - mean[NOSE_BASE, 1] + 0.15) / 0.2)
    scale = 1.0 + below[:, None] * (np.array([wide, np.sqrt(wide * tall), wide]) - 1.0)
    for eye in EYES:
        size = _ratio(own, mean, eye.outer, eye.inner)
        centre = (mean[eye.outer] + mean[eye.inner]) / 2
        distance = np.linalg.norm((mean - centre)[:, :2], axis=1)
        near = _smoothstep((0.36 - distance) / 0.14)
        scale *= 1.0 + near[:, None] * (size - 1.0)
    return rig.expression_basis * scale


def _ratio(own: NDArray[np.float64], mean: NDArray[np.float64], a: int, b: int) -> float:
    """A distance of this person in terms of the mean's, within sane limits."""
    ratio = np.linalg.norm(own[a] - own[b]) / np.linalg.norm(mean[a] - mean[b])
    return float(np.clip(ratio, *_SCALE_LIMITS))


def _smoothstep(x: NDArray[np.float64]) -> NDArray[np.float64]:
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)
