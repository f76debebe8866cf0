"""The calls of ``avatar.v1.AvatarService``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import grpc

import avatar
from avatar.errors import ConfigError
from avatar.identity import Consent
from avatar.serving._stubs.avatar.v1 import avatar_pb2 as pb
from avatar.serving._stubs.avatar.v1 import avatar_pb2_grpc
from avatar.serving.calls import answering, in_thread, within
from avatar.serving.errors import ConsentError, OrderError, RequestError
from avatar.serving.library import AvatarEntry
from avatar.serving.messages import HIGHEST_RATE, LOWEST_RATE, check_avatar_id
from avatar.serving.render import CONTAINERS, RenderCall
from avatar.serving.speak import SpeakCall
from avatar.serving.stage import Stage

_USUAL_PAGE, _LARGEST_PAGE = 100, 1000


class AvatarService(avatar_pb2_grpc.AvatarServiceServicer):
    """Answers calls with what the stage has."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def GetServerInfo(  # noqa: N802
        self, request: pb.GetServerInfoRequest, context: Any
    ) -> pb.GetServerInfoResponse:
        """What this server is, can do, and allows."""
        admission = self._stage.admission
        message = pb.GetServerInfoResponse(
            version=avatar.__version__,
            outputs=[value for value in pb.OutputKind.values() if value],
            video_codecs=[value for value in pb.VideoCodec.values() if value],
            audio_encodings=[value for value in pb.AudioEncoding.values() if value],
            containers=CONTAINERS,
            max_sessions=admission.limit,
            active_sessions=admission.active,
            draining=admission.draining,
        )
        _fill_limits(message.limits, self._stage)
        return message

    async def ListAvatars(  # noqa: N802
        self, request: pb.ListAvatarsRequest, context: Any
    ) -> pb.ListAvatarsResponse:
        """A page of avatars; the token is the last name of the page before."""
        async with answering(context, self._stage.metrics):
            if not 0 <= request.page_size <= _LARGEST_PAGE:
                raise RequestError(
                    f"page_size must be within 0 to {_LARGEST_PAGE}, got {request.page_size}"
                )
            count = request.page_size or _USUAL_PAGE
            after = request.page_token and check_avatar_id(request.page_token)
            library = self._stage.library
            entries, more = await in_thread(lambda: library.list(after=after, count=count))
            return pb.ListAvatarsResponse(
                avatars=[_avatar_info(entry) for entry in entries],
                next_page_token=entries[-1].avatar_id if more and entries else "",
            )
        raise AssertionError("answering either passes or raises")

    async def CreateAvatar(  # noqa: N802
        self, requests: Any, context: Any
    ) -> pb.CreateAvatarResponse:
        """Make an avatar of the image that comes in parts."""
        stage = self._stage
        async with answering(context, stage.metrics):
            stage.admission.check_open()
            header, image = await within(
                stage.config.upload_seconds, self._receive_image(context), "the image"
            )
            consent = _read_consent(header.consent, required=stage.config.consent_required)
            face = header.face if header.HasField("face") else None
            with stage.admission.session(video=True):
                entry = await in_thread(
                    lambda: stage.library.create(
                        image, avatar_id=header.avatar_id, consent=consent, face=face
                    )
                )
            return pb.CreateAvatarResponse(avatar=_avatar_info(entry))
        raise AssertionError("answering either passes or raises")

    async def DeleteAvatar(  # noqa: N802
        self, request: pb.DeleteAvatarRequest, context: Any
    ) -> pb.DeleteAvatarResponse:
        """Forget an avatar."""
        async with answering(context, self._stage.metrics):
            await in_thread(self._stage.library.delete, request.avatar_id)
        return pb.DeleteAvatarResponse()

    async def StreamSpeak(self, requests: Any, context: Any) -> None:  # noqa: N802
        """Live: sound in, frames out."""
        async with answering(context, self._stage.metrics):
            await SpeakCall(self._stage, context).run()

    async def RenderClip(self, requests: Any, context: Any) -> None:  # noqa: N802
        """Offline: a sound file in, a video file out."""
        async with answering(context, self._stage.metrics):
            await RenderCall(self._stage, context).run()

    async def _receive_image(self, context: Any) -> tuple[pb.CreateAvatarRequest.Header, bytes]:
        """The header and the image file, no larger than the limit.

        Raises:
            OrderError: no header first, or a second one.
            RequestError: too large, or no image at all.
        """
        limit = self._stage.config.max_image_bytes
        first = await _next(context)
        if first is None or first.WhichOneof("part") != "header":
            raise OrderError("the first part of CreateAvatar is its header")
        header = first.header
        if header.avatar_id:
            check_avatar_id(header.avatar_id)
        image = bytearray()
        async for chunk in _image_chunks(context):
            image += chunk
            self._stage.metrics.bytes_in(len(chunk))
            if len(image) > limit:
                raise RequestError(f"the image is larger than {limit} bytes; scale it down")
        if not image:
            raise RequestError("no image came after the header")
        return header, bytes(image)


async def _image_chunks(context: Any) -> AsyncIterator[bytes]:
    while (part := await _next(context)) is not None:
        if part.WhichOneof("part") != "image_chunk":
            raise OrderError("after the header come image chunks alone")
        yield part.image_chunk


async def _next(context: Any) -> Any | None:
    """The next request, None at the end."""
    request = await context.read()
    return None if request is grpc.aio.EOF else request


def _read_consent(message: pb.Consent, *, required: bool) -> Consent:
    if required and not message.attested:
        raise ConsentError("this server wants consent.attested, and attested_by: who says so")
    try:
        return Consent(message.attested, message.attested_by, message.note)
    except ConfigError as reason:
        raise RequestError(str(reason)) from None


def _avatar_info(entry: AvatarEntry) -> pb.AvatarInfo:
    message = pb.AvatarInfo(
        avatar_id=entry.avatar_id,
        width=entry.width,
        height=entry.height,
        consent=pb.Consent(
            attested=entry.consent.attested,
            attested_by=entry.consent.attested_by,
            note=entry.consent.note,
        ),
    )
    message.create_time.FromDatetime(datetime.fromisoformat(entry.created))
    return message


def _fill_limits(limits: pb.Limits, stage: Stage) -> None:
    config = stage.config
    limits.min_sample_rate_hz, limits.max_sample_rate_hz = LOWEST_RATE, HIGHEST_RATE
    limits.max_image_bytes = config.max_image_bytes
    for name, seconds in (
        ("max_audio_chunk", config.max_audio_chunk_seconds),
        ("max_session", config.max_session_seconds),
        ("idle_timeout", config.idle_timeout_seconds),
        ("max_audio_ahead", config.max_audio_ahead_seconds),
        ("max_render", config.max_render_seconds),
    ):
        getattr(limits, name).FromNanoseconds(round(seconds * 1e9))
