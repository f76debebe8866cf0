"""What must hold of a person's face however it is driven."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from avatar.errors import InputError
from avatar.face import FaceRig, MediaPipeDetector
from avatar.face.lips import lip_gaps
from avatar.face.pose import matrix_from_quaternion
from avatar.face.topology import EYES, INNER_LIP_LOWER, INNER_LIP_UPPER
from avatar.motion.retarget import Retargeter
from avatar.types import ARKIT_NAMES, Face, FloatArray, Landmarks

STILL = np.array([1, 0, 0, 0], np.float32)
HERE = np.zeros(3, np.float32)
AHEAD = np.zeros(2, np.float32)

expressions = arrays.arrays(
    np.float32, 52, elements=st.one_of(st.just(0.0), st.floats(0, 1, width=32))
)
gazes = arrays.arrays(np.float32, 2, elements=st.floats(-0.625, 0.625, width=32))


@cache
def person(name: str) -> tuple[Face, Retargeter]:
    """A photo, or faces of the rig with eyes or mouth in unusual states."""
    rig = FaceRig.load()
    if name == "astronaut":
        face = MediaPipeDetector().detect(np.asarray(skimage.data.astronaut()))[0]
    else:
        weights = {
            "calm": {},
            "smiling": {"mouthSmileLeft": 0.9, "mouthSmileRight": 0.9, "jawOpen": 0.3},
            "asleep": {"eyeBlinkLeft": 0.75, "eyeBlinkRight": 0.7},
            "turned": {"jawOpen": 0.1},
        }[name]
        turn = np.array([0.96, 0.05, 0.26, 0.08], np.float32)
        identity = np.random.default_rng(3).normal(0, 0.7, 40).astype(np.float32)
        points = rig.landmarks(
            identity, expression(**weights), scale=180.0,
            rotation=turn / np.linalg.norm(turn) if name == "turned" else None,
            translation=np.array([256, 200, 0], np.float32),
        )  # fmt: skip
        face = Face(Landmarks(points), expression(**weights))
    return face, Retargeter(rig, face.landmarks, face.expression)


def expression(**weights: float) -> FloatArray:
    values = np.zeros(len(ARKIT_NAMES), np.float32)
    for name, weight in weights.items():
        values[ARKIT_NAMES.index(name)] = weight
    return values


def lids(points: FloatArray) -> FloatArray:
    """Distance of facing lid points, ``[14]``."""
    upper = [i for eye in EYES for i in eye.upper]
    lower = [i for eye in EYES for i in eye.lower]
    return np.linalg.norm(points[lower] - points[upper], axis=1)


PEOPLE = ("astronaut", "calm", "smiling", "asleep", "turned")
everyone = pytest.mark.parametrize("name", PEOPLE)


@everyone
def test_no_motion_is_the_face_at_rest(name: str) -> None:
    _, own = person(name)
    still = own.landmarks(expression(), STILL, HERE, AHEAD)
    assert still.dtype == np.float32
    assert still.shape == (478, 3)
    assert np.abs(still - own.rest.points).max() < 2e-3


@everyone
def test_the_face_at_rest_has_its_mouth_closed_and_eyes_open(name: str) -> None:
    face, own = person(name)
    assert np.linalg.norm(lip_gaps(own.rest.points), axis=1).max() < 2e-3
    assert lids(own.rest.points).max() > 0.05 * own.inter_ocular
    moved = np.linalg.norm((own.rest.points - face.landmarks.points)[:, :2], axis=1)
    assert np.median(moved) < 0.02 * own.inter_ocular


@everyone
def test_the_photos_own_expression_gives_the_photo_back(name: str) -> None:
    face, own = person(name)
    again = own.landmarks(own.relative(face.expression), STILL, HERE, AHEAD)
    apart = np.linalg.norm((again - face.landmarks.points)[:, :2], axis=1) / own.inter_ocular
    assert apart.mean() < 0.01
    assert apart.max() < 0.08


@everyone
@settings(max_examples=30, deadline=None)
@given(weights=expressions, gaze=gazes)
def test_a_full_blink_closes_the_lids_whatever_else_happens(
    name: str, weights: FloatArray, gaze: FloatArray
) -> None:
    _, own = person(name)
    for side in ("Left", "Right"):
        weights[ARKIT_NAMES.index("eyeBlink" + side)] = 1.0
    assert lids(own.landmarks(weights, STILL, HERE, gaze)).max() < 2e-3


@everyone
def test_a_blink_closes_steadily(name: str) -> None:
    _, own = person(name)
    openings = [
        lids(own.landmarks(expression(eyeBlinkLeft=b, eyeBlinkRight=b), STILL, HERE, AHEAD)).mean()
        for b in np.linspace(0, 1, 12)
    ]
    assert (np.diff(openings) <= 1e-4).all()
    assert openings[0] > 10 * openings[-1]


@everyone
@settings(max_examples=60, deadline=None)
@given(weights=expressions, gaze=gazes)
def test_lips_and_lids_never_cross(name: str, weights: FloatArray, gaze: FloatArray) -> None:
    _, own = person(name)
    points = own.landmarks(weights, STILL, HERE, gaze)
    assert np.isfinite(points).all()
    down = matrix_from_quaternion(own.fit.rotation)[:, 1]
    assert (lip_gaps(points) @ down).min() > -2e-3
    for eye in EYES:
        apart = (points[list(eye.lower)] - points[list(eye.upper)]) @ down
        assert apart.min() > -2e-3


@settings(max_examples=40, deadline=None)
@given(
    weights=expressions,
    angles=st.tuples(*[st.floats(-0.5, 0.5)] * 3),
    place=arrays.arrays(np.float32, 3, elements=st.floats(-0.5, 0.5, width=32)),
)
def test_the_head_moves_rigidly(
    weights: FloatArray, angles: tuple[float, float, float], place: FloatArray
) -> None:
    _, own = person("astronaut")
    turn = np.array([1.0, *angles], np.float32)
    turn /= np.linalg.norm(turn)
    before = own.landmarks(weights, STILL, HERE, AHEAD).astype(np.float64)
    after = own.landmarks(weights, turn, place, AHEAD).astype(np.float64)
    sample = np.arange(0, 478, 13)
    distances = [np.linalg.norm(p[sample, None] - p[None, sample], axis=2) for p in (before, after)]
    assert np.abs(distances[0] - distances[1]).max() < 0.01
    rotated = (before - before.mean(0)) @ matrix_from_quaternion(turn).astype(np.float64).T
    assert np.abs(rotated - (after - after.mean(0))).max() < 0.01


def test_translation_counts_in_eye_distances_and_a_nod_turns_about_the_neck() -> None:
    _, own = person("astronaut")
    rest = own.landmarks(expression(), STILL, HERE, AHEAD)
    moved = own.landmarks(expression(), STILL, np.array([0.5, -0.25, 0], np.float32), AHEAD)
    expected = np.array([0.5, -0.25, 0]) * own.inter_ocular
    assert np.allclose((moved - rest).mean(0), expected, atol=1e-2)
    nod = np.array([np.cos(0.1), np.sin(0.1), 0, 0], np.float32)
    nodded = own.landmarks(expression(), nod, HERE, AHEAD)
    assert nodded[10, 1] > rest[10, 1]
    assert abs(nodded[152, 1] - rest[152, 1]) < 0.45 * own.inter_ocular


@everyone
def test_brows_and_cheeks_move_however_raised_they_look_at_rest(name: str) -> None:
    _, own = person(name)
    drawn = expression(browInnerUp=0.5, browOuterUpLeft=0.5, browOuterUpRight=0.5)
    brows = [70, 63, 105, 66, 107, 336, 296, 334, 293, 300]
    lifted = own.landmarks(drawn, STILL, HERE, AHEAD) - own.rest.points
    up = -lifted[brows] @ matrix_from_quaternion(own.fit.rotation)[:, 1]
    assert up.mean() > 0.03 * own.inter_ocular


def test_the_eye_look_blendshapes_do_not_move_the_eyes_a_second_time() -> None:
    _, own = person("calm")
    gaze = np.array([0.2, 0.1], np.float32)
    mirrored = expression(eyeLookOutLeft=0.3, eyeLookInRight=0.4, eyeLookDownLeft=0.2)
    once = own.landmarks(expression(), STILL, HERE, gaze)
    assert np.array_equal(own.landmarks(mirrored, STILL, HERE, gaze), once)


@pytest.mark.parametrize(("gaze", "axis"), [((0.3, 0.0), 0), ((0.0, 0.25), 1)])
def test_the_eyes_look_where_they_are_told(gaze: tuple[float, float], axis: int) -> None:
    _, own = person("calm")
    ahead = own.landmarks(expression(), STILL, HERE, AHEAD)
    looking = own.landmarks(expression(), STILL, HERE, np.array(gaze, np.float32))
    for eye in EYES:
        moved = (looking - ahead)[list(eye.iris)]
        assert 0.015 < moved[0, axis] / own.inter_ocular < 0.08
        assert np.allclose(moved, moved[0], atol=1e-3)
        lid = (looking - ahead)[eye.upper[3], 1]
        assert lid == pytest.approx(0, abs=1e-3) if axis == 0 else lid > 0


@everyone
@settings(max_examples=30, deadline=None)
@given(gaze=arrays.arrays(np.float32, 2, elements=st.floats(-1.5, 1.5, width=32)))
def test_the_irises_stay_within_the_eyes(name: str, gaze: FloatArray) -> None:
    _, own = person(name)
    points = own.landmarks(expression(), STILL, HERE, gaze)
    across, down = matrix_from_quaternion(own.fit.rotation)[:, :2].T
    for eye in EYES:
        centre = points[eye.iris[0]]
        ends = sorted(float(points[i] @ across) for i in (eye.outer, eye.inner))
        assert ends[0] < centre @ across < ends[1]
        lid = [float(points[side[3]] @ down) for side in (eye.upper, eye.lower)]
        assert lid[0] - 1e-2 <= centre @ down <= lid[1] + 1e-2


@everyone
def test_the_jaw_opens_the_mouth_and_mouth_close_shuts_it(name: str) -> None:
    _, own = person(name)
    opened = lip_gaps(own.landmarks(expression(jawOpen=0.7), STILL, HERE, AHEAD))
    assert np.linalg.norm(opened[4]) > 0.1 * own.inter_ocular
    weights = expression(jawOpen=0.7, mouthClose=0.7)
    shut = lip_gaps(own.landmarks(weights, STILL, HERE, AHEAD))
    assert np.linalg.norm(shut, axis=1).max() < 0.01 * own.inter_ocular


def test_a_small_mouth_opens_in_proportion() -> None:
    rig = FaceRig.load()
    points = rig.mean * np.float32(200)
    mouth = points[[*INNER_LIP_UPPER, *INNER_LIP_LOWER]].mean(0)
    distance = np.linalg.norm((points - mouth)[:, :2], axis=1)[:, None]
    shrink = 1 - 0.45 * np.exp(-0.5 * (distance / 90) ** 4)
    small = (mouth + (points - mouth) * shrink).astype(np.float32)
    openings = []
    for face in (points, small):
        own = Retargeter(rig, Landmarks(face), expression())
        opened = own.landmarks(expression(jawOpen=0.6), STILL, HERE, AHEAD)
        openings.append(float(lip_gaps(opened)[4, 1]))
    assert 0.5 < openings[1] / openings[0] < 0.85


def test_out_of_range_weights_act_like_the_nearest_valid_ones() -> None:
    _, own = person("calm")
    high = own.landmarks(expression(jawOpen=1.7, mouthPucker=-0.4), STILL, HERE, AHEAD)
    full = own.landmarks(expression(jawOpen=1.0), STILL, HERE, AHEAD)
    assert np.array_equal(high, full)


def test_a_frame_depends_on_nothing_but_its_motion() -> None:
    _, own = person("astronaut")
    weights = expression(jawOpen=0.4, eyeBlinkLeft=0.3)
    first = own.landmarks(weights, STILL, HERE, AHEAD)
    own.landmarks(expression(mouthPucker=1), STILL, HERE, np.array([0.3, 0.1], np.float32))
    assert np.array_equal(own.landmarks(weights, STILL, HERE, AHEAD), first)


def test_a_wrong_expression_is_refused() -> None:
    face, _ = person("calm")
    with pytest.raises(InputError, match=r"\[52\]"):
        Retargeter(FaceRig.load(), face.landmarks, np.zeros(51, np.float32))


@pytest.mark.shared
@pytest.mark.parametrize(
    "portrait",
    ["anitalker_monalisa.jpg", "echomimic_v3_demo_cartoon_03.jpg", "liveportrait_s10.jpg"],
)
def test_paintings_and_cartoons_keep_the_rules(portrait: str, shared_data: Path) -> None:
    with Image.open(shared_data / "portraits" / portrait) as image:
        face = MediaPipeDetector().detect(np.asarray(image.convert("RGB")))[0]
    own = Retargeter(FaceRig.load(), face.landmarks, face.expression)
    assert np.linalg.norm(lip_gaps(own.rest.points), axis=1).max() < 2e-3
    blink = expression(eyeBlinkLeft=1, eyeBlinkRight=1)
    assert lids(own.landmarks(blink, STILL, HERE, AHEAD)).max() < 2e-3
    again = own.landmarks(own.relative(face.expression), STILL, HERE, AHEAD)
    apart = np.linalg.norm((again - face.landmarks.points)[:, :2], axis=1)
    assert apart.mean() < 0.01 * own.inter_ocular
