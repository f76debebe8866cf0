"""The models of one device, shared by every avatar and session of a process.

Nothing here changes once loaded; all that changes lives in a ``Session``. The primitive is
``Engine.step``: one frame of each of several sessions. A single session is a batch of one, and a
whole clip is a session read to its end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import avatar
from avatar.face import FaceDetector, FaceRig, MediaPipeDetector, find_face
from avatar.generator import Generator, Portrait
from avatar.motion import AudioToFace
from avatar.types import Audio, Face, FloatArray, Frame, ImageArray, Landmarks

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class FrameRequest:
    """A frame that has everything but its pixels.

    Attributes:
        portrait: the person, at the size to draw.
        landmarks: ``[478, 3]`` where the face shall be, in pixels of ``portrait.photo``.

    The other attributes are those of ``Frame``.
    """

    portrait: Portrait
    landmarks: Landmarks
    index: int
    pts_seconds: float
    audio: Audio
    expression: FloatArray
    visemes: FloatArray
    utterance_id: int


class FrameSource(Protocol):
    """What ``Engine.step`` needs of a session."""

    def next_request(self) -> FrameRequest | None:
        """Take the next frame that is due, or None where none is ready."""


class _Lazy(Generic[T]):
    """A value made once, at first use, whichever thread asks first."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._value: T | None = None

    def get(self) -> T:
        with self._lock:
            if self._value is None:
                self._value = self._make()
            return self._value


class Engine:
    """The detector, rig and networks of one device, each loaded at first use.

    Args:
        device: torch device of the networks.
        detector: finds faces; MediaPipe by default.
    """

    def __init__(self, device: str = "cpu", *, detector: FaceDetector | None = None) -> None:
        self.device = device
        self._detecting = threading.Lock()
        self._detector: _Lazy[FaceDetector] = _Lazy(lambda: detector or MediaPipeDetector())
        self._rig = _Lazy(FaceRig.load)
        self._audio_to_face = _Lazy(AudioToFace.load)
        self._generator = _Lazy(lambda: Generator.load(device=device))

    @classmethod
    def default(cls) -> Engine:
        """The engine of this process: the CPU, made once."""
        return _DEFAULT.get()

    @property
    def detector(self) -> FaceDetector:
        return self._detector.get()

    @property
    def rig(self) -> FaceRig:
        return self._rig.get()

    @property
    def audio_to_face(self) -> AudioToFace:
        return self._audio_to_face.get()

    @property
    def generator(self) -> Generator:
        return self._generator.get()

    def versions(self) -> dict[str, str]:
        """What measures a photo, by name and version, as kept in ``.avatar`` files."""
        return {"avatar": avatar.__version__, "detector": type(self.detector).__name__}

    def find_face(self, image: ImageArray, *, face: int | None = None, name: str = "image") -> Face:
        """The face of ``image``, one detection at a time (detectors keep state while they work).

        Raises:
            FaceError: no face, or one that is too small or turned too far.
        """
        with self._detecting:
            return find_face(image, self.detector, face=face, name=name)

    def step(self, sessions: Sequence[FrameSource]) -> list[Frame | None]:
        """Draw the next frame of each session; None for a session that has none ready.

        A frame depends on its own session alone: the same pixels whoever else is in the batch.
        """
        return [
            None if request is None else self._draw(request)
            for request in [session.next_request() for session in sessions]
        ]

    def _draw(self, request: FrameRequest) -> Frame:
        image = self.generator.render(request.portrait, request.landmarks.points)
        return Frame(
            index=request.index,
            pts_seconds=request.pts_seconds,
            image=image,
            audio=request.audio,
            landmarks=request.landmarks,
            expression=request.expression,
            visemes=request.visemes,
            utterance_id=request.utterance_id,
        )


_DEFAULT: _Lazy[Engine] = _Lazy(Engine)
