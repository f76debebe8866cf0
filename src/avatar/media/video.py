"""Read video frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import cast

import av
import numpy as np

from avatar.errors import VideoError
from avatar.media._container import open_container
from avatar.media._source import ByteSource, opened, source_name
from avatar.types import ImageArray


class VideoReader:
    """The pictures of a video, one at a time, upright, in RGB.

    Iterating gives ``(image, pts_seconds)``: ``[H, W, 3]`` uint8 and the time the picture is
    shown. Memory does not grow with the video. The file closes when the frames are used up, or
    with ``close``, or at the end of a ``with`` block. Each reader iterates once.

    Attributes:
        name: what messages call it.
        fps: mean frames a second.
        size: ``(width, height)`` of the pictures, in pixels.
        sound_begins_seconds: when its sound begins, on the clock of ``pts_seconds``; None where it
            has no sound.

    Raises:
        VideoError: no such file, no picture track, or damaged.

    Example:
        >>> with VideoReader("driver.mp4") as reader:
        ...     for image, pts_seconds in reader:
        ...         print(pts_seconds, image.shape)
    """

    def __init__(self, source: ByteSource) -> None:
        self.name = source_name(source)
        with ExitStack() as stack:
            file = stack.enter_context(opened(source, VideoError))
            container = stack.enter_context(open_container(file, self.name, VideoError))
            if not container.streams.video:
                raise VideoError(f"{self.name}: has no picture track; give a video")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            self._frames = container.decode(stream)
            self._ahead = self._next()
            if self._ahead is None:
                raise VideoError(f"{self.name}: has no frames; was it recorded completely?")
            rate = stream.average_rate or stream.guessed_rate
            self.fps = float(rate) if rate else 25.0
            self.sound_begins_seconds = _beginning(container.streams.audio)
            height, width = _upright(self._ahead).shape[:2]
            self.size = (width, height)
            self._stack = stack.pop_all()

    def __iter__(self) -> Iterator[tuple[ImageArray, float]]:
        count = 0
        while (frame := self._ahead) is not None:
            pts_seconds = frame.time if frame.time is not None else count / self.fps
            yield _upright(frame), float(pts_seconds)
            count += 1
            self._ahead = self._next()
        self.close()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; there are no more frames after."""
        self._ahead = None
        self._stack.close()

    def _next(self) -> av.VideoFrame | None:
        try:
            return next(self._frames, None)
        except av.FFmpegError as reason:
            raise VideoError(
                f"{self.name}: the video is damaged or cut short ({reason}); export it again"
            ) from None


def _beginning(tracks: tuple[av.AudioStream, ...]) -> float | None:
    if not tracks:
        return None
    start, base = tracks[0].start_time, tracks[0].time_base
    return float(start * base) if start is not None and base is not None else 0.0


def _upright(frame: av.VideoFrame) -> ImageArray:
    """RGB, turned as the container says it is to be shown."""
    pixels = cast(ImageArray, frame.to_ndarray(format="rgb24"))
    turns = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels
