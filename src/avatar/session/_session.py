"""One live stream from sound to frames. All state that changes lives here."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from numpy.typing import NDArray

from avatar.config import SessionConfig
from avatar.engine import Engine, FrameRequest, Reading
from avatar.errors import ConfigError, SessionClosedError
from avatar.motion import NEUTRAL, Ear, Style
from avatar.motion.style import checked
from avatar.session._awaiting import AsyncFrames, drawn
from avatar.session._intake import Intake
from avatar.session._likeness import Likeness
from avatar.session._metrics import SessionMetrics
from avatar.session._pacing import Clock, OutputClock
from avatar.session._picture import Pictures
from avatar.session._timeline import Slot, Timeline
from avatar.types import Audio, Frame, ImageArray

_MOST_IN_FLIGHT = 64
_COUNTED = ("frames", "idle_frames", "repeated_pictures", "late_frames")


@dataclass(frozen=True, eq=False)
class _InFlight:
    """A frame that was taken and has not been accepted."""

    slot: Slot
    request: FrameRequest


class Session:
    """A live stream of one avatar; made by ``Avatar.session``.

    Push sound as it comes, iterate to get frames. ``flush`` ends an utterance, ``interrupt`` drops
    what has not been shown. Sound may be pushed in one thread and frames read in another. Every
    frame is given once, in order: a loop that was left is taken up by the next, a read that was
    cancelled by the next read, and of several readers each gets some of the frames.
    What was pushed but not read waits in memory; nothing else grows with time.

    Iterating a ``burst`` session gives the frames that are known now, as fast as they can be drawn,
    and then stops. A ``realtime`` session gives each at its time and goes on until ``close``.
    ``async for`` does the same without blocking the event loop, and goes on until ``close`` either
    way. ``Engine.step`` draws one due frame of each of many sessions instead.

    With ``idle`` the stream goes on where nothing is said: the face breathes, blinks and glances,
    and silence comes with it. In a realtime session the clock asks for such frames; speech begins
    with the next frame once enough of it has come. Sound that comes too late is waited for: the
    face holds still for up to 0.2 s, then says what it has and listens until more comes. No sound
    is lost, and ``pts_seconds`` never slips against the clock. Without ``idle`` there is no frame
    until the sound has come. In a burst session only ``pause`` makes idle frames.

    A realtime session that cannot keep up draws with less effort (``Frame.quality``): smaller, then
    only every second picture; the sound stays on time.

    Args:
        engine: the models.
        likeness: the person, at the size to draw.
        config: frame rate, size, pacing and so on.
        style: how the face speaks at first.
        clock: seconds that only go forward.

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
        likeness: Likeness,
        *,
        config: SessionConfig,
        style: Style = NEUTRAL,
        clock: Clock = time.monotonic,
    ) -> None:
        self.config = config
        self._engine = engine
        self._likeness = likeness
        self._clock = clock
        self._realtime = config.pacing == "realtime"
        # Then a frame is due at a time that is known before it.
        self._on_grid = self._realtime and config.idle and not config.ahead_seconds
        self._timeline = Timeline(engine.audio_to_face, config=config, style=checked(style))
        self._intake = Intake(config.sample_rate)
        self._output = OutputClock(
            sample_rate=config.sample_rate,
            ahead_seconds=config.ahead_seconds,
            moves=not config.idle,
        )
        self._pictures = Pictures(likeness, config)
        self._changed = threading.Condition(threading.RLock())
        self._wakers: set[Callable[[], None]] = set()
        self._utterance_id = 0
        self._in_flight: deque[_InFlight] = deque(maxlen=_MOST_IN_FLIGHT)
        self._reading = Reading(engine, self)
        self._counts = dict.fromkeys(_COUNTED, 0)
        self._quality = 1.0
        self._closed = False

    @property
    def algorithmic_delay_seconds(self) -> float:
        """How long after a frame's own sound begins the sound must have come for it to be known.

        Holds for sound pushed at the session's rate; it is lookahead, not computing time.
        """
        return self._timeline.algorithmic_delay_seconds

    @property
    def utterance_id(self) -> int:
        """Of the utterance that sound pushed now belongs to."""
        return self._utterance_id

    @property
    def sample_rate(self) -> int:
        """Of the sound that is pushed and of the sound in the frames, in hertz."""
        return self.config.sample_rate

    @property
    def closed(self) -> bool:
        """Whether ``close`` was called."""
        return self._closed

    def push_audio(self, chunk: Audio | NDArray[Any], sample_rate: int | None = None) -> None:
        """Add sound to the current utterance.

        Args:
            chunk: ``[N]`` float in [-1, 1] or int16, any length; or an ``Audio``.
            sample_rate: of this chunk, where it is not the session's.

        Raises:
            AudioError: not mono sound, or not finite; the session goes on as if it had not come.
            SessionClosedError: after ``close``.
        """
        with self._change():
            samples = self._intake.push(chunk, sample_rate)
            self._timeline.hear(samples, self._utterance_id, self._clock())

    def flush(self) -> None:
        """End the utterance: all its frames become known. Without sound since the last: nothing.

        Raises:
            SessionClosedError: after ``close``.
        """
        with self._change():
            if self._intake.open:
                now = self._clock()
                self._timeline.hear(self._intake.end(), self._utterance_id, now)
                self._timeline.end_utterance(now)
                self._utterance_id += 1

    def pause(self, seconds: float) -> None:
        """End the utterance and say nothing for so long, in whole frames, alive and with silence.

        Raises:
            ConfigError: ``seconds`` is not within 0 to 3600.
            SessionClosedError: after ``close``.
        """
        if not 0 <= seconds <= 3600:
            raise ConfigError(f"a pause must be within 0 to 3600 seconds, got {seconds}")
        with self._change():
            self.flush()
            frames = round(seconds * self.config.fps)
            if frames:
                self._timeline.pause(frames, self._clock())

    def interrupt(self) -> None:
        """Drop all that has not left; what is pushed from now on is another utterance.

        No frame of what was dropped comes after this, not even one that is being drawn. The next
        frame takes its place in time, and the face eases from what was shown last.

        Raises:
            SessionClosedError: after ``close``.
        """
        with self._change():
            if self._intake.open:
                self._intake.end()
                self._utterance_id += 1
            self._timeline.interrupt()
            speech = (k for k, flight in enumerate(self._in_flight) if not flight.slot.idle)
            if (first := next(speech, None)) is not None:
                self._timeline.take_back(self._in_flight[first].slot)
                while len(self._in_flight) > first:
                    self._in_flight.pop()

    def set_style(self, style: Style, *, now: bool = False) -> None:
        """Speak differently from here on in the sound, eased over about 0.2 s.

        Args:
            style: holds for the sound pushed after this; where nothing is said, at once.
            now: from the next frame on, also where it shows sound that was pushed before.

        Raises:
            ConfigError: not a ``Style``.
            SessionClosedError: after ``close``.
        """
        with self._change():
            self._timeline.restyle(checked(style), now=now)

    def close(self) -> None:
        """Let go of everything; frames that were not read are lost. May be called twice."""
        with self._changed:
            self._closed = True
            self._timeline.interrupt()
            self._in_flight.clear()
            self._reading.forget()
            self._pictures.forget()
            self._announce()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        """Frames, each drawn when it is asked for; how long for is told above.

        Raises:
            SessionClosedError: after ``close``.
        """
        self._check_open()
        return self._frames()

    def __aiter__(self) -> AsyncIterator[Frame]:
        """As ``__iter__``, drawn in another thread; waits for sound until ``close``.

        Raises:
            SessionClosedError: after ``close``.
        """
        self._check_open()
        return AsyncFrames(self._next_async)

    def metrics(self) -> SessionMetrics:
        """What the session has done so far."""
        with self._changed:
            return SessionMetrics(
                **self._counts,
                underruns=self._timeline.underruns,
                quality=self._quality,
                buffered_seconds=self._timeline.waiting_seconds,
                position_seconds=self._timeline.position / self.sample_rate,
            )

    def next_due_seconds(self) -> float | None:
        """Clock time at which the next frame may be due; None where only new input can make one."""
        with self._changed:
            if self._closed:
                return None
            if not self._realtime:
                return self._timeline.known_seconds()
            position = self._timeline.position
            if self.config.idle:
                self._output.begin(self._clock())
                on_time = self._output.time_of(position)
                if self._on_grid:
                    return on_time
                known = self._timeline.known_seconds()
                return on_time if known is None else min(self._output.due(position, known), on_time)
            known = self._timeline.known_seconds()
            return None if known is None else self._output.due(position, known)

    def begin_to_hear(self) -> Ear | None:
        """The ear that must hear for the frame that is due, to hear together with others.

        Nothing changes in the session from then on until ``end_hearing``. None where nothing has to
        be heard, or where another thread is at the session: it then hears by itself.
        """
        if not self._changed.acquire(blocking=False):
            return None
        ear = None
        try:
            due = self._slots_due()
            ear = self._timeline.unheard(due) if due else None
            return ear
        finally:
            if ear is None:
                self._changed.release()

    def end_hearing(self) -> None:
        """After a ``begin_to_hear`` that gave an ear."""
        self._changed.release()

    def _slots_due(self) -> int:
        """How many frames are due, as far as that can be told before hearing: perhaps one."""
        if self._closed or not self._on_grid:
            return not self._closed
        now = self._clock()
        self._output.begin(now)
        waited = now - self._output.time_of(self._timeline.position)
        return 0 if waited < 0.0 else 1 + int(waited * self.config.fps)

    def next_request(self) -> FrameRequest | None:
        """The next frame that is due now, all but its picture (``Engine.step``). Never blocks.

        A closed session has none: it must not disturb the others of a batch.
        """
        with self._changed:
            due = self.next_due_seconds()
            now = self._clock()
            if due is None or (self._realtime and due > now):
                return None
            if self._timeline.known_seconds() is not None:
                slot = self._timeline.take()
            else:
                slot = self._timeline.take_idle()
            lag = now - self._output.time_of(slot.begin) if self._realtime else 0.0
            request = self._pictures.request(slot, lag_seconds=lag, now=now, due_seconds=due)
            self._in_flight.append(_InFlight(slot, request))
            return request

    def accept(self, request: FrameRequest, image: ImageArray | None) -> bool:
        """Hear what became of a request; False where its frame must not be shown any more."""
        with self._changed:
            if not any(flight.request is request for flight in self._in_flight):
                return False
            # Requests before this one whose drawing failed are settled too: they are in the past.
            while (flight := self._in_flight.popleft()).request is not request:
                pass
            self._count(flight)
            self._pictures.remember(request, image)
            return True

    def _count(self, flight: _InFlight) -> None:
        slot, counts = flight.slot, self._counts
        counts["frames"] += 1
        counts["idle_frames"] += slot.idle
        counts["repeated_pictures"] += flight.request.picture is not None
        if self._realtime:
            late = self._clock() - self._output.time_of(slot.begin)
            counts["late_frames"] += late > 1.0 / self.config.fps
        self._quality = flight.request.frame.quality

    def _frames(self) -> Iterator[Frame]:
        while not self._closed:
            if self._reading.begin(self._ahead) is not None:
                frame = self._reading.take()
                if frame is not None:
                    yield frame
            elif not self._realtime or not self._wait():
                return

    @property
    def _ahead(self) -> int:
        """In real time the next frame is not due while one is shown."""
        return 1 if self._realtime else self._engine.look_ahead

    def _wait(self) -> bool:
        """Wait until a frame may be due, or something changed; False after the end."""
        with self._changed:
            if self._closed:
                return False
            due = self.next_due_seconds()
            patience = None if due is None else due - self._clock()
            if patience is None or patience > 0:
                self._changed.wait(patience)
            return not self._closed

    async def _next_async(self) -> Frame | None:
        """None after the end."""
        while not self._closed:
            if self._likeness.portrait is None:
                drawing = self._reading.begin(self._ahead)
            else:
                drawing = await asyncio.to_thread(self._reading.begin, self._ahead)
            if drawing is None:
                await self._wait_async()
                continue
            await drawn(drawing)
            # From here on nothing waits, so that no frame is taken and then not given.
            frame = self._reading.take()
            if frame is not None:
                return frame
        return None

    async def _wait_async(self) -> None:
        """Wait until a frame may be due, or something changed."""
        loop, news = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(news.set)

        with self._changed:
            due = self.next_due_seconds()
            if self._closed or (due is not None and due <= self._clock()):
                return
            self._wakers.add(wake)
        try:
            patience = None if due is None else due - self._clock()
            await asyncio.wait_for(news.wait(), patience)
        except TimeoutError:
            return
        finally:
            with self._changed:
                self._wakers.discard(wake)

    @contextmanager
    def _change(self) -> Iterator[None]:
        """Something comes in; whoever waits for frames looks again."""
        with self._changed:
            self._check_open()
            yield
            self._announce()

    def _announce(self) -> None:
        self._changed.notify_all()
        for wake in self._wakers:
            wake()

    def _check_open(self) -> None:
        if self._closed:
            raise SessionClosedError("this session is closed; make another with avatar.session()")
