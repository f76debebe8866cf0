"""From a face that was seen to move to ``Motion`` that any face can follow.

A driver's face is taken apart the way ``Retargeter`` puts an avatar's together: the pictures in
which it is calmest give its rest face, each other picture is turned back to the pose of that, and
what is left of the difference is explained by the expressions of the rig in proportion to the
driver. Only these go on, so that no face's shape leaks into another.

The measured blendshapes alone explain five sixths of the motion of the lips, and no two faces
measure alike. They serve as the expectation from which the weights that explain the landmarks are
sought: least squares within [0, 1], many frames at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation, Slerp

from avatar.face.pose import similarity
from avatar.face.rig import FaceRig, RigFit
from avatar.face.topology import (
    BROWS,
    EYES,
    INNER_LIP_CORNERS,
    INNER_LIP_LOWER,
    INNER_LIP_UPPER,
    OUTER_LIP_CORNERS,
    OUTER_LIP_LOWER,
    OUTER_LIP_UPPER,
    STABLE,
)
from avatar.motion.driver import Seen
from avatar.motion.eyes import EYE_LOOKS, look_weights
from avatar.motion.retarget import CLOSED_BLINK, NECK, Retargeter
from avatar.types import ARKIT_NAMES, LANDMARK_COUNT, FloatArray, Landmarks, Motion

Array = NDArray[np.float64]

MOST_YAW_DEGREES, MOST_PITCH_DEGREES, MOST_ROLL_DEGREES = 30.0, 20.0, 25.0
"""How far a head is turned from the pose of its photo at most, where that looks ahead."""

_LEAST_TURN_DEGREES = 6.0
_LOST_OUTWARDS, _LOST_INWARDS = 1.0, 0.4
"""By how much less a head can turn for each degree that its photo is turned: a photo shows little
of the far cheek, to be hidden or to be brought to the front.
"""

MOST_TRANSLATION = 0.35
"""How far it is moved at most, in inter-ocular distances."""

_FREE_SHARE = 0.6
"""Up to which share of these limits motion is followed exactly; beyond, ever less."""

_CALM_FRAMES = 7
_HEAD_SMOOTHING_SECONDS = 0.05
_GAZE_SMOOTHING_SECONDS = 0.03
_FACE_SMOOTHING_SECONDS = 0.016
"""Standard deviations of what takes the jitter of the measurement away."""

_EXPECTED = 0.02
"""Weight of the expectation against squared distances in inter-ocular distances."""
_SWEEPS = 24
_DEPTH_COUNTS = 0.3
_LIPS_COUNT = 3.0

_SHUT_GAP = 0.22
"""What is left of the gap between the lids, as a share, where MediaPipe sees closed eyes."""

_LIPS = (
    *INNER_LIP_UPPER, *INNER_LIP_LOWER, *INNER_LIP_CORNERS,
    *OUTER_LIP_UPPER, *OUTER_LIP_LOWER, *OUTER_LIP_CORNERS,
)  # fmt: skip
_BLINKS = [ARKIT_NAMES.index("eyeBlinkRight"), ARKIT_NAMES.index("eyeBlinkLeft")]
_LIDS_UPPER = np.array([eye.upper for eye in EYES])
_LIDS_LOWER = np.array([eye.lower for eye in EYES])
_IRISES = np.array([eye.iris[0] for eye in EYES])
_CORNERS = np.array([(eye.outer, eye.inner) for eye in EYES])


def follow(seen: Seen, rig: FaceRig, *, fps: float) -> Motion:
    """The driver's motion relative to its rest, ``fps`` times a second.

    Where the face was not seen the motion goes straight on to where it was seen again.
    """
    driver = _Driver.of(seen, rig)
    turn, shift, canonical = driver.pose(seen.landmarks)
    away = driver.explain(canonical, seen.expression)
    gaze = driver.gaze(canonical)
    frames = max(1, round(seen.duration_seconds * fps))
    at = np.arange(frames) / fps
    motion = Motion.still(frames, fps)
    motion.expression[:] = _resampled(seen, away, at, _FACE_SMOOTHING_SECONDS).clip(0.0, 1.0)
    motion.gaze[:] = _resampled(seen, gaze, at, _GAZE_SMOOTHING_SECONDS)
    motion.expression[:, EYE_LOOKS] = [np.minimum(look_weights(*g), 1.0) for g in motion.gaze]
    motion.rotation[:] = _quaternions(_resampled_turn(seen, turn, at))
    moved = _resampled(seen, shift, at, _HEAD_SMOOTHING_SECONDS)
    motion.translation[:] = _limited(moved, MOST_TRANSLATION)
    return motion


def resampled(motion: Motion, fps: float) -> Motion:
    """The same motion, as long, ``fps`` times a second."""
    was = np.arange(len(motion)) / motion.fps
    at = np.arange(max(1, round(len(motion) / motion.fps * fps))) / fps

    def values(found: FloatArray) -> FloatArray:
        return np.stack([np.interp(at, was, column) for column in found.T], 1).astype(np.float32)

    rotation = values(motion.rotation)
    rotation /= np.linalg.norm(rotation, axis=1, keepdims=True)
    return Motion(
        values(motion.expression), rotation, values(motion.translation), values(motion.gaze),
        values(motion.visemes), fps,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Driver:
    """The driver's face at rest, looking straight ahead, in inter-ocular distances.

    Attributes:
        own: moves it.
        rest_turn: of its calm frames.
        rest_place: ``[2]`` where its neck mostly is, in pixels.
        scale: pixels per inter-ocular distance in these.
    """

    own: Retargeter
    rest_turn: Rotation
    rest_place: Array
    scale: float

    @classmethod
    def of(cls, seen: Seen, rig: FaceRig) -> _Driver:
        points = seen.landmarks.astype(np.float64)
        poses = [similarity(rig.mean[list(STABLE)], p[list(STABLE)]) for p in points]
        scales, turns, places = (np.array(column) for column in zip(*poses, strict=True))
        straight = np.einsum("tpi,tij->tpj", points - places[:, None], turns)
        straight /= scales[:, None, None]
        calm = np.argsort(_restlessness(straight, turns), kind="stable")[:_CALM_FRAMES]
        face = Landmarks(straight[calm].mean(0).astype(np.float32))
        if seen.expression is None:
            expression = rig.fit(face).expression
        else:
            expression = seen.expression[calm].mean(0)
        own = Retargeter(rig, face, expression)
        neck = places + scales[:, None] * np.einsum("tij,j->ti", turns, NECK)
        return cls(
            own=own,
            rest_turn=Rotation.from_matrix(turns[calm]).mean(),
            rest_place=np.median(neck[:, :2], axis=0),
            scale=float(scales[calm].mean()),
        )

    def pose(self, landmarks: FloatArray) -> tuple[Rotation, Array, Array]:
        """Turn and shift relative to rest, and the points ``[N, 478, 3]`` with these undone."""
        model = self.own.rest.points[list(STABLE)]
        poses = [similarity(model, points[list(STABLE)]) for points in landmarks]
        scales, turns, places = (np.array(column) for column in zip(*poses, strict=True))
        canonical = np.einsum("tpi,tij->tpj", landmarks - places[:, None], turns)
        canonical /= scales[:, None, None]
        neck = places + scales[:, None] * np.einsum("tij,j->ti", turns, NECK)
        shift = np.zeros((len(landmarks), 3))
        shift[:, :2] = (neck[:, :2] - self.rest_place) / self.scale
        return Rotation.from_matrix(turns) * self.rest_turn.inv(), shift, canonical

    def explain(self, canonical: Array, measured: FloatArray | None) -> Array:
        """The weights ``[N, 52]`` beyond rest that move the rest face to ``canonical``."""
        expected = np.zeros((len(canonical), len(ARKIT_NAMES)))
        if measured is not None:
            expected[:] = self.own.beyond_rest(measured)
        expected[:, EYE_LOOKS] = 0.0
        away = self._solve(canonical - self.own.rest.points, expected)
        away[:, _BLINKS] = self._blinks(canonical, away)
        return away

    def _solve(self, moved: Array, expected: Array) -> Array:
        """Bounded least squares around ``expected`` by coordinate descent, all frames at once."""
        basis = self.own.basis.astype(np.float64)
        counts = _counts()
        free = np.setdiff1d(np.arange(len(ARKIT_NAMES)), [*_BLINKS, *EYE_LOOKS])
        left_over = moved - np.tensordot(expected, basis, 1)
        weighted = (basis * counts).reshape(len(basis), -1)
        gram = weighted @ basis.reshape(len(basis), -1).T
        pull = left_over.reshape(len(moved), -1) @ weighted.T
        change = np.zeros_like(expected)
        for _ in range(_SWEEPS):
            for k in free:
                slope = pull[:, k] - change @ gram[:, k] + gram[k, k] * change[:, k]
                best = slope / (gram[k, k] + _EXPECTED)
                change[:, k] = (expected[:, k] + best).clip(0.0, 1.0) - expected[:, k]
        solved: Array = expected + change
        return solved

    def _blinks(self, canonical: Array, away: Array) -> Array:
        """``[N, 2]``: how far each eye has closed from where its other weights leave it."""
        gaps = _lid_gaps(canonical)
        open_gaps = np.empty_like(gaps)
        weights = away.astype(np.float32)
        weights[:, _BLINKS] = 0.0
        still = Motion.still(1, 1.0)
        for frame, expression in enumerate(self.own.from_rest(weights)):
            points = self.own.landmarks(
                expression, still.rotation[0], still.translation[0], still.gaze[0]
            )
            open_gaps[frame] = _lid_gaps(points[None])[0]
        share = (gaps / np.maximum(open_gaps, 1e-6) - _SHUT_GAP) / (1.0 - _SHUT_GAP)
        closed: Array = CLOSED_BLINK * (1.0 - share).clip(0.0, 1.0)
        return closed

    def gaze(self, canonical: Array) -> Array:
        """``[N, 2]`` radians to the right and down, relative to rest, of both eyes together."""

        def looks(points: Array) -> Array:  # [N, 478, 3] -> [N, 2]
            between = points[:, _CORNERS].mean(2)
            widths = np.linalg.norm(points[:, _CORNERS[:, 0]] - points[:, _CORNERS[:, 1]], axis=2)
            offset = (points[:, _IRISES] - between)[:, :, :2] / (widths[:, :, None] * 0.42)
            both: Array = offset.mean(1)
            return both

        moved = looks(canonical) - looks(self.own.rest.points[None].astype(np.float64))
        angles: Array = np.arcsin(moved.clip(-0.6, 0.6))
        return angles


def _restlessness(straight: Array, turns: Array) -> Array:
    """``[N]``: the smaller, the more a frame shows the face closed-mouthed, awake and frontal."""
    gaps = straight[:, INNER_LIP_LOWER] - straight[:, INNER_LIP_UPPER]
    lips = np.linalg.norm(gaps, axis=2).mean(1)
    lids = _lid_gaps(straight).mean(1)
    asleep = np.maximum(1.0 - lids / np.median(lids), 0.0)
    typical = np.median(straight, axis=0)
    unusual = np.linalg.norm(straight - typical, axis=2).mean(1)
    turned = Rotation.from_matrix(turns).magnitude()
    restless: Array = lips / 0.1 + asleep + unusual / 0.03 + turned / 0.5
    return restless


def _lid_gaps(points: Array | FloatArray) -> Array:  # [N, 478, 3] -> [N, 2]
    gaps = points[:, _LIDS_LOWER, 1] - points[:, _LIDS_UPPER, 1]
    mean: Array = gaps[:, :, 1:-1].mean(2)
    return mean


def _counts() -> Array:
    """``[478, 3]`` how much each coordinate counts: lips most, irises and what is deep least."""
    counts = np.ones((LANDMARK_COUNT, 3))
    counts[list(_LIPS)] = _LIPS_COUNT
    counts[list(BROWS)] = 2.0
    counts[[*_LIDS_UPPER.ravel(), *_LIDS_LOWER.ravel(), *range(468, LANDMARK_COUNT)]] = 0.0
    counts[:, 2] *= _DEPTH_COUNTS
    return counts


def _resampled(seen: Seen, values: Array, at: Array, smoothing_seconds: float) -> Array:
    """``values`` ``[N, C]`` at the times ``at``, smoothed over neighbours."""
    smooth = _smooth(values, smoothing_seconds * seen.fps)
    columns = [np.interp(at, seen.times_seconds, column) for column in smooth.T]
    return np.stack(columns, axis=1)


def _resampled_turn(seen: Seen, turn: Rotation, at: Array) -> Rotation:
    if len(seen.times_seconds) == 1:
        return Rotation.concatenate([turn] * len(at))
    vectors = _smooth(turn.as_rotvec(), _HEAD_SMOOTHING_SECONDS * seen.fps)
    known = Slerp(seen.times_seconds, Rotation.from_rotvec(vectors))
    return known(at.clip(seen.times_seconds[0], seen.times_seconds[-1]))


def _smooth(values: Array, deviation: float) -> Array:
    smooth: Array = gaussian_filter1d(values, deviation, axis=0, mode="nearest")
    return smooth


def within_reach(
    rotation: FloatArray,  # [T, 4] wxyz relative to the photo
    photo: RigFit,
) -> FloatArray:
    """The turns that a photo can follow: yaw, pitch and roll flatten towards their limits."""
    angles = _rotations(rotation).as_euler("YXZ", degrees=True)
    # About the y axis, which points down, a positive angle turns to the left of the image.
    yaw, pitch, roll = angles.T
    limited = [
        _reachable(yaw, -photo.yaw_degrees, MOST_YAW_DEGREES),
        _reachable(pitch, photo.pitch_degrees, MOST_PITCH_DEGREES),
        _limited(roll, MOST_ROLL_DEGREES),
    ]
    return _quaternions(Rotation.from_euler("YXZ", np.stack(limited, 1), degrees=True))


def _reachable(angles: Array, given: float, most: float) -> Array:
    """``angles`` within what is left of ``most`` for a photo that is turned by ``given``."""
    away = np.sign(given or 1.0)
    lost = np.where(angles * away > 0, _LOST_OUTWARDS, _LOST_INWARDS) * abs(given)
    return _limited(angles, np.maximum(most - lost, _LEAST_TURN_DEGREES))


def _rotations(quaternions: FloatArray) -> Rotation:
    return Rotation.from_quat(np.roll(quaternions, -1, axis=1))


def _quaternions(turns: Rotation) -> FloatArray:
    quaternions: FloatArray = np.roll(turns.as_quat(canonical=True), 1, axis=1).astype(np.float32)
    return quaternions


def _limited(values: Array, most: Array | float) -> Array:
    """As it is near 0, flattening smoothly towards ``±most``."""
    free = _FREE_SHARE * most
    beyond = np.maximum(np.abs(values) - free, 0.0)
    reached = free + (most - free) * np.tanh(beyond / (most - free))
    limited: Array = np.where(beyond > 0, np.sign(values) * reached, values)
    return limited
