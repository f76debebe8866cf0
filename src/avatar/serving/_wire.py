"""What clients share: channels, errors of calls as errors of this package, pictures as arrays."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

import grpc
import numpy as np
from PIL import Image

import avatar.errors
import avatar.serving.errors
from avatar.errors import AvatarError, ConfigError
from avatar.serving._stubs.avatar.v1 import avatar_pb2 as pb
from avatar.serving.errors import (
    BusyError,
    RequestError,
    TimeLimitError,
    TokenError,
    UnknownAvatarError,
    UnreachableError,
)
from avatar.types import ImageArray

T = TypeVar("T")

CODECS = {
    "jpeg": pb.VIDEO_CODEC_JPEG,
    "h264": pb.VIDEO_CODEC_H264_ANNEX_B,
    "rgb": pb.VIDEO_CODEC_RGB24,
}
_MAX_MESSAGE = 256 << 20
_BY_STATUS: dict[str, type[AvatarError]] = {
    "INVALID_ARGUMENT": RequestError,
    "NOT_FOUND": UnknownAvatarError,
    "UNAUTHENTICATED": TokenError,
    "DEADLINE_EXCEEDED": TimeLimitError,
    "RESOURCE_EXHAUSTED": BusyError,
    "UNAVAILABLE": UnreachableError,
}


@dataclass(frozen=True)
class Link:
    """How to reach a server.

    Attributes:
        address: ``host:port``.
        token: bearer token, where the server wants one.
        root_certificate: PEM of who signed the server's certificate; None for no encryption.
        client_certificate: PEM of the key and of the certificate, for mutual TLS.
        timeout_seconds: for a plain call, and for a session to begin.
    """

    address: str
    token: str | None = None
    root_certificate: bytes | None = None
    client_certificate: tuple[bytes, bytes] | None = None
    timeout_seconds: float = 30.0

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Of every call."""
        return () if self.token is None else (("authorization", f"Bearer {self.token}"),)

    def channel(self) -> Any:
        """A connection; it mends itself when it breaks."""
        options = [
            ("grpc.max_receive_message_length", _MAX_MESSAGE),
            # The window must not grow: frames that wait in it cannot be taken back.
            ("grpc.http2.bdp_probe", 0),
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.max_reconnect_backoff_ms", 5_000),
        ]
        if self.root_certificate is None:
            if self.token is not None and not _is_here(self.address):
                raise ConfigError("a token needs TLS on its way: give root_certificate")
            return grpc.insecure_channel(self.address, options)
        key, chain = self.client_certificate or (None, None)
        credentials = grpc.ssl_channel_credentials(self.root_certificate, key, chain)
        return grpc.secure_channel(self.address, credentials, options)

    def patiently(self, work: Callable[[], T]) -> T:
        """Do ``work``, and again while the server is away or full, until the time is up.

        Raises:
            AvatarError: what the server says, at last.
        """
        until = time.monotonic() + self.timeout_seconds
        wait = 0.1
        while True:
            try:
                return work()
            except (BusyError, UnreachableError) as error:
                asked = error.retry_seconds if isinstance(error, BusyError) else wait
                if time.monotonic() + asked > until:
                    raise
                time.sleep(asked)
                wait = min(2 * wait, 2.0)


def translated(error: grpc.RpcError) -> AvatarError:
    """The error of a call as the error that the server raised."""
    known = cast(Any, error)
    status = known.code().name
    words = known.details() or status
    trailing = dict(known.trailing_metadata() or ())
    kind = _named(str(trailing.get("avatar-error", "")))
    if kind is None:
        kind = _BY_STATUS.get(status, AvatarError)
    if issubclass(kind, BusyError | UnreachableError):
        pushback = str(trailing.get("grpc-retry-pushback-ms", "1000"))
        return kind(words, retry_seconds=int(pushback) / 1000 if pushback.isdigit() else 1.0)
    return kind(words)


def raising(responses: Iterator[T]) -> Iterator[T]:
    """``responses`` of a call, its errors translated."""
    try:
        yield from responses
    except grpc.RpcError as error:
        raise translated(error) from None


class PictureDecoder(Protocol):
    """Turns ``VideoFrame.data`` of one session into pictures, in order."""

    def decode(self, data: bytes) -> ImageArray:
        """``[H, W, 3]`` uint8 RGB."""


def make_picture_decoder(video: pb.VideoFormat) -> PictureDecoder:
    """The decoder of what a server announced."""
    if video.codec in (pb.VIDEO_CODEC_RGB24, pb.VIDEO_CODEC_RGBA32):
        channels = 4 if video.codec == pb.VIDEO_CODEC_RGBA32 else 3
        return _Raw(video.height, video.width, channels)
    return _H264() if video.codec == pb.VIDEO_CODEC_H264_ANNEX_B else _Jpeg()


class _Raw:
    def __init__(self, height: int, width: int, channels: int) -> None:
        self._shape = (height, width, channels)

    def decode(self, data: bytes) -> ImageArray:
        return np.frombuffer(data, np.uint8).reshape(self._shape).copy()


class _Jpeg:
    def decode(self, data: bytes) -> ImageArray:
        with Image.open(io.BytesIO(data)) as picture:
            return np.array(picture.convert("RGB"))


class _H264:
    def __init__(self) -> None:
        import av

        self._packet = av.Packet
        codec = av.CodecContext.create("h264", "r")
        # Frame threads would hold pictures back.
        codec.thread_count = 1
        codec.options = {"flags": "low_delay"}
        self._codec = cast(Any, codec)

    def decode(self, data: bytes) -> ImageArray:
        frames = self._codec.decode(self._packet(data))
        picture: ImageArray = frames[-1].to_ndarray(format="rgb24", src_colorspace="ITU709")
        return picture


def _named(name: str) -> type[AvatarError] | None:
    for module in (avatar.serving.errors, avatar.errors):
        kind = getattr(module, name, None) if name.isidentifier() else None
        if isinstance(kind, type) and issubclass(kind, AvatarError):
            return kind
    return None


def _is_here(address: str) -> bool:
    host = address.rpartition(":")[0]
    return address.startswith("unix:") or host in ("localhost", "127.0.0.1", "[::1]")
