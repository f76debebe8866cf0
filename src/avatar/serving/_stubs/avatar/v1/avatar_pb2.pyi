from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OutputKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTPUT_KIND_UNSPECIFIED: _ClassVar[OutputKind]
    OUTPUT_KIND_BLENDSHAPES: _ClassVar[OutputKind]
    OUTPUT_KIND_LANDMARKS: _ClassVar[OutputKind]
    OUTPUT_KIND_HEAD_POSE: _ClassVar[OutputKind]
    OUTPUT_KIND_VISEMES: _ClassVar[OutputKind]
    OUTPUT_KIND_VIDEO: _ClassVar[OutputKind]
    OUTPUT_KIND_AUDIO: _ClassVar[OutputKind]

class AudioEncoding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    AUDIO_ENCODING_UNSPECIFIED: _ClassVar[AudioEncoding]
    AUDIO_ENCODING_PCM_S16LE: _ClassVar[AudioEncoding]
    AUDIO_ENCODING_PCM_F32LE: _ClassVar[AudioEncoding]
    AUDIO_ENCODING_OPUS: _ClassVar[AudioEncoding]

class VideoCodec(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VIDEO_CODEC_UNSPECIFIED: _ClassVar[VideoCodec]
    VIDEO_CODEC_JPEG: _ClassVar[VideoCodec]
    VIDEO_CODEC_RGB24: _ClassVar[VideoCodec]
    VIDEO_CODEC_RGBA32: _ClassVar[VideoCodec]
    VIDEO_CODEC_H264_ANNEX_B: _ClassVar[VideoCodec]

class Pacing(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PACING_UNSPECIFIED: _ClassVar[Pacing]
    PACING_REALTIME: _ClassVar[Pacing]
    PACING_BURST: _ClassVar[Pacing]
OUTPUT_KIND_UNSPECIFIED: OutputKind
OUTPUT_KIND_BLENDSHAPES: OutputKind
OUTPUT_KIND_LANDMARKS: OutputKind
OUTPUT_KIND_HEAD_POSE: OutputKind
OUTPUT_KIND_VISEMES: OutputKind
OUTPUT_KIND_VIDEO: OutputKind
OUTPUT_KIND_AUDIO: OutputKind
AUDIO_ENCODING_UNSPECIFIED: AudioEncoding
AUDIO_ENCODING_PCM_S16LE: AudioEncoding
AUDIO_ENCODING_PCM_F32LE: AudioEncoding
AUDIO_ENCODING_OPUS: AudioEncoding
VIDEO_CODEC_UNSPECIFIED: VideoCodec
VIDEO_CODEC_JPEG: VideoCodec
VIDEO_CODEC_RGB24: VideoCodec
VIDEO_CODEC_RGBA32: VideoCodec
VIDEO_CODEC_H264_ANNEX_B: VideoCodec
PACING_UNSPECIFIED: Pacing
PACING_REALTIME: Pacing
PACING_BURST: Pacing

class GetServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetServerInfoResponse(_message.Message):
    __slots__ = ("version", "outputs", "video_codecs", "audio_encodings", "containers", "max_sessions", "active_sessions", "limits", "draining")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    VIDEO_CODECS_FIELD_NUMBER: _ClassVar[int]
    AUDIO_ENCODINGS_FIELD_NUMBER: _ClassVar[int]
    CONTAINERS_FIELD_NUMBER: _ClassVar[int]
    MAX_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    version: str
    outputs: _containers.RepeatedScalarFieldContainer[OutputKind]
    video_codecs: _containers.RepeatedScalarFieldContainer[VideoCodec]
    audio_encodings: _containers.RepeatedScalarFieldContainer[AudioEncoding]
    containers: _containers.RepeatedScalarFieldContainer[str]
    max_sessions: int
    active_sessions: int
    limits: Limits
    draining: bool
    def __init__(self, version: _Optional[str] = ..., outputs: _Optional[_Iterable[_Union[OutputKind, str]]] = ..., video_codecs: _Optional[_Iterable[_Union[VideoCodec, str]]] = ..., audio_encodings: _Optional[_Iterable[_Union[AudioEncoding, str]]] = ..., containers: _Optional[_Iterable[str]] = ..., max_sessions: _Optional[int] = ..., active_sessions: _Optional[int] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., draining: bool = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("min_sample_rate_hz", "max_sample_rate_hz", "max_audio_chunk", "max_session", "idle_timeout", "max_audio_ahead", "max_image_bytes", "max_render")
    MIN_SAMPLE_RATE_HZ_FIELD_NUMBER: _ClassVar[int]
    MAX_SAMPLE_RATE_HZ_FIELD_NUMBER: _ClassVar[int]
    MAX_AUDIO_CHUNK_FIELD_NUMBER: _ClassVar[int]
    MAX_SESSION_FIELD_NUMBER: _ClassVar[int]
    IDLE_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    MAX_AUDIO_AHEAD_FIELD_NUMBER: _ClassVar[int]
    MAX_IMAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_RENDER_FIELD_NUMBER: _ClassVar[int]
    min_sample_rate_hz: int
    max_sample_rate_hz: int
    max_audio_chunk: _duration_pb2.Duration
    max_session: _duration_pb2.Duration
    idle_timeout: _duration_pb2.Duration
    max_audio_ahead: _duration_pb2.Duration
    max_image_bytes: int
    max_render: _duration_pb2.Duration
    def __init__(self, min_sample_rate_hz: _Optional[int] = ..., max_sample_rate_hz: _Optional[int] = ..., max_audio_chunk: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_session: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., idle_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_audio_ahead: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_image_bytes: _Optional[int] = ..., max_render: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ListAvatarsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAvatarsResponse(_message.Message):
    __slots__ = ("avatars", "next_page_token")
    AVATARS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    avatars: _containers.RepeatedCompositeFieldContainer[AvatarInfo]
    next_page_token: str
    def __init__(self, avatars: _Optional[_Iterable[_Union[AvatarInfo, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class AvatarInfo(_message.Message):
    __slots__ = ("avatar_id", "width", "height", "create_time", "consent")
    AVATAR_ID_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    CONSENT_FIELD_NUMBER: _ClassVar[int]
    avatar_id: str
    width: int
    height: int
    create_time: _timestamp_pb2.Timestamp
    consent: Consent
    def __init__(self, avatar_id: _Optional[str] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., consent: _Optional[_Union[Consent, _Mapping]] = ...) -> None: ...

class Consent(_message.Message):
    __slots__ = ("attested", "attested_by", "note")
    ATTESTED_FIELD_NUMBER: _ClassVar[int]
    ATTESTED_BY_FIELD_NUMBER: _ClassVar[int]
    NOTE_FIELD_NUMBER: _ClassVar[int]
    attested: bool
    attested_by: str
    note: str
    def __init__(self, attested: bool = ..., attested_by: _Optional[str] = ..., note: _Optional[str] = ...) -> None: ...

class CreateAvatarRequest(_message.Message):
    __slots__ = ("header", "image_chunk")
    class Header(_message.Message):
        __slots__ = ("avatar_id", "consent", "face")
        AVATAR_ID_FIELD_NUMBER: _ClassVar[int]
        CONSENT_FIELD_NUMBER: _ClassVar[int]
        FACE_FIELD_NUMBER: _ClassVar[int]
        avatar_id: str
        consent: Consent
        face: int
        def __init__(self, avatar_id: _Optional[str] = ..., consent: _Optional[_Union[Consent, _Mapping]] = ..., face: _Optional[int] = ...) -> None: ...
    HEADER_FIELD_NUMBER: _ClassVar[int]
    IMAGE_CHUNK_FIELD_NUMBER: _ClassVar[int]
    header: CreateAvatarRequest.Header
    image_chunk: bytes
    def __init__(self, header: _Optional[_Union[CreateAvatarRequest.Header, _Mapping]] = ..., image_chunk: _Optional[bytes] = ...) -> None: ...

class CreateAvatarResponse(_message.Message):
    __slots__ = ("avatar",)
    AVATAR_FIELD_NUMBER: _ClassVar[int]
    avatar: AvatarInfo
    def __init__(self, avatar: _Optional[_Union[AvatarInfo, _Mapping]] = ...) -> None: ...

class DeleteAvatarRequest(_message.Message):
    __slots__ = ("avatar_id",)
    AVATAR_ID_FIELD_NUMBER: _ClassVar[int]
    avatar_id: str
    def __init__(self, avatar_id: _Optional[str] = ...) -> None: ...

class DeleteAvatarResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AudioFormat(_message.Message):
    __slots__ = ("encoding", "sample_rate_hz")
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_RATE_HZ_FIELD_NUMBER: _ClassVar[int]
    encoding: AudioEncoding
    sample_rate_hz: int
    def __init__(self, encoding: _Optional[_Union[AudioEncoding, str]] = ..., sample_rate_hz: _Optional[int] = ...) -> None: ...

class VideoFormat(_message.Message):
    __slots__ = ("codec", "size", "quality", "width", "height", "background")
    CODEC_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    codec: VideoCodec
    size: int
    quality: int
    width: int
    height: int
    background: str
    def __init__(self, codec: _Optional[_Union[VideoCodec, str]] = ..., size: _Optional[int] = ..., quality: _Optional[int] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., background: _Optional[str] = ...) -> None: ...

class Style(_message.Message):
    __slots__ = ("emotion", "intensity", "blink_rate", "head_motion", "gaze", "blendshape_gain", "blendshape_offset")
    class EmotionEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class BlendshapeGainEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class BlendshapeOffsetEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    EMOTION_FIELD_NUMBER: _ClassVar[int]
    INTENSITY_FIELD_NUMBER: _ClassVar[int]
    BLINK_RATE_FIELD_NUMBER: _ClassVar[int]
    HEAD_MOTION_FIELD_NUMBER: _ClassVar[int]
    GAZE_FIELD_NUMBER: _ClassVar[int]
    BLENDSHAPE_GAIN_FIELD_NUMBER: _ClassVar[int]
    BLENDSHAPE_OFFSET_FIELD_NUMBER: _ClassVar[int]
    emotion: _containers.ScalarMap[str, float]
    intensity: float
    blink_rate: float
    head_motion: float
    gaze: Gaze
    blendshape_gain: _containers.ScalarMap[str, float]
    blendshape_offset: _containers.ScalarMap[str, float]
    def __init__(self, emotion: _Optional[_Mapping[str, float]] = ..., intensity: _Optional[float] = ..., blink_rate: _Optional[float] = ..., head_motion: _Optional[float] = ..., gaze: _Optional[_Union[Gaze, _Mapping]] = ..., blendshape_gain: _Optional[_Mapping[str, float]] = ..., blendshape_offset: _Optional[_Mapping[str, float]] = ...) -> None: ...

class Gaze(_message.Message):
    __slots__ = ("right", "down")
    RIGHT_FIELD_NUMBER: _ClassVar[int]
    DOWN_FIELD_NUMBER: _ClassVar[int]
    right: float
    down: float
    def __init__(self, right: _Optional[float] = ..., down: _Optional[float] = ...) -> None: ...

class SessionConfig(_message.Message):
    __slots__ = ("avatar_id", "audio", "outputs", "fps", "video", "pacing", "idle_frames", "seed", "style", "ahead", "frames_per_message")
    AVATAR_ID_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    FPS_FIELD_NUMBER: _ClassVar[int]
    VIDEO_FIELD_NUMBER: _ClassVar[int]
    PACING_FIELD_NUMBER: _ClassVar[int]
    IDLE_FRAMES_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    STYLE_FIELD_NUMBER: _ClassVar[int]
    AHEAD_FIELD_NUMBER: _ClassVar[int]
    FRAMES_PER_MESSAGE_FIELD_NUMBER: _ClassVar[int]
    avatar_id: str
    audio: AudioFormat
    outputs: _containers.RepeatedScalarFieldContainer[OutputKind]
    fps: float
    video: VideoFormat
    pacing: Pacing
    idle_frames: bool
    seed: int
    style: Style
    ahead: _duration_pb2.Duration
    frames_per_message: int
    def __init__(self, avatar_id: _Optional[str] = ..., audio: _Optional[_Union[AudioFormat, _Mapping]] = ..., outputs: _Optional[_Iterable[_Union[OutputKind, str]]] = ..., fps: _Optional[float] = ..., video: _Optional[_Union[VideoFormat, _Mapping]] = ..., pacing: _Optional[_Union[Pacing, str]] = ..., idle_frames: bool = ..., seed: _Optional[int] = ..., style: _Optional[_Union[Style, _Mapping]] = ..., ahead: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., frames_per_message: _Optional[int] = ...) -> None: ...

class AudioChunk(_message.Message):
    __slots__ = ("utterance_id", "data")
    UTTERANCE_ID_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    utterance_id: str
    data: bytes
    def __init__(self, utterance_id: _Optional[str] = ..., data: _Optional[bytes] = ...) -> None: ...

class EndUtterance(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Interrupt(_message.Message):
    __slots__ = ("utterance_id",)
    UTTERANCE_ID_FIELD_NUMBER: _ClassVar[int]
    utterance_id: str
    def __init__(self, utterance_id: _Optional[str] = ...) -> None: ...

class Pause(_message.Message):
    __slots__ = ("duration",)
    DURATION_FIELD_NUMBER: _ClassVar[int]
    duration: _duration_pb2.Duration
    def __init__(self, duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class StyleUpdate(_message.Message):
    __slots__ = ("style", "now")
    STYLE_FIELD_NUMBER: _ClassVar[int]
    NOW_FIELD_NUMBER: _ClassVar[int]
    style: Style
    now: bool
    def __init__(self, style: _Optional[_Union[Style, _Mapping]] = ..., now: bool = ...) -> None: ...

class Sync(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: int
    def __init__(self, token: _Optional[int] = ...) -> None: ...

class StreamSpeakRequest(_message.Message):
    __slots__ = ("config", "audio", "end_utterance", "interrupt", "style", "sync", "pause")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    END_UTTERANCE_FIELD_NUMBER: _ClassVar[int]
    INTERRUPT_FIELD_NUMBER: _ClassVar[int]
    STYLE_FIELD_NUMBER: _ClassVar[int]
    SYNC_FIELD_NUMBER: _ClassVar[int]
    PAUSE_FIELD_NUMBER: _ClassVar[int]
    config: SessionConfig
    audio: AudioChunk
    end_utterance: EndUtterance
    interrupt: Interrupt
    style: StyleUpdate
    sync: Sync
    pause: Pause
    def __init__(self, config: _Optional[_Union[SessionConfig, _Mapping]] = ..., audio: _Optional[_Union[AudioChunk, _Mapping]] = ..., end_utterance: _Optional[_Union[EndUtterance, _Mapping]] = ..., interrupt: _Optional[_Union[Interrupt, _Mapping]] = ..., style: _Optional[_Union[StyleUpdate, _Mapping]] = ..., sync: _Optional[_Union[Sync, _Mapping]] = ..., pause: _Optional[_Union[Pause, _Mapping]] = ...) -> None: ...

class SessionStarted(_message.Message):
    __slots__ = ("session_id", "start_time", "fps", "blendshape_names", "viseme_names", "landmark_topology", "video", "audio", "algorithmic_delay", "outputs", "ai_generated")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    FPS_FIELD_NUMBER: _ClassVar[int]
    BLENDSHAPE_NAMES_FIELD_NUMBER: _ClassVar[int]
    VISEME_NAMES_FIELD_NUMBER: _ClassVar[int]
    LANDMARK_TOPOLOGY_FIELD_NUMBER: _ClassVar[int]
    VIDEO_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    ALGORITHMIC_DELAY_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    AI_GENERATED_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    start_time: _timestamp_pb2.Timestamp
    fps: float
    blendshape_names: _containers.RepeatedScalarFieldContainer[str]
    viseme_names: _containers.RepeatedScalarFieldContainer[str]
    landmark_topology: str
    video: VideoFormat
    audio: AudioFormat
    algorithmic_delay: _duration_pb2.Duration
    outputs: _containers.RepeatedScalarFieldContainer[OutputKind]
    ai_generated: bool
    def __init__(self, session_id: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., fps: _Optional[float] = ..., blendshape_names: _Optional[_Iterable[str]] = ..., viseme_names: _Optional[_Iterable[str]] = ..., landmark_topology: _Optional[str] = ..., video: _Optional[_Union[VideoFormat, _Mapping]] = ..., audio: _Optional[_Union[AudioFormat, _Mapping]] = ..., algorithmic_delay: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., outputs: _Optional[_Iterable[_Union[OutputKind, str]]] = ..., ai_generated: bool = ...) -> None: ...

class Landmarks(_message.Message):
    __slots__ = ("xyz",)
    XYZ_FIELD_NUMBER: _ClassVar[int]
    xyz: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, xyz: _Optional[_Iterable[float]] = ...) -> None: ...

class HeadPose(_message.Message):
    __slots__ = ("rotation_wxyz", "translation")
    ROTATION_WXYZ_FIELD_NUMBER: _ClassVar[int]
    TRANSLATION_FIELD_NUMBER: _ClassVar[int]
    rotation_wxyz: _containers.RepeatedScalarFieldContainer[float]
    translation: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, rotation_wxyz: _Optional[_Iterable[float]] = ..., translation: _Optional[_Iterable[float]] = ...) -> None: ...

class VideoFrame(_message.Message):
    __slots__ = ("data", "key_frame")
    DATA_FIELD_NUMBER: _ClassVar[int]
    KEY_FRAME_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    key_frame: bool
    def __init__(self, data: _Optional[bytes] = ..., key_frame: bool = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("utterance_id", "index", "time_code", "idle", "quality", "blendshapes", "landmarks", "head_pose", "visemes", "video", "audio", "utterance_number")
    UTTERANCE_ID_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    TIME_CODE_FIELD_NUMBER: _ClassVar[int]
    IDLE_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    BLENDSHAPES_FIELD_NUMBER: _ClassVar[int]
    LANDMARKS_FIELD_NUMBER: _ClassVar[int]
    HEAD_POSE_FIELD_NUMBER: _ClassVar[int]
    VISEMES_FIELD_NUMBER: _ClassVar[int]
    VIDEO_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FIELD_NUMBER: _ClassVar[int]
    UTTERANCE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    utterance_id: str
    index: int
    time_code: float
    idle: bool
    quality: float
    blendshapes: _containers.RepeatedScalarFieldContainer[float]
    landmarks: Landmarks
    head_pose: HeadPose
    visemes: _containers.RepeatedScalarFieldContainer[float]
    video: VideoFrame
    audio: bytes
    utterance_number: int
    def __init__(self, utterance_id: _Optional[str] = ..., index: _Optional[int] = ..., time_code: _Optional[float] = ..., idle: bool = ..., quality: _Optional[float] = ..., blendshapes: _Optional[_Iterable[float]] = ..., landmarks: _Optional[_Union[Landmarks, _Mapping]] = ..., head_pose: _Optional[_Union[HeadPose, _Mapping]] = ..., visemes: _Optional[_Iterable[float]] = ..., video: _Optional[_Union[VideoFrame, _Mapping]] = ..., audio: _Optional[bytes] = ..., utterance_number: _Optional[int] = ...) -> None: ...

class Event(_message.Message):
    __slots__ = ("type", "utterance_id", "time_code", "message")
    class Type(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        TYPE_UNSPECIFIED: _ClassVar[Event.Type]
        TYPE_UTTERANCE_STARTED: _ClassVar[Event.Type]
        TYPE_UTTERANCE_FINISHED: _ClassVar[Event.Type]
        TYPE_INTERRUPTED: _ClassVar[Event.Type]
        TYPE_FALLING_BEHIND: _ClassVar[Event.Type]
        TYPE_DRAINING: _ClassVar[Event.Type]
    TYPE_UNSPECIFIED: Event.Type
    TYPE_UTTERANCE_STARTED: Event.Type
    TYPE_UTTERANCE_FINISHED: Event.Type
    TYPE_INTERRUPTED: Event.Type
    TYPE_FALLING_BEHIND: Event.Type
    TYPE_DRAINING: Event.Type
    TYPE_FIELD_NUMBER: _ClassVar[int]
    UTTERANCE_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    type: Event.Type
    utterance_id: str
    time_code: float
    message: str
    def __init__(self, type: _Optional[_Union[Event.Type, str]] = ..., utterance_id: _Optional[str] = ..., time_code: _Optional[float] = ..., message: _Optional[str] = ...) -> None: ...

class Synced(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: int
    def __init__(self, token: _Optional[int] = ...) -> None: ...

class FrameGroup(_message.Message):
    __slots__ = ("frames",)
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    frames: _containers.RepeatedCompositeFieldContainer[Frame]
    def __init__(self, frames: _Optional[_Iterable[_Union[Frame, _Mapping]]] = ...) -> None: ...

class StreamSpeakResponse(_message.Message):
    __slots__ = ("started", "frame", "event", "synced", "frames")
    STARTED_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    SYNCED_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    started: SessionStarted
    frame: Frame
    event: Event
    synced: Synced
    frames: FrameGroup
    def __init__(self, started: _Optional[_Union[SessionStarted, _Mapping]] = ..., frame: _Optional[_Union[Frame, _Mapping]] = ..., event: _Optional[_Union[Event, _Mapping]] = ..., synced: _Optional[_Union[Synced, _Mapping]] = ..., frames: _Optional[_Union[FrameGroup, _Mapping]] = ...) -> None: ...

class RenderClipRequest(_message.Message):
    __slots__ = ("header", "audio_file_chunk")
    class Header(_message.Message):
        __slots__ = ("avatar_id", "container", "fps", "size", "seed", "style", "background")
        AVATAR_ID_FIELD_NUMBER: _ClassVar[int]
        CONTAINER_FIELD_NUMBER: _ClassVar[int]
        FPS_FIELD_NUMBER: _ClassVar[int]
        SIZE_FIELD_NUMBER: _ClassVar[int]
        SEED_FIELD_NUMBER: _ClassVar[int]
        STYLE_FIELD_NUMBER: _ClassVar[int]
        BACKGROUND_FIELD_NUMBER: _ClassVar[int]
        avatar_id: str
        container: str
        fps: float
        size: int
        seed: int
        style: Style
        background: str
        def __init__(self, avatar_id: _Optional[str] = ..., container: _Optional[str] = ..., fps: _Optional[float] = ..., size: _Optional[int] = ..., seed: _Optional[int] = ..., style: _Optional[_Union[Style, _Mapping]] = ..., background: _Optional[str] = ...) -> None: ...
    HEADER_FIELD_NUMBER: _ClassVar[int]
    AUDIO_FILE_CHUNK_FIELD_NUMBER: _ClassVar[int]
    header: RenderClipRequest.Header
    audio_file_chunk: bytes
    def __init__(self, header: _Optional[_Union[RenderClipRequest.Header, _Mapping]] = ..., audio_file_chunk: _Optional[bytes] = ...) -> None: ...

class RenderClipResponse(_message.Message):
    __slots__ = ("progress", "file_chunk", "result")
    class Progress(_message.Message):
        __slots__ = ("frames_done", "frames_total")
        FRAMES_DONE_FIELD_NUMBER: _ClassVar[int]
        FRAMES_TOTAL_FIELD_NUMBER: _ClassVar[int]
        frames_done: int
        frames_total: int
        def __init__(self, frames_done: _Optional[int] = ..., frames_total: _Optional[int] = ...) -> None: ...
    class Result(_message.Message):
        __slots__ = ("frames", "duration_seconds", "bytes", "sha256")
        FRAMES_FIELD_NUMBER: _ClassVar[int]
        DURATION_SECONDS_FIELD_NUMBER: _ClassVar[int]
        BYTES_FIELD_NUMBER: _ClassVar[int]
        SHA256_FIELD_NUMBER: _ClassVar[int]
        frames: int
        duration_seconds: float
        bytes: int
        sha256: str
        def __init__(self, frames: _Optional[int] = ..., duration_seconds: _Optional[float] = ..., bytes: _Optional[int] = ..., sha256: _Optional[str] = ...) -> None: ...
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    FILE_CHUNK_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    progress: RenderClipResponse.Progress
    file_chunk: bytes
    result: RenderClipResponse.Result
    def __init__(self, progress: _Optional[_Union[RenderClipResponse.Progress, _Mapping]] = ..., file_chunk: _Optional[bytes] = ..., result: _Optional[_Union[RenderClipResponse.Result, _Mapping]] = ...) -> None: ...
