"""A live call of any protocol: one task reads, one writes, one watches; they end together."""

from __future__ import annotations

import asyncio
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import grpc

from avatar.avatar import Avatar
from avatar.errors import AvatarError
from avatar.serving.calls import within
from avatar.serving.errors import OrderError, TimeLimitError, UnreachableError
from avatar.serving.log import log
from avatar.serving.messages import SessionPlan
from avatar.serving.stage import Stage
from avatar.serving.stream import EndOut, FrameOut, LiveStream, Output
from avatar.serving.tracing import Span

_COMPLAIN_SECONDS = 5.0


class LiveCall(ABC):
    """One live session on the wire; a protocol says how requests and answers look.

    Args:
        stage: what the calls of this process share.
        context: of the gRPC call.
    """

    def __init__(self, stage: Stage, context: Any) -> None:
        self.stage = stage
        self.context = context
        self.session_id = secrets.token_hex(8)
        self._begun = self._heard = time.monotonic()
        self._writing: float | None = None
        self._first_sound: float | None = None
        self._first_sent = False
        self._frames = self._late = 0
        self._complained = 0.0
        self._span: Span

    @abstractmethod
    def plan(self, request: Any) -> SessionPlan:
        """What the first request asks for.

        Raises:
            AvatarError: it is not what comes first, or asks for what cannot be.
        """

    @abstractmethod
    async def start(self, stream: LiveStream, avatar: Avatar) -> None:
        """Send what comes before all frames."""

    @abstractmethod
    def obey(self, stream: LiveStream, request: Any) -> None:
        """Do what a later request asks for; must be quick.

        Raises:
            AvatarError: it may not be asked, or not now.
        """

    @abstractmethod
    async def answer(self, stream: LiveStream, outputs: Sequence[Output]) -> Any | None:
        """``outputs`` of ``LiveStream.take`` as a message; None for one that is not sent."""

    async def finish(self) -> None:
        """Send what comes after all frames."""
        return

    async def run(self) -> None:
        """Serve the call to its end.

        Raises:
            AvatarError: what the client is told.
        """
        plan = self.plan(await self._first_request())
        code = "OK"
        with (
            self.stage.admission.session(video=plan.video),
            self.stage.tracer.session(self.context, self.session_id) as self._span,
        ):
            stream, avatar = await self.stage.open(plan)
            log("session began", session=self.session_id, avatar=plan.avatar_id)
            self._span.set_attribute("avatar.id", plan.avatar_id)
            self._span.set_attribute("avatar.video", plan.video)
            try:
                await self.start(stream, avatar)
                await self._run_tasks(stream)
                await self.finish()
            except BaseException as reason:
                code = getattr(reason, "grpc_status", type(reason).__name__)
                raise
            finally:
                self.stage.close(stream)
                self._span.set_attribute("avatar.code", code)
                self._span.set_attribute("avatar.frames", self._frames)
                self._span.set_attribute("avatar.late_frames", self._late)
                log(
                    "session ended", session=self.session_id, code=code, frames=self._frames,
                    late_frames=self._late, seconds=round(time.monotonic() - self._begun, 3),
                )  # fmt: skip

    def sound_came(self, byte_count: int) -> None:
        """Note that sound came in, for the metrics."""
        self.stage.metrics.bytes_in(byte_count)
        if self._first_sound is None:
            self._first_sound = self._heard

    async def _first_request(self) -> Any:
        wait = self.stage.config.first_message_seconds
        request = await within(wait, self.context.read(), "the first request")
        if request is grpc.aio.EOF:
            raise OrderError("the stream ended before its first request")
        return request

    async def _run_tasks(self, stream: LiveStream) -> None:
        limit = self.stage.config.max_session_seconds
        try:
            async with asyncio.timeout(limit), asyncio.TaskGroup() as tasks:
                others = [tasks.create_task(self._read(stream)),
                          tasks.create_task(self._watch(stream))]  # fmt: skip
                await self._write(stream)
                for task in others:
                    task.cancel()
        except TimeoutError:
            raise TimeLimitError(f"a session lasts at most {limit:g} s; begin another") from None
        except BaseExceptionGroup as group:
            raise _first_of(group) from None

    async def _read(self, stream: LiveStream) -> None:
        while True:
            await stream.room()
            request = await self.context.read()
            if request is grpc.aio.EOF:
                stream.finish()
                return
            self._heard = time.monotonic()
            self.obey(stream, request)

    async def _watch(self, stream: LiveStream) -> None:
        """End a session in which nothing happens any more."""
        limit = self.stage.config.idle_timeout_seconds
        while True:
            await asyncio.sleep(limit / 8)
            now = time.monotonic()
            if self._writing is not None and now - self._writing >= limit:
                raise TimeLimitError(f"nothing was read for {limit:g} s")
            if stream.busy:
                self._heard = now
            elif now - self._heard >= limit:
                raise TimeLimitError(f"nothing came for {limit:g} s")

    async def _write(self, stream: LiveStream) -> None:
        while True:
            outputs = await stream.take()
            frames = [output for output in outputs if isinstance(output, FrameOut)]
            if stream.live_link is not None:
                for output in frames:
                    stream.live_link.send(output.frame)
            if isinstance(outputs[0], EndOut):
                if outputs[0].error is not None:
                    raise _told(outputs[0].error)
                return
            message = await self.answer(stream, outputs)
            if message is not None:
                self._writing = begun = time.monotonic()
                await self.context.write(message)
                self._writing = None
                if frames:
                    self._count(stream, frames, message, begun)
            if frames:
                stream.sent(len(frames))

    def _count(
        self, stream: LiveStream, frames: Sequence[FrameOut], message: Any, writing_since: float
    ) -> None:
        metrics, now = self.stage.metrics, time.monotonic()
        period = 1 / stream.plan.session.fps
        # A group leaves when its last frame is due.
        due = frames[-1].due_seconds
        late = due is not None and now - due > period
        self._frames += len(frames)
        self._late += late * len(frames)
        metrics.frames(len(frames), late=late * len(frames))
        metrics.stage("send", now - writing_since, len(frames))
        metrics.bytes_out(message.ByteSize())
        speaks = not frames[-1].frame.idle
        if not self._first_sent and self._first_sound is not None and speaks:
            self._first_sent = True
            metrics.first_frame(now - self._first_sound)
            self._span.add_event("first frame")
        if late and now - self._complained > _COMPLAIN_SECONDS:
            self._complained = now
            stream.tell("falling_behind")


def _told(error: BaseException) -> BaseException:
    """What a client hears of an error in the scheduler; the log has the rest."""
    if isinstance(error, AvatarError):
        return error
    return UnreachableError("this session failed in the server; begin another")


def _first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error of a group of tasks that all end with the first."""
    first: BaseException = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first
