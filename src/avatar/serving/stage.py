"""What all calls of one serving process share."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np

from avatar.avatar import Avatar
from avatar.config import SAMPLE_RATE
from avatar.engine import Engine
from avatar.integrations.live_link import LiveLinkFace
from avatar.serving.calls import in_thread
from avatar.serving.config import ServerConfig
from avatar.serving.library import AvatarLibrary
from avatar.serving.limits import Admission
from avatar.serving.messages import SessionPlan
from avatar.serving.metrics import Metrics
from avatar.serving.scheduler import Scheduler
from avatar.serving.stream import LiveStream
from avatar.serving.tracing import make_tracer
from avatar.session import Session

_RENDERS = 2
"""Clips drawn at once; more would only slow each other down, and live sessions with them."""


class Stage:
    """The avatars, the scheduler and the live sessions of one process.

    Args:
        config: the limits.
        library: the avatars.
        scheduler: draws.
        admission: counts.
        metrics: measures.
    """

    def __init__(
        self,
        *,
        config: ServerConfig,
        library: AvatarLibrary,
        scheduler: Scheduler,
        admission: Admission,
        metrics: Metrics,
    ) -> None:
        self.config = config
        self.library = library
        self.scheduler = scheduler
        self.admission = admission
        self.metrics = metrics
        self.tracer = make_tracer(config)
        self.encoders = ThreadPoolExecutor(config.encoder_threads, "avatar-encoder")
        self.renders = ThreadPoolExecutor(_RENDERS, "avatar-render")
        self._live: set[LiveStream] = set()

    async def open(self, plan: SessionPlan) -> tuple[LiveStream, Avatar]:
        """Begin a session.

        Raises:
            UnknownAvatarError: there is no such avatar.
        """
        person, session = await in_thread(self._make, plan)
        stream = LiveStream(
            session,
            plan,
            live_link=self._live_link(plan),
            max_ahead=self.config.max_frames_ahead,
            max_waiting_seconds=self.config.max_audio_ahead_seconds,
            wake=self.scheduler.wake,
        )
        self._live.add(stream)
        self.metrics.session(1, video=plan.video)
        self.scheduler.add(stream)
        return stream, person

    def close(self, stream: LiveStream) -> None:
        """End a session, whatever state it is in."""
        self.scheduler.remove(stream)
        stream.session.close()
        if stream.live_link is not None:
            stream.live_link.close()
        if stream in self._live:
            self._live.discard(stream)
            self.metrics.session(-1, video=stream.plan.video)

    def close_pools(self) -> None:
        """Let the threads go when they are done."""
        self.encoders.shutdown(wait=False, cancel_futures=True)
        self.renders.shutdown(wait=False, cancel_futures=True)

    def tell_draining(self) -> None:
        """Tell every session that the server ends."""
        for stream in self._live:
            stream.tell("draining")

    def _live_link(self, plan: SessionPlan) -> LiveLinkFace | None:
        """Of a real-time session; the listener tells sessions of one avatar apart by a number."""
        address = self.config.live_link
        if address is None or not plan.realtime:
            return None
        taken = {s.live_link.subject for s in self._live if s.live_link is not None}
        name = subject = plan.avatar_id or "avatar"
        count = 1
        while subject in taken:
            count += 1
            subject = f"{name}-{count}"
        return LiveLinkFace(address, subject=subject, fps=plan.session.fps)

    def _make(self, plan: SessionPlan) -> tuple[Avatar, Session]:
        library = self.library
        person = library.get(plan.avatar_id) if plan.avatar_id else library.neutral()
        config = plan.session
        session = person.session(
            fps=config.fps,
            size=config.size,
            seed=config.seed,
            sample_rate=config.sample_rate,
            style=plan.style,
            pixels=config.pixels,
            idle=config.idle,
            pacing=config.pacing,
            ahead_seconds=config.ahead_seconds,
            background=plan.background,
        )
        return person, session


@asynccontextmanager
async def staging(
    config: ServerConfig, metrics: Metrics, *, engine: Engine | None = None
) -> AsyncIterator[Stage]:
    """A stage, its models warm, inside the block; it belongs to the event loop that runs.

    Raises:
        ConfigError, DependencyError: a setting of ``config`` cannot be met here.
    """
    models = await in_thread(Engine.on, config.device) if engine is None else engine
    with contextlib.ExitStack() as stack:
        folder = config.avatars or stack.enter_context(tempfile.TemporaryDirectory())
        scheduler = Scheduler(
            models, asyncio.get_running_loop(), metrics, step_sessions=config.step_sessions
        )
        stack.callback(scheduler.close)
        stage = Stage(
            config=config,
            library=AvatarLibrary(Path(folder), models),
            scheduler=scheduler,
            admission=Admission(
                sessions=config.max_sessions, video_sessions=config.max_video_sessions
            ),
            metrics=metrics,
        )
        stack.callback(stage.close_pools)
        await in_thread(_warm_up, stage.library)
        yield stage


def _warm_up(library: AvatarLibrary) -> None:
    """Load the models now rather than in the first session; the painter where it is of use."""
    known, _ = library.list(count=1)
    person = library.get(known[0].avatar_id) if known else library.neutral()
    with person.session(pixels=bool(known), size=64 if known else None) as session:
        session.push_audio(np.zeros(SAMPLE_RATE // 4, np.float32))
        session.flush()
        for _ in session:
            pass
