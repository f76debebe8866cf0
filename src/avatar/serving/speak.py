"""``StreamSpeak``: the live session of this project's own protocol."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from avatar.avatar import Avatar
from avatar.serving._stubs.avatar.v1 import avatar_pb2 as pb
from avatar.serving.codecs import AudioDecoder, Picture, VideoEncoder, make_decoder, make_encoder
from avatar.serving.errors import OrderError, RequestError
from avatar.serving.live import LiveCall
from avatar.serving.messages import (
    MAX_UTTERANCE_ID,
    SessionPlan,
    fill_frame,
    read_plan,
    read_style,
    started_message,
)
from avatar.serving.stage import Stage
from avatar.serving.stream import EventOut, FrameOut, LiveStream, Output, SyncedOut
from avatar.types import ImageArray

_EVENTS = {
    "utterance_started": pb.Event.TYPE_UTTERANCE_STARTED,
    "utterance_finished": pb.Event.TYPE_UTTERANCE_FINISHED,
    "interrupted": pb.Event.TYPE_INTERRUPTED,
    "falling_behind": pb.Event.TYPE_FALLING_BEHIND,
    "draining": pb.Event.TYPE_DRAINING,
}
_MAX_PAUSE_SECONDS = 60.0


class SpeakCall(LiveCall):
    """One call of ``StreamSpeak``."""

    def __init__(self, stage: Stage, context: Any) -> None:
        super().__init__(stage, context)
        self._decoder: AudioDecoder | None = None
        self._encoder: VideoEncoder | None = None

    def plan(self, request: pb.StreamSpeakRequest) -> SessionPlan:
        part = request.WhichOneof("part")
        if part != "config":
            raise OrderError(f"the first request is config, got {part or 'an empty one'}")
        plan = read_plan(request.config)
        self._decoder = make_decoder(plan.encoding, plan.session.sample_rate)
        return plan

    async def start(self, stream: LiveStream, avatar: Avatar) -> None:
        plan = stream.plan
        size = _picture_size(avatar, plan.session.size) if plan.video else None
        if size is not None:
            self._encoder = make_encoder(
                plan.codec, width=size[0], height=size[1], fps=plan.session.fps,
                quality=plan.quality,
            )  # fmt: skip
        started = started_message(
            plan,
            session_id=self.session_id,
            size=size,
            delay_seconds=stream.session.algorithmic_delay_seconds,
        )
        await self.context.write(pb.StreamSpeakResponse(started=started))

    def obey(self, stream: LiveStream, request: pb.StreamSpeakRequest) -> None:
        part = request.WhichOneof("part")
        if part == "audio":
            self._hear(stream, request.audio)
        elif part == "end_utterance":
            stream.end_utterance()
        elif part == "interrupt":
            stream.interrupt(request.interrupt.utterance_id)
        elif part == "style":
            stream.set_style(read_style(request.style.style), now=request.style.now)
        elif part == "sync":
            stream.sync(request.sync.token)
        elif part == "pause":
            stream.pause(_pause_seconds(request.pause))
        elif part == "config":
            raise OrderError("config comes once; begin another stream for another session")
        else:
            raise RequestError("a request without a part this server knows")

    async def answer(
        self, stream: LiveStream, outputs: Sequence[Output]
    ) -> pb.StreamSpeakResponse | None:
        if stream.plan.frames_per_message > 1 and isinstance(outputs[0], FrameOut):
            return _group(stream, outputs)
        output = outputs[0]
        if isinstance(output, SyncedOut):
            return pb.StreamSpeakResponse(synced=pb.Synced(token=output.token))
        if isinstance(output, EventOut):
            event = pb.Event(
                type=_EVENTS[output.happening],
                utterance_id=output.utterance_id,
                time_code=output.time_code,
            )
            return pb.StreamSpeakResponse(event=event)
        if not isinstance(output, FrameOut):
            return None
        picture = None
        if self._encoder is not None and output.frame.image is not None:
            epoch = stream.epoch
            picture = await self._encode(self._encoder, output.frame.image)
            # One that later pictures refer to must arrive, and is dropped by the client.
            if stream.epoch != epoch and stream.plan.codec != pb.VIDEO_CODEC_H264_ANNEX_B:
                return None
        response = pb.StreamSpeakResponse()
        fill_frame(
            response.frame, output.frame, stream.plan, utterance_id=output.utterance_id,
            video=picture,
        )  # fmt: skip
        return response

    def _hear(self, stream: LiveStream, chunk: pb.AudioChunk) -> None:
        assert self._decoder is not None
        if len(chunk.utterance_id) > MAX_UTTERANCE_ID:
            raise RequestError(f"an utterance_id has at most {MAX_UTTERANCE_ID} characters")
        samples = self._decoder.decode(chunk.data)
        limit = self.stage.config.max_audio_chunk_seconds
        seconds = len(samples) / self._decoder.sample_rate
        if seconds > limit:
            raise RequestError(
                f"a chunk holds at most {limit:g} s of sound, this one {seconds:.1f} s; cut it"
            )
        self.sound_came(len(chunk.data))
        stream.push_sound(samples, chunk.utterance_id, self._decoder.sample_rate)

    async def _encode(self, encoder: VideoEncoder, image: ImageArray) -> Picture:
        begun = time.monotonic()
        loop = asyncio.get_running_loop()
        picture = await loop.run_in_executor(self.stage.encoders, encoder.encode, image)
        self.stage.metrics.stage("encode", time.monotonic() - begun)
        return picture


def _group(stream: LiveStream, outputs: Sequence[Output]) -> pb.StreamSpeakResponse:
    response = pb.StreamSpeakResponse()
    for output in outputs:
        if isinstance(output, FrameOut):
            message = response.frames.frames.add()
            fill_frame(message, output.frame, stream.plan, utterance_id=output.utterance_id)
    return response


def _picture_size(avatar: Avatar, size: int | None) -> tuple[int, int]:
    """Width and height of the frames of ``avatar`` in pixels."""
    height, width = avatar.identity.photos[0].image.shape[:2]
    scale = 1.0 if size is None else size / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _pause_seconds(pause: pb.Pause) -> float:
    seconds = pause.duration.ToTimedelta().total_seconds()
    if not 0 <= seconds <= _MAX_PAUSE_SECONDS:
        raise RequestError(f"a pause lasts 0 to {_MAX_PAUSE_SECONDS:g} s, got {seconds:g}")
    return float(seconds)
