"""Sound and pictures as they travel: PCM and Opus in, PCM, JPEG, raw pixels and H.264 out."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Protocol

import av
import numpy as np
from PIL import Image

from avatar.errors import AudioError, ConfigError
from avatar.serving._stubs.avatar.v1 import avatar_pb2 as pb
from avatar.types import FloatArray, ImageArray

OPUS_RATE = 48_000
_MAX_OPUS_PACKET = 1275 * 3 + 7  # RFC 6716, the longest packet: 120 ms
_FULL_SCALE = 16.0
_PCM16 = np.float32(32768.0)
_KEY_FRAME_SECONDS = 2.0
_DEFAULT_QUALITY = 85

Picture = tuple[bytes, bool]
"""The bytes of a picture, and whether it can be decoded without those before it."""


class AudioDecoder(Protocol):
    """Turns the bytes of one chunk into samples; keeps what a codec needs between chunks."""

    sample_rate: int
    """Of the samples that come out, in hertz."""

    def decode(self, data: bytes) -> FloatArray:
        """``[N]`` float32 in [-1, 1].

        Raises:
            AudioError: not what was announced.
        """


class Pcm16Decoder:
    """Signed 16-bit little-endian samples."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate

    def decode(self, data: bytes) -> FloatArray:
        _check_whole(data, 2, "PCM_S16LE")
        return np.frombuffer(data, "<i2").astype(np.float32) / _PCM16


class Float32Decoder:
    """32-bit little-endian float samples."""

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate

    def decode(self, data: bytes) -> FloatArray:
        _check_whole(data, 4, "PCM_F32LE")
        samples = np.frombuffer(data, "<f4").astype(np.float32)
        peak = float(np.abs(samples).max(initial=0.0))
        if not peak <= _FULL_SCALE:
            raise AudioError(
                f"float samples must be within [-1, 1] and finite, this chunk peaks at {peak:g}; "
                "is it another encoding, or another byte order?"
            )
        return samples


class OpusDecoder:
    """Raw Opus packets, one at a time; stereo is mixed to mono."""

    sample_rate = OPUS_RATE

    def __init__(self) -> None:
        self._codec = av.CodecContext.create("libopus", "r")
        self._codec.sample_rate = OPUS_RATE
        self._codec.layout = "mono"

    def decode(self, data: bytes) -> FloatArray:
        if not 0 < len(data) <= _MAX_OPUS_PACKET:
            raise AudioError(
                f"an Opus packet has 1 to {_MAX_OPUS_PACKET} bytes, got {len(data)}; "
                "send one raw packet in each chunk, without Ogg around it"
            )
        try:
            frames = self._codec.decode(av.Packet(data))
        except av.FFmpegError as reason:
            raise AudioError(
                f"not an Opus packet ({reason.strerror}); send raw packets without Ogg around them"
            ) from None
        parts = [_mono(frame) for frame in frames]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def make_decoder(encoding: int, sample_rate: int) -> AudioDecoder:
    """The decoder of an ``AudioEncoding``.

    Raises:
        ConfigError: an unknown encoding, or Opus at another rate than 48 kHz.
    """
    if encoding in (pb.AUDIO_ENCODING_UNSPECIFIED, pb.AUDIO_ENCODING_PCM_S16LE):
        return Pcm16Decoder(sample_rate)
    if encoding == pb.AUDIO_ENCODING_PCM_F32LE:
        return Float32Decoder(sample_rate)
    if encoding == pb.AUDIO_ENCODING_OPUS:
        if sample_rate != OPUS_RATE:
            raise ConfigError(f"Opus is decoded at {OPUS_RATE} hertz, got {sample_rate}")
        return OpusDecoder()
    raise ConfigError(f"unknown audio encoding {encoding}; see GetServerInfo")


def encode_sound(samples: FloatArray, encoding: int) -> bytes:
    """Samples as ``PCM_F32LE`` bytes, or as ``PCM_S16LE`` for every other encoding."""
    if encoding == pb.AUDIO_ENCODING_PCM_F32LE:
        return samples.astype("<f4", copy=False).tobytes()
    return encode_pcm16(samples)


def encode_pcm16(samples: FloatArray) -> bytes:
    """Samples in [-1, 1] as signed 16-bit little-endian bytes; louder ones are clipped."""
    scaled: FloatArray = np.rint(samples * _PCM16)
    return np.clip(scaled, -32768, 32767).astype("<i2").tobytes()


class VideoEncoder(Protocol):
    """Turns pictures of one session into bytes, in order."""

    def encode(self, image: ImageArray) -> Picture:
        """``image`` is ``[H, W, 3]`` uint8 RGB, always of the same size; RGBA where asked for."""


class JpegEncoder:
    """Each picture a JPEG file; Pillow's libjpeg-turbo takes a third of FFmpeg's time."""

    def __init__(self, quality: int) -> None:
        self._quality = quality

    def encode(self, image: ImageArray) -> Picture:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=self._quality)
        return buffer.getvalue(), True


class RawEncoder:
    """Rows from the top, three or four bytes a pixel; the fourth is 255 where there is none."""

    def __init__(self, *, alpha: bool) -> None:
        self._alpha = alpha

    def encode(self, image: ImageArray) -> Picture:
        if self._alpha and image.shape[2] == 3:
            full = np.full((*image.shape[:2], 1), 255, np.uint8)
            image = np.concatenate([image, full], axis=2)
        return image.tobytes(), True


class H264Encoder:
    """Annex B access units without delay: no B-frames, no look-ahead, a key frame every 2 s."""

    def __init__(self, *, width: int, height: int, fps: float, quality: int) -> None:
        codec = av.CodecContext.create("libx264", "w")
        self._padding = (height % 2, width % 2)
        codec.width, codec.height = width + self._padding[1], height + self._padding[0]
        codec.pix_fmt = "yuv420p"
        codec.time_base = 1 / Fraction(fps).limit_denominator(1001)
        codec.thread_count = 1
        codec.gop_size = max(1, round(fps * _KEY_FRAME_SECONDS))
        # 85 is x264's own idea of visually good (23), 100 nearly without loss.
        crf = min(51.0, max(0.0, 23.0 + (_DEFAULT_QUALITY - quality) * 0.4))
        codec.options = {
            "preset": "superfast", "tune": "zerolatency", "crf": f"{crf:g}",
            "x264-params": "repeat-headers=1:annexb=1:scenecut=0",
        }  # fmt: skip
        self._codec = codec
        self._count = 0

    def encode(self, image: ImageArray) -> Picture:
        if any(self._padding):
            image = np.pad(image, ((0, self._padding[0]), (0, self._padding[1]), (0, 0)), "edge")
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(
            format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
        )
        frame.pts = self._count
        self._count += 1
        packets = self._codec.encode(frame)
        return b"".join(bytes(packet) for packet in packets), any(p.is_keyframe for p in packets)


def make_encoder(codec: int, *, width: int, height: int, fps: float, quality: int) -> VideoEncoder:
    """The encoder of a ``VideoCodec``; ``quality`` is 1 to 100, 0 for the usual one.

    Raises:
        ConfigError: an unknown codec, or a quality out of range.
    """
    if not 0 <= quality <= 100:
        raise ConfigError(f"video quality must be within 1 to 100, got {quality}")
    quality = quality or _DEFAULT_QUALITY
    if codec in (pb.VIDEO_CODEC_UNSPECIFIED, pb.VIDEO_CODEC_JPEG):
        return JpegEncoder(quality)
    if codec in (pb.VIDEO_CODEC_RGB24, pb.VIDEO_CODEC_RGBA32):
        return RawEncoder(alpha=codec == pb.VIDEO_CODEC_RGBA32)
    if codec == pb.VIDEO_CODEC_H264_ANNEX_B:
        return H264Encoder(width=width, height=height, fps=fps, quality=quality)
    raise ConfigError(f"unknown video codec {codec}; see GetServerInfo")


def _check_whole(data: bytes, sample_bytes: int, name: str) -> None:
    if len(data) % sample_bytes:
        raise AudioError(
            f"{len(data)} bytes are no whole number of {name} samples of {sample_bytes} bytes; "
            "cut chunks between samples"
        )


def _mono(frame: av.AudioFrame) -> FloatArray:
    samples = frame.to_ndarray()
    if samples.dtype == np.int16:
        samples = samples.astype(np.float32) / _PCM16
    channels = len(frame.layout.channels)
    if not frame.format.is_planar:
        samples = samples.reshape(-1, channels).T
    return np.ascontiguousarray(samples.mean(0, dtype=np.float32))
