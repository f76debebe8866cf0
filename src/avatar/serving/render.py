"""``RenderClip``: a sound file in, a video file out."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
import threading
from pathlib import Path
from typing import Any, BinaryIO

import grpc

from avatar.config import SessionConfig
from avatar.errors import AudioError
from avatar.serving._stubs.avatar.v1 import avatar_pb2 as pb
from avatar.serving.calls import in_thread, within
from avatar.serving.errors import OrderError, RequestError
from avatar.serving.messages import check_avatar_id, read_background, read_seed, read_style
from avatar.serving.stage import Stage

CONTAINERS = ("mp4", "mov", "mkv", "webm", "gif")
TRANSPARENT = ("webm", "mov")
_CHUNK_BYTES = 256 << 10
_PROGRESS_SECONDS = 0.5


class _CancelledError(Exception):
    """The caller has gone; raised inside the drawing thread to end it."""


class RenderCall:
    """One call of ``RenderClip``."""

    def __init__(self, stage: Stage, context: Any) -> None:
        self._stage = stage
        self._context = context
        self._gone = threading.Event()
        self._done = self._total = 0

    async def run(self) -> None:
        """Serve the call to its end.

        Raises:
            AvatarError: what the client is told.
        """
        stage = self._stage
        stage.admission.check_open()
        with tempfile.TemporaryDirectory(prefix="avatar-clip-") as name:
            folder = Path(name)
            header = await within(
                stage.config.upload_seconds, self._receive(folder / "sound"), "the sound file"
            )
            with stage.admission.session(video=True):
                clip = folder / f"clip.{header.container or 'mp4'}"
                frames, seconds = await self._draw(header, folder / "sound", clip)
            await self._send(clip, frames, seconds)

    async def _receive(self, path: Path) -> pb.RenderClipRequest.Header:
        """Write the sound file to ``path``; gives the header."""
        limit, size = self._stage.config.max_sound_bytes, 0
        first = await self._context.read()
        if first is grpc.aio.EOF or first.WhichOneof("part") != "header":
            raise OrderError("the first part of RenderClip is its header")
        _check(first.header)
        with path.open("wb") as file:
            while (request := await self._context.read()) is not grpc.aio.EOF:
                if request.WhichOneof("part") != "audio_file_chunk":
                    raise OrderError("after the header come chunks of the sound file alone")
                size += len(request.audio_file_chunk)
                if size > limit:
                    raise RequestError(f"the sound file is larger than {limit} bytes")
                self._stage.metrics.bytes_in(len(request.audio_file_chunk))
                file.write(request.audio_file_chunk)
        if not size:
            raise RequestError("no sound came after the header")
        header: pb.RenderClipRequest.Header = first.header
        return header

    async def _draw(
        self, header: pb.RenderClipRequest.Header, sound: Path, clip: Path
    ) -> tuple[int, float]:
        """Draw the clip in a thread and tell how far it is; gives its frames and seconds."""
        loop = asyncio.get_running_loop()
        drawing = loop.run_in_executor(self._stage.renders, self._render, header, sound, clip)
        try:
            while not drawing.done():
                await asyncio.wait([drawing], timeout=_PROGRESS_SECONDS)
                progress = pb.RenderClipResponse.Progress(
                    frames_done=self._done, frames_total=self._total
                )
                await self._context.write(pb.RenderClipResponse(progress=progress))
            return await drawing
        finally:
            self._gone.set()
            # The folder may only go when the thread has let go of it.
            await asyncio.wait([drawing])

    def _render(
        self, header: pb.RenderClipRequest.Header, sound: Path, clip: Path
    ) -> tuple[int, float]:
        config = SessionConfig(
            fps=header.fps or 25.0, size=header.size or None, seed=read_seed(header.seed)
        )
        person = self._stage.library.get(header.avatar_id)
        try:
            drawn = person.speak(
                sound, fps=config.fps, size=config.size, seed=config.seed,
                style=read_style(header.style), background=read_background(header.background),
            )  # fmt: skip
        except AudioError as reason:
            # Where it lies here is nobody's business.
            raise AudioError(str(reason).replace(str(sound), "the sound")) from None
        limit = self._stage.config.max_render_seconds
        if drawn.info.duration_seconds > limit:
            raise RequestError(
                f"the sound lasts {drawn.info.duration_seconds:.0f} s, at most {limit:g} s may be "
                "rendered; cut it, or use StreamSpeak"
            )
        self._total = drawn.info.frames
        try:
            drawn.save(clip, progress=self._note)
        except _CancelledError:
            return 0, 0.0
        return drawn.info.frames, drawn.info.duration_seconds

    def _note(self, done: int, total: int) -> None:
        if self._gone.is_set():
            raise _CancelledError
        self._done, self._total = done, total

    async def _send(self, clip: Path, frames: int, seconds: float) -> None:
        digest, size = hashlib.sha256(), 0
        with clip.open("rb") as file:
            while chunk := await in_thread(_read, file):
                digest.update(chunk)
                size += len(chunk)
                self._stage.metrics.bytes_out(len(chunk))
                await self._context.write(pb.RenderClipResponse(file_chunk=chunk))
        result = pb.RenderClipResponse.Result(
            frames=frames, duration_seconds=seconds, bytes=size, sha256=digest.hexdigest()
        )
        await self._context.write(pb.RenderClipResponse(result=result))


def _read(file: BinaryIO) -> bytes:
    return file.read(_CHUNK_BYTES)


def _check(header: pb.RenderClipRequest.Header) -> None:
    """What can be refused before the sound is received."""
    check_avatar_id(header.avatar_id)
    if header.container and header.container not in CONTAINERS:
        raise RequestError(
            f"container must be one of {', '.join(CONTAINERS)}, got {header.container[:20]!r}"
        )
    if read_background(header.background) == "alpha" and header.container not in TRANSPARENT:
        raise RequestError(f"the background alpha needs the container {' or '.join(TRANSPARENT)}")
    read_seed(header.seed)
    read_style(header.style)
    SessionConfig(fps=header.fps or 25.0, size=header.size or None)
