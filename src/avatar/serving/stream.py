"""One live session inside the server, and what of it waits to be sent.

The event loop notes what the client wants and takes answers out. The session itself belongs to the
scheduler's thread alone, so that the event loop never waits for a model.

Every answer carries the epoch it was made in. An interrupt begins a new epoch at once, in the event
loop, and frames of an older one are dropped there: nothing of the old utterance can leave after it,
whatever the other thread is doing.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from avatar.engine import FrameRequest
from avatar.integrations.live_link import LiveLinkFace
from avatar.motion import Style
from avatar.serving.messages import SessionPlan
from avatar.session import Session
from avatar.types import FloatArray, Frame

_REMEMBERED = 16
"""Interrupted utterances whose late sound is still recognised."""

Happening = Literal[
    "utterance_started", "utterance_finished", "interrupted", "falling_behind", "draining"
]


@dataclass(frozen=True, eq=False)
class FrameOut:
    """A frame to send, and when it was due in monotonic seconds (real time only)."""

    frame: Frame
    utterance_id: str
    due_seconds: float | None


@dataclass(frozen=True)
class EventOut:
    """Something to tell."""

    happening: Happening
    utterance_id: str
    time_code: float


@dataclass(frozen=True)
class SyncedOut:
    """The answer to a sync."""

    token: int


@dataclass(frozen=True)
class EndOut:
    """Nothing follows; ``error`` where the session broke."""

    error: BaseException | None = None


Output = FrameOut | EventOut | SyncedOut | EndOut
_TOLD = (FrameOut, EventOut)
"""What an interrupt drops."""
Emit = Callable[[int, Output], None]
"""Puts an answer of an epoch among those to send."""


@dataclass(frozen=True, eq=False)
class _Wish:
    """Something to do to the session, in turn.

    Attributes:
        act: does it, in the scheduler's thread.
        speech: it is part of an utterance, so an interrupt drops it.
        seconds: of sound.
    """

    act: Callable[[Emit], None]
    speech: bool = False
    seconds: float = 0.0


class LiveStream:
    """A session, the wishes that wait for it, and the answers that wait to be sent.

    Args:
        session: fed and read by the scheduler alone.
        plan: what was asked for.
        max_ahead: frames that may be made and not sent.
        max_waiting_seconds: sound above which ``room`` waits.
        wake: tells the scheduler that there is something to do; any thread may call it.
        live_link: gets each frame too.
    """

    def __init__(
        self,
        session: Session,
        plan: SessionPlan,
        *,
        max_ahead: int,
        max_waiting_seconds: float,
        wake: Callable[[LiveStream], None],
        live_link: LiveLinkFace | None = None,
    ) -> None:
        self.session = session
        self.plan = plan
        self.live_link = live_link
        self.closed = False
        self._wake = wake
        # Those of a group wait for each other.
        self._max_ahead = max_ahead + plan.frames_per_message - 1
        # On a fixed grid it is known when the last of a group is due, and all are made then.
        config = plan.session
        fixed = plan.realtime and config.idle and not config.ahead_seconds
        self._gathers = fixed and plan.frames_per_message > 1
        self._max_waiting = max_waiting_seconds
        # Shared, under the lock.
        self._lock = threading.Lock()
        self._wishes: deque[_Wish] = deque()
        self._epoch = 0
        self._in_flight = 0
        self._waiting_seconds = 0.0  # sound that was wished for and has not left
        # Of the event loop.
        self._outbox: deque[Output] = deque()
        self._arrived = asyncio.Event()
        self._made_room = asyncio.Event()
        self._open_id = ""
        self._unnamed = 0
        self._recent_ids: deque[str] = deque(maxlen=_REMEMBERED)
        self._dropped_ids: deque[str] = deque(maxlen=_REMEMBERED)
        # Of the scheduler.
        self._names: dict[int, str] = {}
        self._ended: set[int] = set()
        self._begun: int | None = None
        self._pause_frames = 0
        self._syncs: list[int] = []
        self._finishing = False
        self._session_epoch = 0
        self._due: float | None = None
        self._time_code = 0.0

    # ── from the event loop ──────────────────────────────────────────────────────────────────────

    def push_sound(self, samples: FloatArray, utterance_id: str, sample_rate: int) -> None:
        """Add sound; another ``utterance_id`` than that of the open utterance ends that one."""
        if utterance_id and utterance_id in self._dropped_ids:
            return
        if self._open_id and utterance_id and utterance_id != self._open_id:
            self.end_utterance()
        if not len(samples):
            return
        if not self._open_id:
            self._unnamed += not utterance_id
            self._open_id = utterance_id or f"utterance-{self._unnamed}"
            self._recent_ids.append(self._open_id)
        name, session = self._open_id, self.session

        def push(emit: Emit) -> None:
            self._names.setdefault(session.utterance_id, name)
            session.push_audio(samples, sample_rate)

        self._wish(_Wish(push, speech=True, seconds=len(samples) / sample_rate))

    def end_utterance(self) -> None:
        """All sound of the open utterance has come."""
        if self._open_id:
            self._open_id = ""
            self._wish(_Wish(self._flush, speech=True))

    def pause(self, seconds: float) -> None:
        """End the open utterance and say nothing for a while."""
        self.end_utterance()

        def pause(emit: Emit) -> None:
            self.session.pause(seconds)
            self._pause_frames += round(seconds * self.plan.session.fps)

        self._wish(_Wish(pause, speech=True))

    def set_style(self, style: Style, *, now: bool = False) -> None:
        """Behave differently from the sound that follows on, or from the next frame on."""
        self._wish(_Wish(lambda emit: self.session.set_style(style, now=now)))

    def sync(self, token: int) -> None:
        """Answer when everything before has been."""
        self._wish(_Wish(lambda emit: self._syncs.append(token)))

    def finish(self) -> None:
        """Nothing more will come: end after the last frame."""
        self.end_utterance()
        self._wish(_Wish(self._begin_to_finish))

    def interrupt(self, utterance_id: str = "") -> None:
        """Drop what was said before; with an id only if that utterance was begun here lately."""
        if utterance_id and utterance_id not in self._recent_ids:
            return
        name, self._open_id = utterance_id or self._open_id, ""
        self._dropped_ids.extend(self._recent_ids)
        self._recent_ids.clear()
        with self._lock:
            self._wishes = deque(wish for wish in self._wishes if not wish.speech)
            self._waiting_seconds = 0.0
            self._epoch += 1
            epoch = self._epoch
        self._drop_unsent()

        def interrupt(emit: Emit) -> None:
            self.session.interrupt()
            self._session_epoch = epoch
            self._names.clear()
            self._ended.clear()
            self._begun = None
            self._pause_frames = 0
            emit(epoch, EventOut("interrupted", name, self._time_code))

        self._wish(_Wish(interrupt))
        self._made_room.set()

    async def room(self) -> None:
        """Wait while too much sound waits."""
        while self._waiting_seconds > self._max_waiting and not self.closed:
            self._made_room.clear()
            await self._made_room.wait()

    def deliver(self, epoch: int, output: Output) -> None:
        """Take an answer, unless an interrupt dropped it; called in the event loop."""
        if epoch != self._epoch and isinstance(output, _TOLD):
            if isinstance(output, FrameOut):
                self.sent()
            return
        self._outbox.append(output)
        if len(self._outbox) >= self.plan.frames_per_message or not isinstance(output, FrameOut):
            self._arrived.set()
        self._made_room.set()

    def tell(self, happening: Happening) -> None:
        """Put an event of the server itself among the answers; called in the event loop."""
        self.deliver(self._epoch, EventOut(happening, "", self._time_code))

    async def take(self) -> list[Output]:
        """The frames that go together next, or one answer of another kind, waiting for it."""
        whole = self.plan.frames_per_message
        while True:
            if whole == 1 and self._outbox:
                return [self._outbox.popleft()]
            ready = list(itertools.islice(self._outbox, whole))
            frames = list(itertools.takewhile(lambda out: isinstance(out, FrameOut), ready))
            if len(frames) == whole or len(ready) > len(frames):
                taken = frames or ready[:1]
                for _ in taken:
                    self._outbox.popleft()
                return taken
            self._arrived.clear()
            await self._arrived.wait()

    def _drop_unsent(self) -> None:
        dropped = [output for output in self._outbox if isinstance(output, _TOLD)]
        self._outbox = deque(output for output in self._outbox if not isinstance(output, _TOLD))
        self.sent(sum(isinstance(output, FrameOut) for output in dropped))

    def sent(self, count: int = 1) -> None:
        """Frames have left or were dropped, so others may be made."""
        with self._lock:
            full = self._in_flight >= self._max_ahead
            self._in_flight -= count
        if full:
            self._wake(self)

    @property
    def epoch(self) -> int:
        """How often the session was interrupted."""
        return self._epoch

    @property
    def busy(self) -> bool:
        """Whether an utterance is open or not yet said to its end."""
        return bool(self._open_id or self._wishes or self._ended)

    # ── from the scheduler ───────────────────────────────────────────────────────────────────────

    @property
    def may_advance(self) -> bool:
        """Whether another frame may be made now, if one is due."""
        if not self._has_room:
            return False
        if not self._gathers:
            return True
        due = self._group_due_seconds()
        return due is not None and due <= time.monotonic()

    @property
    def _has_room(self) -> bool:
        return not self.closed and self._in_flight < self._max_ahead

    def _group_due_seconds(self) -> float | None:
        """When the last frame of the group is due that the next one belongs to."""
        due = self.session.next_due_seconds()
        if due is None or not self._gathers:
            return due
        whole = self.plan.frames_per_message
        return due + (whole - self._in_flight % whole - 1) / self.plan.session.fps

    def grant_wishes(self, emit: Emit) -> None:
        """Do what was wished; ``emit`` gets what is to be told."""
        while not self.closed and self._wishes:
            with self._lock:
                wish = self._wishes.popleft() if self._wishes else None
            if wish is not None:
                wish.act(emit)

    def advance(self, emit: Emit) -> FrameRequest | None:
        """Take the frame that is due; ``emit`` gets what is to be told."""
        if not self.may_advance:
            return None
        request = self.session.next_request()
        if request is not None:
            self._due = request.due_seconds if self.plan.realtime else None
            with self._lock:
                self._in_flight += 1
        elif self.session.next_due_seconds() is None:
            self._all_is_said(emit)
        return request

    def drawn(self, frame: Frame, emit: Emit) -> None:
        """Take the frame of the last request, drawn."""
        epoch, number = self._session_epoch, frame.utterance_id
        if frame.idle:
            if self._begun is not None:
                self._say_finished(emit, before=self._begun + 1)
            # Idle frames of a pause say nothing of what comes after it.
            if self._pause_frames:
                self._pause_frames -= 1
            elif self.plan.session.idle:
                self._all_is_said(emit)
            if self.closed:
                return
        elif self._begun != number:
            self._say_finished(emit, before=number)
            self._begun = number
            name = self._names.get(number, "")
            emit(epoch, EventOut("utterance_started", name, frame.pts_seconds))
        if self.plan.shows_landmarks:
            _ = frame.landmarks.points  # worked out here, not by the event loop
        seconds = frame.audio.duration_seconds
        self._time_code = frame.pts_seconds + seconds
        if not frame.idle:
            with self._lock:
                self._waiting_seconds = max(0.0, self._waiting_seconds - seconds)
        emit(epoch, FrameOut(frame, self._names.get(number, ""), self._due))

    def next_due_seconds(self) -> float | None:
        """When to come back, in monotonic seconds; None to wait until woken."""
        if not self._has_room:
            return None
        due = self._group_due_seconds()
        untold = self._ended or self._syncs or self._finishing
        return 0.0 if due is None and untold else due

    def _wish(self, wish: _Wish) -> None:
        with self._lock:
            self._wishes.append(wish)
            self._waiting_seconds += wish.seconds
        self._wake(self)

    def _flush(self, emit: Emit) -> None:
        self._ended.add(self.session.utterance_id)
        self.session.flush()

    def _begin_to_finish(self, emit: Emit) -> None:
        self._finishing = True

    def _all_is_said(self, emit: Emit) -> None:
        """Nothing of what came is left: say so to whoever asked."""
        self._say_finished(emit)
        while self._syncs:
            emit(self._epoch, SyncedOut(self._syncs.pop(0)))
        if self._finishing:
            self.closed = True
            emit(self._epoch, EndOut())

    def _say_finished(self, emit: Emit, before: int | None = None) -> None:
        """Tell of each utterance that has ended, or of those before one."""
        for number in sorted(self._ended):
            if before is None or number < before:
                self._ended.discard(number)
                name = self._names.get(number, "")
                emit(self._session_epoch, EventOut("utterance_finished", name, self._time_code))
        for number in [n for n in self._names if n < (self._begun or 0)]:
            del self._names[number]
