"""The rig explains faces it is given and moves them as the ARKit names say."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avatar.errors import InputError, WeightsError
from avatar.face import FaceRig
from avatar.face.lips import lip_gaps
from avatar.face.pose import matrix_from_quaternion, quaternion_from_matrix, similarity
from avatar.face.topology import EYES, INNER_LIP_LOWER, INNER_LIP_UPPER
from avatar.types import ARKIT_NAMES, IBUG68, LANDMARK_COUNT, Face, FloatArray, Landmarks

RIG = FaceRig.load()


def expression(**weights: float) -> FloatArray:
    values = np.zeros(len(ARKIT_NAMES), np.float32)
    for name, weight in weights.items():
        values[ARKIT_NAMES.index(name)] = weight
    return values


def quaternion(degrees: tuple[float, float, float]) -> FloatArray:
    """Rotation about x, then y, then z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        q = np.zeros(4, np.float32)
        q[0], q[1 + axis] = np.cos(angle / 2), np.sin(angle / 2)
        matrix = matrix_from_quaternion(q) @ matrix
    return quaternion_from_matrix(matrix)


def mean_error(a: FloatArray, b: FloatArray) -> float:
    return float(np.linalg.norm((a - b)[:, :2], axis=1).mean())


def test_the_mean_face_has_the_unit_and_origin_the_rig_promises() -> None:
    right, left = RIG.mean[33], RIG.mean[263]
    assert np.allclose(left - right, [1, 0, 0], atol=1e-4)
    assert np.allclose(left + right, 0, atol=1e-4)
    assert RIG.mean[152, 1] > RIG.mean[1, 1] > 0 > RIG.mean[10, 1]
    assert RIG.mean[1, 2] < RIG.mean[234, 2]


def test_left_and_right_move_alike() -> None:
    mirror = {13: 13, 61: 291, 33: 263, 159: 386, 105: 334, 468: 473, 152: 152, 205: 425}
    for name in ("mouthSmile", "eyeBlink", "browDown", "mouthStretch", "noseSneer"):
        left, right = (
            RIG.displacement(expression(**{name + side: 1})) for side in ("Left", "Right")
        )
        for a, b in mirror.items():
            assert np.allclose(left[b], right[a] * [-1, 1, 1], atol=2e-3), name


@pytest.mark.parametrize(
    ("name", "point", "axis", "sign"),
    [
        ("jawOpen", 152, 1, +1),
        ("jawLeft", 152, 0, +1),
        ("browInnerUp", 107, 1, -1),
        ("browOuterUpLeft", 334, 1, -1),
        ("browDownLeft", 336, 1, +1),
        ("eyeBlinkLeft", 386, 1, +1),
        ("eyeWideLeft", 386, 1, -1),
        ("eyeLookOutLeft", 473, 0, +1),
        ("eyeLookInLeft", 473, 0, -1),
        ("eyeLookDownRight", 468, 1, +1),
        ("eyeLookUpRight", 468, 1, -1),
        ("mouthSmileLeft", 291, 1, -1),
        ("mouthFrownLeft", 291, 1, +1),
        ("mouthPucker", 291, 0, -1),
        ("mouthLeft", 0, 0, +1),
        ("mouthLowerDownLeft", 405, 1, +1),
        ("mouthUpperUpLeft", 267, 1, -1),
        ("mouthFunnel", 291, 0, -1),
        ("cheekPuff", 425, 2, -1),
        ("jawForward", 152, 2, -1),
    ],
)
def test_a_shape_moves_what_its_name_says(name: str, point: int, axis: int, sign: int) -> None:
    assert sign * RIG.displacement(expression(**{name: 1}))[point, axis] > 0.004


def test_the_iris_turns_as_one() -> None:
    moved = RIG.displacement(expression(eyeLookOutLeft=1, eyeLookInRight=1))
    for eye in EYES:
        across = moved[list(eye.iris), 0]
        assert across.min() > 0.03
        assert np.ptp(across) < 0.03


def test_jaw_open_with_mouth_close_keeps_the_lips_where_they_met() -> None:
    for amount in (0.3, 1.0):
        moved = RIG.displacement(expression(jawOpen=amount, mouthClose=amount))
        assert np.abs(lip_gaps(moved)).max() < 2e-3
    assert lip_gaps(RIG.displacement(expression(jawOpen=1)))[:, 1].max() > 0.2


def test_the_tongue_has_no_landmarks() -> None:
    assert not RIG.displacement(expression(tongueOut=1)).any()


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    angles=st.tuples(st.floats(-25, 25), st.floats(-40, 40), st.floats(-30, 30)),
    scale=st.floats(30, 2000),
)
def test_fit_finds_the_face_the_rig_made(
    seed: int, angles: tuple[float, float, float], scale: float
) -> None:
    random = np.random.default_rng(seed)
    identity = random.normal(0, 0.7, len(RIG.identity_basis)).astype(np.float32)
    weights = (random.random(52) * (random.random(52) < 0.15)).astype(np.float32)
    rotation = quaternion(angles)
    place = np.array([300.0, 200.0, 5.0], np.float32)
    made = RIG.landmarks(identity, weights, rotation=rotation, translation=place, scale=scale)
    fit = RIG.fit(Landmarks(made), weights)
    again = RIG.landmarks(
        fit.identity, fit.expression,
        rotation=fit.rotation, translation=fit.translation, scale=fit.scale,
    )  # fmt: skip
    assert mean_error(again, made) < 0.01 * scale
    assert abs(abs(float(fit.rotation @ rotation)) - 1) < 2e-3
    assert fit.scale == pytest.approx(scale, rel=0.06)


def test_fit_solves_the_expression_when_none_is_given() -> None:
    wanted = expression(jawOpen=0.7, mouthSmileLeft=0.5, eyeBlinkRight=0.7)
    made = RIG.landmarks(None, wanted, scale=200.0)
    fit = RIG.fit(Landmarks(made))
    assert ((fit.expression >= 0) & (fit.expression <= 1)).all()
    for name in ("jawOpen", "mouthSmileLeft", "eyeBlinkRight"):
        assert fit.expression[ARKIT_NAMES.index(name)] > 0.25
    again = RIG.landmarks(
        fit.identity, fit.expression,
        rotation=fit.rotation, translation=fit.translation, scale=fit.scale,
    )  # fmt: skip
    assert mean_error(again, made) < 0.01 * 200
    assert np.abs(lip_gaps(again) - lip_gaps(made)).max() < 0.03 * 200


def test_fit_reads_yaw_and_pitch_in_degrees() -> None:
    turned = RIG.landmarks(rotation=quaternion((0, -30, 0)), scale=100.0)
    assert RIG.fit(Landmarks(turned)).yaw_degrees == pytest.approx(30, abs=2)
    bent = RIG.landmarks(rotation=quaternion((20, 0, 0)), scale=100.0)
    assert RIG.fit(Landmarks(bent)).pitch_degrees == pytest.approx(20, abs=2)


def test_a_photo_survives_the_round_trip(astronaut_face: Face) -> None:
    fit = RIG.fit(astronaut_face.landmarks, astronaut_face.expression)
    again = RIG.landmarks(
        fit.identity, fit.expression,
        rotation=fit.rotation, translation=fit.translation, scale=fit.scale,
    )  # fmt: skip
    assert mean_error(again, astronaut_face.landmarks.points) < 0.03 * fit.scale


def test_lifting_68_points_gives_the_mesh_they_came_from(astronaut_face: Face) -> None:
    mesh = astronaut_face.landmarks
    lifted = RIG.lift(mesh.ibug68()[:, :2])
    size = float(np.linalg.norm(mesh.points[33] - mesh.points[263]))
    assert mean_error(lifted.points, mesh.points) < 0.03 * size
    assert np.abs((lifted.ibug68() - mesh.ibug68())[:, :2]).max() < 0.01 * size
    depth = np.corrcoef(lifted.points[:, 2], mesh.points[:, 2])[0, 1]
    assert depth > 0.9


def test_the_68_points_are_those_of_the_landmarks_type() -> None:
    numbered = np.tile(np.arange(LANDMARK_COUNT, dtype=np.float32)[:, None], (1, 3))
    assert tuple(Landmarks(numbered).ibug68()[:, 0].astype(int)) == IBUG68


def test_the_measurements_on_people_held_out_hold() -> None:
    report = json.loads((files("avatar.weights") / "face_rig.json").read_text())
    measured = report["held_out_measurements"]
    assert measured["share of motion explained, inner lips"] > 0.75
    assert measured["correlation of lip opening"] > 0.9
    assert measured["round trip of fit, expression measured (inter-ocular)"] < 0.02
    assert not set(report["people_held_out"]) & set(report["people_trained_on"])


def test_bad_input_is_named() -> None:
    points = RIG.mean.copy()
    points[5] = np.nan
    with pytest.raises(InputError, match="NaN"):
        RIG.fit(Landmarks(points))
    with pytest.raises(InputError, match=r"\[52\]"):
        RIG.displacement(np.zeros(51, np.float32))
    with pytest.raises(InputError, match="68"):
        RIG.lift(np.zeros((67, 2), np.float32))


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="face_rig"):
        FaceRig.load(tmp_path)


def test_the_shipped_rig_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        RIG.mean[0] = 0


def test_facing_lip_points_are_above_each_other() -> None:
    apart = RIG.mean[list(INNER_LIP_LOWER)] - RIG.mean[list(INNER_LIP_UPPER)]
    assert np.abs(apart[:, 0]).max() < 0.03


@settings(max_examples=30, deadline=None)
@given(angles=st.tuples(*[st.floats(-170, 170)] * 3), scale=st.floats(0.1, 100))
def test_similarity_is_recovered(angles: tuple[float, float, float], scale: float) -> None:
    turn = matrix_from_quaternion(quaternion(angles)).astype(np.float64)
    moved = scale * RIG.mean.astype(np.float64) @ turn.T + [3, -4, 5]
    found_scale, found_turn, found_place = similarity(RIG.mean, moved)
    assert found_scale == pytest.approx(scale, rel=1e-4)
    assert np.allclose(found_turn, turn, atol=1e-4)
    assert np.allclose(found_place, [3, -4, 5], atol=1e-3 * max(scale, 1))
