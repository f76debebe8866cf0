"""The Audio2Face-3D protocol on the same port, so that clients made for it work unchanged.

In: a header, sound with emotions, the end. Out: a header with the names of the curves, animation
with the sound echoed, the end of the processing, and a status. Sound is mono PCM16. Curves have
ARKit's names in PascalCase, in the order in which ARKit documents them. Animation comes as fast as
it is made.

What has no counterpart here is ignored: face parameters, curves of the tongue beyond ARKit's, and
emotion recognised from the voice.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from avatar.avatar import Avatar
from avatar.config import SessionConfig
from avatar.motion import Style
from avatar.serving._stubs.a2f import (
    animation_pb2,
    audio2face_3d_pb2,
    audio_pb2,
    controller_pb2,
    controller_pb2_grpc,
    status_pb2,
)
from avatar.serving.calls import answering
from avatar.serving.codecs import Pcm16Decoder, encode_pcm16
from avatar.serving.curves import ARKIT_ORDER, PASCAL_NAMES, in_arkit_order
from avatar.serving.errors import OrderError, RequestError
from avatar.serving.live import LiveCall
from avatar.serving.messages import SessionPlan, read_rate
from avatar.serving.stage import Stage
from avatar.serving.stream import FrameOut, LiveStream, Output
from avatar.types import FloatArray

FPS = 30.0
_BITS = 16
_MOST_GAIN = 4.0
_CAMEL = dict(zip(PASCAL_NAMES, ARKIT_ORDER, strict=True))


class Audio2FaceService(controller_pb2_grpc.A2FControllerServiceServicer):
    """``A2FControllerService`` on the sessions of this server."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def ProcessAudioStream(self, requests: Any, context: Any) -> None:  # noqa: N802
        """Sound with emotions in, animation out."""
        async with answering(context, self._stage.metrics):
            await Audio2FaceCall(self._stage, context).run()


class Audio2FaceCall(LiveCall):
    """One call of ``ProcessAudioStream``."""

    def __init__(self, stage: Stage, context: Any) -> None:
        super().__init__(stage, context)
        self._sample_rate = 0
        self._received = 0  # samples
        self._ended = False
        self._gain: Mapping[str, float] = {}
        self._offset: Mapping[str, float] = {}
        self._strength = 1.0
        self._most_emotions: int | None = None
        self._coming: list[tuple[int, Style]] = []  # from which sample on
        self._felt: list[audio2face_3d_pb2.EmotionWithTimeCode] = []

    def plan(self, request: audio2face_3d_pb2.AudioWithEmotionStream) -> SessionPlan:
        if request.WhichOneof("stream_part") != "audio_stream_header":
            raise OrderError("the first request is audio_stream_header")
        header = request.audio_stream_header
        sound = header.audio_header
        if (sound.audio_format, sound.channel_count, sound.bits_per_sample) != (0, 1, _BITS):
            raise RequestError(
                "sound must be mono PCM of 16 bits, got "
                f"{sound.channel_count} channel(s) of {sound.bits_per_sample} bits"
            )
        if not sound.samples_per_second:
            raise RequestError("audio_header.samples_per_second is not set")
        self._sample_rate = read_rate(sound.samples_per_second)
        shapes, post = header.blendshape_params, header.emotion_post_processing_params
        self._gain = _by_curve(shapes.bs_weight_multipliers, 0.0, _MOST_GAIN)
        self._offset = _by_curve(shapes.bs_weight_offsets, -1.0, 1.0)
        if post.HasField("emotion_strength"):
            self._strength = min(max(post.emotion_strength, 0.0), 1.0)
        if post.HasField("max_emotions"):
            self._most_emotions = max(post.max_emotions, 0)
        return SessionPlan(
            avatar_id="",
            session=SessionConfig(fps=FPS, sample_rate=self._sample_rate, pixels=False),
            style=self._style(header.emotion_params.beginning_emotion),
        )

    async def start(self, stream: LiveStream, avatar: Avatar) -> None:
        header = audio2face_3d_pb2.A2F3DAnimationDataStreamHeader(
            audio_header=audio_pb2.AudioHeader(
                channel_count=1, samples_per_second=self._sample_rate, bits_per_sample=_BITS
            ),
            skel_animation_header=animation_pb2.SkelAnimationHeader(blend_shapes=PASCAL_NAMES),
            start_time_code_since_epoch=time.time(),
        )
        await self._send(animation_data_stream_header=header)

    def obey(self, stream: LiveStream, request: audio2face_3d_pb2.AudioWithEmotionStream) -> None:
        part = request.WhichOneof("stream_part")
        if self._ended:
            raise OrderError("nothing may come after end_of_audio")
        if part == "audio_with_emotion":
            self._hear(stream, request.audio_with_emotion)
        elif part == "end_of_audio":
            self._ended = True
            stream.finish()
        elif part == "audio_stream_header":
            raise OrderError("audio_stream_header comes once, first")
        else:
            raise RequestError("a request without a part this server knows")

    async def answer(self, stream: LiveStream, outputs: Sequence[Output]) -> Any | None:
        output = outputs[0]
        if not isinstance(output, FrameOut):
            return None
        frame = output.frame
        weights = animation_pb2.FloatArrayWithTimeCode(
            time_code=frame.pts_seconds, values=in_arkit_order(frame.expression).tolist()
        )
        animation = animation_pb2.AnimationData(
            skel_animation=animation_pb2.SkelAnimation(blend_shape_weights=[weights]),
            audio=animation_pb2.AudioWithTimeCode(
                time_code=frame.pts_seconds, audio_buffer=encode_pcm16(frame.audio.samples)
            ),
        )
        self._add_emotions(animation, frame.pts_seconds)
        return audio2face_3d_pb2.A2F3DAnimationDataStream(animation_data=animation)

    async def finish(self) -> None:
        event = audio2face_3d_pb2.Event(event_type=audio2face_3d_pb2.END_OF_A2F_AUDIO_PROCESSING)
        await self._send(event=event)
        status = status_pb2.Status(
            code=status_pb2.Status.SUCCESS, message="all sound was processed"
        )
        await self._send(status=status)

    async def _send(self, **part: Any) -> None:
        await self.context.write(audio2face_3d_pb2.A2F3DAnimationDataStream(**part))

    def _hear(self, stream: LiveStream, chunk: audio2face_3d_pb2.AudioWithEmotion) -> None:
        for emotion in chunk.emotions:
            if not emotion.time_code >= 0:
                raise RequestError(f"an emotion's time_code must be 0 or more, got {emotion}")
            at = round(min(emotion.time_code, 1e9) * self._sample_rate)
            self._coming.append((at, self._style(emotion.emotion)))
            self._felt.append(emotion)
        self._coming.sort(key=lambda change: change[0])
        self._felt.sort(key=lambda emotion: emotion.time_code)
        samples = Pcm16Decoder(self._sample_rate).decode(chunk.audio_buffer)
        limit = self.stage.config.max_audio_ahead_seconds
        if len(samples) > limit * self._sample_rate:
            raise RequestError(f"a chunk holds at most {limit:g} s of sound; cut it")
        self.sound_came(len(chunk.audio_buffer))
        self._push(stream, samples)

    def _push(self, stream: LiveStream, samples: FloatArray) -> None:
        """Give sound to the session, and each emotion at its place between."""
        while len(samples):
            while self._coming and self._coming[0][0] <= self._received:
                stream.set_style(self._coming.pop(0)[1])
            until = self._coming[0][0] - self._received if self._coming else len(samples)
            part, samples = samples[:until], samples[until:]
            stream.push_sound(part, "", self._sample_rate)
            self._received += len(part)

    def _style(self, emotion: Mapping[str, float]) -> Style:
        weights = {
            name: float(np.clip(weight, 0.0, 1.0)) * self._strength
            for name, weight in emotion.items()
            if weight > 0
        }
        strongest = sorted(weights, key=lambda name: -weights[name])[: self._most_emotions]
        return Style(
            emotion={name: weights[name] for name in strongest},
            gain=self._gain,
            offset=self._offset,
        )

    def _add_emotions(self, animation: Any, time_code: float) -> None:
        """Echo the emotions that begin with this frame, where clients look for them."""
        begun = []
        while self._felt and self._felt[0].time_code <= time_code:
            begun.append(self._felt.pop(0))
        if begun:
            told = audio2face_3d_pb2.EmotionAggregate(
                input_emotions=begun, a2f_smoothed_output=begun[-1:]
            )
            animation.metadata["emotion_aggregate"].Pack(told)


def add_audio2face(server: Any, stage: Stage) -> str:
    """Put the service on ``server``; gives its name."""
    add = controller_pb2_grpc.add_A2FControllerServiceServicer_to_server
    add(Audio2FaceService(stage), server)  # type: ignore[no-untyped-call]
    return str(controller_pb2.DESCRIPTOR.services_by_name["A2FControllerService"].full_name)


def _by_curve(values: Mapping[str, float], low: float, high: float) -> dict[str, float]:
    """Values by ARKit name, within what a ``Style`` takes; other curves are left out."""
    return {
        _CAMEL[name]: float(np.clip(value, low, high))
        for name, value in values.items()
        if name in _CAMEL and value == value
    }
