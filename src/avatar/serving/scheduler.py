"""One thread that runs all sessions: each frame is made when it is due, several at once.

The event loop never runs a model: it wakes this thread, and gets answers back through
``call_soon_threadsafe``, one call for a whole batch.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from avatar.engine import Drawing, Engine, FrameRequest
from avatar.errors import AvatarError
from avatar.serving.log import log_fault
from avatar.serving.metrics import Metrics
from avatar.serving.stream import Emit, EndOut, LiveStream, Output
from avatar.types import Frame, ImageArray

_CROWD = 16
_GATHER_SECONDS, _LONGEST_GATHER = 0.0002, 0.02
"""A crowd is served once in so many seconds for each session: frames due in them are made together.
"""

T = TypeVar("T")
_Deliveries = list[tuple[LiveStream, int, Output]]


class _Held:
    """A request that was taken already, as something ``Engine.begin`` can draw."""

    def __init__(self, stream: LiveStream, request: FrameRequest) -> None:
        self.stream = stream
        self._request = request

    def begin_to_hear(self) -> None:
        """It has heard."""

    def end_hearing(self) -> None:
        """Never called."""

    def next_request(self) -> FrameRequest | None:
        return self._request

    def accept(self, request: FrameRequest, image: ImageArray | None) -> bool:
        return self.stream.session.accept(request, image)


class Scheduler:
    """Runs the sessions of one process.

    Args:
        engine: the models.
        loop: where the answers go.
        metrics: counts the time of the stages.
        step_sessions: most frames with pictures in one batch.
    """

    def __init__(
        self,
        engine: Engine,
        loop: asyncio.AbstractEventLoop,
        metrics: Metrics,
        *,
        step_sessions: int,
    ) -> None:
        self._engine = engine
        self._loop = loop
        self._metrics = metrics
        self._step_sessions = step_sessions
        self._changed = threading.Condition()
        self._woken: set[LiveStream] = set()
        self._streams: set[LiveStream] = set()
        # Entries whose number is no longer that of their stream in ``_appointed`` are void.
        self._timetable: list[tuple[float, int, LiveStream]] = []
        self._appointed: dict[LiveStream, int] = {}
        # What is being drawn; only this thread touches it. A stream waits for its frame.
        self._drawn: dict[LiveStream, tuple[Drawing, float]] = {}
        self._numbers = itertools.count()
        self._rests = False  # until the time of the next round, whatever happens
        self._round = 0.0
        self._ends = False
        self._thread = threading.Thread(target=self._run, name="avatar-scheduler", daemon=True)
        self._thread.start()

    def add(self, stream: LiveStream) -> None:
        """Run ``stream`` from now on."""
        with self._changed:
            self._streams.add(stream)
        self.wake(stream)

    def remove(self, stream: LiveStream) -> None:
        """Forget ``stream``; an answer may still be under way."""
        stream.closed = True
        with self._changed:
            self._streams.discard(stream)
            self._woken.discard(stream)
            self._appointed.pop(stream, None)

    def wake(self, stream: LiveStream) -> None:
        """There is something to do for ``stream``; any thread may say so."""
        with self._changed:
            if stream in self._streams:
                self._woken.add(stream)
                if not self._rests:
                    self._changed.notify()

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread.is_alive()

    def close(self) -> None:
        """End the thread; the rest of its batch is lost."""
        with self._changed:
            self._ends = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while (ready := self._wait()) is not None:
            try:
                self._serve(ready)
            except Exception:
                # One batch is lost; the thread that all sessions live by must not be.
                log_fault("scheduler failed")

    def _wait(self) -> list[LiveStream] | None:
        """Sleep until streams are woken or due; None when it ends."""
        with self._changed:
            while not self._ends:
                now = time.monotonic()
                until = self._timetable[0][0] if self._timetable else None
                pause = 0.0 if self._woken else None if until is None else until - now
                crowd = len(self._streams)
                rest = self._round - now if crowd > _CROWD else 0.0
                if pause is not None and max(pause, rest) <= 0.0:
                    self._round = now + min(_GATHER_SECONDS * crowd, _LONGEST_GATHER)
                    return self._take_ready(now)
                self._rests = rest > 0.0
                self._changed.wait(rest if self._rests else pause)
                self._rests = False
        return None

    def _take_ready(self, now: float) -> list[LiveStream]:
        ready = dict.fromkeys(self._woken)
        self._woken.clear()
        while self._timetable and self._timetable[0][0] <= now:
            _, number, stream = heapq.heappop(self._timetable)
            if self._appointed.get(stream) == number:
                ready[stream] = None
        return list(ready)

    def _serve(self, streams: list[LiveStream]) -> None:
        """Hand over what is drawn, and make the next frame of each stream that has one due; those
        without pictures go first.
        """
        deliveries: _Deliveries = []
        for stream in streams:
            self._collect(stream, deliveries)
        self._flush(deliveries)
        begun = time.perf_counter()
        free = [stream for stream in streams if stream not in self._drawn]
        for stream in free:
            self._try(stream, stream.grant_wishes, deliveries)
        made = self._make_plain([s for s in free if not s.plan.video], deliveries)
        pictured = self._take_pictured([s for s in free if s.plan.video], deliveries)
        if made := made + len(pictured):
            self._metrics.stage("feed", time.perf_counter() - begun, made)
        self._flush(deliveries)
        for begin in range(0, len(pictured), self._step_sessions):
            self._draw(pictured[begin : begin + self._step_sessions], deliveries)
            self._flush(deliveries)
        self._hear(free)
        with self._changed:
            for stream in streams:
                self._note_due(stream)
            gone = self._drawn.keys() - self._streams
        for stream in gone:
            del self._drawn[stream]

    def _make_plain(self, streams: Sequence[LiveStream], deliveries: _Deliveries) -> int:
        """Make and hand over what is due without pictures; gives how many frames that was."""
        self._hear(streams)
        made = sum(self._make_due(stream, deliveries) for stream in streams)
        if made:
            # Each stage counts each frame; nothing had to be drawn.
            self._metrics.stage("draw", 0.0, made)
        return made

    def _make_due(self, stream: LiveStream, deliveries: _Deliveries) -> int:
        made = 0
        # Of a group, several are due at once.
        while made < stream.plan.frames_per_message:
            request = self._try(stream, stream.advance, deliveries)
            if request is None:
                break
            made += 1
            shown = stream.session.accept(request, None)
            self._hand_over(stream, request.frame if shown else None, deliveries)
        return made

    def _take_pictured(self, streams: Sequence[LiveStream], deliveries: _Deliveries) -> list[_Held]:
        """What is due with a picture, to be drawn."""
        self._hear(streams)
        requests = [(stream, self._try(stream, stream.advance, deliveries)) for stream in streams]
        return [_Held(stream, request) for stream, request in requests if request is not None]

    def _try(
        self, stream: LiveStream, act: Callable[[Emit], T], deliveries: _Deliveries
    ) -> T | None:
        """Let ``act`` tell what is to be delivered; if it fails, so does the session."""
        try:
            return act(lambda epoch, out: deliveries.append((stream, epoch, out)))
        except Exception as reason:
            self._fail(stream, reason, deliveries)
            return None

    def _hear(self, streams: Sequence[LiveStream]) -> None:
        """Let all that have a frame due, or will know one, hear together."""
        try:
            self._engine.hear([stream.session for stream in streams if stream.may_advance])
        except Exception:
            # Each hears by itself later, and the one at fault fails alone.
            log_fault("hearing failed")

    def _draw(self, batch: Sequence[_Held], deliveries: _Deliveries) -> None:
        """Begin to draw; what is done at once is handed over."""
        begun = time.perf_counter()
        try:
            drawings = self._engine.begin(batch)
        except Exception as reason:
            if len(batch) == 1:
                self._fail(batch[0].stream, reason, deliveries)
                return
            # One of them is at fault; the others must not suffer.
            for held in batch:
                self._draw([held], deliveries)
            return
        for held, drawing in zip(batch, drawings, strict=True):
            if drawing is not None:
                self._drawn[held.stream] = drawing, begun
        for held in batch:
            self._collect(held.stream, deliveries)
            if held.stream in self._drawn:
                self._drawn[held.stream][0].when_done(partial(self.wake, held.stream))

    def _collect(self, stream: LiveStream, deliveries: _Deliveries) -> None:
        """Hand over the frame of ``stream`` if one is drawn."""
        drawing, begun = self._drawn.get(stream, (None, 0.0))
        if drawing is None or not drawing.done():
            return
        del self._drawn[stream]
        self._metrics.stage("draw", time.perf_counter() - begun, 1)
        try:
            frame = drawing.frame()
        except Exception as reason:
            self._fail(stream, reason, deliveries)
            return
        self._hand_over(stream, frame, deliveries)

    def _hand_over(self, stream: LiveStream, frame: Frame | None, deliveries: _Deliveries) -> None:
        if frame is None:
            stream.sent()  # interrupted while it was drawn
        else:
            stream.drawn(frame, lambda epoch, out: deliveries.append((stream, epoch, out)))

    def _fail(self, stream: LiveStream, reason: BaseException, deliveries: _Deliveries) -> None:
        """End one session; only what is no fault of the caller is worth a trace."""
        if not isinstance(reason, AvatarError):
            log_fault("session failed")
        stream.closed = True
        deliveries.append((stream, 0, EndOut(reason)))

    def _flush(self, deliveries: _Deliveries) -> None:
        if deliveries:
            batch, deliveries[:] = list(deliveries), []
            try:
                self._loop.call_soon_threadsafe(_deliver, batch)
            except RuntimeError:
                return  # the loop has ended, and with it whoever waited

    def _note_due(self, stream: LiveStream) -> None:
        if stream not in self._streams:
            return
        due = None if stream in self._drawn else stream.next_due_seconds()
        if due is None:
            self._appointed.pop(stream, None)
        else:
            self._appointed[stream] = number = next(self._numbers)
            heapq.heappush(self._timetable, (due, number, stream))


def _deliver(batch: _Deliveries) -> None:
    for stream, epoch, output in batch:
        stream.deliver(epoch, output)
