"""Encoders that take one picture and its sound at a time and hold neither."""

from __future__ import annotations

import errno
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import av
import av.filter
import numpy as np
import torch
from PIL import Image

from avatar.errors import DependencyError
from avatar.media.resample import StreamResampler
from avatar.ops import yuv420_
from avatar.types import FloatArray, ImageArray


class Encoder(Protocol):
    """Takes pictures and sound in step; ``finish`` completes the file, ``release`` gives it up."""

    def picture(self, image: ImageArray) -> None: ...

    def sound(self, samples: FloatArray) -> None: ...

    def finish(self) -> None: ...

    def release(self) -> None: ...


@dataclass(frozen=True)
class Container:
    """A file format and what goes into it."""

    format: str
    video: str
    audio: str | None
    pixels: str = "yuv420p"
    options: dict[str, str] = field(default_factory=dict)


# Without B-frames, superfast costs 3.6 ms of one core for a 512×512 camera frame and looks like
# veryfast (40.1 against 39.7 dB), which costs 5.6 ms and saves half the bytes.
_H264 = {"preset": "superfast", "crf": "18", "bf": "0"}
_VP9 = {"deadline": "realtime", "cpu-used": "8", "crf": "24", "b": "0", "row-mt": "1"}
_MP4 = Container("mp4", "libx264", "aac", options=_H264)

CONTAINERS = {
    ".mp4": _MP4,
    ".m4v": _MP4,
    ".mov": Container("mov", "libx264", "aac", options=_H264),
    ".mkv": Container("matroska", "libx264", "aac", options=_H264),
    ".webm": Container("webm", "libvpx-vp9", "libopus", options=_VP9),
    ".gif": Container("gif", "gif", None, pixels="pal8"),
}

TRANSPARENT_CONTAINERS = {
    ".webm": Container(
        "webm", "libvpx-vp9", "libopus", pixels="yuva420p", options={**_VP9, "auto-alt-ref": "0"}
    ),
    ".mov": Container(
        "mov", "prores_ks", "aac", pixels="yuva444p10le", options={"profile": "4444"}
    ),
}
"""Those of ``CONTAINERS`` that can hold an alpha channel, and how."""

_BT709, _LIMITED = 1, 1
"""FFmpeg's numbers."""


class ContainerEncoder:
    """MP4, MOV, MKV, WebM or GIF, muxed as it comes into an open file.

    Colour is BT.709, limited range, and says so. 4:2:0 chroma wants even sides: an odd one is
    padded by repeating its last row or column.
    """

    def __init__(
        self,
        file: BinaryIO,
        kind: Container,
        *,
        width: int,
        height: int,
        fps: Fraction,
        sample_rate: int | None,
    ) -> None:
        for codec in (kind.video, kind.audio):
            if codec is not None and codec not in av.codecs_available:
                raise DependencyError(
                    f"this build of PyAV has no {codec} encoder; pip install --force-reinstall av"
                )
        self._file = _Checked(file)
        self._container = av.open(self._file, "w", format=kind.format)
        stream = self._container.add_stream(kind.video, rate=fps, options=dict(kind.options))
        self._video = cast(av.VideoStream, stream)
        self._pixels = kind.pixels
        self._odd = (height % 2, width % 2) if kind.pixels.endswith("420p") else (0, 0)
        self._video.width, self._video.height = width + self._odd[1], height + self._odd[0]
        self._video.pix_fmt = kind.pixels
        self._video.codec_context.time_base = 1 / fps
        self._palette = _Palette(self._video) if kind.pixels == "pal8" else None
        if self._palette is None:
            _tag_bt709(self._video.codec_context)
        self._time_base = 1 / fps
        self._count = 0
        self._audio = None
        if sample_rate is not None and kind.audio is not None:
            self._audio = _AudioTrack(self._container, kind.audio, sample_rate)

    def picture(self, image: ImageArray) -> None:
        if self._palette is not None:
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        elif image.shape[2] == 4:
            frame = _transparent_frame(image, self._odd, self._pixels)
        else:
            frame = yuv_frame(image)
        frame.pts, frame.time_base = self._count, self._time_base
        self._count += 1
        if self._palette is not None:
            frame = self._palette.reduce(frame)
        with self._file.checked():
            for packet in self._video.encode(frame):
                self._container.mux(packet)

    def sound(self, samples: FloatArray) -> None:
        if self._audio is not None:
            with self._file.checked():
                self._audio.write(samples)

    def finish(self) -> None:
        with self._file.checked():
            for packet in self._video.encode():
                self._container.mux(packet)
            if self._audio is not None:
                self._audio.finish()
            self._container.close()

    def release(self) -> None:
        """Close without caring for the result."""
        self._file.discard()
        self._container.close()


def yuv_frame(image: ImageArray) -> av.VideoFrame:
    """``[H, W, 3]`` RGB as a frame for an encoder; an odd side repeats its last row or column."""
    height, width = (side + side % 2 for side in image.shape[:2])
    frame = av.VideoFrame(width, height, "yuv420p")
    frame.colorspace, frame.color_range = _BT709, _LIMITED
    planes = [
        torch.frombuffer(plane, dtype=torch.uint8).view(-1, plane.line_size)[
            : plane.height, : plane.width
        ]
        for plane in frame.planes
    ]
    y, u, v = planes
    yuv420_(y, u, v, torch.from_numpy(image))
    return frame


def _transparent_frame(image: ImageArray, odd: tuple[int, int], pixels: str) -> av.VideoFrame:
    """``[H, W, 4]`` RGBA as a frame for an encoder, in FFmpeg's pixel format ``pixels``."""
    if any(odd):
        image = np.pad(image, ((0, odd[0]), (0, odd[1]), (0, 0)), mode="edge")
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgba")
    return frame.reformat(format=pixels, dst_colorspace=_BT709, dst_color_range=_LIMITED)


class _Checked:
    """A file for FFmpeg that remembers why a write failed, which FFmpeg may pass over.

    That may be Ctrl-C, too: what is no ``Exception`` gets lost on its way through FFmpeg.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._failed: BaseException | None = None
        self._discarding = False
        self.seek, self.tell, self.read = file.seek, file.tell, file.read

    def write(self, data: bytes) -> int:
        if self._discarding:
            return len(data)
        try:
            return self._file.write(data)
        except BaseException as reason:
            self._failed = self._failed or reason
            if isinstance(reason, Exception):
                raise
            raise OSError("interrupted") from reason

    @contextmanager
    def checked(self) -> Iterator[None]:
        """Raise at the end what a write inside raised."""
        try:
            yield
        finally:
            if self._failed is not None:
                raise self._failed

    def discard(self) -> None:
        self._discarding = True


class _AudioTrack:
    """One sound track, resampled to a rate that the codec knows."""

    def __init__(
        self, container: av.container.OutputContainer, codec: str, sample_rate: int
    ) -> None:
        rates = av.Codec(codec, "w").audio_rates or [sample_rate]
        rate = min((r for r in rates if r >= sample_rate), default=max(rates))
        self._resampler = StreamResampler(sample_rate, rate)
        self._container = container
        stream = container.add_stream(codec, rate=rate, layout="mono")
        self._stream = cast(av.AudioStream, stream)
        self._stream.bit_rate = 96_000 if rate >= 32_000 else 64_000
        self._rate = rate
        self._count = 0

    def write(self, samples: FloatArray) -> None:
        self._encode(self._resampler.push(samples))

    def finish(self) -> None:
        self._encode(self._resampler.flush())
        for packet in self._stream.encode(None):
            self._container.mux(packet)

    def _encode(self, samples: FloatArray) -> None:
        if not len(samples):
            return
        frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts = self._rate, self._count
        frame.time_base = Fraction(1, self._rate)
        self._count += len(samples)
        for packet in self._stream.encode(frame):
            self._container.mux(packet)


class _Palette:
    """Reduces each picture to its own 256 colours."""

    def __init__(self, stream: av.VideoStream) -> None:
        self._stream = stream
        self._graph: av.filter.Graph | None = None

    def reduce(self, frame: av.VideoFrame) -> av.VideoFrame:
        if self._graph is None:
            self._graph = self._build(frame)
        self._graph.push(frame)
        reduced = cast(av.VideoFrame, self._graph.pull())
        reduced.pts, reduced.time_base = frame.pts, cast(Fraction, frame.time_base)
        return reduced

    def _build(self, frame: av.VideoFrame) -> av.filter.Graph:
        graph = av.filter.Graph()
        begin = graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=frame.format,
            time_base=cast(Fraction, frame.time_base),
        )
        split = graph.add("split")
        palette = graph.add("palettegen", "stats_mode=single")
        use = graph.add("paletteuse", "new=1:dither=bayer:bayer_scale=3")
        end = graph.add("buffersink")
        begin.link_to(split)
        split.link_to(palette, 0)
        split.link_to(use, 1)
        palette.link_to(use, 0, 1)
        use.link_to(end)
        graph.configure()
        return graph


def _tag_bt709(context: av.VideoCodecContext) -> None:
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    context.color_range = _LIMITED


class SequenceEncoder:
    """One PNG a picture, and ``audio.wav`` beside them where there is sound."""

    def __init__(self, folder: Path, pattern: str, sample_rate: int | None) -> None:
        self._folder, self._pattern = folder, pattern
        self._count = 0
        self._wave: wave.Wave_write | None = None
        if sample_rate is not None:
            self._wave = wave.open(str(folder / "audio.wav"), "wb")  # noqa: SIM115
            self._wave.setnchannels(1)
            self._wave.setsampwidth(2)
            self._wave.setframerate(sample_rate)

    def picture(self, image: ImageArray) -> None:
        path = self._folder / (self._pattern % self._count)
        Image.fromarray(image).save(path, format="PNG", compress_level=1)
        self._count += 1

    def sound(self, samples: FloatArray) -> None:
        if self._wave is not None:
            pcm = np.rint(np.clip(samples, -1, 1) * 32767).astype("<i2")
            self._wave.writeframesraw(pcm.tobytes())

    def finish(self) -> None:
        if self._wave is not None:
            self._wave.close()

    def release(self) -> None:
        self.finish()


def explain(reason: OSError) -> str:
    """What to do about a write that failed."""
    if reason.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "the disk is full or a size limit is reached; free some space or choose another"
    if reason.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "no permission to write there; choose another folder"
    return f"{reason}; choose another folder"
