"""One live stream from sound to frames. All state that changes lives here.

Time is counted in samples of the session's own sound: frame ``i`` of an utterance begins at sample
``round(i * sample_rate / fps)`` of it and its sound lasts until the next frame begins; the last
frame takes what is left. So the slices of all frames, joined, are the sound that went in, and
pixels cannot drift from it however long the session lives.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar.config import SAMPLE_RATE, RenderConfig
from avatar.engine import Engine, FrameRequest
from avatar.errors import AudioError, ConfigError, SessionClosedError
from avatar.generator import Portrait
from avatar.media import StreamResampler
from avatar.motion import MotionStream
from avatar.motion.retarget import Retargeter
from avatar.types import Audio, FloatArray, Frame, Landmarks, Motion

_FULL_SCALE = 16.0
"""Float samples louder than this were never divided by the range of their integer type."""


@dataclass(frozen=True, eq=False)
class _Pending:
    """A frame whose motion is known and whose pixels are not drawn yet."""

    motion: Motion  # one frame
    utterance_id: int
    begin: int  # sample of the session where it begins
    end: int  # ... and where the next begins
    ready: int  # samples of sound that must have come before it may go out; none after a flush


_ARTICULATION = 1.4
"""The painted mouth shows about 0.7 of the opening its landmarks ask for; this makes up for it."""


class Session:
    """A live stream of one avatar; made by ``Avatar.session``.

    Push sound as it comes, iterate to get the frames that are ready, push more, iterate again.
    ``flush`` ends an utterance. Pushing and iterating may happen in two threads. What has been
    pushed but not read waits in memory; nothing else grows with time.

    Args:
        engine: the models.
        portrait: the person, at the size to draw.
        config: frame rate, size and seed.
        sample_rate: of the sound that is pushed and of the sound in the frames, in hertz.

    Example:
        >>> with avatar.session(sample_rate=24_000) as session:  # doctest: +SKIP
        ...     for chunk in voice:
        ...         session.push_audio(chunk)
        ...         for frame in session:
        ...             show(frame.image, frame.audio)
    """

    def __init__(
        self,
        engine: Engine,
        portrait: Portrait,
        *,
        config: RenderConfig,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        if not 1_000 <= sample_rate <= 768_000:
            raise ConfigError(f"sample_rate must be within 1000 to 768000 hertz, got {sample_rate}")
        self.config = config
        self.sample_rate = sample_rate
        self._engine = engine
        self._portrait = portrait
        self._retargeter = Retargeter(
            engine.rig,
            self._portrait.landmarks,
            self._portrait.expression,
            articulation=_ARTICULATION,
        )
        self._motion = MotionStream(engine.audio_to_face, fps=config.fps, seed=config.seed)
        self._to_speech = StreamResampler(sample_rate, SAMPLE_RATE)
        self._from_source: tuple[int, StreamResampler] | None = None
        self._lock = threading.RLock()
        self._sound: deque[FloatArray] = deque()
        self._received = 0  # samples of sound so far
        self._given = 0  # ... of which left with a frame
        self._pending: deque[_Pending] = deque()
        self._utterance_id = 0
        self._utterance_begin = 0
        self._utterance_frames = 0
        self._open_utterance = False
        self._frames = 0
        self._closed = False

    def push_audio(self, chunk: Audio | NDArray[Any], sample_rate: int | None = None) -> None:
        """Add sound to the current utterance.

        Args:
            chunk: ``[N]`` float in [-1, 1] or int16, any length; or an ``Audio``.
            sample_rate: of this chunk, where it is not the session's.

        Raises:
            AudioError: not mono sound, or not finite; the session goes on as if it had not come.
            SessionClosedError: after ``close``.
        """
        if isinstance(chunk, Audio):
            sample_rate = chunk.sample_rate
        samples = _samples(chunk)
        rate = self.sample_rate if sample_rate is None else sample_rate
        if not isinstance(rate, int | np.integer):
            raise AudioError(f"sample_rate must be a whole number of hertz, got {rate!r}")
        with self._lock:
            self._check_open()
            if len(samples):
                heard = self._at_session_rate(samples, int(rate))
                self._open_utterance = True
                self._hear(heard)

    def flush(self) -> None:
        """End the utterance: all its frames become ready. Without sound since the last: nothing.

        Raises:
            SessionClosedError: after ``close``.
        """
        with self._lock:
            self._check_open()
            if not self._open_utterance:
                return
            self._end_source()
            self._foresee(self._motion.push(self._to_speech.flush()))
            self._foresee(self._motion.flush())
            self._pending.append(replace(self._pending.pop(), end=self._received))
            self._utterance_id += 1
            self._utterance_begin = self._received
            self._utterance_frames = 0
            self._open_utterance = False

    def __iter__(self) -> Iterator[Frame]:
        """The frames that are ready now, each drawn when it is asked for.

        Raises:
            SessionClosedError: after ``close``.
        """
        self._check_open()
        return self._ready_frames()

    def close(self) -> None:
        """Let go of everything; frames that were not read are lost. May be called twice."""
        with self._lock:
            self._closed = True
            self._pending.clear()
            self._sound.clear()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def next_request(self) -> FrameRequest | None:
        """The next frame, all but its pixels (``Engine.step``); None where none is ready.

        A closed session has none: it must not disturb the others of a batch.
        """
        with self._lock:
            if not self._pending or not self._is_ready(self._pending[0]):
                return None
            item = self._pending.popleft()
            motion = item.motion
            points = self._retargeter.landmarks(
                motion.expression[0], motion.rotation[0], motion.translation[0], motion.gaze[0]
            )
            request = FrameRequest(
                portrait=self._portrait,
                landmarks=Landmarks(points),
                index=self._frames,
                pts_seconds=item.begin / self.sample_rate,
                audio=Audio(self._take_sound(item.end), self.sample_rate),
                expression=motion.expression[0].copy(),
                visemes=motion.visemes[0].copy(),
                utterance_id=item.utterance_id,
            )
            self._frames += 1
            return request

    def _ready_frames(self) -> Iterator[Frame]:
        while (frame := self._engine.step([self])[0]) is not None:
            yield frame

    def _is_ready(self, item: _Pending) -> bool:
        return item.utterance_id < self._utterance_id or item.ready <= self._received

    def _check_open(self) -> None:
        if self._closed:
            raise SessionClosedError("this session is closed; make another with avatar.session()")

    def _at_session_rate(self, samples: FloatArray, rate: int) -> FloatArray:
        """Resample a chunk; where the rate changes, the old stream is ended and a new one begun."""
        old = self._from_source
        if old is not None and old[0] == rate:
            return old[1].push(samples)
        if rate == self.sample_rate:
            self._from_source = None
        else:
            self._from_source = (rate, StreamResampler(rate, self.sample_rate))
            samples = self._from_source[1].push(samples)
        return samples if old is None else np.concatenate([old[1].flush(), samples])

    def _end_source(self) -> None:
        if self._from_source is not None:
            rest = self._from_source[1].flush()
            self._from_source = None
            self._hear(rest)

    def _hear(self, samples: FloatArray) -> None:
        """Take sound at the session's rate: keep it for the frames, and turn it into motion."""
        if len(samples):
            self._sound.append(samples)
            self._received += len(samples)
            self._foresee(self._motion.push(self._to_speech.push(samples)))

    def _foresee(self, motion: Motion) -> None:
        """Queue the frames of ``motion``.

        A frame goes out once the sound reaches half a frame past its end: from there on it cannot
        be the last of its utterance, which takes all the sound that is left.
        """
        for t in range(len(motion)):
            i = self._utterance_frames
            begin, end = self._begin_of(i), self._begin_of(i + 1)
            ready = self._begin_of(i + 1.5) + self.sample_rate // 1000 + 1
            self._pending.append(_Pending(motion[t : t + 1], self._utterance_id, begin, end, ready))
            self._utterance_frames += 1

    def _begin_of(self, frame: float) -> int:
        return self._utterance_begin + round(frame * self.sample_rate / self.config.fps)

    def _take_sound(self, end: int) -> FloatArray:
        """The sound from where the last frame left it up to sample ``end`` of the session."""
        parts: list[FloatArray] = []
        while self._given < end and self._sound:
            first = self._sound.popleft()
            count = min(len(first), end - self._given)
            parts.append(first[:count])
            self._given += count
            if count < len(first):
                self._sound.appendleft(first[count:])
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def frame_count(samples: int, sample_rate: int, fps: float) -> int:
    """How many frames an utterance of so many samples has: counted where speech is analysed."""
    heard = (2 * samples * SAMPLE_RATE + sample_rate) // (2 * sample_rate)
    return max(1, round(heard / SAMPLE_RATE * fps))


def _samples(chunk: Audio | NDArray[Any]) -> FloatArray:
    """Check a chunk of sound and give it as float32 ``[N]`` that nobody else can change."""
    if isinstance(chunk, Audio):
        return chunk.samples.copy()
    if not isinstance(chunk, np.ndarray) or chunk.ndim != 1:
        raise AudioError(
            "a chunk of audio must be a one-dimensional array of float or int16 samples, got "
            f"{type(chunk).__name__} of shape {list(np.shape(chunk))}; mix channels to mono, and "
            "read raw PCM16 bytes with numpy.frombuffer(data, numpy.int16)"
        )
    if chunk.dtype == np.int16:
        return chunk.astype(np.float32) / np.float32(32768.0)
    if chunk.dtype.kind != "f":
        raise AudioError(f"samples must be float or int16, got {chunk.dtype}")
    samples = chunk.astype(np.float32)
    peak = float(np.abs(samples).max(initial=0.0))
    if not np.isfinite(peak):
        raise AudioError(
            "the chunk holds NaN or infinity; repair it, for example with numpy.nan_to_num"
        )
    if peak > _FULL_SCALE:
        raise AudioError(
            f"float samples must be within [-1, 1], this chunk peaks at {peak:.0f}; divide integer "
            "samples by the range of their type"
        )
    return samples
