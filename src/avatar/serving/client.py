"""``RemoteAvatar``: an avatar on a server, used like a local one."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import grpc

from avatar.clip import ClipInfo
from avatar.config import SAMPLE_RATE, SessionConfig
from avatar.errors import ConfigError, OutputError
from avatar.generator import BackgroundSource
from avatar.media import AudioSource, iter_audio
from avatar.motion import NEUTRAL, Style
from avatar.serving._stubs.avatar.v1 import avatar_pb2 as pb
from avatar.serving._stubs.avatar.v1 import avatar_pb2_grpc
from avatar.serving._wire import CODECS, Link, raising, translated
from avatar.serving.errors import UnknownAvatarError, UnreachableError
from avatar.serving.messages import background_text, style_message
from avatar.serving.remote_session import RemoteSession
from avatar.session import frame_count
from avatar.types import Frame

_CHUNK_BYTES = 256 << 10
_CHUNK_SECONDS = 0.5


class RemoteAvatar:
    """A person who speaks on a server; ``speak`` and ``session`` are those of ``Avatar``.

    Args:
        address: ``host:port``.
        avatar_id: which avatar. Without one: the only one the server keeps.
        token: bearer token, where the server wants one.
        root_certificate: PEM of who signed the server's certificate; None for no encryption.
        client_certificate: PEM of the key and of the certificate, for mutual TLS.
        timeout_seconds: for a plain call, and for a session to begin, tries included.
        codec: how pictures travel: ``jpeg``, ``h264``, or ``rgb`` for exactly those drawn.

    Raises:
        ConfigError: an unknown codec, or a token without encryption to another machine.

    Example:
        >>> with RemoteAvatar("localhost:50051", "grace") as grace:  # doctest: +SKIP
        ...     grace.speak("hello.wav").save("hello.mp4")
    """

    def __init__(
        self,
        address: str,
        avatar_id: str = "",
        *,
        token: str | None = None,
        root_certificate: bytes | None = None,
        client_certificate: tuple[bytes, bytes] | None = None,
        timeout_seconds: float = 30.0,
        codec: str = "jpeg",
    ) -> None:
        if codec not in CODECS:
            raise ConfigError(f"codec must be one of {', '.join(CODECS)}, got {codec!r}")
        self._link = Link(address, token, root_certificate, client_certificate, timeout_seconds)
        self._channel = self._link.channel()
        self._stub = avatar_pb2_grpc.AvatarServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._avatar_id = avatar_id
        self._codec = codec

    @property
    def avatar_id(self) -> str:
        """Which avatar of the server.

        Raises:
            UnknownAvatarError: none was named, and the server does not keep exactly one.
        """
        if not self._avatar_id:
            names = self.avatars()
            if len(names) != 1:
                raise UnknownAvatarError(
                    f"{self._link.address} keeps {len(names)} avatars; name one of them"
                )
            self._avatar_id = names[0]
        return self._avatar_id

    def avatars(self) -> list[str]:
        """The names of all avatars of the server."""
        names: list[str] = []
        token = ""
        while True:
            request = pb.ListAvatarsRequest(page_size=1000, page_token=token)
            page = self._ask(self._stub.ListAvatars, request)
            names += [info.avatar_id for info in page.avatars]
            token = page.next_page_token
            if not token:
                return names

    def create(
        self,
        image: str | os.PathLike[str] | bytes,
        *,
        attested_by: str = "",
        note: str = "",
        face: int | None = None,
    ) -> str:
        """Make the server keep an avatar of ``image`` under this name; gives the name.

        Args:
            image: path or bytes of an image file.
            attested_by: who attests that the person agreed, or that no consent is needed.
            note: anything that helps to check it.
            face: which face to take where there are several, 0 for the largest.

        Raises:
            ImageError, FaceError: it cannot become an avatar.
            AvatarExistsError: the name is taken.
        """
        data = image if isinstance(image, bytes) else Path(image).read_bytes()
        consent = pb.Consent(attested=bool(attested_by), attested_by=attested_by, note=note)
        header = pb.CreateAvatarRequest.Header(
            avatar_id=self._avatar_id, consent=consent, face=face
        )

        def parts() -> Iterator[pb.CreateAvatarRequest]:
            yield pb.CreateAvatarRequest(header=header)
            for begin in range(0, len(data), _CHUNK_BYTES):
                yield pb.CreateAvatarRequest(image_chunk=data[begin : begin + _CHUNK_BYTES])

        try:
            made = self._stub.CreateAvatar(
                parts(), timeout=self._link.timeout_seconds, metadata=self._link.metadata
            )
        except grpc.RpcError as error:
            raise translated(error) from None
        self._avatar_id = made.avatar.avatar_id
        return self._avatar_id

    def delete(self) -> None:
        """Make the server forget this avatar.

        Raises:
            UnknownAvatarError: it keeps none of that name.
        """
        self._ask(self._stub.DeleteAvatar, pb.DeleteAvatarRequest(avatar_id=self.avatar_id))

    def server_info(self) -> pb.GetServerInfoResponse:
        """What the server is, can do, and allows."""
        info: pb.GetServerInfoResponse = self._ask(
            self._stub.GetServerInfo, pb.GetServerInfoRequest()
        )
        return info

    def speak(
        self,
        audio: AudioSource,
        *,
        fps: float = 25.0,
        size: int | None = None,
        seed: int = 0,
        style: Style = NEUTRAL,
        background: BackgroundSource = "keep",
    ) -> RemoteClip:
        """The person says ``audio``; arguments and errors as ``Avatar.speak``.

        An image cannot be the background here.
        """
        config = SessionConfig(fps=fps, size=size, seed=seed)
        text = background_text(background)
        return RemoteClip(self, audio, config=config, style=style, background=text)

    def session(
        self,
        *,
        fps: float = 25.0,
        size: int | None = None,
        seed: int = 0,
        sample_rate: int = SAMPLE_RATE,
        style: Style = NEUTRAL,
        pixels: bool = True,
        idle: bool = False,
        pacing: str = "burst",
        ahead_seconds: float = 0.0,
        background: BackgroundSource = "keep",
    ) -> RemoteSession:
        """A live stream; arguments as ``Avatar.session``, but for images as background.

        Raises:
            AvatarError: what the server says.
        """
        config = SessionConfig(
            fps=fps, size=size, seed=seed, sample_rate=sample_rate, pixels=pixels, idle=idle,
            pacing=pacing, ahead_seconds=ahead_seconds,
        )  # fmt: skip
        name = self.avatar_id if pixels else self._avatar_id
        return RemoteSession(
            self._link, self._stub, name, config=config, style=style, codec=self._codec,
            background=background_text(background),
        )  # fmt: skip

    def close(self) -> None:
        """Let the connection go; its sessions end."""
        self._channel.close()

    def __enter__(self) -> RemoteAvatar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _info(self) -> pb.AvatarInfo:
        """What the server tells of this avatar."""
        token, name = "", self.avatar_id
        while True:
            page: pb.ListAvatarsResponse = self._ask(
                self._stub.ListAvatars, pb.ListAvatarsRequest(page_token=token)
            )
            found: list[pb.AvatarInfo] = [i for i in page.avatars if i.avatar_id == name]
            if found:
                return found[0]
            token = page.next_page_token
            if not token:
                raise UnknownAvatarError(f"{self._link.address} keeps no avatar {name!r}")

    def _ask(self, call: Any, request: Any) -> Any:
        """One plain call, again while the server is away, until the time is up."""

        def once() -> Any:
            try:
                return call(
                    request, timeout=self._link.timeout_seconds, metadata=self._link.metadata
                )
            except grpc.RpcError as error:
                raise translated(error) from None

        return self._link.patiently(once)

    def _render(
        self, header: pb.RenderClipRequest.Header, sound: AudioSource
    ) -> Iterator[pb.RenderClipResponse]:
        data = sound if isinstance(sound, bytes) else None

        def parts() -> Iterator[pb.RenderClipRequest]:
            yield pb.RenderClipRequest(header=header)
            content = _file_bytes(sound) if data is None else data
            for begin in range(0, len(content), _CHUNK_BYTES):
                chunk = content[begin : begin + _CHUNK_BYTES]
                yield pb.RenderClipRequest(audio_file_chunk=chunk)

        yield from raising(self._stub.RenderClip(parts(), metadata=self._link.metadata))


class RemoteClip:
    """The lazy result of ``RemoteAvatar.speak``: as ``Clip``, drawn by the server."""

    def __init__(
        self,
        avatar: RemoteAvatar,
        audio: AudioSource,
        *,
        config: SessionConfig,
        style: Style,
        background: str = "keep",
    ) -> None:
        self._avatar = avatar
        self._audio = audio
        self._config = config
        self._style = style
        self._background = background
        self.info = self._measure()

    def _measure(self) -> ClipInfo:
        samples = sample_rate = 0
        for chunk in iter_audio(self._audio, chunk_seconds=_CHUNK_SECONDS):
            samples += len(chunk.samples)
            sample_rate = chunk.sample_rate
        found, size = self._avatar._info(), self._config.size
        scale = 1.0 if size is None else size / max(found.width, found.height)
        return ClipInfo(
            frames=frame_count(samples, sample_rate, self._config.fps),
            duration_seconds=samples / sample_rate,
            fps=self._config.fps,
            width=max(1, round(found.width * scale)),
            height=max(1, round(found.height * scale)),
            sample_rate=sample_rate,
            alpha=self._background == "alpha",
        )

    def __len__(self) -> int:
        return self.info.frames

    def __iter__(self) -> Iterator[Frame]:
        config = self._config
        with self._avatar.session(
            fps=config.fps, size=config.size, seed=config.seed, style=self._style,
            sample_rate=self.info.sample_rate, background=self._background,
        ) as session:  # fmt: skip
            for chunk in iter_audio(self._audio, chunk_seconds=_CHUNK_SECONDS):
                session.push_audio(chunk)
                yield from session
            session.flush()
            yield from session

    def save(
        self, path: str | os.PathLike[str], *, progress: Callable[[int, int], None] | None = None
    ) -> Path:
        """Have the clip drawn and fetch the video file; the suffix names the container.

        The file appears when it is complete; after an error nothing is left.

        Raises:
            OutputError: no permission, no space, or no such container.
        """
        target = Path(path)
        header = pb.RenderClipRequest.Header(
            avatar_id=self._avatar.avatar_id,
            container=target.suffix.removeprefix("."),
            fps=self._config.fps,
            size=self._config.size or 0,
            seed=self._config.seed,
            style=style_message(self._style),
            background=self._background,
        )
        try:
            with tempfile.NamedTemporaryFile(dir=target.parent, suffix=".part") as file:
                self._fetch(header, file, progress)
                file.flush()
                os.link(file.name, f"{file.name}.done")
                Path(f"{file.name}.done").replace(target)
        except OSError as reason:
            if isinstance(reason, OutputError):
                raise
            raise OutputError(f"{target}: could not be written: {reason.strerror}") from None
        return target

    def to_bytes(self, suffix: str = ".mp4") -> bytes:
        """The clip as the content of a video file."""
        with tempfile.TemporaryDirectory() as folder:
            return self.save(Path(folder) / f"clip{suffix}").read_bytes()

    def _fetch(
        self,
        header: pb.RenderClipRequest.Header,
        file: Any,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        digest, result = hashlib.sha256(), None
        for response in self._avatar._render(header, self._audio):
            part = response.WhichOneof("part")
            if part == "file_chunk":
                digest.update(response.file_chunk)
                file.write(response.file_chunk)
            elif part == "progress" and progress is not None:
                progress(response.progress.frames_done, response.progress.frames_total)
            elif part == "result":
                result = response.result
        if result is None or result.sha256 != digest.hexdigest():
            raise UnreachableError("the video file came incomplete; try again")


def _file_bytes(source: AudioSource) -> bytes:
    """``source`` as the content of a sound file."""
    if isinstance(source, str | os.PathLike):
        return Path(source).read_bytes()
    import io

    import numpy as np
    import soundfile

    chunks = list(iter_audio(source))
    buffer = io.BytesIO()
    samples = np.concatenate([chunk.samples for chunk in chunks])
    soundfile.write(buffer, samples, chunks[0].sample_rate, format="WAV", subtype="FLOAT")
    return buffer.getvalue()
