"""A driver's face becomes motion that any face can follow."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from avatar.errors import ConfigError, InputError, NoFaceError
from avatar.face import FaceRig
from avatar.face.pose import similarity
from avatar.face.topology import STABLE
from avatar.motion import MotionTrack, Retargeter, follow, read_driver, resampled, within_reach
from avatar.motion.following import MOST_PITCH_DEGREES, MOST_YAW_DEGREES
from avatar.types import ARKIT_NAMES, FloatArray, Landmarks, Motion

FPS = 25.0
JAW, SMILE = ARKIT_NAMES.index("jawOpen"), ARKIT_NAMES.index("mouthSmileLeft")
BLINK = ARKIT_NAMES.index("eyeBlinkLeft")


def shaped(seed: int, scale: float, place: tuple[float, float]) -> Retargeter:
    """Somebody at rest, so large and so placed in the picture."""
    rig = FaceRig.load()
    identity = np.random.default_rng(seed).normal(0, 0.7, len(rig.identity_basis))
    points = rig.landmarks(
        identity.astype(np.float32), scale=scale, translation=np.array([*place, 0], np.float32)
    )
    return Retargeter(rig, Landmarks(points), np.zeros(len(ARKIT_NAMES), np.float32))


@cache
def acted() -> Motion:
    """Two seconds of talking, blinking, glancing and a turn of the head."""
    motion = Motion.still(50, FPS)
    t = np.arange(50) / FPS
    motion.expression[:, JAW] = 0.25 - 0.25 * np.cos(2 * np.pi * 2 * t)
    motion.expression[:, SMILE] = 0.3 * np.sin(np.pi * t) ** 2
    motion.expression[30:34, BLINK] = (0.4, 0.78, 0.78, 0.4)
    motion.gaze[:, 0] = 0.2 * np.sin(np.pi * t)
    turn = Rotation.from_euler("y", 12 * np.sin(np.pi * t)[:, None], degrees=True)
    motion.rotation[:] = np.roll(turn.as_quat(canonical=True), 1, axis=1)
    motion.translation[:, 0] = 0.1 * np.sin(np.pi * t)
    return motion


def played(person: Retargeter, motion: Motion) -> FloatArray:
    """``[T, 478, 3]``: the person does it."""
    expression = person.from_rest(motion.expression)
    return np.stack(
        [
            person.landmarks(
                expression[i], motion.rotation[i], motion.translation[i], motion.gaze[i]
            )
            for i in range(len(motion))
        ]
    )


def seen(landmarks: FloatArray, fps: float = FPS) -> Motion:
    found = read_driver((landmarks, fps), lambda image: [])
    assert not isinstance(found, Motion)
    return follow(found, FaceRig.load(), fps=fps)


def apart(a: FloatArray, b: FloatArray, unit: float) -> float:
    """Mean distance of points in inter-ocular distances."""
    return float(np.linalg.norm((a - b)[..., :2], axis=-1).mean()) / unit


def test_a_face_that_follows_itself_lands_where_it_was() -> None:
    person = shaped(1, 150.0, (256, 200))
    landmarks = played(person, acted())
    again = played(person, seen(landmarks))
    assert apart(again, landmarks, 150.0) < 0.025
    gaps = [np.linalg.norm(points[:, 13] - points[:, 14], axis=1) for points in (landmarks, again)]
    assert np.corrcoef(*gaps)[0, 1] > 0.98
    assert np.polyfit(*gaps, 1)[0] == pytest.approx(1.0, abs=0.1)


def test_the_shape_and_place_of_the_driver_do_not_leak() -> None:
    narrow, broad = shaped(1, 150.0, (256, 200)), shaped(8, 90.0, (400, 120))
    ours = seen(played(narrow, acted()))
    theirs = seen(played(broad, acted()))
    assert np.abs(ours.expression[:, JAW] - theirs.expression[:, JAW]).max() < 0.12
    me = shaped(3, 200.0, (300, 300))
    assert apart(played(me, ours), played(me, theirs), 200.0) < 0.02
    # The calm frames show the follower's own face at rest.
    at_rest = played(me, ours)[0]
    assert apart(at_rest, me.rest.points, 200.0) < 0.02


def test_the_eyes_close_and_look_where_the_driver_does() -> None:
    motion = seen(played(shaped(1, 150.0, (256, 200)), acted()))
    assert motion.expression[31, BLINK] > 0.6
    assert motion.expression[:25, BLINK].max() < 0.15
    assert np.corrcoef(motion.gaze[:, 0], acted().gaze[:, 0])[0, 1] > 0.95
    assert np.ptp(motion.gaze[:, 0]) == pytest.approx(np.ptp(acted().gaze[:, 0]), rel=0.3)


def test_frames_without_a_face_are_bridged() -> None:
    landmarks = played(shaped(1, 150.0, (256, 200)), acted())
    whole = seen(landmarks)
    holed = landmarks.copy()
    holed[[0, 10, 11, 12, 49]] = np.nan
    bridged = seen(holed)
    assert len(bridged) == len(whole)
    assert np.isfinite(bridged.expression).all()
    between = bridged.expression[9:14, JAW]
    assert (np.diff(between) <= 1e-4).all() or (np.diff(between) >= -1e-4).all()
    outside = np.r_[2:9, 14:47]
    assert np.abs(bridged.expression - whole.expression)[outside].max() < 0.1


@pytest.mark.parametrize("fps", [12.5, 30.0, 50.0])
def test_another_frame_rate_shows_the_same_moments(fps: float) -> None:
    landmarks = played(shaped(1, 150.0, (256, 200)), acted())
    found = read_driver((landmarks, FPS), lambda image: [])
    assert not isinstance(found, Motion)
    own, other = (follow(found, FaceRig.load(), fps=rate) for rate in (FPS, fps))
    assert len(other) == round(2 * fps)
    at = np.arange(0, 1.9, 0.08)
    jaws = [np.interp(at, np.arange(len(m)) / m.fps, m.expression[:, JAW]) for m in (own, other)]
    assert np.abs(jaws[0] - jaws[1]).max() < 0.12
    assert len(resampled(own, fps)) == len(other)
    assert np.abs(resampled(own, fps).rotation - other.rotation).max() < 0.02


@pytest.mark.parametrize("axis", ["Y", "X"])
def test_a_head_turns_smoothly_up_to_what_a_photo_can_show(axis: str) -> None:
    most = {"Y": MOST_YAW_DEGREES, "X": MOST_PITCH_DEGREES}[axis]
    angles = np.linspace(-80, 80, 161)
    turns = Rotation.from_euler(axis, angles[:, None], degrees=True).as_quat(canonical=True)
    photo = shaped(1, 150.0, (256, 200)).fit
    kept = within_reach(np.roll(turns, 1, axis=1).astype(np.float32), photo)
    reached = Rotation.from_quat(np.roll(kept, -1, axis=1)).as_euler("YXZ", degrees=True)
    reached = reached[:, "YX".index(axis)]
    steps = np.diff(reached)
    assert (steps > -1e-3).all()
    assert steps.max() < 1.01
    assert np.abs(reached).max() < most
    small = np.abs(angles) < most / 2
    assert np.abs(reached - angles)[small].max() < 0.2


def test_a_photo_that_looks_away_turns_less_further_away() -> None:
    rig = FaceRig.load()
    turned = Rotation.from_euler("y", 30, degrees=True).as_quat()
    points = rig.landmarks(
        scale=150.0, rotation=np.roll(turned, 1).astype(np.float32),
        translation=np.array([256, 200, 0], np.float32),
    )  # fmt: skip
    photo = rig.fit(Landmarks(points), np.zeros(52, np.float32))
    both = Rotation.from_euler("y", [[25], [-25]], degrees=True).as_quat(canonical=True)
    kept = within_reach(np.roll(both, 1, axis=1).astype(np.float32), photo)
    away, back = Rotation.from_quat(np.roll(kept, -1, axis=1)).magnitude() * 180 / np.pi
    assert away < 7
    assert 10 < back < 25


def test_the_head_of_the_follower_turns_as_the_drivers() -> None:
    person = shaped(1, 150.0, (256, 200))
    points = played(person, seen(played(shaped(8, 90.0, (400, 120)), acted())))
    rest = person.rest.points[list(STABLE)]
    yaws = [
        Rotation.from_matrix(similarity(rest, frame[list(STABLE)])[1]).as_euler("YXZ", True)[0]
        for frame in points
    ]
    wanted = Rotation.from_quat(np.roll(acted().rotation, -1, axis=1)).as_euler("YXZ", True)[:, 0]
    assert np.corrcoef(yaws, wanted)[0, 1] > 0.99
    assert np.ptp(yaws) == pytest.approx(np.ptp(wanted), rel=0.15)


def test_one_frame_is_a_driver_too() -> None:
    landmarks = played(shaped(1, 150.0, (256, 200)), acted())
    assert len(seen(landmarks[:1])) == 1


def test_a_track_read_again_is_the_track(tmp_path: Path) -> None:
    path = MotionTrack(acted(), seed=3).save(tmp_path / "acted.npz")
    again = MotionTrack.load(path)
    assert again.seed == 3
    for name in ("expression", "rotation", "translation", "gaze", "visemes", "fps"):
        assert np.array_equal(getattr(again.motion, name), getattr(acted(), name))
    assert read_driver(path, lambda image: []).fps == FPS


def test_what_cannot_drive_says_why(tmp_path: Path) -> None:
    def nobody(image: object) -> list[object]:
        return []

    for wrong, error, message in (
        ((np.zeros((3, 468, 3)), 25.0), InputError, r"\[T, 478, 3\].*\[3, 468, 3\]"),
        ((np.zeros((0, 478, 3)), 25.0), InputError, "T of at least 1"),
        ((np.full((2, 478, 3), np.nan), 25.0), NoFaceError, "no frame"),
        ((np.zeros((2, 478, 3)), 0.0), ConfigError, "fps"),
        (tmp_path / "missing.npz", InputError, "missing"),
    ):
        with pytest.raises(error, match=message):
            read_driver(wrong, nobody)  # type: ignore[arg-type]
    broken = tmp_path / "broken.npz"
    broken.write_bytes(b"not a zip")
    with pytest.raises(InputError, match="not a motion track"):
        MotionTrack.load(broken)
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(InputError, match="not a motion track"):
        MotionTrack.load(tmp_path / "other.npz")
