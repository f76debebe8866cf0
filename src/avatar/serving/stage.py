"""What all calls of one serving process share."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from avatar.avatar import Avatar
from avatar.serving.calls import in_thread
from avatar.serving.config import ServerConfig
from avatar.serving.library import AvatarLibrary
from avatar.serving.limits import Admission
from avatar.serving.messages import SessionPlan
from avatar.serving.metrics import Metrics
from avatar.serving.scheduler import Scheduler
from avatar.serving.stream import LiveStream
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
        )
        return person, session
