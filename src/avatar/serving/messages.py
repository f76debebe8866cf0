"""Between the messages of ``avatar.proto`` and the values of this package."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from avatar.config import SAMPLE_RATE, SessionConfig
from avatar.errors import ConfigError
from avatar.generator import Background, BackgroundSource
from avatar.motion import NEUTRAL, Style
from avatar.serving._stubs.avatar.v1 import avatar_pb2 as pb
from avatar.serving.codecs import OPUS_RATE, encode_sound
from avatar.serving.errors import RequestError
from avatar.types import ARKIT_NAMES, VISEME_NAMES, Frame

LOWEST_RATE, HIGHEST_RATE = 8_000, 192_000
TOPOLOGY = "mediapipe_face_mesh_478"
MAX_UTTERANCE_ID = 128
MOST_FRAMES_PER_MESSAGE = 25
_AVATAR_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_SEEDS = 1 << 63

_OUTPUTS = frozenset(value for value in pb.OutputKind.values() if value)


@dataclass(frozen=True)
class SessionPlan:
    """A ``SessionConfig`` message that was checked, with every default filled in.

    Attributes:
        avatar_id: may be empty where nobody's pixels are needed.
        session: how the session is made.
        style: at the start.
        outputs: values of ``OutputKind``.
        encoding: an ``AudioEncoding``, never unspecified.
        codec: a ``VideoCodec``, never unspecified.
        quality: of the pictures, 0 for the usual one.
        frames_per_message: how many frames go together.
        background: what is seen behind the person.
    """

    avatar_id: str
    session: SessionConfig
    style: Style = NEUTRAL
    outputs: frozenset[pb.OutputKind] = frozenset((pb.OUTPUT_KIND_BLENDSHAPES,))
    encoding: pb.AudioEncoding = pb.AUDIO_ENCODING_PCM_S16LE
    codec: pb.VideoCodec = pb.VIDEO_CODEC_JPEG
    quality: int = 0
    frames_per_message: int = 1
    background: str = "keep"

    @property
    def video(self) -> bool:
        return self.session.pixels

    @property
    def shows_landmarks(self) -> bool:
        return pb.OUTPUT_KIND_LANDMARKS in self.outputs

    @property
    def realtime(self) -> bool:
        return self.session.pacing == "realtime"

    @property
    def sound_encoding(self) -> pb.AudioEncoding:
        """Of the sound that goes out."""
        opus = self.encoding == pb.AUDIO_ENCODING_OPUS
        return pb.AUDIO_ENCODING_PCM_S16LE if opus else self.encoding


def read_plan(config: pb.SessionConfig) -> SessionPlan:
    """Check the configuration of a session.

    Raises:
        ConfigError, RequestError: a value out of its range.
    """
    outputs = frozenset(config.outputs) or frozenset((pb.OUTPUT_KIND_BLENDSHAPES,))
    if not outputs <= _OUTPUTS:
        raise RequestError(f"unknown outputs {sorted(outputs - _OUTPUTS)}; see GetServerInfo")
    encoding = config.audio.encoding or pb.AUDIO_ENCODING_PCM_S16LE
    if config.avatar_id or pb.OUTPUT_KIND_VIDEO in outputs:
        check_avatar_id(config.avatar_id)
    return SessionPlan(
        avatar_id=config.avatar_id,
        session=_read_session(config, pixels=pb.OUTPUT_KIND_VIDEO in outputs),
        style=read_style(config.style),
        outputs=outputs,
        encoding=encoding,
        codec=config.video.codec or pb.VIDEO_CODEC_JPEG,
        quality=config.video.quality,
        frames_per_message=_read_group(config, video=pb.OUTPUT_KIND_VIDEO in outputs),
        background=_read_background(config),
    )


def _read_group(config: pb.SessionConfig, *, video: bool) -> int:
    count = config.frames_per_message or 1
    if count > MOST_FRAMES_PER_MESSAGE or (video and count > 1):
        raise RequestError(
            f"frames_per_message is at most {MOST_FRAMES_PER_MESSAGE}, and 1 with pictures; "
            f"got {count}"
        )
    return count


def _read_session(config: pb.SessionConfig, *, pixels: bool) -> SessionConfig:
    if config.pacing not in pb.Pacing.values():
        raise RequestError(f"unknown pacing {config.pacing}; it is REALTIME or BURST")
    realtime = config.pacing != pb.PACING_BURST
    if config.idle_frames and not realtime:
        raise RequestError("idle_frames needs real-time pacing: in a burst they would never end")
    opus = config.audio.encoding == pb.AUDIO_ENCODING_OPUS
    return SessionConfig(
        fps=config.fps or 25.0,
        size=config.video.size or None,
        seed=read_seed(config.seed),
        sample_rate=read_rate(config.audio.sample_rate_hz, opus=opus),
        pixels=pixels,
        idle=config.idle_frames,
        pacing="realtime" if realtime else "burst",
        ahead_seconds=config.ahead.ToTimedelta().total_seconds(),
    )


def _read_background(config: pb.SessionConfig) -> str:
    background = read_background(config.video.background)
    if background != "keep" and pb.OUTPUT_KIND_VIDEO not in config.outputs:
        raise RequestError("video.background needs the output VIDEO")
    if background == "alpha" and config.video.codec != pb.VIDEO_CODEC_RGBA32:
        raise RequestError("the background alpha needs the codec RGBA32: no other has transparency")
    return background


def read_background(text: str) -> str:
    """A background that a client may ask for: never a file of this machine.

    Raises:
        ConfigError, RequestError: neither a word nor a colour.
    """
    if text.startswith("#"):
        colour = Background.of(text)
        assert colour is not None
        return colour.key
    if text not in ("", "keep", "blur", "alpha"):
        raise RequestError(
            f"background must be keep, blur, alpha or a colour like #1e90ff, got {text[:20]!r}"
        )
    return text or "keep"


def background_text(background: BackgroundSource) -> str:
    """A background as text for a server.

    Raises:
        ConfigError: nothing known, or an image, which a server does not take.
    """
    known = Background.of(background)
    if known is not None and known.image is not None:
        raise ConfigError(
            "a server takes no image as background; ask for alpha, and lay the frames over it"
        )
    return "keep" if known is None else known.key


def read_seed(seed: int) -> int:
    """A seed that every part of this package takes."""
    if seed >= _SEEDS:
        raise RequestError(f"seed must be below 2^63, got {seed}")
    return seed


def read_rate(rate: int, *, opus: bool = False) -> int:
    """A sample rate in hertz, the usual one for 0."""
    rate = rate or (OPUS_RATE if opus else SAMPLE_RATE)
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise RequestError(
            f"sample_rate_hz must be within {LOWEST_RATE} to {HIGHEST_RATE}, got {rate}"
        )
    return rate


def read_style(style: pb.Style) -> Style:
    """A ``Style``, natural where nothing is set.

    Raises:
        ConfigError: an unknown name, or a value out of its range.
    """
    set_fields = {
        name: getattr(style, name)
        for name in ("intensity", "blink_rate", "head_motion")
        if style.HasField(name)
    }
    gaze = (style.gaze.right, style.gaze.down) if style.HasField("gaze") else None
    return Style(
        emotion=dict(style.emotion),
        gaze=gaze,
        gain=dict(style.blendshape_gain),
        offset=dict(style.blendshape_offset),
        **set_fields,
    )


def style_message(style: Style) -> pb.Style:
    """A ``Style`` as a message."""
    message = pb.Style(
        emotion=dict(style.emotion),
        intensity=style.intensity,
        blink_rate=style.blink_rate,
        head_motion=style.head_motion,
        blendshape_gain=dict(style.gain),
        blendshape_offset=dict(style.offset),
    )
    if style.gaze is not None:
        message.gaze.CopyFrom(pb.Gaze(right=style.gaze[0], down=style.gaze[1]))
    return message


def check_avatar_id(avatar_id: str) -> str:
    """Give ``avatar_id`` back if it may be one; it becomes the name of a file.

    Raises:
        RequestError: it may not.
    """
    if not _AVATAR_ID.fullmatch(avatar_id):
        raise RequestError(
            "an avatar_id is 1 to 64 of a-z, 0-9, '-', '_' and '.', the first a letter or digit; "
            f"got {avatar_id[:80]!r}"
        )
    return avatar_id


def started_message(
    plan: SessionPlan, *, session_id: str, size: tuple[int, int] | None, delay_seconds: float
) -> pb.SessionStarted:
    """What a session says first; ``size`` is the width and height of its pictures."""
    message = pb.SessionStarted(
        session_id=session_id,
        fps=plan.session.fps,
        landmark_topology=TOPOLOGY,
        audio=pb.AudioFormat(encoding=plan.sound_encoding, sample_rate_hz=plan.session.sample_rate),
        outputs=sorted(plan.outputs),
        ai_generated=True,
    )
    message.blendshape_names.extend(ARKIT_NAMES)
    message.viseme_names.extend(VISEME_NAMES)
    message.start_time.FromNanoseconds(time.time_ns())
    message.algorithmic_delay.FromNanoseconds(round(delay_seconds * 1e9))
    if size is not None:
        even = plan.codec == pb.VIDEO_CODEC_H264_ANNEX_B
        width, height = (side + side % 2 if even else side for side in size)
        message.video.CopyFrom(
            pb.VideoFormat(codec=plan.codec, quality=plan.quality, width=width, height=height)
        )
    return message


def fill_frame(
    message: pb.Frame,
    frame: Frame,
    plan: SessionPlan,
    *,
    utterance_id: str,
    video: tuple[bytes, bool] | None = None,
) -> None:
    """Write into ``message`` what the session asked for of a frame, and no more."""
    message.utterance_id = utterance_id
    message.index = frame.index
    message.time_code = frame.pts_seconds
    message.idle = frame.idle
    message.quality = frame.quality
    message.utterance_number = frame.utterance_id
    outputs = plan.outputs
    if pb.OUTPUT_KIND_BLENDSHAPES in outputs:
        message.blendshapes.extend(frame.expression.tolist())
    if pb.OUTPUT_KIND_LANDMARKS in outputs:
        message.landmarks.xyz.extend(frame.landmarks.points.ravel().tolist())
    if pb.OUTPUT_KIND_HEAD_POSE in outputs:
        message.head_pose.rotation_wxyz.extend(frame.rotation.tolist())
        message.head_pose.translation.extend(frame.translation.tolist())
    if pb.OUTPUT_KIND_VISEMES in outputs:
        message.visemes.extend(frame.visemes.tolist())
    if pb.OUTPUT_KIND_AUDIO in outputs:
        message.audio = encode_sound(frame.audio.samples, plan.sound_encoding)
    if video is not None:
        message.video.data, message.video.key_frame = video
