"""``RemoteSession``: a live session on another machine, used like a local one."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray

from avatar.config import SessionConfig
from avatar.errors import AudioError, SessionClosedError
from avatar.motion import NEUTRAL, Style
from avatar.serving._stubs.avatar.v1 import avatar_pb2 as pb
from avatar.serving._wire import CODECS, Link, make_picture_decoder, translated
from avatar.serving.errors import UnreachableError
from avatar.serving.messages import style_message
from avatar.types import Audio, FloatArray, Frame, Landmarks

_CHUNK_SECONDS = 1.0
_MOST_WAITING = 64
_OUTPUTS = (
    pb.OUTPUT_KIND_BLENDSHAPES, pb.OUTPUT_KIND_LANDMARKS, pb.OUTPUT_KIND_HEAD_POSE,
    pb.OUTPUT_KIND_VISEMES, pb.OUTPUT_KIND_AUDIO,
)  # fmt: skip


class RemoteSession:
    """A live stream of an avatar that another process draws; made by ``RemoteAvatar.session``.

    Use it as a local ``Session``. Frames of what was interrupted are dropped here too, for they may
    have been on their way. ``push_audio`` waits where the connection takes no more. A ``realtime``
    session whose server goes away begins again where it can; what was not shown is lost. A
    ``burst`` session raises instead.

    Raises:
        AvatarError: what the server says when it begins.
    """

    def __init__(
        self,
        link: Link,
        stub: Any,
        avatar_id: str,
        *,
        config: SessionConfig,
        style: Style = NEUTRAL,
        codec: str = "jpeg",
        background: str = "keep",
    ) -> None:
        self.config = config
        self._link, self._stub = link, stub
        self._message = _config_message(avatar_id, config, style, codec, background)
        self._tokens = itertools.count(1)
        self._utterance_id = self._valid_from = self._last_shown = 0
        self._open_utterance = False
        self._closed = False
        self._next_index, self._base_index = 0, 0
        self._next_seconds, self._base_seconds = 0.0, 0.0
        self._lock = threading.RLock()
        link.patiently(self._begin)

    @property
    def algorithmic_delay_seconds(self) -> float:
        """As of a local session; the way there and back comes on top."""
        return float(self._started.algorithmic_delay.ToNanoseconds() / 1e9)

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
        """Add sound to the current utterance, at the rate of the session.

        Raises:
            AudioError: not mono sound, or of another rate.
            SessionClosedError: after ``close``.
        """
        self._check_open()
        samples = _samples(chunk, sample_rate, self.sample_rate)
        if not len(samples):
            return
        self._open_utterance = True
        name = str(self._utterance_id)
        step = round(_CHUNK_SECONDS * self.sample_rate)
        for begin in range(0, len(samples), step):
            data = samples[begin : begin + step].astype("<f4").tobytes()
            audio = pb.AudioChunk(utterance_id=name, data=data)
            self._outgoing.put(pb.StreamSpeakRequest(audio=audio), speech=True)

    def flush(self) -> None:
        """End the utterance: all its frames become known.

        Raises:
            SessionClosedError: after ``close``.
        """
        self._check_open()
        if self._open_utterance:
            self._put(end_utterance=pb.EndUtterance(), speech=True)
            self._utterance_id += 1
            self._open_utterance = False

    def pause(self, seconds: float) -> None:
        """End the utterance and say nothing for so long.

        Raises:
            SessionClosedError: after ``close``.
        """
        self.flush()
        pause = pb.Pause()
        pause.duration.FromNanoseconds(round(seconds * 1e9))
        self._put(pause=pause, speech=True)

    def interrupt(self) -> None:
        """Drop all that has not been read; no frame of it comes after this.

        Raises:
            SessionClosedError: after ``close``.
        """
        self._check_open()
        self._outgoing.drop_speech()
        self._put(interrupt=pb.Interrupt())
        self._utterance_id += self._open_utterance
        self._open_utterance = False
        self._valid_from = self._utterance_id

    def set_style(self, style: Style, *, now: bool = False) -> None:
        """Speak differently from here on in the sound, or with ``now`` from the next frame on.

        Raises:
            SessionClosedError: after ``close``.
        """
        self._check_open()
        self._message.style.CopyFrom(style_message(style))
        self._put(style=pb.StyleUpdate(style=style_message(style), now=now))

    def close(self) -> None:
        """Let go of everything; frames that were not read are lost. May be called twice."""
        self._closed = True
        self._outgoing.close()
        self._call.cancel()

    def __enter__(self) -> RemoteSession:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        """``burst``: the frames known now. ``realtime``: each at its time, until ``close``.

        Raises:
            SessionClosedError: after ``close``.
        """
        self._check_open()
        return self._frames(until_synced=self.config.pacing == "burst")

    async def __aiter__(self) -> AsyncIterator[Frame]:
        """As ``__iter__`` without blocking the event loop; waits for sound until ``close``.

        Raises:
            SessionClosedError: after ``close``.
        """
        self._check_open()
        frames = self._frames(until_synced=False)
        while (frame := await asyncio.to_thread(next, frames, None)) is not None:
            yield frame

    def _begin(self) -> None:
        """Open the stream and wait for its first answer."""
        self._outgoing = _Outgoing(pb.StreamSpeakRequest(config=self._message))
        self._call = self._stub.StreamSpeak(iter(self._outgoing), metadata=self._link.metadata)
        limit = threading.Timer(self._link.timeout_seconds, self._call.cancel)
        limit.daemon = True
        limit.start()
        try:
            self._started = next(self._call).started
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.CANCELLED:
                raise UnreachableError(f"{self._link.address}: no answer in time") from None
            raise translated(error) from None
        finally:
            limit.cancel()
        self._decoder = None
        if self._started.HasField("video"):
            self._decoder = make_picture_decoder(self._started.video)

    def _frames(self, *, until_synced: bool) -> Iterator[Frame]:
        token = next(self._tokens) if until_synced else 0
        if until_synced:
            self._put(sync=pb.Sync(token=token))
        while (response := self._read()) is not None:
            part = response.WhichOneof("part")
            if part == "frame" and (frame := self._frame(response.frame)) is not None:
                yield frame
            elif part == "synced" and response.synced.token == token:
                return

    def _read(self) -> pb.StreamSpeakResponse | None:
        """The next answer, from a new stream where the old one broke; None at the end."""
        while True:
            try:
                return next(self._call)  # type: ignore[no-any-return]
            except StopIteration:
                return None
            except grpc.RpcError as error:
                if self._closed:
                    return None
                reason = translated(error)
                self._outgoing.close()
                if not isinstance(reason, UnreachableError) or self.config.pacing == "burst":
                    raise reason from None
            self._base_index, self._base_seconds = self._next_index, self._next_seconds
            self._link.patiently(self._begin)

    def _frame(self, message: pb.Frame) -> Frame | None:
        """The frame, or None for one that was interrupted."""
        image = None
        if self._decoder is not None and message.HasField("video"):
            # Also where it is dropped: the next ones may refer to it.
            image = self._decoder.decode(message.video.data)
        if not message.idle:
            number = int(message.utterance_id)
            if number < self._valid_from:
                return None
            self._last_shown = number
        sound = Audio(np.frombuffer(message.audio, "<f4").astype(np.float32), self.sample_rate)
        frame = Frame(
            index=self._base_index + message.index,
            pts_seconds=self._base_seconds + message.time_code,
            image=image,
            audio=sound,
            landmarks=Landmarks(_floats(message.landmarks.xyz).reshape(-1, 3)),
            expression=_floats(message.blendshapes),
            visemes=_floats(message.visemes),
            utterance_id=self._last_shown,
            idle=message.idle,
            quality=message.quality,
            rotation=_floats(message.head_pose.rotation_wxyz),
            translation=_floats(message.head_pose.translation),
        )
        self._next_index = frame.index + 1
        self._next_seconds = frame.pts_seconds + sound.duration_seconds
        return frame

    def _put(self, *, speech: bool = False, **part: Any) -> None:
        self._outgoing.put(pb.StreamSpeakRequest(**part), speech=speech)

    def _check_open(self) -> None:
        if self._closed:
            raise SessionClosedError("this session is closed; make another with session()")


class _Outgoing:
    """Requests on their way: few wait, an interrupt takes back those of speech."""

    def __init__(self, first: pb.StreamSpeakRequest) -> None:
        self._changed = threading.Condition()
        self._requests: deque[tuple[pb.StreamSpeakRequest, bool]] = deque([(first, False)])
        self._closed = False

    def put(self, request: pb.StreamSpeakRequest, *, speech: bool) -> None:
        """Send in turn; waits while too many do."""
        with self._changed:
            while speech and len(self._requests) >= _MOST_WAITING and not self._closed:
                self._changed.wait()
            self._requests.append((request, speech))
            self._changed.notify_all()

    def drop_speech(self) -> None:
        """Forget the sound that has not been sent."""
        with self._changed:
            self._requests = deque(item for item in self._requests if not item[1])
            self._changed.notify_all()

    def close(self) -> None:
        """No more will come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[pb.StreamSpeakRequest]:
        while True:
            with self._changed:
                while not self._requests and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                request, _ = self._requests.popleft()
                self._changed.notify_all()
            yield request


def _config_message(
    avatar_id: str, config: SessionConfig, style: Style, codec: str, background: str
) -> pb.SessionConfig:
    realtime = config.pacing == "realtime"
    message = pb.SessionConfig(
        avatar_id=avatar_id,
        audio=pb.AudioFormat(
            encoding=pb.AUDIO_ENCODING_PCM_F32LE, sample_rate_hz=config.sample_rate
        ),
        outputs=_OUTPUTS,
        fps=config.fps,
        pacing=pb.PACING_REALTIME if realtime else pb.PACING_BURST,
        idle_frames=realtime and config.idle,
        seed=config.seed,
        style=style_message(style),
    )
    message.ahead.FromNanoseconds(round(config.ahead_seconds * 1e9))
    if config.pixels:
        message.outputs.append(pb.OUTPUT_KIND_VIDEO)
        # Only this codec is transparent.
        code = pb.VIDEO_CODEC_RGBA32 if background == "alpha" else CODECS[codec]
        video = pb.VideoFormat(codec=code, size=config.size or 0, background=background)
        message.video.CopyFrom(video)
    elif config.size is not None:
        message.video.size = config.size
    return message


def _samples(chunk: Audio | NDArray[Any], rate: int | None, expected: int) -> FloatArray:
    if isinstance(chunk, Audio):
        rate, chunk = chunk.sample_rate, chunk.samples
    if rate is not None and rate != expected:
        raise AudioError(
            f"this session takes sound at {expected} hertz, got {rate}; resample it, "
            f"or make the session with sample_rate={rate}"
        )
    if not isinstance(chunk, np.ndarray) or chunk.ndim != 1:
        raise AudioError(
            "a chunk of audio must be a one-dimensional array of float or int16 samples, got "
            f"{type(chunk).__name__} of shape {list(np.shape(chunk))}"
        )
    if chunk.dtype == np.int16:
        return chunk.astype(np.float32) / np.float32(32768.0)
    if chunk.dtype.kind != "f":
        raise AudioError(f"samples must be float or int16, got {chunk.dtype}")
    if not np.isfinite(chunk).all():
        raise AudioError("the chunk holds NaN or infinity; repair it with numpy.nan_to_num")
    return chunk.astype(np.float32)


def _floats(values: Any) -> FloatArray:
    return np.array(values, np.float32)
