"""Open a container with FFmpeg, shut off from the network and from other files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import av
import av.container

from avatar.errors import InputError
from avatar.media._source import Nameless

# Playlists name other files and addresses; with no protocol allowed they cannot be followed.
_OPTIONS = {"protocol_whitelist": "none"}
# FFmpeg takes any text for ANSI art, playlists for video, and more: none of these is a recording.
_NOT_MEDIA = {"tty", "hls", "concat", "ffmetadata", "srt", "webvtt", "ass", "lrc", "microdvd"}


@contextmanager
def open_container(
    file: BinaryIO, name: str, error: type[InputError]
) -> Iterator[av.container.InputContainer]:
    """The container in ``file``; errors name it as ``name``.

    Raises:
        error: not a format FFmpeg knows.
    """
    try:
        container = av.open(Nameless(file), "r", options=_OPTIONS, metadata_errors="replace")
    except (av.FFmpegError, ValueError) as reason:
        raise error(
            f"{name}: not a sound or video file this package can read ({reason}); "
            "convert it to WAV, MP3, MP4 or WebM"
        ) from None
    with container:
        if _NOT_MEDIA & set(container.format.name.split(",")):
            raise error(f"{name}: is {container.format.long_name}, not a recording")
        yield container
